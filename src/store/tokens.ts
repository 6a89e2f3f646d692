// API tokens in SQLite: hashes of secrets, never secrets.
import { DomainError } from '../domain/errors.ts'
import type { TokenRecord, TokenStore } from '../domain/ports.ts'
import type { StoreDatabase } from './database.ts'
import { decodeGrants, encodeRecord } from './record-json.ts'

interface TokenRow {
  readonly id: string
  readonly name: string
  readonly secret_sha256: string
  readonly grants: string
  readonly created_at: string
  readonly created_by: string
  readonly expires_at: string | null
  readonly revoked_at: string | null
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
      const sql = this.#statements
      if (sql.find.get(token.id) !== undefined || sql.findBySecret.get(token.secretSha256) !== undefined) {
        throw new DomainError('RECORD_EXISTS', 'This token exists.', { token: token.id })
      }
      sql.insert.run({
        id: token.id,
        name: token.name,
        secretSha256: token.secretSha256,
        grants: encodeRecord(token.grants),
        createdAt: token.createdAt.toISOString(),
        createdBy: token.createdBy,
        expiresAt: token.expiresAt?.toISOString() ?? null,
        revokedAt: token.revokedAt?.toISOString() ?? null,
      })
    })
  }

  find(id: string): TokenRecord | undefined {
    return readToken(this.#statements.find.get(id))
  }

  findBySecret(secretSha256: string): TokenRecord | undefined {
    return readToken(this.#statements.findBySecret.get(secretSha256))
  }

  list(): readonly TokenRecord[] {
    return this.#statements.list.all().flatMap((row) => readToken(row) ?? [])
  }

  revoke(id: string, at: Date): void {
    this.#database.transaction(() => this.#statements.revoke.run(at.toISOString(), id))
  }
}

function readToken(row: TokenRow | undefined): TokenRecord | undefined {
  if (row === undefined) return undefined
  return {
    id: row.id,
    name: row.name,
    secretSha256: row.secret_sha256,
    grants: decodeGrants(row.grants),
    createdAt: new Date(row.created_at),
    createdBy: row.created_by,
    ...(row.expires_at === null ? {} : { expiresAt: new Date(row.expires_at) }),
    ...(row.revoked_at === null ? {} : { revokedAt: new Date(row.revoked_at) }),
  }
}

function prepareStatements(sqlite: StoreDatabase['sqlite']) {
  return {
    insert: sqlite.prepare(
      `INSERT INTO tokens (id, name, secret_sha256, grants, created_at, created_by, expires_at, revoked_at)
       VALUES (:id, :name, :secretSha256, :grants, :createdAt, :createdBy, :expiresAt, :revokedAt)`,
    ),
    find: sqlite.prepare<[string], TokenRow>('SELECT * FROM tokens WHERE id = ?'),
    findBySecret: sqlite.prepare<[string], TokenRow>('SELECT * FROM tokens WHERE secret_sha256 = ?'),
    list: sqlite.prepare<[], TokenRow>('SELECT * FROM tokens ORDER BY sequence'),
    // Keeps the first time: a second revocation changes nothing.
    revoke: sqlite.prepare('UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL'),
  }
}
