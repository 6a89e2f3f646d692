// The database of published metadata: raw bytes as they came, never changed. It decides nothing; who may write is checked before.
import { parseGun, parseRoleName, ROOT, SNAPSHOT, TIMESTAMP, type Gun, type RoleName } from '@countersign/tuf'
import type { SqliteDatabase } from '../sqlite/database.ts'
import type { Evidence } from './signer.ts'

/** A file as it is served. */
export interface StoredFile {
  readonly bytes: Buffer
  readonly version: number
  readonly sha256: string
  readonly createdAt: Date
}

export interface NewFile {
  readonly role: RoleName
  readonly version: number
  /** 64 hex digits. */
  readonly sha256: string
  readonly bytes: Uint8Array
}

/** Uploaded files that are not published yet. */
export interface StagedUpdate {
  readonly gun: Gun
  readonly evidence: Evidence
  readonly files: readonly NewFile[]
}

export interface Publication {
  readonly gun: Gun
  /** What was signed here: the timestamp, and the snapshot where no client signed it. Uploads are staged before. */
  readonly signed: readonly NewFile[]
  /** The roles that the newest snapshot names, with the SHA-256 of each. */
  readonly listed: ReadonlyMap<RoleName, string>
  readonly timestampExpiresAt: Date
  readonly snapshotExpiresAt: Date
}

export interface Change {
  readonly id: number
  readonly gun: string
  readonly version: number
  readonly sha256: string
  readonly category: string
  readonly createdAt: string
}

export interface ChangeQuery {
  readonly gun?: Gun
  /** Those after this one, or with `backwards` before it; without it from the beginning, or backwards from the end. */
  readonly from?: number
  readonly backwards?: boolean
  readonly limit: number
}

interface FileRow {
  readonly bytes: Buffer
  readonly version: number
  readonly sha256: string
  readonly created_at: string
}

/** The file that is current of each role. */
type CurrentFiles = ReadonlyMap<RoleName, { readonly file: number; readonly sha256: string }>

type Value = string | number | Uint8Array

const FILE = 'SELECT f.bytes, f.version, f.sha256, f.created_at FROM repositories r'

export class MetadataStore {
  readonly #database: SqliteDatabase
  readonly #now: () => Date

  constructor(database: SqliteDatabase, now: () => Date) {
    this.#database = database
    this.#now = now
  }

