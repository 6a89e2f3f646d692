// Files that a first start makes for another process: private, whole or not there at all, and never overwritten unless said so.
import { chownSync, existsSync, lstatSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'

/** The user of a process that does not share the daemon's. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Parents too, with the same mode; the owner gets the folder itself. */
export function makeFolder(path: string, mode: number, owner: Owner | undefined): void {
  if (existsSync(path)) return
  mkdirSync(path, { recursive: true, mode })
  own(path, owner)
}

/** Mode 0600. What is there was made before, or by an operator, and stays. */
export function makeFile(path: string, content: string, owner: Owner | undefined): void {
  if (!existsSync(path)) replaceFile(path, content, owner)
}

/** Mode 0600, unless another is given. The file is the old one or the new one, never a part. */
export function replaceFile(path: string, content: string, owner: Owner | undefined, mode = 0o600): void {
  const partial = `${path}.new`
  writeFileSync(partial, content, { mode, flush: true })
  own(partial, owner)
  renameSync(partial, path)
}

export function own(path: string, owner: Owner | undefined): void {
  if (owner === undefined || lstatSync(path).uid === owner.uid) return
  chownSync(path, owner.uid, owner.gid)
}
