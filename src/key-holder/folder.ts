// The key holder's folder: made on first start, refused when others can look into it or when its state has gone.
import { lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'

export const DATABASE_FILE = 'key-holder.db'
export const LOG_FOLDER = 'log'

/** What tells a folder that has been used: a database that went missing must not be replaced by an empty one. */
const REMAINS = [LOG_FOLDER, `${DATABASE_FILE}-wal`, `${DATABASE_FILE}-shm`, `${DATABASE_FILE}-journal`]

/**
 * Makes the folder, or checks it.
 * @returns whether this is a first start. @throws KeyHolderError KEY_HOLDER_FOLDER_EXPOSED, KEY_HOLDER_STATE_MISSING
 */
export function openFolder(path: string): boolean {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const stat = lstatSync(path)
  const uid = process.getuid?.() ?? stat.uid
  if (!stat.isDirectory() || (stat.mode & 0o077) !== 0 || stat.uid !== uid) {
    throw new KeyHolderError('KEY_HOLDER_FOLDER_EXPOSED', 'The folder must be a folder of this user with mode 0700.', {
      path,
      mode: (stat.mode & 0o777).toString(8),
    })
  }
  const names = readdirSync(path)
  if (names.includes(DATABASE_FILE)) return false
  const remains = names.filter((name) => REMAINS.includes(name))
  if (remains.length > 0) {
    throw new KeyHolderError(
      'KEY_HOLDER_STATE_MISSING',
      'The folder was used before, but its database is gone. Restore it from a backup, or name an empty folder.',
      { path, found: remains.join(' ') },
    )
  }
  return true
}

export function databasePath(folder: string): string {
  return join(folder, DATABASE_FILE)
}
