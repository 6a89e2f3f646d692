// Opens an SQLite database of one kind. It is created only when somebody says so: an empty database where a full one was
// expected (wrong path, unmounted volume) would forget every request and pin, so a missing file is an error.
import { existsSync, writeFileSync } from 'node:fs'
import { CodedError } from '@countersign/tuf'
import { Connection, SqliteError } from './connection.ts'
import { StoreError } from './errors.ts'

/** How long a writer waits for another process (a backup, a curious operator), in milliseconds. */
const BUSY_TIMEOUT_MS = 5000

/** What tells the databases of one kind, and brings them up to date. */
export interface Schema {
  /** Tells our file from any other SQLite database (PRAGMA application_id). */
  readonly applicationId: number
  /** PRAGMA user_version counts those that were applied. One that was released is never edited: write the next one. */
  readonly migrations: readonly string[]
}

/** SQLite's name for a database without a file; for tests. */
const IN_MEMORY = ':memory:'

/** An open database. */
export interface SqliteDatabase {
  readonly sqlite: Connection
  /** Runs the function in one durable transaction. @throws StoreError, and whatever the function throws (then rolled back) */
  transaction<T>(work: () => T): T
  /** Whether a write would succeed now. @throws StoreError STORE_UNWRITABLE */
  check(): void
  close(): void
}

/**
 * Makes a new, empty database. For the first start only.
 * @throws StoreError STORE_EXISTS, STORE_UNWRITABLE
 */
export function createDatabase(path: string, schema: Schema): SqliteDatabase {
  if (path !== IN_MEMORY) reserve(path)
  return prepare(path, schema, (sqlite) => {
    sqlite.pragma(`application_id = ${schema.applicationId}`)
  })
}

/**
 * Opens a database that exists, and brings its schema up to date.
 * @throws StoreError STORE_MISSING, STORE_NOT_OURS, STORE_SCHEMA_NEWER, STORE_DAMAGED
 */
export function openDatabase(path: string, schema: Schema): SqliteDatabase {
  if (!existsSync(path)) {
    throw new StoreError(
      'STORE_MISSING',
      'The database does not exist. Is the data folder the right one, and mounted?',
      {
        path,
      },
    )
  }
  return prepare(path, schema, (sqlite) => {
    if (sqlite.pragma('application_id') !== schema.applicationId) {
      throw new StoreError('STORE_NOT_OURS', 'This file is not the database that belongs here.', { path })
    }
  })
}

/** Makes the empty file, and nobody else's: exclusively, and readable by its owner only. SQLite gives its side files the same mode. */
function reserve(path: string): void {
  try {
    writeFileSync(path, '', { flag: 'wx', mode: 0o600 })
  } catch (cause) {
    if (existsSync(path)) {
      throw new StoreError('STORE_EXISTS', 'There is a file already where the database was to be created.', { path })
    }
    throw new StoreError('STORE_UNWRITABLE', 'The database cannot be created here.', { path }, { cause })
  }
}

function prepare(path: string, schema: Schema, identify: (sqlite: Connection) => void): SqliteDatabase {
  return guarded(path, () => {
    const sqlite = new Connection(path, { timeout: BUSY_TIMEOUT_MS })
    try {
      identify(sqlite)
      // WAL: readers (backup) and the writer do not stop one another. FULL: a commit is on the disk when it returns, which
      // the acknowledgement of a request and the order "record before act" rest on.
      sqlite.pragma('journal_mode = WAL')
      sqlite.pragma('synchronous = FULL')
      // A table that others refer to can be made anew only without their keeping watch; each migration ends with a look.
      sqlite.pragma('foreign_keys = OFF')
      migrate(sqlite, path, schema.migrations)
      sqlite.pragma('foreign_keys = ON')
    } catch (error) {
      sqlite.close()
      throw error
    }
    return openedDatabase(sqlite, path)
  })
}

/** Each migration and its number are one transaction: a crash leaves the schema before it or after it. */
function migrate(sqlite: Connection, path: string, migrations: readonly string[]): void {
  const applied = Number(sqlite.pragma('user_version'))
  if (applied > migrations.length) {
    throw new StoreError(
      'STORE_SCHEMA_NEWER',
      'A newer Countersign wrote this database. Run that version, or restore a backup.',
      {
        path,
        schema: applied,
        known: migrations.length,
      },
    )
  }
  for (const [index, migration] of migrations.entries()) {
    if (index < applied) continue
    sqlite.transaction(() => {
      sqlite.exec(migration)
      if (sqlite.pragma('foreign_key_check') !== undefined) {
        throw new StoreError('STORE_DAMAGED', 'Rows of the database refer to rows that are not there.', { path })
      }
      sqlite.pragma(`user_version = ${index + 1}`)
    })
  }
}

function openedDatabase(sqlite: Connection, path: string): SqliteDatabase {
  return {
    sqlite,
    transaction: (work) => guarded(path, () => sqlite.transaction(work)),
    check: () => {
      guarded(path, () => {
        sqlite.exec('BEGIN IMMEDIATE; ROLLBACK')
      })
    },
    close: () => {
      sqlite.close()
    },
  }
}

/** Turns SQLite's own errors into ours; coded errors pass. */
function guarded<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof CodedError || !(cause instanceof SqliteError)) throw cause
    const isDamaged = /^SQLITE_(CORRUPT|NOTADB)/.test(cause.code)
    throw isDamaged
      ? new StoreError(
          'STORE_DAMAGED',
          'The database is damaged. Restore a backup.',
          { path, sqlite: cause.code },
          { cause },
        )
      : new StoreError('STORE_UNWRITABLE', 'The database cannot be used now.', { path, sqlite: cause.code }, { cause })
  }
}
