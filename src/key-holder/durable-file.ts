// Writes a file so that after a crash either the old or the new content is there, whole.
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Replaces `path`. A crash before the rename leaves the old file (and a `.new` beside it that the next write replaces). */
export function writeDurably(path: string, bytes: Uint8Array, mode = 0o600): void {
  const folder = dirname(path)
  const isNewFolder = mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined
  const temporary = `${path}.new`
  const file = openSync(temporary, 'w', mode)
  try {
    for (let offset = 0; offset < bytes.byteLength;) offset += writeSync(file, bytes, offset)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
  syncFolder(folder)
  if (isNewFolder) syncFolder(dirname(folder))
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
