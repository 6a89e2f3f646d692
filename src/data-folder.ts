// The folder of a process with a database: made at the first start, and refused where others can write it or its database has gone.
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from './config/errors.ts'
import { createDatabase, openDatabase, type Schema, type SqliteDatabase } from './sqlite/database.ts'

export interface DataFolderContent {
  /** Name of the database in the folder. */
  readonly database: string
  readonly schema: Schema
  /** What else tells a folder that has been used, besides the side files of the database. */
  readonly remains?: readonly string[]
}

/**
 * Opens the database of the folder; a new folder, or one without a trace of earlier use, gets a new database: one that went missing must
 * not be replaced by an empty one. A crash between making folder and database leaves an empty folder, which is a first start again.
 * @throws ConfigError FIRST_START_REFUSED, DATA_FOLDER_EXPOSED; StoreError
 */
export function openDatabaseFolder(folder: string, content: DataFolderContent): SqliteDatabase {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const stat = statSync(folder)
  const uid = process.getuid?.() ?? stat.uid
  if (!stat.isDirectory() || (stat.mode & 0o022) !== 0 || (stat.uid !== uid && stat.uid !== 0)) {
    throw new ConfigError(
      'DATA_FOLDER_EXPOSED',
      `The data folder ${folder} must be a folder of this user that nobody else can write.`,
    )
  }
  const { database, schema, remains = [] } = content
  const path = join(folder, database)
  if (existsSync(path)) return openDatabase(path, schema)
  const traces = [`${database}-wal`, `${database}-shm`, ...remains]
  const found = readdirSync(folder).filter((name) => traces.includes(name))
  if (found.length > 0) {
    throw new ConfigError(
      'FIRST_START_REFUSED',
      `The data folder ${folder} was used before (${found.join(', ')}), but its database ${database} is gone. ` +
        'Restore it from a backup, or name an empty folder.',
    )
  }
  return createDatabase(path, schema)
}
