// Events in the store: written with what they tell, once, for whom they are meant; and forgotten in time.
import { parseGun, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { parsePattern } from '../../src/domain/pattern.ts'
import type { ImageUpdate } from '../../src/domain/ports.ts'
import {
  isFinal,
  next,
  requestStatus,
  type RequestEvent,
  type RequestStatus,
} from '../../src/domain/signing-request.ts'
import { freezeNews, WEBHOOK_EVENT_TYPES } from '../../src/domain/webhook-event.ts'
import { createDatabase, type StoreDatabase } from '../../src/store/database.ts'
import { SqliteRequestStore } from '../../src/store/requests.ts'
import { type ConfiguredEndpoint, SqliteWebhookStore } from '../../src/store/webhooks.ts'
import { approved, request } from '../contract/request-store.contract.ts'
import { expectCode } from '../support/expect-code.ts'
import { CountingIdentifiers } from '../support/fakes/time.ts'

const app = parseGun('registry.example.com/team/app')
const other = parseGun('registry.example.com/other/app')
const at = new Date('2026-05-01T10:00:00.123Z')
const DAY_MS = 86_400_000

function endpoint(name: string, o: Partial<ConfiguredEndpoint> = {}): ConfiguredEndpoint {
  return { name, events: WEBHOOK_EVENT_TYPES, repositories: [parsePattern('*')], configuration: 'c1', ...o }
}

describe('events in the store', () => {
  let database: StoreDatabase
  beforeEach(() => {
    database = createDatabase(':memory:')
  })
  afterEach(() => {
    database.close()
  })

  function open(endpoints: readonly ConfiguredEndpoint[], o: { maxEvents?: number; onRecorded?: () => void } = {}) {
    const webhooks = new SqliteWebhookStore({ database, endpoints, identifiers: new CountingIdentifiers(), ...o })
    webhooks.takeConfiguration(at)
    return { webhooks, requests: new SqliteRequestStore(database, webhooks) }
  }

  const rows = (sql: string) => database.sqlite.prepare<[], { type: string; subject: string }>(sql).all()
  const events = () => rows('SELECT type, subject FROM webhook_events ORDER BY sequence').map(({ type }) => type)

  const decision = { outcome: 'allow' as const, reasons: [], policyDigest: 'd'.repeat(64), at }
  const asking = { ...decision, approvals: { required: 1, from: ['people'], expiresAt: at } }
  const approval = { person: 'ann', approver: 'token-2', at, digest: 'd'.repeat(64) }
  const roles = [{ role: RELEASES, version: 5, sha256: 'c'.repeat(64) }]
  const EVENTS: readonly RequestEvent[] = [
    { type: 'decided', decision },
    { type: 'decided', decision: { ...decision, outcome: 'deny' } },
    { type: 'decided', decision: asking },
    { type: 'approval-given', approval },
    { type: 'approvals-complete' },
    { type: 'approval-denied', denial: { person: 'ann', approver: 'token-2', reason: 'no' } },
    { type: 'reconsidered', decision: asking },
    { type: 'reconsidered', decision: { ...asking, policyDigest: 'e'.repeat(64), standing: 'e'.repeat(64) } },
    { type: 'intent-saved', publication: 'publication-1' },
    { type: 'signed' },
    { type: 'sending' },
    { type: 'proven', roles },
    { type: 'found-unchanged', roles },
    { type: 'conflict' },
    { type: 'failed', error: { code: 'DIGEST_MISMATCH', detail: 'd' } },
    { type: 'withdrawn' },
    { type: 'expired' },
  ]

  it('whatever way a request goes, its end is told exactly once, and nothing is told twice', () => {
    const EXPECTED = { published: 'request.published', partial: 'request.failed' } as Readonly<Record<string, string>>
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.tuple(fc.nat(2), fc.constantFrom(...EVENTS)), { maxLength: 60 }),
        fc.boolean(),
        (images, steps, isDecided) => {
          database.close()
          database = createDatabase(':memory:')
          const { requests } = open([endpoint('one'), endpoint('two')])
          const record = approved(app, '1')
          const start = isDecided ? record : ({ status: 'submitted', subject: record.subject, at } as const)
          requests.create(request('request-1', ...Array.from({ length: images }, () => start)))
          database.sqlite.exec(`INSERT INTO publications VALUES ('publication-1', '${app}', '{}', '')`)
          const seen: RequestStatus[] = isDecided ? ['approved'] : ['submitted']
          for (const [position, event] of steps) {
            const image = requests.find('request-1')?.images[position]
            if (image === undefined) continue
            const moved = next(image.record, event, at)
            if (!moved.ok) continue
            requests.save([{ request: 'request-1', position, revision: image.revision, record: moved.record }])
            const status = requestStatus(requests.find('request-1')?.images ?? [])
            if (status !== seen.at(-1)) seen.push(status)
          }
          // Told is each way into waiting, approval (unless a publication was given up) and the end.
          const expected = seen.flatMap((status, index) => {
            if (isFinal(status)) return [EXPECTED[status] ?? `request.${status}`]
            if (status === 'awaiting-approval') return ['request.waiting']
            const isGivenUp = ['intended', 'signed', 'publishing'].includes(seen[index - 1] ?? '')
            return status === 'approved' && !isGivenUp ? ['request.approved'] : []
          })
          const told = events()
          expect(told).to.deep.equal(expected)
          expect(told.filter((type) => !['request.approved', 'request.waiting'].includes(type))).to.have.length(
            seen.filter(isFinal).length,
          )
          const { count } = database.sqlite
            .prepare<[], { count: number }>('SELECT count(*) AS count FROM webhook_deliveries')
            .get() ?? { count: 0 }
          expect(count).to.equal(2 * told.length)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('a request that a repetition finds again is told once', () => {
    const { requests } = open([endpoint('one')])
    const key = { principal: 'token-1', key: 'k', bodySha256: '1'.repeat(64) }
    requests.createAll([
      [request('request-1', approved(app, '1')), key],
      [request('request-2', approved(app, '1')), key],
    ])
    expect(events()).to.deep.equal(['request.approved'])
  })

  it('what is rolled back is told to nobody', () => {
    const { requests } = open([endpoint('one')])
    requests.create(request('request-1', approved(app, '1'), approved(app, '2')))
    const update = (position: number, revision: number): ImageUpdate => ({
      request: 'request-1',
      position,
      revision,
      record: { status: 'withdrawn', subject: approved(app, '1').subject, at },
    })
    expectCode('RECORD_CHANGED', () => {
      requests.save([update(0, 1), update(1, 7)])
    })
    expect(events()).to.deep.equal(['request.approved'])
    requests.save([update(0, 1), update(1, 1)])
    expect(events()).to.deep.equal(['request.approved', 'request.withdrawn'])
  })

  it('nothing is written where nobody wants it', () => {
    const { requests } = open([
      endpoint('failures', { events: ['request.failed'] }),
      endpoint('others', { repositories: [parsePattern('registry.example.com/other/*')] }),
    ])
    requests.create(request('request-1', approved(app, '1')))
    expect(events()).to.deep.equal([])
    requests.create(request('request-2', approved(app, '1'), approved(other, '1')))
    expect(rows('SELECT e.type, d.endpoint AS subject FROM webhook_deliveries d, webhook_events e')).to.deep.equal([
      { type: 'request.approved', subject: 'others' },
    ])
  })

  it('a freeze is told once, and again after it has ended or with another reason', () => {
    const { webhooks } = open([endpoint('one')])
    for (const reason of [undefined, 'a', 'a', 'b', undefined, undefined, 'b', 'b']) webhooks.note(app, reason, at)
    expect(events()).to.deep.equal(['repository.frozen', 'repository.frozen', 'repository.frozen'])
    open([endpoint('one')]).webhooks.note(app, 'b', at)
    expect(events(), 'remembered over a start').to.have.length(3)
  })

  it('an expiry is told once at each distance, over a start too, and anew when its date has moved', () => {
    const told: number[] = []
    const note = (hooks: SqliteWebhookStore, expiresAt: Date, ...days: number[]): void => {
      for (const one of days) {
        hooks.noteExpiry({ gun: app, role: RELEASES, expiresAt, days: one }, () => {
          told.push(one)
          return freezeNews(app, 'stands for an expiry', at)
        })
      }
    }
    const { webhooks } = open([endpoint('one')])
    note(webhooks, at, 180, 180, 90, 180, 30, 30)
    expect(told).to.deep.equal([180, 90, 30])
    note(open([endpoint('one')]).webhooks, at, 90, 30)
    expect(told, 'remembered over a start').to.have.length(3)
    note(webhooks, at, 7)
    expect(told).to.deep.equal([180, 90, 30, 7])
    note(webhooks, new Date(at.getTime() + 1095 * DAY_MS), 180)
    expect(told).to.deep.equal([180, 90, 30, 7, 180])
    expect(events()).to.have.length(5)
  })

  it('an expiry that nobody wants to hear of is not noted, so that a later endpoint hears of it', () => {
    const expiry = { gun: app, role: RELEASES, expiresAt: at, days: 90 }
    open([endpoint('one', { events: ['request.failed'] })]).webhooks.noteExpiry(expiry, () => {
      throw new Error('made for nobody')
    })
    open([endpoint('one')]).webhooks.noteExpiry(expiry, () => freezeNews(app, 'stands for an expiry', at))
    expect(events()).to.have.length(1)
  })

  it('a text that is stored is the text that is sent, with its identifier, until it is delivered', () => {
    const { webhooks, requests } = open([endpoint('one')])
    requests.create(request('request-1', approved(app, '1')))
    const [first] = webhooks.due('one', at, 10)
    const [again] = open([endpoint('one')]).webhooks.due('one', at, 10)
    expect(again).to.deep.equal(first)
    expect(JSON.parse(first?.body ?? '')).to.nested.include({ type: 'request.approved', 'data.id': 'request-1' })
    expect(webhooks.nextTry('one', at)).to.equal(undefined)
    const later = new Date(at.getTime() + 5000)
    webhooks.update('one', first?.id ?? '', { state: 'pending', attempts: 1, nextTryAt: later, lastCode: 'NET_RESET' })
    expect(webhooks.due('one', at, 10)).to.deep.equal([])
    expect(webhooks.nextTry('one', at)).to.deep.equal(later)
    webhooks.update('one', first?.id ?? '', { state: 'delivered', attempts: 2, lastStatus: 200 })
    expect(webhooks.due('one', later, 10)).to.deep.equal([])
    expect(webhooks.counts('one')).to.deep.equal({ pending: 0, delivered: 1, dead: 0 })
    expect(webhooks.find('one', first?.id ?? '')).to.include({ state: 'delivered', attempts: 2, lastStatus: 200 })
  })

  it('an endpoint stays gone over a start, until it is configured otherwise', () => {
    const { webhooks } = open([endpoint('one'), endpoint('two')])
    webhooks.setEndpoint('one', { state: 'gone', since: at })
    expect(open([endpoint('one')]).webhooks.endpoint('one')).to.deep.equal({ state: 'gone', since: at })
    const changed = open([endpoint('one', { configuration: 'c2' }), endpoint('two')]).webhooks
    expect([changed.endpoint('one').state, changed.endpoint('two').state]).to.deep.equal(['active', 'active'])
    expectCode('STORE_DAMAGED', () => changed.endpoint('three'))
  })

  describe('are listed', () => {
    it('newest first, by state, in pages that meet', () => {
      const { webhooks } = open([endpoint('one'), endpoint('two')])
      for (let index = 0; index < 7; index++) webhooks.record(freezeNews(app, `reason ${index}`, at))
      const ids = webhooks.due('one', at, 100).map(({ id }) => id)
      for (const id of ids.slice(0, 4)) webhooks.update('one', id, { state: 'dead', attempts: 8 })
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = webhooks.list({ endpoint: 'one', limit: 3, ...(cursor !== undefined && { cursor }) })
        seen.push(...page.deliveries.map(({ id }) => id))
        cursor = page.nextCursor
      } while (cursor !== undefined)
      expect(seen).to.deep.equal([...ids].reverse())
      const dead = webhooks.list({ endpoint: 'one', limit: 200, state: 'dead' })
      expect(dead.deliveries.map(({ id }) => id)).to.deep.equal(ids.slice(0, 4).reverse())
      expect(dead.nextCursor).to.equal(undefined)
      expect(webhooks.list({ endpoint: 'two', limit: 200, state: 'dead' }).deliveries).to.deep.equal([])
    })

    for (const cursor of ['', 'x', 'd', 'r1', `d${'9'.repeat(30)}`]) {
      it(`but not with the cursor ${JSON.stringify(cursor)}`, () => {
        expectCode('CURSOR_INVALID', () => open([endpoint('one')]).webhooks.list({ endpoint: 'one', limit: 1, cursor }))
      })
    }
  })

  describe('are forgotten', () => {
    it('after thirty days, and it is counted who never got them', () => {
      const { webhooks } = open([endpoint('one'), endpoint('two')])
      webhooks.record(freezeNews(app, 'old', at))
      webhooks.record(freezeNews(app, 'new', new Date(at.getTime() + 20 * DAY_MS)))
      const [old] = webhooks.due('one', at, 1)
      webhooks.update('one', old?.id ?? '', { state: 'delivered', attempts: 1 })
      expect(webhooks.prune(new Date(at.getTime() + 29 * DAY_MS))).to.deep.equal({ events: 0, undelivered: 0 })
      expect(webhooks.prune(new Date(at.getTime() + 31 * DAY_MS))).to.deep.equal({ events: 1, undelivered: 1 })
      expect(events()).to.have.length(1)
      expect(rows('SELECT endpoint AS type, 1 AS subject FROM webhook_deliveries')).to.have.length(2)
    })

    it('beyond a number, the oldest first', () => {
      const { webhooks } = open([endpoint('one')], { maxEvents: 10 })
      for (let index = 0; index < 25; index++) webhooks.record(freezeNews(app, `reason ${index}`, at))
      expect(webhooks.prune(at)).to.deep.equal({ events: 15, undelivered: 15 })
      expect(webhooks.prune(at)).to.deep.equal({ events: 0, undelivered: 0 })
      expect(webhooks.due('one', at, 100).map(({ body }) => body)[0]).to.include('reason 15')
    })
  })

  it('whoever delivers is woken once for each', () => {
    let woken = 0
    const { webhooks, requests } = open([endpoint('one', { events: ['request.approved'] })], {
      onRecorded: () => woken++,
    })
    requests.create(request('request-1', approved(app, '1')))
    webhooks.note(app, 'frozen', at)
    expect(woken).to.equal(1)
  })
})
