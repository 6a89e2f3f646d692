import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { systemClock } from '../../src/app/system.ts'
import { parsePattern } from '../../src/domain/pattern.ts'
import type { Pause, WebhookMessage, WebhookSender, WebhookStore } from '../../src/domain/ports.ts'
import { type Attempt, RETRY_PAUSES_MS } from '../../src/domain/webhook-delivery.ts'
import { freezeNews, WEBHOOK_EVENT_TYPES } from '../../src/domain/webhook-event.ts'
import { type DeliveryObserver, WebhookDispatcher } from '../../src/service/webhook-dispatcher.ts'
import { createDatabase, type StoreDatabase } from '../../src/store/database.ts'
import { StoreError } from '../../src/store/errors.ts'
import { SqliteWebhookStore } from '../../src/store/webhooks.ts'
import { HttpWebhookSender } from '../../src/webhook/sender.ts'
import { CountingIdentifiers, CountingRandom, ManualTime } from '../support/fakes/time.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import { newWebhookSecret, receive } from '../support/webhook-receiver.ts'

const app = parseGun('registry.example.com/team/app')

interface Sent extends WebhookMessage {
  readonly endpoint: string
  readonly at: number
}

/** Answers as it is told; without an answer it hangs. */
class FakeSender implements WebhookSender {
  readonly sent: Sent[] = []
  answer: (sent: Sent) => Attempt | undefined = () => ({ outcome: 'accepted', status: 200 })
  readonly #hanging: ((attempt: Attempt) => void)[] = []

