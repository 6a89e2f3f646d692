// The daemon, a real process, dies by SIGKILL between what happened and its delivery. Whoever is told hears of everything in the end,
// each under the identifier that it was first tried with.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { connectKeyHolder } from '../../src/holder/client.ts'
import { verifyCheckpoint } from '../../src/key-holder/checkpoint.ts'
import { KillablePair } from '../support/killable-pair.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { type Answer, type ScriptedServer, startScriptedServer } from '../support/scripted-server.ts'
import { newWebhookSecret, receive, type ReceivedEvent, webhookSecretFile } from '../support/webhook-receiver.ts'

const TAGS = 3

interface Endpoint {
  readonly name: string
  readonly state: string
  readonly pending: number
  readonly dead: number
}

describe('webhooks of a daemon that is killed', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const gun = parseGun('registry.example.com/team/app')
  const secret = newWebhookSecret()
  let pair: KillablePair
  let receiver: ScriptedServer
  let answer: Answer = () => undefined

  before(async () => {
    receiver = await startScriptedServer(scope, (heard, response) => {
      answer(heard, response)
    })
    const prepare = (folder: string): void => {
      mkdirSync(join(folder, 'hooks'), { mode: 0o700 })
      const file = join(folder, 'daemon.json')
      const config = JSON.parse(readFileSync(file, 'utf8')) as object
      const endpoint = {
        name: 'chat',
        url: `${receiver.url}/hook`,
        secretFile: webhookSecretFile(join(folder, 'hooks'), 'secret', secret),
        allowPrivateAddresses: true,
      }
      writeFileSync(file, JSON.stringify({ ...config, webhooks: { endpoints: [endpoint] } }), { mode: 0o600 })
    }
    pair = await KillablePair.start(scope, { prepare })
    await pair.initialize(gun)
  })
  after(() => scope.close())

  const events = (): ReceivedEvent[] => receiver.heard.map((heard) => receive(secret, heard))
  const endpoint = async (): Promise<Endpoint | undefined> => {
    const { body } = await pair.call('GET', 'webhooks')
    return (body as { endpoints: Endpoint[] }).endpoints[0]
  }
  const everythingDelivered = () =>
    waitFor('all deliveries', async () => ((await endpoint())?.pending === 0 ? true : undefined))

  it('are delivered by the next one: all of them, each under one id and with one text', async () => {
    for (let index = 0; index < TAGS; index++) expect(await pair.sign(gun, `t${index}`)).to.equal('published')
    // The receiver hangs: signing is done, and attempts are under way.
    await waitFor('attempts', () => receiver.heard.length >= 4 || undefined)
    const tried = events()
    await pair.process('daemon').kill()
    answer = (_, response) => response.writeHead(204).end()
    await pair.startAgain('daemon')
    await everythingDelivered()
    const texts = new Map<string, string>()
    for (const { headers, body } of receiver.heard) {
      const id = String(headers['webhook-id'])
      expect(texts.get(id) ?? body.toString('utf8')).to.equal(body.toString('utf8'))
      texts.set(id, body.toString('utf8'))
    }
    for (const { id } of tried) {
      const times = receiver.heard.filter(({ headers }) => headers['webhook-id'] === id).length
      expect(times, 'tried before and after').to.equal(2)
    }
    const ofRequests = [...new Map(events().map((event) => [event.id, event])).values()].filter(({ type }) =>
      type.startsWith('request.'),
    )
    const told = ofRequests.map(({ type, data }) => `${type} ${String((data['images'] as { tag: string }[])[0]?.tag)}`)
    expect(told.sort()).to.deep.equal(
      ['request.approved', 'request.published'].flatMap((type) =>
        Array.from({ length: TAGS }, (_, index) => `${type} t${index}`),
      ),
    )
    const key = readFileSync(join(pair.folder, 'keys/log/verifier-key'), 'utf8').trim()
    const checkpoints = events().filter(({ type }) => type === 'audit.checkpoint')
    expect(checkpoints).not.to.deep.equal([])
    for (const { data } of checkpoints) {
      const { origin, size } = verifyCheckpoint(String(data['checkpoint']), key)
      expect({ origin, size }).to.deep.equal({ origin: data['origin'], size: data['size'] })
    }
  })

  it('tell of a publication whatever step the daemon died at, once', async () => {
    for (const step of ['intent-saved', 'proof-saved'] as const) {
      const tag = `dead-${step}`
      pair.registry.pushManifest(gun, tag, tag)
      await pair.process('daemon').dieAt(step, 1)
      const submitted = pair.submit(gun, tag)
      await pair.process('daemon').ended()
      await pair.startAgain('daemon')
      const { id } = await pair.finished((await submitted).id)
      await everythingDelivered()
      const told = events().filter(({ data }) => data['id'] === id)
      const ids = new Set(told.map((event) => `${event.type} ${event.id}`))
      expect([...ids].map((text) => text.split(' ')[0]).sort(), step).to.deep.equal([
        'request.approved',
        'request.published',
      ])
    }
  })

  it('are given up by a receiver that says 410, and taken up again when an operator says so', async () => {
    answer = (_, response) => response.writeHead(410).end()
    expect(await pair.sign(gun, 'gone')).to.equal('published')
    await waitFor('410', async () => ((await endpoint())?.state === 'gone' ? true : undefined))
    await pair.process('daemon').kill()
    await pair.startAgain('daemon')
    expect((await endpoint())?.state).to.equal('gone')
    const before = receiver.heard.length
    const ping = await pair.call('POST', 'webhooks/chat/test')
    expect(ping.body).to.include({ accepted: false, status: 410, code: 'WEBHOOK_GONE' })
    expect(receiver.heard).to.have.length(before + 1)
    answer = (_, response) => response.writeHead(200).end('thank you')
    expect((await pair.call('POST', 'webhooks/chat/enable')).status).to.equal(200)
    await waitFor('the rest', () =>
      events().find(({ type, data }) => type === 'request.published' && JSON.stringify(data).includes(':gone')),
    )
    await waitFor('the record', () => pair.auditLog().find((entry) => entry['record'] === 'webhook-enabled'))
  })

  it('tell of a freeze as soon as the daemon meets it, once, and over a death', async () => {
    const operator = connectKeyHolder(pair.operatorSocket)
    try {
      const evidence = { request: 'freeze-1', principal: 'operator (test)' }
      await operator.call('freeze', { gun, reason: 'an unknown version', evidence })
    } finally {
      operator.close()
    }
    const freezes = () =>
      new Set(
        events()
          .filter(({ type }) => type === 'repository.frozen')
          .map(({ id }) => id),
      )
    expect(await pair.sign(gun, 'frozen')).to.equal('failed REPOSITORY_FROZEN')
    await waitFor('the freeze', () => freezes().size === 1 || undefined)
    await pair.process('daemon').kill()
    await pair.startAgain('daemon')
    expect(await pair.sign(gun, 'frozen-still')).to.equal('failed REPOSITORY_FROZEN')
    await everythingDelivered()
    expect(freezes().size).to.equal(1)
    expect(events().find(({ type }) => type === 'repository.frozen')?.data).to.deep.equal({
      gun,
      reason: 'an unknown version',
    })
  })

  it('are sent again when an operator says so', async () => {
    const { body } = await pair.call('GET', 'webhooks/chat/deliveries?state=delivered&limit=1')
    const [delivery] = (body as { deliveries: { id: string }[] }).deliveries
    if (delivery === undefined) throw new Error('nothing was delivered')
    const times = () => events().filter(({ id }) => id === delivery.id).length
    const before = times()
    expect((await pair.call('POST', `webhooks/chat/deliveries/${delivery.id}/redeliver`)).status).to.equal(202)
    await waitFor('the event', () => times() > before || undefined)
    await waitFor('the record', () => pair.auditLog().find((entry) => entry['record'] === 'webhook-redelivered'))
  })
})
