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

/**
 * `staged`: made to replace another key, and listed nowhere yet. `replaced`: its successor is listed, it is not. `retired`: replaced,
 * and its private half destroyed.
 */
export type KeyState = 'active' | 'staged' | 'replaced' | 'retired'

/** `imported`: made elsewhere, so that there may be copies. */
export type KeyOrigin = 'made' | 'imported'

/** `sealed`: in the key holder's database. Otherwise the PKCS#11 URI of the key, in its token. */
export type KeyCustody = 'sealed' | `pkcs11:${string}`

export interface StoredKey {
  readonly gun: Gun
  /** The role that the key was made for; the delegation key of a signer also signs `targets/releases`. */
  readonly role: RoleName
  readonly publicKey: PublicKey
  /** RFC 3339. */
  readonly createdAt: string
  /** RFC 3339: since when it signs; absent: not yet. */
  readonly activeSince?: string
  /** RFC 3339; absent: nothing was signed with it yet. */
  readonly lastUsedAt?: string
  readonly custody: KeyCustody
  /** Zeros for a retired key, empty for one in a token. */
  readonly sealed: Buffer
  readonly state: KeyState
  /** Canonical ID of the key that it was made to replace. */
  readonly replaces?: string
  readonly origin: KeyOrigin
}

/** A key whose private half is in a token. */
export type KeyInToken = StoredKey & { readonly custody: Exclude<KeyCustody, 'sealed'> }

/** A private half as it lies in the database, and what it is sealed for. */
export interface SealedKey {
  readonly gun: string
  readonly role: string
  readonly keyId: string
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
  active_since: string | null
  last_used_at: string | null
  state: KeyState
  replaces: string | null
  origin: KeyOrigin
  custody: KeyCustody
}

/** A key takes a few kilobytes. */
const MAX_KEYS_REMEMBERED = 4096

export class KeyTable {
  readonly #database: StateDatabase
  /** Public keys as they were read before, by type and value, so that each is imported once. */
  readonly #read = new Map<string, PublicKey>()

  constructor(database: StateDatabase) {
    this.#database = database
  }

  insert(key: StoredKey): void {
    this.#database.run(
      `INSERT INTO keys (gun, role, canonical_key_id, key_type, public_value, sealed, created_at, active_since, state, replaces, origin, custody)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      key.gun,
      key.role,
      key.publicKey.canonicalKeyId,
      key.publicKey.keyType,
      key.publicKey.publicValue,
      key.sealed,
      key.createdAt,
      key.state === 'active' ? key.createdAt : null,
      key.state,
      key.replaces ?? null,
      key.origin,
      key.custody,
    )
  }

  replaced(gun: Gun, canonicalKeyId: string): void {
    const sql = `UPDATE keys SET state = 'replaced' WHERE gun = ? AND canonical_key_id = ?`
    this.#database.run(sql, gun, canonicalKeyId)
  }

  activated(gun: Gun, canonicalKeyId: string, at: Date): void {
    const sql = `UPDATE keys SET state = 'active', active_since = ? WHERE gun = ? AND canonical_key_id = ?`
    this.#database.run(sql, at.toISOString(), gun, canonicalKeyId)
  }

  markUsed(gun: Gun, canonicalKeyId: string, at: Date): void {
    const sql = 'UPDATE keys SET last_used_at = ? WHERE gun = ? AND canonical_key_id = ?'
    this.#database.run(sql, at.toISOString(), gun, canonicalKeyId)
  }

  /** Overwrites the private half with zeros, and every copy that earlier writes left behind. Call while the database is erasing. */
  retire(gun: Gun, canonicalKeyId: string): void {
    this.#database.run(
      `UPDATE keys SET state = 'retired', sealed = zeroblob(length(sealed)) WHERE gun = ? AND canonical_key_id = ?`,
      gun,
      canonicalKeyId,
    )
    this.#writeAnew(new Map())
  }

  /** All private halves that are in the database. */
  sealedKeys(): SealedKey[] {
    return this.#database.all<SealedKey>(
      `SELECT gun, role, canonical_key_id AS keyId, sealed FROM keys WHERE state <> 'retired' AND custody = 'sealed'`,
    )
  }

  /** Those that are in tokens, and not destroyed. */
  inTokens(): KeyInToken[] {
    return this.#database
      .all<Row>(`SELECT * FROM keys WHERE state <> 'retired' AND custody <> 'sealed' ORDER BY gun, rowid`)
      .map(this.#toKey)
      .flatMap((key) => {
        const { custody } = key
        return custody === 'sealed' ? [] : [{ ...key, custody }]
      })
  }

  /** Puts the same private halves, sealed otherwise, in the place of the present ones. Call while the database is erasing. */
  reseal(keys: readonly SealedKey[]): void {
    this.#writeAnew(new Map(keys.map(({ gun, keyId, sealed }) => [`${gun}#${keyId}`, sealed])))
  }

