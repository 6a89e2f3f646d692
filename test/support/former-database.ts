// The key holder's database as it was before a migration: undoes that one and all that came after it, newest first.
import { MIGRATIONS } from '../../src/key-holder/migrations.ts'
import type { Connection } from '../../src/sqlite/connection.ts'

/** What is in the text of a migration, and what undoes it. A new migration has its row here. */
const UNDO: readonly (readonly [migration: string, sql: string])[] = [
  ['last_used_at', 'ALTER TABLE keys DROP COLUMN last_used_at'],
  ['log_entries_by_publication', 'DROP INDEX log_entries_by_publication'],
  ['COLUMN origin', 'ALTER TABLE keys DROP COLUMN origin'],
  ['COLUMN custody', 'ALTER TABLE keys DROP COLUMN custody'],
  ['COLUMN restored_version', 'ALTER TABLE signed_payloads DROP COLUMN restored_version'],
  ['TABLE unwanted_token_keys', 'DROP TABLE unwanted_token_keys'],
  ['COLUMN active_since', 'ALTER TABLE keys DROP COLUMN active_since'],
]

/** @param first what is in the text of the migration that the next start is to carry out again, with those after it */
export function undoMigrations(database: Connection, first: string): void {
  const from = MIGRATIONS.findIndex((migration) => migration.includes(first))
  if (from === -1) throw new Error(`There is no migration with ${first}.`)
  for (const migration of MIGRATIONS.slice(from).toReversed()) {
    const undo = UNDO.find(([text]) => migration.includes(text))
    if (undo === undefined) throw new Error(`Nothing here undoes this migration: ${migration}`)
    database.exec(undo[1])
  }
  database.pragma(`user_version = ${from}`)
}
