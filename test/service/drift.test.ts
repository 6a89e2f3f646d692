// Signed tags against their registries: what moved is told once, what comes back is told, and an outage tells nothing.
import { parseGun, parseTag, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import type { DriftChange } from '../../src/domain/drift.ts'
import type { WebhookNews } from '../../src/domain/webhook-event.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { createServices } from '../../src/service/create-services.ts'
import { createDatabase } from '../../src/store/database.ts'
import { SCHEMA } from '../../src/store/schema.ts'
import { SqliteSignedTags } from '../../src/store/signed-tags.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'
import { addAlice, publishAs } from '../support/fakes/rival.ts'
import { app, everybody, World } from '../support/fakes/world.ts'

const MINUTE_MS = 60_000
const DAY_MS = 1440 * MINUTE_MS
const A = 'a'.repeat(64)
const B = 'b'.repeat(64)

describe('the watch over signed tags', () => {
  let world: World
  let told: WebhookNews[]
  beforeEach(async () => {
    world = await World.withRepository()
    told = []
    const outbox = { isWanted: () => true, record: (news: WebhookNews) => void told.push(news) }
    world.services = createServices({ ...world.dependencies, signedTags: new SqliteSignedTags(world.database, outbox) })
    world.registry.push(app, '1.0', 'a')
    await world.sign(`${app}:1.0`)
  })
  afterEach(() => {
    world.close()
  })

  const pass = (milliseconds: number): void => {
    world.time.advance(milliseconds)
  }
  const look = (): Promise<DriftChange | undefined> => world.services.drift.look()
  /** A day and the grace later, when everything has been asked for twice. */
  async function looked(): Promise<readonly string[]> {
    const found: string[] = []
    for (const wait of [DAY_MS, 10 * MINUTE_MS, 0]) {
      pass(wait)
      const change = await look()
      if (change !== undefined) found.push(`${change.tag} ${change.state} ${change.found?.slice(0, 1) ?? '-'}`)
    }
    return found
  }
  const list = () => world.services.drift.list(everybody, app)
  const records = () =>
    world.keyHolder.records.filter(({ kind }) => kind === 'registry-drift').map(({ facts }) => facts)
  const warnings = async () =>
    (await world.services.repositories.report(everybody, app)).warnings.map(({ code }) => code)

  it('asks once a day for each, with a question that costs the registry nothing', async () => {
    expect(await look()).to.equal(undefined)
    expect(world.registry.probed).to.deep.equal([])
    pass(DAY_MS)
    const before = world.registry.asked.length
    await look()
    await look()
    expect(world.registry.probed).to.deep.equal([`${app}:1.0`])
    expect(world.registry.asked.length, 'manifests').to.equal(before)
    expect(list()).to.deep.include({ signed: 1, moved: 0, gone: 0, unknown: 0, tags: [] })
  })

  it('tells a tag that moved: recorded, as an event, in the list and the report, once', async () => {
    world.registry.push(app, '1.0', 'b')
    expect(await looked()).to.deep.equal(['1.0 moved b'])
    const facts = { gun: app, tag: '1.0', state: 'moved', signed: A, found: B }
    expect(records()).to.deep.equal([facts])
    expect(told.map(({ type, subject, data }) => [type, subject, data])).to.deep.equal([
      ['repository.drift', `${app}:1.0`, facts],
    ])
    expect(list()).to.deep.include({ signed: 1, moved: 1, gone: 0, hasMore: false })
    expect(list().tags.map(({ tag, state, found }) => [tag, state, found])).to.deep.equal([['1.0', 'moved', B]])
    expect(await warnings()).to.include('TAGS_DRIFTED')
    expect(await looked()).to.deep.equal([])
    world.registry.push(app, '1.0', 'c')
    expect(await looked(), 'again somewhere else').to.deep.equal(['1.0 moved c'])
  })

  it('tells a tag that is gone, and that it is back', async () => {
    world.registry.remove(app, '1.0')
    expect(await looked()).to.deep.equal(['1.0 gone -'])
    world.registry.push(app, '1.0', 'a')
    expect(await looked()).to.deep.equal(['1.0 matches a'])
    expect(list()).to.deep.include({ moved: 0, gone: 0 })
    expect(await warnings()).to.not.include('TAGS_DRIFTED')
    expect(records().map(({ state }) => state)).to.deep.equal(['gone', 'matches'])
  })

  it('a tag that is signed within the grace is no news', async () => {
    world.registry.push(app, '1.0', 'b')
    pass(DAY_MS)
    expect(await look()).to.equal(undefined)
    pass(5 * MINUTE_MS)
    expect(await look()).to.equal(undefined)
    await world.sign(`${app}:1.0`)
    expect(await looked()).to.deep.equal([])
    expect(records()).to.deep.equal([])
  })

  it('a drift ends at the next question where the tag is signed anew, and where it is unsigned', async () => {
    world.registry.push(app, '1.0', 'b')
    expect(await looked()).to.deep.equal(['1.0 moved b'])
    await world.sign(`${app}:1.0`)
    expect(await look()).to.deep.equal({ gun: app, tag: '1.0', state: 'matches', signed: B, found: B })
    world.registry.push(app, '1.0', 'c')
    expect(await looked()).to.deep.equal(['1.0 moved c'])
    await world.unsign(`${app}:1.0`)
    expect(await look()).to.deep.equal({ gun: app, tag: '1.0', state: 'unsigned' })
    expect(list()).to.deep.include({ signed: 0, moved: 0, tags: [] })
    expect(await looked()).to.deep.equal([])
  })

  it('knows what others signed since: a tag of theirs is as it is published, and one that they dropped is none', async () => {
    const alice = await addAlice(world, app)
    const put = { kind: 'put', name: parseTag('1.0'), sha256: B, length: 9 } as const
    world.registry.push(app, '1.0', 'b')
    await publishAs(world, app, RELEASES, [put], [alice])
    expect(await looked()).to.deep.equal([])
    await publishAs(world, app, RELEASES, [{ kind: 'drop', name: parseTag('1.0') }], [alice])
    world.registry.push(app, '1.0', 'c')
    expect(await looked()).to.deep.equal([])
    expect(list()).to.deep.include({ signed: 0 })
  })

  it('tells nothing of a registry that does not answer, and leaves it alone for a while', async () => {
    world.registry.push(app, '2.0', 'a')
    await world.sign(`${app}:2.0`)
    world.registry.push(app, '1.0', 'b')
    expect(await looked()).to.deep.equal(['1.0 moved b'])
    world.registry.isReachable = false
    world.registry.probed.length = 0
    pass(DAY_MS)
    for (let count = 0; count < 5; count++) expect(await look()).to.equal(undefined)
    expect(world.registry.probed, 'all tags of the registry wait').to.have.length(1)
    expect(list(), 'what was known is kept').to.deep.include({ moved: 1, gone: 0, unknown: 1 })
    pass(15 * MINUTE_MS)
    world.registry.isReachable = true
    for (let count = 0; count < 2; count++) expect(await look()).to.equal(undefined)
    expect(list()).to.deep.include({ moved: 1, unknown: 0 })
  })

  it('where it cannot be recorded it is not told, and tried again', async () => {
    world.registry.push(app, '1.0', 'b')
    pass(DAY_MS)
    await look()
    const error = () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'stopped by the test')
    world.faults.plan({ method: 'keyHolder.appendRecord', call: 1, moment: 'before', error })
    pass(10 * MINUTE_MS)
    expect(await look()).to.equal(undefined)
    expect([told, list().moved]).to.deep.equal([[], 0])
    world.faults.plan(undefined)
    pass(15 * MINUTE_MS)
    expect((await look())?.state).to.equal('moved')
  })

  it('what is signed while the registry is asked is kept, and asked for at once', async () => {
    world.registry.push(app, '1.0', 'b')
    const tags = new SqliteSignedTags(world.database)
    pass(DAY_MS)
    const read = tags.next(new Date(world.time.now().getTime() - DAY_MS))!
    await world.sign(`${app}:1.0`)
    tags.note(read, { ...read, state: 'moved', found: B }, world.time.now())
    expect(await look(), 'the digest of the signature that came meanwhile').to.include({ state: 'matches', signed: B })
    tags.forget(read)
    expect(list().signed, 'not the one that was read').to.equal(1)
  })

  it('forgets the tags of a repository that is removed', async () => {
    await world.services.repositories.remove(everybody, app)
    expect(new SqliteSignedTags(world.database).counts()).to.deep.equal({ signed: 0, moved: 0, gone: 0, unknown: 0 })
    await expectCodeAsync('NOT_PERMITTED', () => Promise.resolve().then(() => list()))
  })

  it('NOT_PERMITTED: without the grant read, and for a repository that is not there', () => {
    const nobody = { ...everybody, grants: [] }
    expectCode('NOT_PERMITTED', () => world.services.drift.list(nobody, app))
    expectCode('NOT_PERMITTED', () => world.services.drift.list(everybody, parseGun('registry.test/no/such')))
  })

  it('is off where it is to ask never', async () => {
    const { dependencies } = world
    const settings = { ...dependencies.settings, drift: { everyMs: 0, graceMs: 0 } }
    world.services = createServices({ ...dependencies, settings })
    expect(await looked()).to.deep.equal([])
    expect(world.registry.probed).to.deep.equal([])
  })

  it('at the end of any run of events the list says what is true', async () => {
    const act = fc.constantFrom('push b', 'push a', 'remove', 'sign', 'unsign', 'outage', 'back', 'look')
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 8 }), async (acts) => {
        const own = await World.withRepository()
        try {
          own.registry.push(app, '1.0', 'a')
          await own.sign(`${app}:1.0`)
          let inRegistry: string | undefined = A
          let signed: string | undefined = A
          for (const one of acts) {
            if (one === 'outage' || one === 'back') own.registry.isReachable = one === 'back'
            else if (one === 'remove') {
              own.registry.remove(app, '1.0')
              inRegistry = undefined
            } else if (one === 'sign' && inRegistry !== undefined) {
              await own.sign(`${app}:1.0`)
              signed = inRegistry
            } else if (one === 'unsign' && signed !== undefined) {
              await own.unsign(`${app}:1.0`)
              signed = undefined
            } else if (one.startsWith('push')) {
              own.registry.push(app, '1.0', one.slice(5))
              inRegistry = one.slice(5).repeat(64)
            }
            own.time.advance(DAY_MS)
            await own.services.drift.look()
          }
          own.registry.isReachable = true
          for (let count = 0; count < 3; count++) {
            own.time.advance(DAY_MS)
            await own.services.drift.look()
          }
          const { moved, gone, signed: known } = own.services.drift.list(everybody, app)
          const hasMoved = signed !== undefined && inRegistry !== undefined && inRegistry !== signed
          const isGone = signed !== undefined && inRegistry === undefined
          expect([known, moved, gone]).to.deep.equal([signed === undefined ? 0 : 1, hasMoved ? 1 : 0, isGone ? 1 : 0])
        } finally {
          own.close()
        }
      }),
      { numRuns: 15 },
    )
  })
})

