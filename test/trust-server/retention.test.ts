// What retention removes, and what it never may: roots, what is current, and what any timestamp leads to that has not ended.
import { RELEASES, ROOT, TARGETS, verifyFiles } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { silentLog } from '../../src/log.ts'
import { createDatabase, openDatabase } from '../../src/sqlite/database.ts'
import { Retention } from '../../src/trust-server/retention.ts'
import { SupersededVersions, type Removal } from '../../src/trust-server/superseded-versions.ts'
import { SCHEMA } from '../../src/trust-server/schema.ts'
import { runs } from '../support/arbitraries.ts'
import { NOW, type RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import {
  filesOf,
  newRepository,
  startTestTrustServer,
  testConfig,
  type TestTrustServer,
} from '../support/trust-server/server.ts'

const SIGNER = 'targets/countersign'
const ALL = [ROOT, TARGETS, RELEASES, SIGNER]
const DAY_MS = 86_400_000
/** Days that a timestamp lives. */
const LIFETIME = 14

class World {
  readonly server: TestTrustServer
  readonly builder: RepositoryBuilder
  /** Every timestamp that was served, when it ends, and whether everything below it was found at the time. */
  readonly timestamps: { readonly version: number; readonly endsAt: Date }[] = []

  private constructor(server: TestTrustServer, builder: RepositoryBuilder) {
    this.server = server
    this.builder = builder
  }

  static async create(scope: Scope): Promise<World> {
    // Nothing but what the test does: no renewal of its own.
    const server = await startTestTrustServer(scope, { config: testConfig('', "renewal: { every: '1d' }") })
    const world = new World(server, await newRepository(server, 'registry.example.com/team/app'))
    await world.publish(...ALL)
    return world
  }

  async publish(...roles: string[]): Promise<void> {
    expect((await this.server.http.post(this.builder.gun, filesOf(this.builder, ...roles))).status).to.equal(200)
    await this.note()
  }

  async next(...roles: string[]): Promise<void> {
    this.builder.nextVersions(...roles)
    await this.publish(...roles)
  }

  async nextRoot(): Promise<void> {
    this.builder.nextRoot().nextVersions(TARGETS)
    await this.publish(ROOT, TARGETS)
  }

  wait(days: number): void {
    this.server.clock.now = new Date(this.server.clock.now.getTime() + days * DAY_MS)
  }

  /** A reader comes by; a timestamp that has ended is signed again. */
  async note(): Promise<void> {
    const { body } = await this.server.http.get(this.builder.gun, 'timestamp.json')
    const { signed } = JSON.parse(body.toString()) as { signed: { version: number; expires: string } }
    if (this.timestamps.at(-1)?.version === signed.version) return
    this.timestamps.push({ version: signed.version, endsAt: new Date(signed.expires) })
  }

  async retain(settings: { readonly versions?: number; readonly ageDays?: number }): Promise<readonly Removal[]> {
    const removals: Removal[] = []
    const { database, clock } = this.server
    const { versions, ageDays } = settings
    await new Retention({
      superseded: new SupersededVersions(database, () => clock.now),
      settings: {
        everyMs: 1000,
        ...(versions !== undefined && { versions }),
        ...(ageDays !== undefined && { ageMs: ageDays * DAY_MS }),
      },
      log: silentLog,
      now: () => clock.now,
      removed: (removal) => removals.push(removal),
    }).round(new AbortController().signal)
    return removals
  }

  /** A client that got this timestamp at some time comes for everything below it now. */
  async verify(version: number): Promise<void> {
    const files = new Map<string, Uint8Array>()
    const add = async (name: string, as = name): Promise<Buffer> => {
      const { status, body } = await this.server.http.get(this.builder.gun, name)
      expect(status, `${name} below timestamp ${version}`).to.equal(200)
      files.set(as, body)
      return body
    }
    const timestamp = await add(`${version}.timestamp.json`, 'timestamp.json')
    const [snapshot] = hashesIn(timestamp)
    for (const [role, hex] of hashesIn(await add(`snapshot.${snapshot?.[1] ?? ''}.json`))) {
      await add(`${role}.${hex}.json`, role === ROOT ? 'root.json' : undefined)
    }
    const bytes = files.get('root.json') ?? Buffer.alloc(0)
    verifyFiles(files, { gun: this.builder.gun, now: this.server.clock.now, pin: { kind: 'root', bytes } })
  }

  /** Everything that must be there in any case. */
  async verifyAll(): Promise<void> {
    await this.note()
    for (const { version, endsAt } of this.timestamps) if (endsAt >= this.server.clock.now) await this.verify(version)
    for (let version = 1; version <= this.builder.role(ROOT).version; version++) {
      expect((await this.server.http.get(this.builder.gun, `${version}.root.json`)).status).to.equal(200)
    }
    for (const role of ALL) {
      expect((await this.server.http.get(this.builder.gun, `${role}.json`)).status, role).to.equal(200)
    }
  }

  async has(role: string, version: number): Promise<boolean> {
    return (await this.server.http.get(this.builder.gun, `${version}.${role}.json`)).status === 200
  }
}

describe('retention', () => {
  let scope: Scope
  let world: World
  beforeEach(async () => {
    scope = new Scope()
    world = await World.create(scope)
  })
  afterEach(() => scope.close())

  it('removes nothing where nothing is configured', async () => {
    for (let times = 0; times < 3; times++) await world.next(RELEASES)
    world.wait(1000)
    await world.note()
    expect(await world.retain({})).to.deep.equal([])
    for (let version = 1; version <= 4; version++) expect(await world.has(RELEASES, version)).to.equal(true)
  })

  it('keeps the newest versions of each role, and every root', async () => {
    for (let times = 0; times < 4; times++) await world.next(RELEASES)
    await world.nextRoot()
    world.wait(LIFETIME + 1)
    const [removal, ...others] = await world.retain({ versions: 2 })
    expect(others).to.deep.equal([])
    expect(removal?.upTo).to.deep.equal({ [RELEASES]: 3, snapshot: 4, timestamp: 4 })
    expect([removal?.gun, removal?.files]).to.deep.equal([world.builder.gun, 3 + 4 + 4])
    const kept = await Promise.all([1, 2, 3, 4, 5].map((version) => world.has(RELEASES, version)))
    expect(kept).to.deep.equal([false, false, false, true, true])
    // The first of two, and the only one of its role.
    expect([await world.has(TARGETS, 1), await world.has(SIGNER, 1)]).to.deep.equal([true, true])
    expect(await world.retain({ versions: 2 })).to.deep.equal([])
    await world.verifyAll()
    const rows = world.server.database.sqlite.prepare('SELECT role, files, highest_version FROM removals').all()
    expect(rows).to.deep.include({ role: RELEASES, files: 3, highest_version: 3 })
  })

  it('keeps versions for their time after they were replaced', async () => {
    await world.next(RELEASES)
    world.wait(20)
    await world.next(RELEASES)
    world.wait(20)
    await world.retain({ ageDays: 30 })
    expect([await world.has(RELEASES, 1), await world.has(RELEASES, 2)]).to.deep.equal([false, true])
    world.wait(11)
    await world.retain({ ageDays: 30, versions: 3 })
    expect(await world.has(RELEASES, 2)).to.equal(true)
    await world.retain({ ageDays: 30 })
    expect([await world.has(RELEASES, 2), await world.has(RELEASES, 3)]).to.deep.equal([false, true])
  })

  it('keeps what a timestamp leads to until it ends', async () => {
    const [first] = world.timestamps
    world.wait(LIFETIME - 1)
    await world.next(RELEASES, SIGNER)
    await world.retain({ versions: 1 })
    await world.verify(first?.version ?? 0)
    world.wait(2)
    await world.retain({ versions: 1 })
    expect([await world.has('timestamp', 1), await world.has(RELEASES, 1)]).to.deep.equal([false, false])
    await world.verifyAll()
  })

  it('never takes from a client what it may still come for, whatever happens', async function () {
    this.timeout(120_000)
    const act = fc.oneof(
      fc.record({
        kind: fc.constant('next' as const),
        roles: fc.subarray([TARGETS, RELEASES, SIGNER], { minLength: 1 }),
      }),
      fc.record({ kind: fc.constant('wait' as const), days: fc.constantFrom(1, 5, 13, 15, 40) }),
      fc.record({
        kind: fc.constant('retain' as const),
        versions: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
        ageDays: fc.option(fc.constantFrom(0, 2, 20), { nil: undefined }),
      }),
      fc.record({ kind: fc.constantFrom('root' as const, 'read' as const) }),
    )
    let removed = 0
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 25 }), async (history) => {
        const one = new Scope()
        try {
          const each = await World.create(one)
          for (const step of history) {
            if (step.kind === 'next') await each.next(...step.roles)
            if (step.kind === 'root') await each.nextRoot()
            if (step.kind === 'wait') each.wait(step.days)
            if (step.kind === 'read') await each.note()
            if (step.kind === 'retain') {
              const { versions, ageDays } = step
              const removals = await each.retain({
                ...(versions !== undefined && { versions }),
                ...(ageDays !== undefined && { ageDays }),
              })
              removed += removals.length
              await each.verifyAll()
            }
          }
          await each.verifyAll()
        } finally {
          await one.close()
        }
      }),
      runs(8),
    )
    expect(removed).to.be.greaterThan(0)
  })

  it('removes a few files at a time, and stops when it is told', async () => {
    const { database, clock } = world.server
    for (let times = 0; times < 80; times++) await world.next(RELEASES)
    world.wait(LIFETIME + 1)
    const stopping = new AbortController()
    const removals: Removal[] = []
    const options = {
      superseded: new SupersededVersions(database, () => clock.now),
      settings: { versions: 1, everyMs: 1000 },
      log: silentLog,
      now: () => clock.now,
    }
    await new Retention({
      ...options,
      removed: (removal) => {
        removals.push(removal)
        stopping.abort()
      },
    }).round(stopping.signal)
    expect(removals.map(({ files }) => files)).to.deep.equal([64])
    const rest = await world.retain({ versions: 1 })
    expect(rest.map(({ files }) => files)).to.deep.equal([64, 64, 48])
    await world.verifyAll()
  })

  it('is not for a deleted repository: its roots stay', async () => {
    await world.nextRoot()
    await world.server.http.call({ method: 'DELETE', path: `/v2/${world.builder.gun}/_trust/tuf/` })
    world.wait(100)
    expect(await world.retain({ versions: 1 })).to.deep.equal([])
    const roots = world.server.database.sqlite.prepare('SELECT version FROM files WHERE role = ?').all(ROOT)
    expect(roots).to.have.length(2)
  })

  it('counts what was replaced before there was retention from then on', () => {
    const [first = ''] = SCHEMA.migrations
    const path = `${scope.folder()}/old.db`
    const old = createDatabase(path, { ...SCHEMA, migrations: [first] })
    old.sqlite.exec(`
      INSERT INTO repositories VALUES (1, 'registry.example.com/old', 0, '2026-06-15T00:00:00.000Z', '2029-06-01T00:00:00.000Z');
      INSERT INTO files VALUES (1, 1, 'targets', 1, NULL, 'aa', '2026-05-01T00:00:00.000Z', x'00');
      INSERT INTO files VALUES (2, 1, 'targets', 2, NULL, 'bb', '2026-06-01T00:00:00.000Z', x'00');
      INSERT INTO current VALUES (1, 'targets', 2);`)
    old.close()
    const database = openDatabase(path, SCHEMA)
    scope.add(() => {
      database.close()
    })
    const rows = database.sqlite.prepare('SELECT file, needed_until, since FROM superseded').all()
    expect(rows).to.have.length(1)
    const [row] = rows as { file: number; needed_until: string; since: string }[]
    expect([row?.file, row?.needed_until]).to.deep.equal([1, '2026-06-15T00:00:00.000Z'])
    expect(row?.since).to.match(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(Date.parse(row?.since ?? '')).to.be.greaterThan(NOW.getTime() - 365 * DAY_MS)
  })
})

function hashesIn(file: Buffer): readonly (readonly [string, string])[] {
  const { signed } = JSON.parse(file.toString()) as { signed: { meta: Record<string, { hashes: { sha256: string } }> } }
  return Object.entries(signed.meta).map(
    ([role, { hashes }]) => [role, Buffer.from(hashes.sha256, 'base64').toString('hex')] as const,
  )
}