  send(endpoint: string, message: WebhookMessage, now: Date): Promise<Attempt> {
    const sent = { endpoint, ...message, at: now.getTime() }
    this.sent.push(sent)
    const answer = this.answer(sent)
    if (answer !== undefined) return Promise.resolve(answer)
    return new Promise((resolve) => this.#hanging.push(resolve))
  }

  get hanging(): number {
    return this.#hanging.length
  }

  release(attempt: Attempt): void {
    this.#hanging.shift()?.(attempt)
  }

  close(): Promise<void> {
    for (const end of this.#hanging.splice(0)) end({ outcome: 'failed', code: 'NET_RESET' })
    return Promise.resolve()
  }
}

const refused: Attempt = { outcome: 'failed', code: 'WEBHOOK_REFUSED', status: 500 }

describe('WebhookDispatcher', () => {
  let database: StoreDatabase
  let sender: FakeSender
  let time: ManualTime
  let told: Parameters<DeliveryObserver['attempted']>[0][]
  let troubles: unknown[]
  let lost: number
  const running: WebhookDispatcher[] = []

  beforeEach(() => {
    database = createDatabase(':memory:')
    sender = new FakeSender()
    time = new ManualTime()
    told = []
    troubles = []
    lost = 0
  })
  afterEach(async () => {
    for (const dispatcher of running.splice(0)) await dispatcher.stop()
    database.close()
  })

  /** As after a start: what is in the store is all that is known. */
  function start(
    names: readonly string[] = ['one'],
    o: { store?: (store: WebhookStore) => WebhookStore; sender?: WebhookSender; pause?: Pause } = {},
  ): { store: SqliteWebhookStore; dispatcher: WebhookDispatcher; tell: (reason: string) => void } {
    const endpoints = names.map((name) => ({
      name,
      events: WEBHOOK_EVENT_TYPES,
      repositories: [parsePattern('*')],
      configuration: 'c',
    }))
    const identifiers = new CountingIdentifiers()
    const store = new SqliteWebhookStore({
      database,
      endpoints,
      identifiers,
      onRecorded: () => {
        dispatcher.wake()
      },
    })
    store.takeConfiguration(time.now())
    const dispatcher = new WebhookDispatcher(
      {
        store: o.store?.(store) ?? store,
        sender: o.sender ?? sender,
        clock: o.pause === undefined ? time : systemClock,
        pause: o.pause ?? time,
        random: new CountingRandom(),
        observer: {
          attempted: (event) => told.push(event),
          troubled: ({ error }) => troubles.push(error),
          lost: ({ undelivered }) => (lost += undelivered),
        },
      },
      names,
    )
    running.push(dispatcher)
    return {
      store,
      dispatcher,
      tell: (reason) => {
        store.record(freezeNews(app, reason, (o.pause === undefined ? time : systemClock).now()))
      },
    }
  }

  it('delivers at once, once, to everybody', async () => {
    const { store, tell } = start(['one', 'two'])
    tell('a')
    await waitFor(
      'deliveries',
      () => (store.counts('one').delivered === 1 && store.counts('two').delivered === 1) || undefined,
    )
    expect(sender.sent.map(({ endpoint, id }) => [endpoint, id])).to.deep.equal([
      ['one', 'event-000001'],
      ['two', 'event-000001'],
    ])
    expect(sender.sent[0]?.body).to.equal(sender.sent[1]?.body)
    expect(told.map(({ result, attempt, status }) => [result, attempt, status])).to.deep.equal([
      ['delivered', 1, 200],
      ['delivered', 1, 200],
    ])
  })

  it('tries again with growing pauses, then gives up; all under one id and with one text', async () => {
    sender.answer = () => refused
    const { store, tell } = start()
    tell('a')
    await waitFor('the end', () => store.counts('one').dead === 1 || undefined)
    expect(new Set(sender.sent.map(({ id, body }) => id + body)).size).to.equal(1)
    expect(sender.sent).to.have.length(RETRY_PAUSES_MS.length + 1)
    for (const [index, pause] of RETRY_PAUSES_MS.entries()) {
      const waited = (sender.sent[index + 1]?.at ?? 0) - (sender.sent[index]?.at ?? 0)
      // The clock is looked at once a minute at least, and of a fake one a look takes all of that time.
      expect(waited).to.be.within(pause, pause * 1.2 + 60_000)
    }
    expect(told.map(({ result }) => result)).to.deep.equal([...RETRY_PAUSES_MS.map(() => 'failed'), 'dead'])
    const { length } = sender.sent
    time.advance(30 * 86_400_000)
    tell('b')
    await waitFor('the second', () => sender.sent.length > length || undefined)
    expect(sender.sent.slice(0, length).every(({ id }) => id === 'event-000001')).to.equal(true)
    expect(sender.sent[length]?.id, 'the dead one is left alone').to.equal('event-000002')
  })

  it('fails, then recovers', async () => {
    sender.answer = () => (sender.sent.length < 4 ? refused : { outcome: 'accepted', status: 204 })
    const { store, tell } = start()
    tell('a')
    await waitFor('the delivery', () => store.counts('one').delivered === 1 || undefined)
    expect(store.find('one', 'event-000001')).to.include({ attempts: 4, lastStatus: 204 })
  })

  it('waits as long as the receiver asks', async () => {
    sender.answer = () =>
      sender.sent.length === 1
        ? { outcome: 'failed', code: 'WEBHOOK_REFUSED', status: 429, retryAfterMs: 7_200_000 }
        : { outcome: 'accepted', status: 200 }
    const { store, tell } = start()
    tell('a')
    await waitFor('the delivery', () => store.counts('one').delivered === 1 || undefined)
    expect((sender.sent[1]?.at ?? 0) - (sender.sent[0]?.at ?? 0)).to.be.at.least(7_200_000)
  })

  it('leaves an endpoint that is gone alone, keeps its events, and sends them when it is enabled', async () => {
    sender.answer = () => ({ outcome: 'gone', status: 410, code: 'WEBHOOK_GONE' })
    const { store, dispatcher, tell } = start()
    tell('a')
    await waitFor('410', () => store.endpoint('one').state === 'gone' || undefined)
    for (const reason of ['b', 'c']) tell(reason)
    time.advance(86_400_000)
    dispatcher.wake()
    await time.wait(1)
    expect(sender.sent).to.have.length(1)
    expect(told.map(({ result, code }) => [result, code])).to.deep.equal([['gone', 'WEBHOOK_GONE']])
    expect(store.counts('one')).to.deep.equal({ pending: 3, delivered: 0, dead: 0 })
    sender.answer = () => ({ outcome: 'accepted', status: 200 })
    store.setEndpoint('one', { state: 'active', since: time.now() })
    dispatcher.wake()
    await waitFor('all', () => store.counts('one').delivered === 3 || undefined)
  })

  it('has few attempts under way for one endpoint, and none of them holds up another', async () => {
    sender.answer = ({ endpoint }) => (endpoint === 'slow' ? undefined : { outcome: 'accepted', status: 200 })
    const { store, tell } = start(['slow', 'fast'])
    for (let index = 0; index < 50; index++) tell(`reason ${index}`)
    await waitFor('the fast one', () => store.counts('fast').delivered === 50 || undefined)
    expect(sender.hanging).to.equal(4)
    for (let index = 0; index < 50; index++) {
      await waitFor('the next', () => sender.hanging > 0 || undefined)
      sender.release({ outcome: 'accepted', status: 200 })
    }
    await waitFor('the slow one', () => store.counts('slow').delivered === 50 || undefined)
    const ids = sender.sent.filter(({ endpoint }) => endpoint === 'slow').map(({ id }) => id)
    expect(new Set(ids).size, 'each once').to.equal(50)
    expect(ids).to.have.length(50)
  })

  it('goes on after a start where it was stopped, under the same id; what was broken off counts for nothing', async () => {
    sender.answer = () => undefined
    const first = start()
    first.tell('a')
    await waitFor('the attempt', () => sender.hanging === 1 || undefined)
    await first.dispatcher.stop()
    expect(first.store.find('one', 'event-000001')).to.include({ state: 'pending', attempts: 0 })
    sender.answer = () => ({ outcome: 'accepted', status: 200 })
    const second = start()
    second.dispatcher.wake()
    await waitFor('the delivery', () => second.store.counts('one').delivered === 1 || undefined)
    expect(sender.sent.map(({ id }) => id)).to.deep.equal(['event-000001', 'event-000001'])
    expect(sender.sent[0]?.body).to.equal(sender.sent[1]?.body)
  })

  it('does not send again and again while the store cannot be written', async () => {
    let isFull = true
    const store = (inner: WebhookStore): WebhookStore =>
      new Proxy(inner, {
        get: (target, name) => {
          if (name === 'update' && isFull) {
            return () => {
              throw new StoreError('STORE_UNWRITABLE', 'full')
            }
          }
          const member: unknown = Reflect.get(target, name)
          return typeof member === 'function' ? (member.bind(target) as unknown) : member
        },
      })
    const { tell, store: real } = start(['one'], { store })
    tell('a')
    await waitFor('some troubles', () => troubles.length >= 3 || undefined)
    isFull = false
    await waitFor('the delivery', () => real.counts('one').delivered === 1 || undefined)
    for (const [index, { at }] of sender.sent.slice(1).entries()) {
      expect(at - (sender.sent[index]?.at ?? 0)).to.be.at.least(5_000)
    }
  })

  it('a defect of ours costs a pause, and neither the process nor the event', async () => {
    sender.answer = () => {
      if (sender.sent.length === 1) throw new Error('defect')
      return { outcome: 'accepted', status: 200 }
    }
    const { store, tell } = start()
    tell('a')
    await waitFor('the delivery', () => store.counts('one').delivered === 1 || undefined)
    expect(troubles).to.have.length(1)
    expect((sender.sent[1]?.at ?? 0) - (sender.sent[0]?.at ?? 0)).to.be.at.least(5_000)
  })

  it('forgets what is old, and says what was lost', async () => {
    sender.answer = () => undefined
    const { store, dispatcher, tell } = start()
    tell('a')
    time.advance(31 * 86_400_000)
    await dispatcher.prune(new AbortController().signal)
    expect(lost).to.equal(1)
    expect(store.counts('one')).to.deep.equal({ pending: 0, delivered: 0, dead: 0 })
  })

  it('what an observer throws is dropped', async () => {
    const { store, tell } = start()
    told.push = () => {
      throw new Error('observer')
    }
    tell('a')
    await waitFor('the delivery', () => store.counts('one').delivered === 1 || undefined)
  })

  it('over HTTP: a receiver that hangs, one that never ends and one that is well, side by side', async () => {
    const scope = new Scope()
    try {
      const secret = newWebhookSecret()
      const hanging = await startScriptedServer(scope, () => undefined)
      const endless = await startScriptedServer(scope, (_, r) => void r.writeHead(500).write('x'))
      const well = await startScriptedServer(scope, (_, r) => r.end('ok'))
      const options = { tls: {}, timeoutMs: 20_000, allowPrivateAddresses: true, readSecrets: () => [secret] }
      const http = new HttpWebhookSender([
        { name: 'hanging', url: hanging.url, ...options },
        { name: 'endless', url: endless.url, ...options },
        { name: 'well', url: well.url, ...options },
      ])
      const pause: Pause = { wait: () => new Promise(() => undefined) }
      const { store, dispatcher, tell } = start(['hanging', 'endless', 'well'], { sender: http, pause })
      for (let index = 0; index < 20; index++) tell(`reason ${index}`)
      await waitFor('the well one', () => store.counts('well').delivered === 20 || undefined)
      expect(new Set(well.heard.map((heard) => receive(secret, heard).id)).size).to.equal(20)
      expect([hanging.heard.length, endless.heard.length]).to.deep.equal([4, 4])
      await dispatcher.stop()
      expect(store.counts('hanging')).to.deep.equal({ pending: 20, delivered: 0, dead: 0 })
    } finally {
      await scope.close()
    }
  })
})
