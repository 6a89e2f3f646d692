// What was published at the last look, in SQLite.
import { type Gun, parseRoleName } from '@countersign/tuf'
import type { EventOutbox, SeenVersions } from '../domain/ports.ts'
import type { RoleVersion } from '../domain/signing-request.ts'
import type { WebhookNews } from '../domain/webhook-event.ts'
import type { StoreDatabase } from './database.ts'

export class SqliteSeenVersions implements SeenVersions {
  readonly #database: StoreDatabase
  readonly #outbox: EventOutbox | undefined
  readonly #statements

  constructor(database: StoreDatabase, outbox?: EventOutbox) {
    this.#database = database
    this.#outbox = outbox
    this.#statements = {
      find: database.sqlite.prepare<[string], { role: string; version: number; sha256: string }>(
        'SELECT role, version, sha256 FROM seen_versions WHERE gun = ? ORDER BY role',
      ),
      forget: database.sqlite.prepare('DELETE FROM seen_versions WHERE gun = ?'),
      insert: database.sqlite.prepare(
        'INSERT INTO seen_versions (gun, role, version, sha256) VALUES (:gun, :role, :version, :sha256)',
      ),
      position: database.sqlite.prepare<[string, string], { change_id: number }>(
        'SELECT change_id FROM feed_positions WHERE server = ? AND gun = ?',
      ),
      notePosition: database.sqlite.prepare(
        'INSERT OR REPLACE INTO feed_positions (server, gun, change_id) VALUES (?, ?, ?)',
      ),
    }
  }

  seen(gun: Gun): readonly RoleVersion[] {
    return this.#statements.find.all(gun).map(({ role, version, sha256 }) => ({
      role: parseRoleName(role),
      version,
      sha256,
    }))
  }

  position(server: string, gun?: Gun): number | undefined {
    return this.#statements.position.get(server, gun ?? '')?.change_id
  }

  notePosition(server: string, gun: Gun | undefined, id: number): void {
    this.#database.transaction(() => {
      this.#statements.notePosition.run(server, gun ?? '', id)
    })
  }

  noteSeen(gun: Gun, roles: readonly RoleVersion[], news: readonly WebhookNews[]): void {
    this.#database.transaction(() => {
      this.#statements.forget.run(gun)
      for (const { role, version, sha256 } of roles) this.#statements.insert.run({ gun, role, version, sha256 })
      for (const one of news) this.#outbox?.record(one)
    })
  }
}
