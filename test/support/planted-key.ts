// The private key that a key holder made for a repository, taken out by a test that knows the unlock key and may read everything.
// This is what no other user can do; the test needs it to know what to look for.
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DATABASE_FILE } from '../../src/key-holder/folder.ts'
import { unseal } from '../../src/key-holder/sealing.ts'
import { Connection } from '../../src/sqlite/connection.ts'
import type { Countersign } from './countersign.ts'
import type { Scope } from './scope.ts'

interface KeyRow {
  readonly gun: string
  readonly role: string
  readonly canonical_key_id: string
  readonly sealed: Buffer
}

/** The scalar of the delegation key of a repository, 32 bytes. */
export function plantedScalar(scope: Scope, countersign: Countersign, gun: string, role: string): Buffer {
  const { d = '' } = plantedKey(scope, countersign, gun, role).export({ format: 'jwk' })
  return Buffer.from(d, 'base64url')
}

/** The key that the key holder made for this role. */
export function plantedKey(scope: Scope, countersign: Countersign, gun: string, role: string): KeyObject {
  const folder = scope.folder('planted')
  for (const suffix of ['', '-wal'].filter((end) => existsSync(databaseOf(countersign) + end))) {
    copyFileSync(databaseOf(countersign) + suffix, join(folder, DATABASE_FILE + suffix))
  }
  const database = new Connection(join(folder, DATABASE_FILE))
  try {
    const row = database
      .prepare<[string, string], KeyRow>('SELECT * FROM keys WHERE gun = ? AND role = ?')
      .get(gun, role)
    if (row === undefined) throw new Error(`The key holder has no key for ${role} of ${gun}.`)
    const unlockKey = readFileSync(countersign.unlockKeyFile)
    const der = unseal(row.sealed, unlockKey, { gun, role, keyId: row.canonical_key_id })
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  } finally {
    database.close()
  }
}

function databaseOf({ keyHolderFolder }: Countersign): string {
  return join(keyHolderFolder, DATABASE_FILE)
}
