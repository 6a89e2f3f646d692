// The daemon's data folder: made at the first start, and refused where others can write it or where its database has gone.
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../config/errors.ts'
import { createDatabase, openDatabase, type StoreDatabase } from '../store/database.ts'

export const DATABASE_FILE = 'countersign.db'
export const FIRST_TOKEN_FILE = 'admin.token'
export const KEY_HOLDER_FOLDER = 'key-holder'

/** What tells a folder that has been used: a database that went missing must not be replaced by an empty one. */
const REMAINS = [FIRST_TOKEN_FILE, KEY_HOLDER_FOLDER, `${DATABASE_FILE}-wal`, `${DATABASE_FILE}-shm`]

/**
 * Opens the database of the folder; a new folder, or an empty one, gets a new database.
 * A crash between making folder and database leaves an empty folder, which is a first start again.
 * @throws ConfigError FIRST_START_REFUSED, DATA_FOLDER_EXPOSED; StoreError
 */
export function openDataFolder(folder: string): StoreDatabase {
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
  if (existsSync(path)) return openDatabase(path)
  const remains = readdirSync(folder).filter((name) => REMAINS.includes(name))
  if (remains.length > 0) {
    throw new ConfigError(
      'FIRST_START_REFUSED',
      `The data folder ${folder} was used before (${remains.join(', ')}), but its database ${DATABASE_FILE} is gone. ` +
        'Restore it from a backup, or name an empty folder.',
    )
  }
  return createDatabase(path)
}
