// The copy of the database that waits to be read by a backup: a file in the key holder's own folder, one at a time, for a while.
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { StateDatabase } from './database.ts'

const COPY_FILE = 'backup.db'
/** After that nobody comes for it any more, in milliseconds. */
const LIFETIME_MS = 3_600_000
const PART_BYTES = 4 * 1024 * 1024
const CHUNK_BYTES = 1024 * 1024

export interface BackupCopy {
  readonly session: string
  readonly bytes: number
  readonly sha256: string
}

interface OpenCopy extends BackupCopy {
  readonly file: number
}

export class BackupCopies {
  /** The file with the passphrase of backups; undefined: there are none. */
  readonly passphraseFile: string | undefined
  readonly #path: string
  #copy: OpenCopy | undefined
  #timer: NodeJS.Timeout | undefined

  /** Removes what a crash has left. */
  constructor(folder: string, passphraseFile: string | undefined) {
    this.#path = join(folder, COPY_FILE)
    this.passphraseFile = passphraseFile
    this.close()
  }

  /** The database as it is now. What was there before is forgotten. @throws KeyHolderError STATE_UNWRITABLE */
  make(database: StateDatabase): BackupCopy {
    this.close()
    try {
      writeFileSync(this.#path, '', { flag: 'wx', mode: 0o600 })
      database.copyTo(this.#path)
      const file = openSync(this.#path, 'r')
      const { size: bytes } = statSync(this.#path)
      this.#copy = { session: randomBytes(16).toString('hex'), bytes, sha256: hashOf(file), file }
      this.#forgetLater()
      return this.#copy
    } catch (cause) {
      this.close()
      if (cause instanceof KeyHolderError) throw cause
      throw new KeyHolderError('STATE_UNWRITABLE', 'The copy for the backup cannot be written.', {}, { cause })
    }
  }

  /**
   * A few megabytes from this byte on. With the last of them the copy is forgotten.
   * @throws KeyHolderError BACKUP_SESSION_UNKNOWN
   */
  read(session: string, offset: number): { readonly part: Buffer; readonly isLast: boolean } {
    const copy = this.#copy
    if (copy?.session !== session || offset >= copy.bytes) {
      throw new KeyHolderError('BACKUP_SESSION_UNKNOWN', 'This backup was not begun, or was read or forgotten.')
    }
    const part = Buffer.alloc(Math.min(PART_BYTES, copy.bytes - offset))
    for (let filled = 0; filled < part.byteLength;) {
      const count = readSync(copy.file, part, filled, part.byteLength - filled, offset + filled)
      if (count === 0) throw new KeyHolderError('STATE_UNWRITABLE', 'The copy for the backup has become shorter.')
      filled += count
    }
    const isLast = offset + part.byteLength === copy.bytes
    if (isLast) this.close()
    else this.#forgetLater()
    return { part, isLast }
  }

  /** Forgets the copy. */
  close(): void {
    clearTimeout(this.#timer)
    if (this.#copy !== undefined) closeSync(this.#copy.file)
    this.#copy = undefined
    for (const suffix of ['', '-journal']) rmSync(this.#path + suffix, { force: true })
  }

  #forgetLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.close()
    }, LIFETIME_MS)
    this.#timer.unref()
  }
}

function hashOf(file: number): string {
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(CHUNK_BYTES)
  for (let offset = 0; ;) {
    const count = readSync(file, chunk, 0, chunk.byteLength, offset)
    if (count === 0) return hash.digest('hex')
    hash.update(chunk.subarray(0, count))
    offset += count
  }
}
