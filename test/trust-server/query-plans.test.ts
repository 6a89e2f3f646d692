// What an update and a read cost must not grow with what is stored: every statement finds its rows by an index. Collected while the store
// does all it can do, then explained by SQLite itself.
import { parseGun, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type RoleName } from '@countersign/tuf'
import { expect } from 'chai'
import { createDatabase, type SqliteDatabase } from '../../src/sqlite/database.ts'
import { MetadataStore, type NewFile } from '../../src/trust-server/metadata-store.ts'
import { SCHEMA } from '../../src/trust-server/schema.ts'
import { SupersededVersions } from '../../src/trust-server/superseded-versions.ts'

/** Tables that grow with repositories, roles or versions. */
const GROWING = /\bSCAN (\w+ )?(files|repositories|current|changes|superseded|[rfgcs])\b/
/** Not part of an update or a read: the background, and the metrics. */
const ALLOWED = [
  /^SELECT 1 FROM repositories WHERE is_deleted = 0$/,
  /JOIN staged s ON s\.repository = r\.id ORDER BY gun$/,
]

describe('the statements of the store', () => {
  it('find their rows by an index', () => {
    const database = createDatabase(':memory:', SCHEMA)
    const used = new Set<string>()
    const sqlite = new Proxy(database.sqlite, {
      get: (connection, name) => {
        if (name !== 'prepare') return Reflect.get(connection, name, connection) as unknown
        return (sql: string) => {
          used.add(sql)
          return connection.prepare(sql)
        }
      },
    })
    work({ ...database, sqlite })
    expect(used.size).to.be.greaterThan(25)
    const scans: string[] = []
    for (const sql of used) {
      if (ALLOWED.some((pattern) => pattern.test(sql))) continue
      const plan = database.sqlite.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)
      const values = Array.from({ length: sql.split('?').length - 1 }, () => 1)
      for (const { detail } of plan.all(...values)) if (GROWING.test(detail)) scans.push(`${detail}: ${sql}`)
    }
    expect(scans).to.deep.equal([])
    // The removal of a file looks for it in `current`, too, by the foreign key.
    const [index] = database.sqlite
      .prepare<unknown[], { detail: string }>('EXPLAIN QUERY PLAN SELECT 1 FROM current WHERE file = ?')
      .all(1)
    expect(index?.detail).to.match(/^SEARCH/)
    database.close()
  })
})

/** Everything that the store can do. */
function work(database: SqliteDatabase): void {
  const now = new Date('2026-06-01T00:00:00Z')
  const store = new MetadataStore(database, () => now)
  const gun = parseGun('registry.example.com/team/app')
  const later = new Date('2026-06-15T00:00:00Z')
  const file = (role: RoleName, version: number): NewFile => {
    return { role, version, sha256: `${role}${version}`.padEnd(64, '0'), bytes: Buffer.from(role) }
  }
  const evidence = { request: 'r', principal: 'p' }
  for (let version = 1; version <= 3; version++) {
    const files = [file(ROOT, version), file(TARGETS, version)]
    store.stage({ gun, evidence, files })
    store.staged(gun)
    store.publish({
      gun,
      signed: [file(SNAPSHOT, version), file(TIMESTAMP, version)],
      listed: new Map(files.map(({ role, sha256 }) => [role, sha256])),
      timestampExpiresAt: later,
      snapshotExpiresAt: later,
    })
  }
  // Without targets, which are then no longer listed.
  store.publish({
    gun,
    signed: [file(TIMESTAMP, 4)],
    listed: new Map([[ROOT, file(ROOT, 3).sha256]]),
    timestampExpiresAt: later,
    snapshotExpiresAt: later,
  })
  store.stage({ gun, evidence, files: [file(TARGETS, 4)] })
  store.stagedGuns()
  store.dropStaged(gun)
  store.current(gun, TARGETS)
  store.bySha256(gun, TARGETS, file(TARGETS, 1).sha256)
  store.byVersion(gun, TARGETS, 1)
  store.has(gun, TARGETS, file(TARGETS, 1).sha256)
  store.isPublished(gun)
  store.expiry(gun)
  store.expiring(now, { timestampBeforeMs: 0, snapshotBeforeMs: 0 })
  for (const backwards of [false, true]) {
    store.changes({ limit: 10, backwards })
    store.changes({ limit: 10, backwards, gun, from: 2 })
  }
  store.count()
  const superseded = new SupersededVersions(database, () => now)
  const removal = superseded.remove(superseded.repositoryAfter(0) ?? 0, {
    keptVersions: 1,
    replacedBefore: now,
    endedBefore: new Date('2027-01-01T00:00:00Z'),
    files: 10,
    bytes: 1000,
  })
  expect(removal?.files).to.equal(7)
  store.delete(gun)
}
