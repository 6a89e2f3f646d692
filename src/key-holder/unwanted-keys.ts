// Keys in tokens that are to be destroyed: those that were retired, and those that were made and not recorded. A place is written down here
// before a key is made in it, so that none is ever forgotten, whatever fails and wherever a crash comes.
import type { StateDatabase } from './database.ts'
import type { KeyInToken } from './key-table.ts'

/** `unrecorded`: a key is being made there, or was and could not be recorded. */
export type UnwantedBecause = 'unrecorded' | 'retired'

export interface UnwantedKey {
  readonly custody: KeyInToken['custody']
  readonly reason: UnwantedBecause
}

export class UnwantedKeys {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  /** Call inside a transaction. @param since RFC 3339 */
  add({ custody, reason }: UnwantedKey, since: string): void {
    const sql = 'INSERT INTO unwanted_token_keys (custody, reason, since) VALUES (?, ?, ?)'
    this.#database.run(sql, custody, reason, since)
  }

  /** Call inside a transaction. */
  remove(custody: UnwantedKey['custody']): void {
    this.#database.run('DELETE FROM unwanted_token_keys WHERE custody = ?', custody)
  }

  /**
   * From now on the key at this place is destroyed and never kept; call inside a transaction. What could not be committed before, without
   * anybody knowing whether it was, is so once this is durable: SQLite writes it in the place of the other.
   * @returns whether it is still to be destroyed
   */
  begin(custody: UnwantedKey['custody']): boolean {
    const sql = 'UPDATE unwanted_token_keys SET attempts = attempts + 1 WHERE custody = ? RETURNING attempts'
    return this.#database.all(sql, custody).length > 0
  }

  /** Takes the place of a new key off; call inside the transaction that stores the key. @returns false: it is being destroyed */
  keep(custody: UnwantedKey['custody']): boolean {
    const sql = 'DELETE FROM unwanted_token_keys WHERE custody = ? AND attempts = 0 RETURNING custody'
    return this.#database.all(sql, custody).length > 0
  }

  /** Oldest first. */
  all(): UnwantedKey[] {
    return this.#database.all<UnwantedKey>('SELECT custody, reason FROM unwanted_token_keys ORDER BY since, custody')
  }

  has(custody: string): boolean {
    return this.#database.all('SELECT 1 FROM unwanted_token_keys WHERE custody = ?', custody).length > 0
  }

  /** For a copy of the database: what was under way when it was made may have been recorded in the original since. */
  forgetUnrecorded(): void {
    this.#database.run(`DELETE FROM unwanted_token_keys WHERE reason = 'unrecorded'`)
  }
}
