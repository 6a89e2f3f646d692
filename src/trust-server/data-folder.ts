// The trust server's folder: made at the first start, refused where others can write it or where its database has gone.
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../config/errors.ts'
import { createDatabase, openDatabase, type SqliteDatabase } from '../sqlite/database.ts'
import { SCHEMA } from './schema.ts'

export const DATABASE_FILE = 'trust-server.db'

/**
 * Opens the database of the folder; a new folder, or one without any trace of a database, gets a new one.
 * @throws ConfigError FIRST_START_REFUSED, DATA_FOLDER_EXPOSED; StoreError
 */
export function openTrustServerFolder(folder: string): SqliteDatabase {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const stat = statSync(folder)
  const uid = process.getuid?.() ?? stat.uid
  if (!stat.isDirectory() || (stat.mode & 0o022) !== 0 || (stat.uid !== uid && stat.uid !== 0)) {
    throw new ConfigError(
      'DATA_FOLDER_EXPOSED',
      `The data folder ${folder} must be a folder of this user that nobody else can write.`,
    )
  }
  const path = join(folder, DATABASE_FILE)
  if (existsSync(path)) return openDatabase(path, SCHEMA)
  const remains = readdirSync(folder).filter((name) => name.startsWith(`${DATABASE_FILE}-`))
  if (remains.length > 0) {
    throw new ConfigError(
      'FIRST_START_REFUSED',
      `The data folder ${folder} was used before (${remains.join(', ')}), but its database ${DATABASE_FILE} is gone. ` +
        'Restore it from a backup, or name an empty folder.',
    )
  }
  return createDatabase(path, SCHEMA)
}
