// Writes a file so that after a crash either the old or the new content is there, whole.
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Replaces `path`. A crash before the rename leaves the old file (and a `.new` beside it that the next write replaces). */
export function writeDurably(path: string, bytes: Uint8Array, mode = 0o600): void {
  const folder = dirname(path)
  const isNewFolder = replaceFile(path, bytes, mode)
  syncFolder(folder)
  if (isNewFolder) syncFolder(dirname(folder))
}

/**
 * As `writeDurably`, but only the content is flushed, not the name: after a crash the file may be missing, yet never half there.
 * For files that can be written again.
 */
export function writeContentDurably(path: string, bytes: Uint8Array): void {
  replaceFile(path, bytes, 0o600)
}

/** Writes over `path` in its place. After a crash any part of it may be missing. */
export function writeUnflushed(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, bytes, { mode: 0o600 })
}

/** @returns whether the folder had to be made */
function replaceFile(path: string, bytes: Uint8Array, mode: number): boolean {
  const isNewFolder = mkdirSync(dirname(path), { recursive: true, mode: 0o700 }) !== undefined
  const temporary = `${path}.new`
  const file = openSync(temporary, 'w', mode)
  try {
    for (let offset = 0; offset < bytes.byteLength;) offset += writeSync(file, bytes, offset)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
  return isNewFolder
}

/** A file whose content is flushed beside its place. */
export interface PreparedFile {
  readonly path: string
  /** Puts it there. */
  place(): void
  /** Forgets it. */
  discard(): void
}

/**
 * Flushes the contents of several files at the same time, without holding up the process; the file system does that about as fast
 * as for one. A crash leaves a `.next` beside each, which the next preparation replaces.
 */
export async function prepareFiles(
  files: readonly { readonly path: string; readonly bytes: Uint8Array }[],
): Promise<readonly PreparedFile[]> {
  const results = await Promise.allSettled(
    files.map(async ({ path, bytes }): Promise<PreparedFile> => {
      const temporary = `${path}.next`
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
      const file = await open(temporary, 'w', 0o600)
      try {
        await file.writeFile(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
      return {
        path,
        place: () => {
          renameSync(temporary, path)
        },
        discard: () => {
          rmSync(temporary, { force: true })
        },
      }
    }),
  )
  // Only when none is under way any more: the next preparation uses the same names.
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}

/** As `syncFolder`, without holding up the process. */
export async function syncFolderLater(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes names in a folder durable. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
