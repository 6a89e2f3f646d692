// Rows of served repositories: the accepted root, what was last published of each role, and which snapshot and timestamp are the
// newest. Every write belongs into a transaction with its record.
import {
  EMPTY_STATE,
  parseRoleName,
  type Gun,
  type RoleName,
  type ServedRole,
  type ServedState,
  type TufKeyId,
} from '@countersign/tuf'
import type { StateDatabase } from './database.ts'

/** How a deleted repository may begin again without the old root's signature; see `permit-recreation` in the protocol. */
export type Permission = 'go-on' | 'start-again'

/** When a snapshot or timestamp was made, whether or not its signatures exist yet. */
export interface Issue {
  readonly version: number
  readonly issuedAt: Date
  readonly expiresAt: Date
}

export interface ServedRepository {
  readonly gun: Gun
  readonly state: ServedState & { readonly root: Uint8Array }
  readonly isDeleted: boolean
  readonly permitted?: Permission
  /** The only certificates that the root of a permitted new beginning may list; absent: any. */
  readonly permittedRoots?: readonly string[] | undefined
  /** Digest of the latest update; undefined after a deletion. */
  readonly updateDigest?: string
  readonly snapshot: Issue
  /** The newest snapshot, where the client holds its key. */
  readonly clientSnapshot?: Uint8Array
  readonly timestamp: Issue
}

interface Row {
  root: Buffer
  is_deleted: number
  permitted: Permission | null
  permitted_roots: string | null
  update_digest: string | null
  snapshot_version: number
  snapshot_issued_at: string
  snapshot_expires_at: string
  client_snapshot: Buffer | null
  timestamp_version: number
  timestamp_issued_at: string
  timestamp_expires_at: string
}

interface RoleRow {
  role: string
  version: number
  sha256: string
  sha512: string
  length: number
  signers: string
  delegations: string | null
  is_listed: number
}

export class ServedTable {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  find(gun: Gun): ServedRepository | undefined {
    const row = this.#database.all<Row>('SELECT * FROM served_repositories WHERE gun = ?', gun)[0]
    if (row === undefined) return undefined
    const roles = this.#database.all<RoleRow>('SELECT * FROM served_roles WHERE gun = ? ORDER BY role', gun)
    return {
      gun,
      state: { root: row.root, roles: new Map(roles.map((role) => [parseRoleName(role.role), toRole(role)])) },
      isDeleted: row.is_deleted === 1,
      ...(row.permitted !== null && { permitted: row.permitted }),
      ...(row.permitted_roots !== null && { permittedRoots: JSON.parse(row.permitted_roots) as string[] }),
      ...(row.update_digest !== null && { updateDigest: row.update_digest }),
      snapshot: toIssue(row.snapshot_version, row.snapshot_issued_at, row.snapshot_expires_at),
      ...(row.client_snapshot !== null && { clientSnapshot: row.client_snapshot }),
      timestamp: toIssue(row.timestamp_version, row.timestamp_issued_at, row.timestamp_expires_at),
    }
  }

  /** Writes the repository; of its roles those that differ from `before`, or all of them where it begins again. */
  save(repository: ServedRepository, before: ServedState = EMPTY_STATE): void {
    const { gun, state, snapshot, timestamp } = repository
    this.#database.run(
      `INSERT OR REPLACE INTO served_repositories (gun, root, is_deleted, permitted, permitted_roots, update_digest, snapshot_version,
         snapshot_issued_at, snapshot_expires_at, client_snapshot, timestamp_version, timestamp_issued_at, timestamp_expires_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      gun,
      Buffer.from(state.root),
      repository.isDeleted ? 1 : 0,
      repository.permitted ?? null,
      repository.permittedRoots === undefined ? null : JSON.stringify(repository.permittedRoots),
      repository.updateDigest ?? null,
      snapshot.version,
      snapshot.issuedAt.toISOString(),
      snapshot.expiresAt.toISOString(),
      repository.clientSnapshot === undefined ? null : Buffer.from(repository.clientSnapshot),
      timestamp.version,
      timestamp.issuedAt.toISOString(),
      timestamp.expiresAt.toISOString(),
    )
    if (before.roles.size === 0) this.#database.run('DELETE FROM served_roles WHERE gun = ?', gun)
    for (const [name, role] of state.roles) if (role !== before.roles.get(name)) this.#saveRole(gun, name, role)
  }

  /** Remembers a file of an earlier life. */
  notePast(gun: Gun, sha256: string): void {
    this.#database.run('INSERT OR IGNORE INTO served_past_files (gun, sha256) VALUES (?, ?)', gun, sha256)
  }

  isPast(gun: Gun, sha256: string): boolean {
    const sql = 'SELECT 1 FROM served_past_files WHERE gun = ? AND sha256 = ?'
    return this.#database.all(sql, gun, sha256).length > 0
  }

  #saveRole(gun: Gun, name: RoleName, role: ServedRole): void {
    this.#database.run(
      `INSERT OR REPLACE INTO served_roles (gun, role, version, sha256, sha512, length, signers, delegations, is_listed)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      gun,
      name,
      role.version,
      role.sha256,
      role.sha512,
      role.length,
      JSON.stringify(role.signers),
      role.delegations ?? null,
      role.isListed ? 1 : 0,
    )
  }
}

function toIssue(version: number, issuedAt: string, expiresAt: string): Issue {
  return { version, issuedAt: new Date(issuedAt), expiresAt: new Date(expiresAt) }
}

function toRole(row: RoleRow): ServedRole {
  return {
    version: row.version,
    sha256: row.sha256,
    sha512: row.sha512,
    length: row.length,
    signers: JSON.parse(row.signers) as TufKeyId[],
    ...(row.delegations !== null && { delegations: row.delegations }),
    isListed: row.is_listed === 1,
  }
}
