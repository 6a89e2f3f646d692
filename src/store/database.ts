// The daemon's database; the stores share one.
import * as sqlite from '../sqlite/database.ts'
import { SCHEMA } from './schema.ts'

export type StoreDatabase = sqlite.SqliteDatabase

/** For the first start only. @throws StoreError STORE_EXISTS, STORE_UNWRITABLE */
export function createDatabase(path: string): StoreDatabase {
  return sqlite.createDatabase(path, SCHEMA)
}

/** @throws StoreError STORE_MISSING, STORE_NOT_OURS, STORE_SCHEMA_NEWER, STORE_DAMAGED */
export function openDatabase(path: string): StoreDatabase {
  return sqlite.openDatabase(path, SCHEMA)
}