describe('the signed tags in the store', () => {
  it('of ten thousand cost no more than of ten: the next one, the counts and the list use indexes', () => {
    const database = createDatabase(':memory:')
    const { sqlite } = database
    const insert = sqlite.prepare(
      "INSERT INTO signed_tags (gun, tag, sha256, state, since, checked_at, queued_at) VALUES ('r.example.com/a', ?, ?, 'matches', ?, ?, ?)",
    )
    const at = new Date(0).toISOString()
    for (let count = 0; count < 10_000; count++) insert.run(`t${count}`, A, at, at, at)
    const prepared: string[] = []
    const prepare = sqlite.prepare.bind(sqlite)
    sqlite.prepare = (sql: string) => {
      prepared.push(sql)
      return prepare(sql)
    }
    new SqliteSignedTags(database)
    const plans = prepared
      .filter((sql) => !sql.startsWith('INSERT'))
      .map((sql) => explain(sql.replace(/[:?]\w*/g, "'x'").replace("LIMIT 'x'", 'LIMIT 1')))
    for (const plan of plans) expect(plan).not.to.match(/SCAN signed_tags(?! USING (COVERING )?INDEX)/)
    // One of these is the number of all: over the queue, without the rows.
    expect(plans.join('\n').match(/SCAN signed_tags.*signed_tags_by_queue/g)).to.have.length(1)
    expect(plans.length).to.be.above(6)

    function explain(sql: string): string {
      const rows = prepare<[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all()
      return rows.map(({ detail }) => detail).join('\n')
    }
  })

  it('begin with what was signed before: the last signature of each tag, unless it was taken away', async () => {
    const world = await World.withRepository()
    try {
      for (const [tag, letter] of [
        ['1.0', 'a'],
        ['2.0', 'a'],
        ['1.0', 'b'],
        ['3.0', 'c'],
      ] as const) {
        world.registry.push(app, tag, letter)
        await world.sign(`${app}:${tag}`)
      }
      await world.unsign(`${app}:3.0`)
      const { sqlite } = world.database
      sqlite.exec('DROP TABLE signed_tags')
      sqlite.exec(SCHEMA.migrations[9] ?? '')
      const rows = sqlite
        .prepare<[], { tag: string; sha256: string; queued_at: string }>('SELECT * FROM signed_tags')
        .all()
      expect(rows.map(({ tag, sha256, queued_at }) => [tag, sha256, queued_at])).to.deep.equal([
        ['1.0', B, ''],
        ['2.0', A, ''],
      ])
    } finally {
      world.close()
    }
  })
})
