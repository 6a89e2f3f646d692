// Copies of databases that are at work, and whether a copy is whole.
import { closeSync, constants, fstatSync, openSync, readdirSync, writeFileSync, type BigIntStats } from 'node:fs'
import { Connection, SqliteError } from './connection.ts'
import type { Schema } from './database.ts'
import { StoreError } from './errors.ts'

/** How long to wait for a writer, in milliseconds. */
const BUSY_TIMEOUT_MS = 10_000

/**
 * Writes the database, as it is at this moment, into a new file with mode 0600. Whoever works with it is not held up. It is the file of that
 * name and no link to another, and belongs to one of `owners`: whoever may write in its folder could have us copy a database of somebody else.
 * @param owners user ids
 * @throws StoreError STORE_NOT_OURS, STORE_UNWRITABLE, STORE_DAMAGED
 */
export function copyDatabase(path: string, to: string, owners: readonly number[]): void {
  const file = openUnlinked(path)
  try {
    const original = fstatSync(file, { bigint: true })
    if (!original.isFile() || !owners.includes(Number(original.uid))) throw notTheFile(path)
    withReader(path, (sqlite) => {
      // SQLite opens by name, and the name may have become another file's since.
      sqlite.pragma('schema_version')
      if (!isOpenElsewhere(original, file)) throw notTheFile(path)
      try {
        writeFileSync(to, '', { flag: 'wx', mode: 0o600 })
      } catch (cause) {
        throw new StoreError('STORE_UNWRITABLE', 'The copy of the database cannot be made.', { path: to }, { cause })
      }
      sqlite.prepare('VACUUM INTO ?').run(to)
    })
  } finally {
    // After SQLite: closing any descriptor of a file gives up the locks that this process holds on it (POSIX).
    closeSync(file)
  }
}

/**
 * That a database which nobody uses is one of this kind, not of a later version, and whole.
 * @throws StoreError STORE_NOT_OURS, STORE_SCHEMA_NEWER, STORE_DAMAGED
 */
export function checkDatabase(path: string, { applicationId, migrations }: Schema): void {
  withReader(path, (sqlite) => {
    if (sqlite.pragma('application_id') !== applicationId) {
      throw new StoreError('STORE_NOT_OURS', 'This file is not the database that belongs here.', { path })
    }
    if (Number(sqlite.pragma('user_version')) > migrations.length) {
      throw new StoreError('STORE_SCHEMA_NEWER', 'A newer Countersign wrote this database.', { path })
    }
    if (sqlite.pragma('integrity_check') !== 'ok' || sqlite.pragma('foreign_key_check') !== undefined) {
      throw new StoreError('STORE_DAMAGED', 'The database is damaged.', { path })
    }
  })
}

function withReader(path: string, work: (sqlite: Connection) => void): void {
  let sqlite: Connection | undefined
  try {
    sqlite = new Connection(path, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
    work(sqlite)
  } catch (cause) {
    if (!(cause instanceof SqliteError)) throw cause
    const code = /^SQLITE_(CORRUPT|NOTADB)/.test(cause.code) ? 'STORE_DAMAGED' : 'STORE_UNWRITABLE'
    throw new StoreError(code, 'The database cannot be read or copied.', { path, sqlite: cause.code }, { cause })
  } finally {
    sqlite?.close()
  }
}

function openUnlinked(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ELOOP') throw notTheFile(path, cause)
    throw new StoreError('STORE_UNWRITABLE', 'The database cannot be read or copied.', { path }, { cause })
  }
}

function notTheFile(path: string, cause?: unknown): StoreError {
  const message = 'This is a link, or belongs to another user than its folder. It is not copied.'
  return new StoreError('STORE_NOT_OURS', message, { path }, { cause })
}

/** Whether this process has the file open under another descriptor, too. */
function isOpenElsewhere({ dev, ino }: BigIntStats, file: number): boolean {
  return readdirSync('/dev/fd').some((name) => {
    if (Number(name) === file) return false
    try {
      const other = fstatSync(Number(name), { bigint: true })
      return other.dev === dev && other.ino === ino
    } catch {
      // The one that has read the folder, closed again.
      return false
    }
  })
}
