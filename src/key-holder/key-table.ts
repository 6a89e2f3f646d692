// Rows of keys: public halves, and private halves sealed. Reads and writes no clear key.
import {
  parsePublicKey,
  parseRoleName,
  type Gun,
  type JsonValue,
  type PublicKey,
  type RoleName,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { KeyRef } from './custodian.ts'
import type { StateDatabase } from './database.ts'

export interface StoredKey {
  readonly gun: Gun
  /** The role that the key was made for; the delegation key of a signer also signs `targets/releases`. */
  readonly role: RoleName
  readonly publicKey: PublicKey
  /** RFC 3339. */
  readonly createdAt: string
  readonly sealed: Buffer
}

interface Row {
  gun: string
  role: string
  canonical_key_id: string
  key_type: string
  public_value: string
  sealed: Buffer
  created_at: string
}

export class KeyTable {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  insert(key: StoredKey): void {
    this.#database.run(
      `INSERT INTO keys (gun, role, canonical_key_id, key_type, public_value, sealed, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      key.gun,
      key.role,
      key.publicKey.canonicalKeyId,
      key.publicKey.keyType,
      key.publicKey.publicValue,
      key.sealed,
      key.createdAt,
    )
  }

  ofGun(gun: Gun): StoredKey[] {
    return this.#database.all<Row>('SELECT * FROM keys WHERE gun = ? ORDER BY created_at, role', gun).map(toKey)
  }

  ofRole(gun: Gun, role: RoleName): StoredKey | undefined {
    return this.ofGun(gun).find((key) => key.role === role)
  }

  /** @throws KeyHolderError KEY_NOT_FOUND */
  byRef(keyRef: KeyRef): StoredKey {
    const [gun = '', canonicalKeyId = ''] = keyRef.replace(/^sealed:/, '').split('#')
    const row = this.#database.all<Row>(
      'SELECT * FROM keys WHERE gun = ? AND canonical_key_id = ?',
      gun,
      canonicalKeyId,
    )[0]
    if (row === undefined) throw new KeyHolderError('KEY_NOT_FOUND', 'There is no such key here.', { keyRef })
    return toKey(row)
  }

  all(): StoredKey[] {
    return this.#database.all<Row>('SELECT * FROM keys').map(toKey)
  }
}

export function keyRefOf(key: { readonly gun: Gun; readonly publicKey: PublicKey }): KeyRef {
  return `sealed:${key.gun}#${key.publicKey.canonicalKeyId}` as KeyRef
}

/** @throws KeyHolderError KEY_FILE_DAMAGED where the public key is not the one that its ID names */
function toKey(row: Row): StoredKey {
  const value: JsonValue = new Map<string, JsonValue>([
    ['keytype', row.key_type],
    ['keyval', new Map([['public', row.public_value]])],
  ])
  try {
    const publicKey = parsePublicKey(value)
    if (publicKey.canonicalKeyId === row.canonical_key_id) {
      const role = parseRoleName(row.role)
      return { gun: row.gun as Gun, role, publicKey, createdAt: row.created_at, sealed: row.sealed }
    }
  } catch (cause) {
    throw damaged(row, cause)
  }
  throw damaged(row)
}

function damaged(row: Row, cause?: unknown): KeyHolderError {
  const facts = { gun: row.gun, role: row.role, keyId: row.canonical_key_id }
  return new KeyHolderError('KEY_FILE_DAMAGED', 'A stored public key is damaged.', facts, { cause })
}
