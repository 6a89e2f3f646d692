// Reads a file that may hold secrets or name programs to run, and refuses one that others could read or replace.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

/** Why a file is refused, in words that may be told: its content is never among them. */
export class FileRefusal extends Error {}

/**
 * The text of a regular file that belongs to this process's user or to root and that nobody else can read or write; undefined where
 * there is none. Checked and read through one open file, so that nothing can be swapped between.
 * @throws FileRefusal
 */
export function readOwnedFile(path: string, maxBytes: number): string | undefined {
  const file = open(path)
  if (file === undefined) return undefined
  try {
    const stat = fstatSync(file)
    if (!stat.isFile()) throw new FileRefusal('it is not a regular file')
    // Mounted secrets (Kubernetes with fsGroup, systemd LoadCredential=) belong to root and are readable by our group alone.
    const forbidden = stat.uid === 0 ? 0o037 : 0o077
    if ((stat.mode & forbidden) !== 0) throw new FileRefusal('others can read or write it; run: chmod 600 FILE')
    const uid = process.getuid?.()
    if (uid !== undefined && stat.uid !== uid && stat.uid !== 0) throw new FileRefusal('it belongs to another user')
    const buffer = Buffer.alloc(maxBytes + 1)
    let length = 0
    for (let count = -1; count !== 0 && length <= maxBytes; length += count) {
      count = readSync(file, buffer, length, buffer.byteLength - length, null)
    }
    if (length > maxBytes) throw new FileRefusal('it is too large')
    return buffer.toString('utf8', 0, length)
  } finally {
    closeSync(file)
  }
}

function open(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new FileRefusal('it cannot be opened', { cause })
  }
}