  current(gun: Gun, role: RoleName): StoredFile | undefined {
    const sql = `${FILE} JOIN current c ON c.repository = r.id AND c.role = ? JOIN files f ON f.id = c.file
      WHERE r.gun = ? AND r.is_deleted = 0`
    return toFile(this.#all<FileRow>(sql, role, gun))
  }

  bySha256(gun: Gun, role: RoleName, sha256: string): StoredFile | undefined {
    const sql = `${FILE} JOIN files f ON f.repository = r.id AND f.role = ? AND f.sha256 = ? AND f.version IS NOT NULL
      WHERE r.gun = ? AND r.is_deleted = 0`
    return toFile(this.#all<FileRow>(sql, role, sha256, gun))
  }

  byVersion(gun: Gun, role: RoleName, version: number): StoredFile | undefined {
    const sql = `${FILE} JOIN files f ON f.repository = r.id AND f.role = ? AND f.version = ?
      WHERE r.gun = ? AND r.is_deleted = 0`
    return toFile(this.#all<FileRow>(sql, role, version, gun))
  }

  /** Whether this file is here, published or staged. */
  has(gun: Gun, role: RoleName, sha256: string): boolean {
    const sql = `SELECT 1 FROM repositories r JOIN files f ON f.repository = r.id AND f.role = ? AND f.sha256 = ?
      WHERE r.gun = ? LIMIT 1`
    return this.#all(sql, role, sha256, gun).length > 0
  }

  isPublished(gun: Gun): boolean {
    return this.#all('SELECT 1 FROM repositories WHERE gun = ? AND is_deleted = 0', gun).length > 0
  }

  /** Whether it is published now, or was before a deletion. */
  wasPublished(gun: Gun): boolean {
    return this.#all('SELECT 1 FROM changes WHERE gun = ? LIMIT 1', gun).length > 0
  }

  /** Every version of root that is served, in order. */
  rootVersions(gun: Gun): readonly number[] {
    const sql = `SELECT f.version FROM repositories r JOIN files f ON f.repository = r.id AND f.role = ? AND f.version IS NOT NULL
      WHERE r.gun = ? AND r.is_deleted = 0 ORDER BY f.version`
    return this.#all<{ version: number }>(sql, ROOT, gun).map(({ version }) => version)
  }

  /** Of a repository that was never published here: its older roots, in the place of those that were kept before. */
  keepOlderRoots(gun: Gun, roots: readonly NewFile[]): void {
    const now = this.#now().toISOString()
    this.#database.transaction(() => {
      this.#run('INSERT INTO repositories (gun, is_deleted) VALUES (?, 1) ON CONFLICT DO NOTHING', gun)
      const repository = this.#idOf(gun)
      this.#run('DELETE FROM files WHERE repository = ? AND version IS NOT NULL', repository)
      for (const root of roots) this.#put(repository, root, now)
    })
  }

  /** Of a repository that is published: roots from before the oldest one that is here. */
  addOlderRoots(gun: Gun, roots: readonly NewFile[]): void {
    if (roots.length === 0) return
    const now = this.#now().toISOString()
    this.#database.transaction(() => {
      const repository = this.#idOf(gun)
      for (const root of roots) this.#put(repository, root, now)
    })
  }

  /** Bytes of the older roots of other repositories that were never published. */
  waitingRootBytes(gun: Gun): number {
    const sql = `SELECT coalesce(sum(length(f.bytes)), 0) AS bytes FROM repositories r
      JOIN files f ON f.repository = r.id AND f.role = ? AND f.version IS NOT NULL
      WHERE r.is_deleted = 1 AND r.gun <> ? AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.gun = r.gun)`
    return this.#all<{ bytes: number }>(sql, ROOT, gun)[0]?.bytes ?? 0
  }

  /** Of those that are served. */
  oldestRoot(gun: Gun): StoredFile | undefined {
    const sql = `${FILE} JOIN files f ON f.repository = r.id AND f.role = ? AND f.version IS NOT NULL
      WHERE r.gun = ? AND r.is_deleted = 0 ORDER BY f.version LIMIT 1`
    return toFile(this.#all<FileRow>(sql, ROOT, gun))
  }

  newestOlderRoot(gun: Gun): Uint8Array | undefined {
    const sql = `SELECT f.bytes FROM repositories r JOIN files f ON f.repository = r.id AND f.role = ? AND f.version IS NOT NULL
      WHERE r.gun = ? ORDER BY f.version DESC LIMIT 1`
    return this.#all<{ bytes: Buffer }>(sql, ROOT, gun)[0]?.bytes
  }

  /**
   * Keeps the files of an update until it is published or dropped; nobody sees them yet. Durable when it returns. There is at most one
   * for each repository.
   */
  stage({ gun, evidence, files }: StagedUpdate): void {
    const now = this.#now().toISOString()
    this.#database.transaction(() => {
      this.#run('INSERT INTO repositories (gun, is_deleted) VALUES (?, 1) ON CONFLICT DO NOTHING', gun)
      const repository = this.#idOf(gun)
      const { request, principal } = evidence
      this.#run('INSERT INTO staged (repository, request, principal) VALUES (?, ?, ?)', repository, request, principal)
      const sql = `INSERT INTO files (repository, role, staged_version, sha256, created_at, bytes)
        VALUES (?, ?, ?, ?, ?, ?)`
      for (const { role, version, sha256, bytes } of files) {
        this.#run(sql, repository, role, version, sha256, now, bytes)
      }
    })
  }

  staged(gun: Gun): StagedUpdate | undefined {
    const [row] = this.#all<{ repository: number; request: string; principal: string }>(
      'SELECT s.repository, s.request, s.principal FROM repositories r JOIN staged s ON s.repository = r.id WHERE r.gun = ?',
      gun,
    )
    if (row === undefined) return undefined
    const files = this.#all<{ role: string; version: number; sha256: string; bytes: Buffer }>(
      `SELECT role, staged_version AS version, sha256, bytes FROM files
       WHERE repository = ? AND version IS NULL ORDER BY role`,
      row.repository,
    )
    return {
      gun,
      evidence: { request: row.request, principal: row.principal },
      files: files.map((file) => ({ ...file, role: parseRoleName(file.role) })),
    }
  }

  stagedGuns(): readonly Gun[] {
    const sql = 'SELECT gun FROM repositories r JOIN staged s ON s.repository = r.id ORDER BY gun'
    return this.#all<{ gun: string }>(sql).map(({ gun }) => parseGun(gun))
  }

  dropStaged(gun: Gun): void {
    this.#database.transaction(() => {
      this.#unstage(this.#idOf(gun))
    })
  }

  /**
   * Makes a new state the current one, with the staged files of the repository and these signed ones: all of it or nothing. Durable
   * when it returns.
   * @throws Error where the snapshot names a file that is not here
   */
  publish({ gun, signed, listed, timestampExpiresAt, snapshotExpiresAt }: Publication): void {
    const now = this.#now().toISOString()
    this.#database.transaction(() => {
      const repository = this.#idOf(gun)
      this.#forgetForeignRoots(repository)
      this.#run(
        `UPDATE files SET version = staged_version, staged_version = NULL, created_at = ?
         WHERE repository = ? AND version IS NULL`,
        now,
        repository,
      )
      this.#run('DELETE FROM staged WHERE repository = ?', repository)
      for (const file of signed) this.#put(repository, file, now)
      // Of a client's snapshot there is only its upload.
      const newest = signed.map(({ role, sha256 }) => [role, sha256] as const)
      const pointed = new Map([...listed, ...newest])
      const before = this.#currentFiles(repository)
      for (const [role, sha256] of pointed) {
        if (before.get(role)?.sha256 !== sha256) this.#point(repository, role, sha256)
      }
      this.#unlist(repository, before, pointed)
      this.#supersede(repository, before, now)
      this.#run(
        `UPDATE repositories SET is_deleted = 0, timestamp_expires_at = ?, snapshot_expires_at = ?,
         served_until = max(coalesce(served_until, ''), ?) WHERE id = ?`,
        timestampExpiresAt.toISOString(),
        snapshotExpiresAt.toISOString(),
        timestampExpiresAt.toISOString(),
        repository,
      )
      const timestamp = signed.find(({ role }) => role === TIMESTAMP)
      if (timestamp !== undefined) this.#record(gun, 'update', timestamp.version, timestamp.sha256, now)
    })
  }

  /** Serves nothing of the repository any more. Its roots stay, so that a successor's chain can be walked. */
  delete(gun: Gun): void {
    this.#database.transaction(() => {
      const [row] = this.#all<{ id: number; is_deleted: number }>(
        'SELECT id, is_deleted FROM repositories WHERE gun = ?',
        gun,
      )
      if (row === undefined) return
      this.#unstage(row.id)
      if (row.is_deleted === 1) return
      this.#run('DELETE FROM current WHERE repository = ?', row.id)
      this.#run('DELETE FROM files WHERE repository = ? AND role <> ?', row.id, ROOT)
      this.#run('UPDATE repositories SET is_deleted = 1 WHERE id = ?', row.id)
      this.#record(gun, 'deletion', 0, '', this.#now().toISOString())
    })
  }

  /** When the newest timestamp and snapshot end, and since when the snapshot is here. */
  expiry(gun: Gun): { readonly timestamp: Date; readonly snapshot: Date; readonly snapshotSince: Date } | undefined {
    const [row] = this.#all<{ timestamp_expires_at: string; snapshot_expires_at: string; since: string | null }>(
      `SELECT timestamp_expires_at, snapshot_expires_at, (${sinceOf('snapshot')}) AS since
       FROM repositories r WHERE gun = ? AND is_deleted = 0`,
      gun,
    )
    return (
      row && {
        timestamp: new Date(row.timestamp_expires_at),
        snapshot: new Date(row.snapshot_expires_at),
        snapshotSince: new Date(row.since ?? 0),
      }
    )
  }

  /**
   * Repositories whose timestamp or snapshot ends soon: half of its life here is over, and less is left than the window. Short lives
   * have short windows so.
   * @param o the windows, in milliseconds
   */
  expiring(now: Date, o: { readonly timestampBeforeMs: number; readonly snapshotBeforeMs: number }): readonly Gun[] {
    const at = now.toISOString()
    const before = (milliseconds: number): string => new Date(now.getTime() + milliseconds).toISOString()
    return this.#all<{ gun: string }>(
      // Left to itself, SQLite walks through all repositories in the order of their names.
      `SELECT gun FROM repositories r INDEXED BY repositories_by_timestamp_expiry
       WHERE is_deleted = 0 AND timestamp_expires_at < ? AND ${isHalfOver('timestamp')}
       UNION SELECT gun FROM repositories r INDEXED BY repositories_by_snapshot_expiry
       WHERE is_deleted = 0 AND snapshot_expires_at < ? AND ${isHalfOver('snapshot')}`,
      before(o.timestampBeforeMs),
      at,
      at,
      before(o.snapshotBeforeMs),
      at,
      at,
    ).map(({ gun }) => parseGun(gun))
  }

  /** Oldest first. */
  changes({ gun, from, backwards = false, limit }: ChangeQuery): readonly Change[] {
    const of = gun === undefined ? '' : 'AND gun = ?'
    const [comparison, order] = backwards ? ['<', 'DESC'] : ['>', 'ASC']
    const rows = this.#all<Change>(
      `SELECT id, gun, version, sha256, category, created_at AS createdAt FROM changes
       WHERE id ${comparison} ? ${of} ORDER BY id ${order} LIMIT ?`,
      from ?? (backwards ? Number.MAX_SAFE_INTEGER : 0),
      ...(gun === undefined ? [] : [gun]),
      limit,
    )
    return backwards ? rows.reverse() : rows
  }

  count(): number {
    return this.#all('SELECT 1 FROM repositories WHERE is_deleted = 0').length
  }

  /** Whether a write would succeed now. @throws StoreError STORE_UNWRITABLE */
  check(): void {
    this.#database.check()
  }

  /** Where a repository begins again after a deletion with a root that does not follow its old ones, these are no longer its chain. */
  #forgetForeignRoots(repository: number): void {
    const sql = 'SELECT 1 FROM repositories WHERE id = ? AND is_deleted = 1'
    if (this.#all(sql, repository).length === 0) return
    const [roots] = this.#all<{ old: number | null; next: number | null }>(
      'SELECT max(version) AS old, max(staged_version) AS next FROM files WHERE repository = ? AND role = ?',
      repository,
      ROOT,
    )
    if (roots?.next === (roots?.old ?? 0) + 1) return
    this.#run('DELETE FROM files WHERE repository = ? AND version IS NOT NULL', repository)
  }

  /** A signed file that is there already is the same one: the key holder signs one version once. */
  #put(repository: number, { role, version, sha256, bytes }: NewFile, now: string): void {
    const sql = `INSERT INTO files (repository, role, version, sha256, created_at, bytes) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT DO NOTHING`
    this.#run(sql, repository, role, version, sha256, now, bytes)
  }

  #point(repository: number, role: string, sha256: string): void {
    const [file] = this.#all<{ id: number }>(
      'SELECT id FROM files WHERE repository = ? AND role = ? AND sha256 = ? AND version IS NOT NULL',
      repository,
      role,
      sha256,
    )
    if (file === undefined) throw new Error(`the snapshot names a file of ${role} that is not here`)
    this.#run(
      'INSERT INTO current (repository, role, file) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET file = excluded.file',
      repository,
      role,
      file.id,
    )
  }

  /** Roles that the newest snapshot no longer names are no longer current; their files stay. */
  #unlist(repository: number, before: CurrentFiles, pointed: ReadonlyMap<RoleName, string>): void {
    for (const name of before.keys()) {
      if (pointed.has(name) || name === SNAPSHOT || name === TIMESTAMP) continue
      this.#run('DELETE FROM current WHERE repository = ? AND role = ?', repository, name)
    }
  }

  #currentFiles(repository: number): CurrentFiles {
    const sql =
      'SELECT c.role, c.file, f.sha256 FROM current c CROSS JOIN files f ON f.id = c.file WHERE c.repository = ?'
    const rows = this.#all<{ role: string; file: number; sha256: string }>(sql, repository)
    return new Map(rows.map(({ role, file, sha256 }) => [parseRoleName(role), { file, sha256 }]))
  }

  /** Notes which files have ceased to be current. Timestamps that lead to them were served until now. */
  #supersede(repository: number, before: CurrentFiles, now: string): void {
    const idsOf = (files: CurrentFiles): ReadonlySet<number> => new Set([...files.values()].map(({ file }) => file))
    const [old, next] = [idsOf(before), idsOf(this.#currentFiles(repository))]
    const sql = `INSERT INTO superseded (file, repository, since, needed_until)
      SELECT ?, id, ?, coalesce(served_until, '') FROM repositories WHERE id = ?`
    for (const file of old) if (!next.has(file)) this.#run(sql, file, now, repository)
    for (const file of next) if (!old.has(file)) this.#run('DELETE FROM superseded WHERE file = ?', file)
  }

  #unstage(repository: number): void {
    this.#run('DELETE FROM files WHERE repository = ? AND version IS NULL', repository)
    this.#run('DELETE FROM staged WHERE repository = ?', repository)
  }

  #idOf(gun: Gun): number {
    const [row] = this.#all<{ id: number }>('SELECT id FROM repositories WHERE gun = ?', gun)
    if (row === undefined) throw new Error('there is no such repository')
    return row.id
  }

  #record(gun: Gun, category: 'update' | 'deletion', version: number, sha256: string, now: string): void {
    const sql = 'INSERT INTO changes (gun, version, sha256, category, created_at) VALUES (?, ?, ?, ?, ?)'
    this.#run(sql, gun, version, sha256, category, now)
  }

  #all<T>(sql: string, ...values: Value[]): T[] {
    return this.#database.sqlite.prepare(sql).all(...values) as T[]
  }

  #run(sql: string, ...values: Value[]): void {
    this.#database.sqlite.prepare(sql).run(...values)
  }
}

function toFile([row]: readonly FileRow[]): StoredFile | undefined {
  return row && { bytes: row.bytes, version: row.version, sha256: row.sha256, createdAt: new Date(row.created_at) }
}

/** When the newest file of the role came, of the repository `r`. */
function sinceOf(role: 'timestamp' | 'snapshot'): string {
  return `SELECT f.created_at FROM current c JOIN files f ON f.id = c.file WHERE c.repository = r.id AND c.role = '${role}'`
}

/** Twice the moment that it is asked for. */
function isHalfOver(role: 'timestamp' | 'snapshot'): string {
  const since = `coalesce(julianday((${sinceOf(role)})), 0)`
  return `julianday(${role}_expires_at) - julianday(?) <= julianday(?) - ${since}`
}