  /**
   * Removes every row and writes it again with its number, and with what is given for its private half: copies that lie in unused parts
   * of the table's pages, since they were written when nothing was overwritten yet, go with them.
   */
  #writeAnew(anew: ReadonlyMap<string, Buffer>): void {
    const rows = this.#database.all<Row & { rowid: number }>('SELECT rowid, * FROM keys ORDER BY rowid')
    this.#database.run('DELETE FROM keys')
    for (const row of rows) {
      this.#database.run(
        `INSERT INTO keys (rowid, gun, role, canonical_key_id, key_type, public_value, sealed, created_at, active_since, last_used_at, state, replaces, origin, custody)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        row.rowid,
        row.gun,
        row.role,
        row.canonical_key_id,
        row.key_type,
        row.public_value,
        anew.get(`${row.gun}#${row.canonical_key_id}`) ?? row.sealed,
        row.created_at,
        row.active_since,
        row.last_used_at,
        row.state,
        row.replaces,
        row.origin,
        row.custody,
      )
    }
  }

  ofGun(gun: Gun): StoredKey[] {
    return this.#database
      .all<Row>('SELECT * FROM keys WHERE gun = ? ORDER BY created_at, role, rowid', gun)
      .map(this.#toKey)
  }

  /** The key that signs this role now. */
  ofRole(gun: Gun, role: RoleName): StoredKey | undefined {
    return this.ofGun(gun).find((key) => key.role === role && key.state === 'active')
  }

  /** The same key in any repository, but where it was destroyed. */
  everywhere(canonicalKeyId: string): StoredKey[] {
    const sql = `SELECT * FROM keys WHERE canonical_key_id = ? AND state <> 'retired'`
    return this.#database.all<Row>(sql, canonicalKeyId).map(this.#toKey)
  }

  /** @throws KeyHolderError KEY_NOT_FOUND */
  byRef(keyRef: KeyRef): StoredKey {
    const [gun = '', canonicalKeyId = ''] = keyRef.replace(/^key:/, '').split('#')
    const row = this.#database.all<Row>(
      'SELECT * FROM keys WHERE gun = ? AND canonical_key_id = ?',
      gun,
      canonicalKeyId,
    )[0]
    if (row === undefined) throw new KeyHolderError('KEY_NOT_FOUND', 'There is no such key here.', { keyRef })
    return this.#toKey(row)
  }

  all(): StoredKey[] {
    return this.#database.all<Row>('SELECT * FROM keys').map(this.#toKey)
  }

  /** @throws KeyHolderError KEY_FILE_DAMAGED where the public key is not the one that its ID names */
  readonly #toKey = (row: Row): StoredKey => {
    const publicKey = this.#publicKey(row)
    if (publicKey.canonicalKeyId !== row.canonical_key_id) throw damaged(row)
    const role = parseRoleName(row.role)
    const { sealed, state, origin, custody } = row
    return {
      gun: row.gun as Gun,
      role,
      publicKey,
      createdAt: row.created_at,
      custody,
      ...(row.active_since !== null && { activeSince: row.active_since }),
      ...(row.last_used_at !== null && { lastUsedAt: row.last_used_at }),
      sealed,
      state,
      ...(row.replaces !== null && { replaces: row.replaces }),
      origin,
    }
  }

  #publicKey(row: Row): PublicKey {
    const text = `${row.key_type} ${row.public_value}`
    const known = this.#read.get(text)
    if (known !== undefined) return known
    const publicKey = readPublicKey(row)
    if (this.#read.size >= MAX_KEYS_REMEMBERED) this.#read.clear()
    this.#read.set(text, publicKey)
    return publicKey
  }
}

export function keyRefOf(key: { readonly gun: Gun; readonly publicKey: PublicKey }): KeyRef {
  return `key:${key.gun}#${key.publicKey.canonicalKeyId}` as KeyRef
}

function readPublicKey(row: Row): PublicKey {
  const value: JsonValue = new Map<string, JsonValue>([
    ['keytype', row.key_type],
    ['keyval', new Map([['public', row.public_value]])],
  ])
  try {
    return parsePublicKey(value)
  } catch (cause) {
    throw damaged(row, cause)
  }
}

function damaged(row: Row, cause?: unknown): KeyHolderError {
  const facts = { gun: row.gun, role: row.role, keyId: row.canonical_key_id }
  return new KeyHolderError('KEY_FILE_DAMAGED', 'A stored public key is damaged.', facts, { cause })
}
