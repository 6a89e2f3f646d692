// One connection to SQLite, as both processes use it. Everything that it prepares lives as long as the process.
//
// From Node 24.19 on the collection of a statement or connection of better-sqlite3 12 ends the process: its base class asks for
// the current environment (node_object_wrap.h), and during a collection there may be none. Version 13 does not run on Node 20.
// So nothing is ever left to the collector: statements are made once for each text, and closed connections are kept.
import Database from 'better-sqlite3'

export const { SqliteError } = Database

export interface ConnectionOptions {
  readonly fileMustExist?: boolean
  readonly readonly?: boolean
  /** How long to wait for the lock of another connection, in milliseconds. */
  readonly timeout?: number
}

/** A process opens few; a closed one is some hundred bytes. */
const KEPT: Connection[] = []

export class Connection {
  readonly #database: Database.Database
  readonly #statements = new Map<string, Database.Statement>()
  readonly #pragmas: Database.Statement[] = []

  /** @throws SqliteError */
  constructor(path: string, options: ConnectionOptions = {}) {
    this.#database = new Database(path, options)
    KEPT.push(this)
  }

  /** The statement of this text; texts must be few, so values are always parameters. @throws SqliteError */
  prepare<Values extends unknown[] = unknown[], Row = unknown>(sql: string): Database.Statement<Values, Row> {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement as Database.Statement<Values, Row>
  }

  /** Sets or reads: `foreign_keys = ON`, `user_version`. The first value of the first row, if there is one. @throws SqliteError */
  pragma(text: string): unknown {
    const statement = this.#database.prepare(`PRAGMA ${text}`)
    this.#pragmas.push(statement)
    if (statement.reader) return statement.pluck().get()
    statement.run()
    return undefined
  }

  /** Several statements at once, without values. @throws SqliteError */
  exec(sql: string): void {
    this.#database.exec(sql)
  }

  /** All of `work` or nothing of it. Takes the write lock first, so that what is read cannot change before it is written. */
  transaction<T>(work: () => T): T {
    return this.#database.transaction(work).immediate()
  }

  close(): void {
    this.#database.close()
  }
}
