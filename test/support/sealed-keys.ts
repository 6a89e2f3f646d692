// The sealed keys of a key holder as they lie on the disk, taken while it runs, and what lies there of older ones.
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DATABASE_FILE } from '../../src/key-holder/folder.ts'
import { unseal, type SealedFor } from '../../src/key-holder/sealing.ts'
import { Connection } from '../../src/sqlite/connection.ts'
import type { TestKeyHolder } from './key-holder.ts'
import type { Scope } from './scope.ts'

export interface SealedKey extends SealedFor {
  readonly sealed: Buffer
}

/** Those of repositories that were not retired, in the order in which they were made, and at the end the audit log's, and that of pin bundles where there is one. */
export function sealedKeys(scope: Scope, holder: TestKeyHolder): SealedKey[] {
  const folder = scope.folder('copy')
  for (const path of databaseFiles(holder)) copyFileSync(path, join(folder, path.slice(holder.folder.length)))
  const database = new Connection(join(folder, DATABASE_FILE))
  try {
    const keys = database
      .prepare<[], SealedKey>(
        `SELECT gun, role, canonical_key_id AS keyId, sealed FROM keys WHERE state <> 'retired' ORDER BY rowid`,
      )
      .all()
    const setting = database.prepare<[string], { value: Buffer }>('SELECT value FROM settings WHERE name = ?')
    const keyId = setting.get('log-origin')!.value.toString()
    const log = { gun: '', role: 'audit-log', keyId, sealed: setting.get('log-private-key')!.value }
    const pins = setting.get('pins-private-key')?.value
    const own = pins === undefined ? [] : [{ gun: '', role: 'pin-bundles', keyId: 'pin-bundles', sealed: pins }]
    return [...keys, log, ...own]
  } finally {
    database.close()
  }
}

/** The private half. @throws KeyHolderError KEY_FILE_DAMAGED */
export function opened({ sealed, ...sealedFor }: SealedKey, unlockKey: Buffer): Buffer {
  return unseal(sealed, unlockKey, sealedFor)
}

/** Of how many keys the data key, as it was wrapped then, lies in any file of the database. */
export function wrappingsLeft(holder: TestKeyHolder, keys: readonly SealedKey[]): number {
  const files = databaseFiles(holder).map((path) => readFileSync(path))
  // Behind the format's byte: nonce, key and tag.
  return keys.filter(({ sealed }) => files.some((file) => file.includes(sealed.subarray(1, 61)))).length
}

function databaseFiles(holder: TestKeyHolder): string[] {
  return ['', '-wal'].map((suffix) => join(holder.folder, DATABASE_FILE + suffix)).filter((path) => existsSync(path))
}
