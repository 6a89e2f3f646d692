// What lies in the daemon's data folder, and its database.
import { openDatabaseFolder } from '../data-folder.ts'
import type { StoreDatabase } from '../store/database.ts'
import { SCHEMA } from '../store/schema.ts'

export { SCHEMA }

export const DATABASE_FILE = 'countersign.db'
export const FIRST_TOKEN_FILE = 'admin.token'
export const KEY_HOLDER_FOLDER = 'key-holder'
export const TRUST_SERVER_FOLDER = 'trust-server'
/** The daemon's own token at the embedded trust server. */
export const TRUST_SERVER_TOKEN_FILE = 'trust-server.token'
/** The generated certificate authority; its key stays with the daemon's user. */
export const AUTHORITY_FOLDER = 'authority'

/** @throws ConfigError FIRST_START_REFUSED, DATA_FOLDER_EXPOSED; StoreError */
export function openDataFolder(folder: string): StoreDatabase {
  return openDatabaseFolder(folder, {
    database: DATABASE_FILE,
    schema: SCHEMA,
    remains: [FIRST_TOKEN_FILE, KEY_HOLDER_FOLDER, TRUST_SERVER_FOLDER, TRUST_SERVER_TOKEN_FILE, AUTHORITY_FOLDER],
  })
}
