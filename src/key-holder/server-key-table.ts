// What the key holder remembers of the trust server's keys, beside the keys themselves.
import type { Gun } from '@countersign/tuf'
import type { StateDatabase } from './database.ts'

/** Which keys an accepted root has listed, and how many repositories have keys and no root. */
export class ServerKeyTable {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  wasListed(gun: Gun, canonicalKeyId: string): boolean {
    const sql = 'SELECT 1 FROM listed_server_keys WHERE gun = ? AND canonical_key_id = ?'
    return this.#database.all(sql, gun, canonicalKeyId).length > 0
  }

  noteListed(gun: Gun, canonicalKeyId: string): void {
    this.#database.run(
      'INSERT OR IGNORE INTO listed_server_keys (gun, canonical_key_id) VALUES (?, ?)',
      gun,
      canonicalKeyId,
    )
  }

  pendingRepositories(): number {
    const sql = `SELECT count(DISTINCT gun) AS n FROM keys
      WHERE role IN ('snapshot', 'timestamp') AND gun NOT IN (SELECT gun FROM served_repositories)`
    return this.#database.all<{ n: number }>(sql)[0]?.n ?? 0
  }
}
