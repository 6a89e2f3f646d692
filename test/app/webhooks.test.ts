// Webhooks as the daemon puts them together from its configuration, over a key holder in memory.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { stringify } from 'yaml'
import { systemPause, systemRandom } from '../../src/app/system.ts'
import { type AppWebhooks, connectWebhooks } from '../../src/app/webhooks.ts'
import { parseConfig } from '../../src/config/parse.ts'
import type { KeyHolder, RepositoryCustody } from '../../src/domain/ports.ts'
import type { Repository } from '../../src/domain/repository.ts'
import { Metrics } from '../../src/http/metrics.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { createLog } from '../../src/log.ts'
import { custodyOf } from '../../src/service/custody.ts'
import { createDatabase, type StoreDatabase } from '../../src/store/database.ts'
import { StoreError } from '../../src/store/errors.ts'
import { expectCode } from '../support/expect-code.ts'
import { CountingIdentifiers, ManualTime } from '../support/fakes/time.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { type Answer, type ScriptedServer, startScriptedServer } from '../support/scripted-server.ts'
import { newWebhookSecret, receive, webhookSecretFile } from '../support/webhook-receiver.ts'

const gun = parseGun('registry.example.com/team/app')
const secret = newWebhookSecret()
const still = new AbortController().signal

