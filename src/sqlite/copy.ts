// Copies of databases that are at work, and whether a copy is whole.
import { writeFileSync } from 'node:fs'
import { Connection, SqliteError } from './connection.ts'
import type { Schema } from './database.ts'
import { StoreError } from './errors.ts'

/** How long to wait for a writer, in milliseconds. */
const BUSY_TIMEOUT_MS = 10_000

/**
 * Writes the database, as it is at this moment, into a new file with mode 0600. Whoever works with it is not held up.
 * @throws StoreError STORE_UNWRITABLE, STORE_DAMAGED
 */
export function copyDatabase(path: string, to: string): void {
  withReader(path, (sqlite) => {
    try {
      writeFileSync(to, '', { flag: 'wx', mode: 0o600 })
    } catch (cause) {
      throw new StoreError('STORE_UNWRITABLE', 'The copy of the database cannot be made.', { path: to }, { cause })
    }
    sqlite.prepare('VACUUM INTO ?').run(to)
  })
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
