// Writes a file so that after a crash either the old or the new content is there, whole.
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
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

/** Makes names in a folder durable. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