describe('webhooks of the daemon', () => {
  let scope: Scope
  let database: StoreDatabase
  let folder: string
  let receiver: ScriptedServer
  let answer: Answer
  let lines: string[]
  let metrics: Metrics
  let time: ManualTime
  let custody: Pick<RepositoryCustody, 'state' | 'frozenBecause'>
  let log: { size: number; rootHash: string }
  let isHolderUp: boolean

  beforeEach(async () => {
    scope = new Scope()
    folder = scope.folder('hooks')
    database = createDatabase(':memory:')
    scope.add(() => {
      database.close()
    })
    answer = (_, response) => response.writeHead(204).end()
    receiver = await startScriptedServer(scope, (heard, response) => {
      answer(heard, response)
    })
    lines = []
    time = new ManualTime()
    custody = { state: 'ready' }
    log = { size: 1, rootHash: 'AAAA' }
    isHolderUp = true
  })
  afterEach(() => scope.close())

  const keyHolder = {
    repositoryStatus: () =>
      isHolderUp
        ? Promise.resolve({ gun, ...custody })
        : Promise.reject(new KeyHolderError('KEY_HOLDER_UNREACHABLE', '')),
    status: () =>
      Promise.resolve({ log: { origin: 'countersign.test', publicKey: 'k', checkpoint: 'note\n', ...log } }),
    appendRecord: () => Promise.resolve(1),
  } as unknown as KeyHolder

  function connect(o: Readonly<Record<string, unknown>> = {}): AppWebhooks {
    const endpoint = {
      name: 'chat',
      url: `${receiver.url}/hook`,
      secretFile: webhookSecretFile(folder, 'secret', secret),
      allowPrivateAddresses: true,
      ...o,
    }
    const parsed = parseConfig(stringify({ webhooks: { endpoints: [endpoint] } }))
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
    const stopping = new AbortController()
    const webhooks = connectWebhooks({
      config: parsed.config.webhooks,
      database,
      repositories: { list: () => [{ gun, state: 'ready' }] as unknown as Repository[] },
      keyHolder,
      clock: time,
      identifiers: new CountingIdentifiers(),
      pause: systemPause(stopping.signal),
      random: systemRandom,
      log: createLog('info', { write: (line) => lines.push(line) }),
      metrics: () => metrics,
    })
    metrics = new Metrics('1', {
      unfinishedImages: () => new Map(),
      oldestUnfinishedSeconds: () => 0,
      isKeyHolderUp: () => Promise.resolve(true),
      daysToNextExpiry: () => undefined,
      webhookCounts: () => webhooks.counts(),
    })
    scope.add(async () => {
      stopping.abort()
      await webhooks.dispatcher.stop()
    })
    return webhooks
  }

  const heardTypes = () =>
    receiver.heard.map(({ body }) => (JSON.parse(body.toString('utf8')) as { type: string }).type)

  it('tell of a checkpoint of the audit log where it has changed, and no more often than is configured', async () => {
    const { watch, store } = connect({ events: ['audit.checkpoint'] })
    await watch.look(still)
    await watch.look(still)
    log = { size: 2, rootHash: 'BBBB' }
    await watch.look(still)
    time.advance(3_600_000)
    await watch.look(still)
    time.advance(3_600_000)
    await watch.look(still)
    await waitFor('two', () => store.counts('chat').delivered === 2 || undefined)
    const [first, second] = receiver.heard
    if (first === undefined || second === undefined) throw new Error('nothing came')
    // The events have the time of a clock that stands in the past; their signatures too.
    expect(() => receive(secret, first)).to.throw('too old')
    const data = (heard: typeof first) => (JSON.parse(heard.body.toString('utf8')) as { data: object }).data
    expect(data(first)).to.deep.equal({ origin: 'countersign.test', size: 1, rootHash: 'AAAA', checkpoint: 'note\n' })
    expect(data(second)).to.include({ size: 2, rootHash: 'BBBB' })
    await connect({ events: ['audit.checkpoint'] }).watch.look(still)
    expect(store.counts('chat'), 'remembered over a start').to.include({ pending: 0, delivered: 2 })
  })

  it('tell of a freeze once, whoever finds it first', async () => {
    const { watch, store } = connect({ events: ['repository.frozen'] })
    await watch.look(still)
    custody = { state: 'frozen', frozenBecause: 'unknown version 12 of targets/releases' }
    await custodyOf({ keyHolder, freezes: store, clock: time }, gun)
    await watch.look(still)
    await watch.look(still)
    await waitFor('the freeze', () => store.counts('chat').delivered === 1 || undefined)
    custody = { state: 'ready' }
    await watch.look(still)
    custody = { state: 'frozen' }
    await watch.look(still)
    await waitFor('the next freeze', () => store.counts('chat').delivered === 2 || undefined)
    expect(receiver.heard[0]?.body.toString('utf8')).to.include('unknown version 12')
  })

  it('a key holder that is away, or a store that is full, stands in nobody’s way', async () => {
    const { watch } = connect()
    isHolderUp = false
    await watch.look(still)
    isHolderUp = true
    custody = { state: 'frozen' }
    const freezes = {
      note: () => {
        throw new StoreError('STORE_UNWRITABLE', 'full')
      },
    }
    expect((await custodyOf({ keyHolder, freezes, clock: time }, gun)).state).to.equal('frozen')
  })

  it('ask nothing that nobody wants to know', async () => {
    isHolderUp = false
    const { watch } = connect({ events: ['request.failed'] })
    await watch.look(still)
    expect(heardTypes()).to.deep.equal([])
  })

  it('are counted and logged, without what they hold', async () => {
    answer = (_, response) => response.writeHead(500).end('a secret of the receiver')
    const { store, service } = connect()
    store.note(gun, 'a reason that somebody wrote', time.now())
    await waitFor('the attempt', () => lines.find((line) => line.includes('WEBHOOK_REFUSED')))
    let text = await metrics.print()
    expect(text).to.include('countersign_webhook_deliveries_total{endpoint="chat",result="failed"} 1')
    expect(text).to.include('countersign_webhook_pending{endpoint="chat"} 1')
    expect(text).to.include('countersign_webhook_dead{endpoint="chat"} 0')
    answer = (_, response) => response.writeHead(410).end()
    const all = [{ grant: 'operator' as const, repositories: service.list(operatorOfAll())[0]?.repositories ?? [] }]
    await service.redeliver({ id: 'token-1', name: 'operator', grants: all }, 'chat', 'event-000001')
    await waitFor('410', () => lines.find((line) => line.includes('WEBHOOK_GONE')))
    text = await metrics.print()
    expect(text).to.include('countersign_webhook_deliveries_total{endpoint="chat",result="gone"} 1')
    expect(lines.join('')).not.to.match(/a reason that|a secret of|whsec_/)
    expect(lines.join('')).not.to.include(secret)
  })

  function operatorOfAll(): Parameters<AppWebhooks['service']['list']>[0] {
    return { id: 'token-1', name: 'operator', grants: [{ grant: 'operator', repositories: ['*' as never] }] }
  }

  it('show neither path nor secret', () => {
    const [report] = connect().service.list(operatorOfAll())
    expect(report?.origin).to.equal(receiver.url)
    expect(JSON.stringify(report)).not.to.match(/hook|whsec|secret/i)
  })

  it('sign with both secrets while one is changed, read anew each time', async () => {
    const previous = newWebhookSecret()
    const { service } = connect({ previousSecretFile: webhookSecretFile(folder, 'previous', previous) })
    time.advance(Date.now() - time.now().getTime())
    await service.test(operatorOfAll(), 'chat')
    webhookSecretFile(folder, 'secret', newWebhookSecret())
    await service.test(operatorOfAll(), 'chat')
    const [first, second] = receiver.heard
    if (first === undefined || second === undefined) throw new Error('nothing came')
    expect([receive(secret, first).type, receive(previous, first).type]).to.deep.equal(['ping', 'ping'])
    expect(receive(previous, second).data).to.deep.equal({ endpoint: 'chat' })
    expect(() => receive(secret, second)).to.throw()
    chmodSync(join(folder, 'secret'), 0o644)
    expect((await service.test(operatorOfAll(), 'chat')).attempt).to.include({ code: 'SECRET_FILE_EXPOSED' })
    expect(receiver.heard).to.have.length(2)
  })

  it('an endpoint that is gone is active again when it is configured otherwise', () => {
    connect().store.setEndpoint('chat', { state: 'gone', since: time.now() })
    expect(connect().store.endpoint('chat').state).to.equal('gone')
    expect(connect({ url: `${receiver.url}/moved` }).store.endpoint('chat').state).to.equal('active')
  })

  describe('refuse at the start', () => {
    it('a secret that is none', () => {
      expectCode('SECRET_FILE_MALFORMED', () => connect({ secretFile: webhookSecretFile(folder, 'bad', 'whsec_x') }))
    })

    it('a secret that others can read', () => {
      const path = webhookSecretFile(folder, 'open')
      chmodSync(path, 0o644)
      expectCode('SECRET_FILE_EXPOSED', () => connect({ secretFile: path }))
      expectCode('SECRET_FILE_EXPOSED', () => connect({ previousSecretFile: path }))
    })

    it('files that are not there', () => {
      expectCode('SECRET_FILE_UNREADABLE', () => connect({ secretFile: join(folder, 'none') }))
      expectCode('CONFIG_UNREADABLE', () => connect({ caFile: join(folder, 'none') }))
    })

    it('a certificate authority that is none, at the first attempt', async () => {
      writeFileSync(join(folder, 'ca'), 'no certificate')
      const { service } = connect({ url: receiver.url.replace('http:', 'https:'), caFile: join(folder, 'ca') })
      expect((await service.test(operatorOfAll(), 'chat')).attempt).to.include({ code: 'NET_TLS' })
    })
  })
})
