// API tokens in SQLite: hashes of secrets, never secrets.
import { DomainError } from '../domain/errors.ts'
import { OidcError } from '../domain/oidc-errors.ts'
import type { PreviousSecret, SpentToken, TokenRecord, TokenStore } from '../domain/ports.ts'
import type { StoreDatabase } from './database.ts'
import { decodeGrants, decodeGroups, decodeWorkload, encodeRecord } from './record-json.ts'

interface TokenRow {
  readonly id: string
  readonly name: string
  readonly secret_sha256: string
  readonly grants: string
  readonly created_at: string
  readonly created_by: string
  readonly expires_at: string | null
  readonly revoked_at: string | null
  readonly group_names: string
  readonly last_used_at: string | null
  readonly previous_sha256: string | null
  readonly previous_until: string | null
  readonly workload: string | null
}

export class SqliteTokenStore implements TokenStore {
  readonly #database: StoreDatabase
  readonly #statements

  constructor(database: StoreDatabase) {
    this.#database = database
    this.#statements = prepareStatements(database.sqlite)
  }

  create(token: TokenRecord): void {
    this.#database.transaction(() => {
      this.#insert(token)
    })
  }

  find(id: string): TokenRecord | undefined {
    return readToken(this.#statements.find.get(id))
  }

  findBySecret(secretSha256: string): TokenRecord | undefined {
    const { findBySecret, findByPrevious } = this.#statements
    return readToken(findBySecret.get(secretSha256) ?? findByPrevious.get(secretSha256))
  }

  list(): readonly TokenRecord[] {
    return this.#statements.list.all().flatMap((row) => readToken(row) ?? [])
  }

  listExchanged(): readonly TokenRecord[] {
    return this.#statements.listExchanged.all().flatMap((row) => readToken(row) ?? [])
  }

  revoke(id: string, at: Date): void {
    this.#database.transaction(() => this.#statements.revoke.run(at.toISOString(), id))
  }

  touch(id: string, at: Date): void {
    this.#database.transaction(() => this.#statements.touch.run(at.toISOString(), id))
  }

  rotate(id: string, from: string, secretSha256: string, previous: PreviousSecret | undefined): void {
    this.#database.transaction(() => {
      const { changes } = this.#statements.rotate.run({
        id,
        from,
        secretSha256,
        previousSha256: previous?.secretSha256 ?? null,
        previousUntil: previous?.validUntil.toISOString() ?? null,
      })
      if (changes === 0) {
        throw new DomainError('RECORD_CHANGED', 'The token was rotated at the same time.', { token: id })
      }
    })
  }

  isSpent({ issuer, tokenIdSha256 }: Pick<SpentToken, 'issuer' | 'tokenIdSha256'>): boolean {
    return this.#statements.findSpent.get(issuer, tokenIdSha256) !== undefined
  }

  exchange(spent: SpentToken, token: TokenRecord): void {
    this.#database.transaction(() => {
      const { issuer, tokenIdSha256, acceptedUntil } = spent
      const { changes } = this.#statements.spend.run(issuer, tokenIdSha256, acceptedUntil.toISOString())
      if (changes === 0) throw new OidcError('OIDC_TOKEN_SPENT', 'This token was exchanged before.', { issuer })
      this.#insert(token)
    })
  }

  purge(now: Date): void {
    this.#database.transaction(() => {
      this.#statements.purgeExchanged.run(now.toISOString())
      this.#statements.purgeSpent.run(now.toISOString())
    })
  }

  #insert(token: TokenRecord): void {
    const sql = this.#statements
    if (sql.find.get(token.id) !== undefined || this.findBySecret(token.secretSha256) !== undefined) {
      throw new DomainError('RECORD_EXISTS', 'This token exists.', { token: token.id })
    }
    sql.insert.run({
      id: token.id,
      name: token.name,
      secretSha256: token.secretSha256,
      grants: encodeRecord(token.grants),
      groups: encodeRecord(token.groups),
      createdAt: token.createdAt.toISOString(),
      createdBy: token.createdBy,
      expiresAt: token.expiresAt?.toISOString() ?? null,
      revokedAt: token.revokedAt?.toISOString() ?? null,
      workload: token.workload === undefined ? null : encodeRecord(token.workload),
    })
  }
}

function readToken(row: TokenRow | undefined): TokenRecord | undefined {
  if (row === undefined) return undefined
  return {
    id: row.id,
    name: row.name,
    secretSha256: row.secret_sha256,
    grants: decodeGrants(row.grants),
    groups: decodeGroups(row.group_names),
    createdAt: new Date(row.created_at),
    createdBy: row.created_by,
    ...(row.expires_at === null ? {} : { expiresAt: new Date(row.expires_at) }),
    ...(row.revoked_at === null ? {} : { revokedAt: new Date(row.revoked_at) }),
    ...(row.last_used_at === null ? {} : { lastUsedAt: new Date(row.last_used_at) }),
    ...(row.previous_sha256 === null || row.previous_until === null
      ? {}
      : { previous: { secretSha256: row.previous_sha256, validUntil: new Date(row.previous_until) } }),
    ...(row.workload === null ? {} : { workload: decodeWorkload(row.workload) }),
  }
}

function prepareStatements(sqlite: StoreDatabase['sqlite']) {
  return {
    insert: sqlite.prepare(
      `INSERT INTO tokens
         (id, name, secret_sha256, grants, group_names, created_at, created_by, expires_at, revoked_at, workload)
       VALUES (:id, :name, :secretSha256, :grants, :groups, :createdAt, :createdBy, :expiresAt, :revokedAt, :workload)`,
    ),
    find: sqlite.prepare<[string], TokenRow>('SELECT * FROM tokens WHERE id = ?'),
    findBySecret: sqlite.prepare<[string], TokenRow>('SELECT * FROM tokens WHERE secret_sha256 = ?'),
    findByPrevious: sqlite.prepare<[string], TokenRow>('SELECT * FROM tokens WHERE previous_sha256 = ?'),
    list: sqlite.prepare<[], TokenRow>('SELECT * FROM tokens WHERE workload IS NULL ORDER BY sequence'),
    listExchanged: sqlite.prepare<[], TokenRow>('SELECT * FROM tokens WHERE workload IS NOT NULL ORDER BY sequence'),
    // Keeps the first time: a second revocation changes nothing.
    revoke: sqlite.prepare('UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL'),
    touch: sqlite.prepare('UPDATE tokens SET last_used_at = ? WHERE id = ?'),
    rotate: sqlite.prepare(
      `UPDATE tokens SET secret_sha256 = :secretSha256, previous_sha256 = :previousSha256, previous_until = :previousUntil
       WHERE id = :id AND secret_sha256 = :from`,
    ),
    findSpent: sqlite.prepare<[string, string]>('SELECT 1 FROM spent_tokens WHERE issuer = ? AND token_id_sha256 = ?'),
    spend: sqlite.prepare(
      'INSERT OR IGNORE INTO spent_tokens (issuer, token_id_sha256, accepted_until) VALUES (?, ?, ?)',
    ),
    purgeExchanged: sqlite.prepare('DELETE FROM tokens WHERE workload IS NOT NULL AND expires_at <= ?'),
    purgeSpent: sqlite.prepare('DELETE FROM spent_tokens WHERE accepted_until <= ?'),
  }
}
