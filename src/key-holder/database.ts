// The key holder's database: opening (never creating by accident), durability, migrations, and what its failures are called.
import { existsSync } from 'node:fs'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { Connection, SqliteError } from '../sqlite/connection.ts'
import { MIGRATIONS } from './migrations.ts'

type Value = string | number | Buffer | null

/** One connection, locked against every other process. All work is synchronous, so no await can hide inside a transaction. */
export class StateDatabase {
  readonly #connection: Connection

  private constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * @throws KeyHolderError KEY_HOLDER_STATE_MISSING (no file and not `create`), KEY_HOLDER_ALREADY_RUNNING (locked),
   * KEY_HOLDER_STATE_DAMAGED (no database, or one of a newer version), STATE_UNWRITABLE
   */
  static open(path: string, create: boolean): StateDatabase {
    if (!create && !existsSync(path)) {
      throw new KeyHolderError('KEY_HOLDER_STATE_MISSING', 'The key holder has no database in its folder.', { path })
    }
    let connection: Connection | undefined
    try {
      connection = new Connection(path, { fileMustExist: !create, timeout: 1000 })
      // Exclusive before WAL: no shared memory file, and the lock is held until close or the death of the process.
      connection.pragma('locking_mode = EXCLUSIVE')
      connection.pragma('journal_mode = WAL')
      connection.pragma('synchronous = FULL')
      connection.pragma('foreign_keys = ON')
      connection.pragma('trusted_schema = OFF')
      migrate(connection)
      return new StateDatabase(connection)
    } catch (cause) {
      connection?.close()
      if (cause instanceof KeyHolderError) throw cause
      throw openFailure(path, cause)
    }
  }

  /**
   * All of `change` or nothing of it, durable when this returns.
   * @throws KeyHolderError STATE_UNWRITABLE; whatever `change` throws
   */
  write<T>(change: () => T): T {
    return this.#guard(() => this.#connection.transaction(change))
  }

  all<Row>(sql: string, ...values: Value[]): Row[] {
    return this.#guard(() => this.#connection.prepare<Value[], Row>(sql).all(...values))
  }

  run(sql: string, ...values: Value[]): void {
    this.#guard(() => this.#connection.prepare<Value[]>(sql).run(...values))
  }

  /** What `work` removes or overwrites is zeros in the file, not only unused. Costs time, and so is for rare work. */
  erasing<T>(work: () => T): T {
    this.#guard(() => this.#connection.pragma('secure_delete = ON'))
    try {
      return work()
    } finally {
      this.#guard(() => this.#connection.pragma('secure_delete = OFF'))
    }
  }

  /**
   * Empties the write-ahead log, in which what was overwritten would lie for a while. A crash before leaves that to the next start.
   * @throws KeyHolderError STATE_UNWRITABLE
   */
  emptyWriteAheadLog(): void {
    this.#guard(() => this.#connection.pragma('wal_checkpoint(TRUNCATE)'))
  }

  /**
   * Writes all of it, as it is now, into this empty file; nothing that was removed goes along. Nothing else happens meanwhile.
   * @throws KeyHolderError STATE_UNWRITABLE
   */
  copyTo(path: string): void {
    this.run('VACUUM INTO ?', path)
  }

  /** @throws KeyHolderError KEY_HOLDER_STATE_DAMAGED where pages or indexes do not fit each other */
  checkIntegrity(): void {
    const found = this.#guard(() => this.#connection.pragma('integrity_check'))
    if (found === 'ok') return
    throw new KeyHolderError('KEY_HOLDER_STATE_DAMAGED', 'The database is damaged.', {
      found: String(found).slice(0, 200),
    })
  }

  close(): void {
    this.#connection.close()
  }

  #guard<T>(work: () => T): T {
    try {
      return work()
    } catch (cause) {
      if (!(cause instanceof SqliteError)) throw cause
      throw new KeyHolderError(
        'STATE_UNWRITABLE',
        'The state of the key holder cannot be read or written.',
        { reason: cause.code },
        { cause },
      )
    }
  }
}

function migrate(connection: Connection): void {
  const version = Number(connection.pragma('user_version'))
  if (version > MIGRATIONS.length) {
    throw new KeyHolderError('KEY_HOLDER_STATE_DAMAGED', 'The database was written by a newer version.', { version })
  }
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index < version) continue
    // A crash before the commit leaves the older version, whole.
    connection.transaction(() => {
      connection.exec(sql)
      connection.pragma(`user_version = ${index + 1}`)
    })
  }
  // Takes the write lock now, not with the first signature.
  connection.transaction(() => connection.pragma('user_version'))
}

function openFailure(path: string, cause: unknown): KeyHolderError {
  const reason = cause instanceof SqliteError ? cause.code : 'unknown'
  if (reason.startsWith('SQLITE_BUSY') || reason.startsWith('SQLITE_LOCKED')) {
    return new KeyHolderError('KEY_HOLDER_ALREADY_RUNNING', 'Another process holds the database.', { path }, { cause })
  }
  if (reason.startsWith('SQLITE_NOTADB') || reason.startsWith('SQLITE_CORRUPT')) {
    return new KeyHolderError('KEY_HOLDER_STATE_DAMAGED', 'The database is damaged.', { path, reason }, { cause })
  }
  return new KeyHolderError('STATE_UNWRITABLE', 'The database cannot be opened.', { path, reason }, { cause })
}
