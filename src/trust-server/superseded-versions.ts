// Versions that were replaced, and their removal. What may go is retention's to say, what must stay is said here too.
import { ROOT } from '@countersign/tuf'
import type { SqliteDatabase } from '../sqlite/database.ts'

/** Which versions may go. */
export interface Superseded {
  /** The newest of each role, which stay. */
  readonly keptVersions: number
  /** Those replaced later stay. */
  readonly replacedBefore: Date
  /** Those that a timestamp leads to which ends later stay. */
  readonly endedBefore: Date
  /** How much at once, in files and in bytes; one file may be larger. */
  readonly files: number
  readonly bytes: number
}

/** What has gone. */
export interface Removal {
  readonly gun: string
  readonly files: number
  readonly bytes: number
  /** The highest version of each role among them. */
  readonly upTo: Readonly<Record<string, number>>
}

interface RemovableRow {
  readonly id: number
  readonly role: string
  readonly version: number
  readonly length: number
}

export class SupersededVersions {
  readonly #database: SqliteDatabase
  readonly #now: () => Date

  constructor(database: SqliteDatabase, now: () => Date) {
    this.#database = database
    this.#now = now
  }

  /** The next repository after this ID, or the first after 0; its ID. */
  repositoryAfter(id: number): number | undefined {
    return this.#all<{ id: number }>('SELECT id FROM repositories WHERE id > ? ORDER BY id LIMIT 1', id)[0]?.id
  }

  /**
   * Removes versions that were replaced, the longest ago first, and notes that they were there. Never a root, and never what is
   * current. undefined: there are none.
   */
  remove(repository: number, which: Superseded): Removal | undefined {
    return this.#database.transaction(() => {
      const chosen = withinBytes(this.#removable(repository, which), which.bytes)
      const [row] = this.#all<{ gun: string }>('SELECT gun FROM repositories WHERE id = ?', repository)
      if (chosen.length === 0 || row === undefined) return undefined
      const sql = `INSERT INTO removals (repository, role, files, bytes, highest_version, last_at) VALUES (?, ?, 1, ?, ?, ?)
        ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes, last_at = excluded.last_at,
          highest_version = max(highest_version, excluded.highest_version)`
      const upTo = new Map<string, number>()
      for (const { id, role, version, length } of chosen) {
        this.#run('DELETE FROM files WHERE id = ?', id)
        this.#run(sql, repository, role, length, version, this.#now().toISOString())
        upTo.set(role, Math.max(version, upTo.get(role) ?? 0))
      }
      const bytes = chosen.reduce((sum, { length }) => sum + length, 0)
      return { gun: row.gun, files: chosen.length, bytes, upTo: Object.fromEntries(upTo) }
    })
  }

  #removable(repository: number, { keptVersions, replacedBefore, endedBefore, files }: Superseded): RemovableRow[] {
    return this.#all<RemovableRow>(
      `SELECT f.id, f.role, f.version, length(f.bytes) AS length FROM superseded s JOIN files f ON f.id = s.file
       WHERE s.repository = ? AND s.since <= ? AND s.needed_until < ? AND f.role <> ?
         AND f.id NOT IN (SELECT file FROM current WHERE repository = s.repository)
         AND f.version < (SELECT version FROM files g WHERE g.repository = f.repository AND g.role = f.role
           AND g.version IS NOT NULL ORDER BY g.version DESC LIMIT 1 OFFSET ?)
       ORDER BY s.since LIMIT ?`,
      repository,
      replacedBefore.toISOString(),
      endedBefore.toISOString(),
      ROOT,
      keptVersions - 1,
      files,
    )
  }

  #all<T>(sql: string, ...values: (string | number)[]): T[] {
    return this.#database.sqlite.prepare(sql).all(...values) as T[]
  }

  #run(sql: string, ...values: (string | number)[]): void {
    this.#database.sqlite.prepare(sql).run(...values)
  }
}

/** The first of them that together have no more bytes than this; at least one. */
function withinBytes(rows: readonly RemovableRow[], maxBytes: number): readonly RemovableRow[] {
  let bytes = 0
  return rows.filter(({ length }, index) => (bytes += length) <= maxBytes || index === 0)
}
