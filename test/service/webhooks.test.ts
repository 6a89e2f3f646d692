import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { parsePattern } from '../../src/domain/pattern.ts'
import type { WebhookMessage } from '../../src/domain/ports.ts'
import type { Attempt } from '../../src/domain/webhook-delivery.ts'
import { freezeNews, WEBHOOK_EVENT_TYPES } from '../../src/domain/webhook-event.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { Webhooks } from '../../src/service/webhooks.ts'
import { createDatabase, type StoreDatabase } from '../../src/store/database.ts'
import { SqliteWebhookStore } from '../../src/store/webhooks.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'
import { CountingIdentifiers, ManualTime } from '../support/fakes/time.ts'
import { everybody, principal } from '../support/fakes/world.ts'

const app = parseGun('registry.example.com/team/app')
const operator = principal('token-operator', ['operator', '*'])

describe('Webhooks', () => {
  let database: StoreDatabase
  let store: SqliteWebhookStore
  let service: Webhooks
  let records: [string, object][]
  let sent: WebhookMessage[]
  let woken: number
  let isHolderUp: boolean
  let answer: Attempt

  beforeEach(() => {
    database = createDatabase(':memory:')
    records = []
    sent = []
    woken = 0
    isHolderUp = true
    answer = { outcome: 'accepted', status: 200 }
    const time = new ManualTime()
    const identifiers = new CountingIdentifiers()
    const endpoint = {
      name: 'chat',
      origin: 'https://hooks.example.com',
      events: WEBHOOK_EVENT_TYPES,
      repositories: [parsePattern('*')],
      configuration: 'c',
    }
    store = new SqliteWebhookStore({ database, endpoints: [endpoint], identifiers })
    store.takeConfiguration(time.now())
    store.record(freezeNews(app, 'a', time.now()))
    service = new Webhooks({
      store,
      sender: {
        send: (_, message) => {
          sent.push(message)
          return Promise.resolve(answer)
        },
        close: () => Promise.resolve(),
      },
      keyHolder: {
        appendRecord: (kind, facts) => {
          if (!isHolderUp) return Promise.reject(new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'away'))
          records.push([kind, facts])
          return Promise.resolve(1)
        },
      },
      clock: time,
      identifiers,
      endpoints: [endpoint],
      wake: () => woken++,
    })
  })
  afterEach(() => {
    database.close()
  })

  const strangers = [
    principal('reader', ['read', '*']),
    principal('administrator', ['admin', '*']),
    principal('submitter', ['submit', '*']),
    principal('operator of some', ['operator', 'registry.example.com/*'], ['operator', '*/*'], ['read', '*']),
  ]
  for (const stranger of strangers) {
    it(`are none of the business of: ${stranger.id}`, async () => {
      expectCode('NOT_PERMITTED', () => service.list(stranger))
      expectCode('NOT_PERMITTED', () => service.deliveries(stranger, { endpoint: 'chat', limit: 1 }))
      await expectCodeAsync('NOT_PERMITTED', () => service.redeliver(stranger, 'chat', 'event-000001'))
      await expectCodeAsync('NOT_PERMITTED', () => service.enable(stranger, 'chat'))
      await expectCodeAsync('NOT_PERMITTED', () => service.test(stranger, 'chat'))
      expect([records, sent]).to.deep.equal([[], []])
    })
  }

  it('are listed for operators of everything', () => {
    for (const one of [operator, everybody]) {
      const [report] = service.list(one)
      expect(report).to.include({ name: 'chat', state: 'active' })
      expect(report?.counts).to.deep.equal({ pending: 1, delivered: 0, dead: 0 })
    }
  })

  it('have names and deliveries, and no others', async () => {
    expectCode('WEBHOOK_NOT_FOUND', () => service.deliveries(operator, { endpoint: 'x', limit: 1 }))
    await expectCodeAsync('WEBHOOK_NOT_FOUND', () => service.redeliver(operator, 'x', 'event-000001'))
    await expectCodeAsync('WEBHOOK_NOT_FOUND', () => service.enable(operator, 'x'))
    await expectCodeAsync('WEBHOOK_NOT_FOUND', () => service.test(operator, 'x'))
    await expectCodeAsync('WEBHOOK_DELIVERY_NOT_FOUND', () => service.redeliver(operator, 'chat', 'event-9'))
  })

  it('send a dead one again, from the first attempt on, and the log says who asked', async () => {
    store.update('chat', 'event-000001', { state: 'dead', attempts: 8, lastStatus: 500, lastCode: 'WEBHOOK_REFUSED' })
    const { deliveries } = service.deliveries(operator, { endpoint: 'chat', limit: 10, state: 'dead' })
    expect(deliveries.map(({ id }) => id)).to.deep.equal(['event-000001'])
    const delivery = await service.redeliver(operator, 'chat', 'event-000001')
    expect(delivery).to.include({ state: 'pending', attempts: 0, lastStatus: 500 })
    expect(woken).to.equal(1)
    expect(records).to.deep.equal([
      [
        'webhook-redelivered',
        { endpoint: 'chat', event: 'event-000001', type: 'repository.frozen', by: 'token-operator' },
      ],
    ])
  })

  it('are enabled again, and the log says who asked; where nothing changes, nothing is recorded', async () => {
    await service.enable(operator, 'chat')
    expect(records).to.deep.equal([])
    store.setEndpoint('chat', { state: 'gone', since: new Date(0) })
    expect(await service.enable(operator, 'chat')).to.include({ state: 'active' })
    expect(records).to.deep.equal([['webhook-enabled', { endpoint: 'chat', by: 'token-operator' }]])
    expect(woken).to.equal(1)
  })

  it('change nothing that cannot be recorded', async () => {
    isHolderUp = false
    store.setEndpoint('chat', { state: 'gone', since: new Date(0) })
    store.update('chat', 'event-000001', { state: 'dead', attempts: 8 })
    await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => service.enable(operator, 'chat'))
    await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => service.redeliver(operator, 'chat', 'event-000001'))
    expect(store.endpoint('chat').state).to.equal('gone')
    expect(store.counts('chat').dead).to.equal(1)
  })

  it('are tried with a ping, which changes nothing', async () => {
    answer = { outcome: 'gone', status: 410, code: 'WEBHOOK_GONE' }
    const { id, attempt } = await service.test(operator, 'chat')
    expect(attempt).to.equal(answer)
    expect(sent.map(({ type }) => type)).to.deep.equal(['ping'])
    expect(JSON.parse(sent[0]?.body ?? '')).to.deep.include({ type: 'ping', data: { endpoint: 'chat' } })
    expect(store.find('chat', id)).to.equal(undefined)
    expect(store.endpoint('chat').state).to.equal('active')
  })
})
