import { expect } from 'chai'
import { FakeApi, problem, type Script } from './support/fake-api.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const ENDPOINT = {
  name: 'chat',
  origin: 'https://hooks.example.com',
  state: 'gone',
  since: '2026-11-24T10:00:00.000Z',
  events: ['request.published', 'request.failed'],
  repositories: ['*'],
  pending: 3,
  delivered: 7,
  dead: 1,
}
const DELIVERY = {
  id: 'event-01j9',
  type: 'request.published',
  subject: 'request-01j9',
  state: 'dead',
  attempts: 8,
  createdAt: '2026-11-24T10:00:00.000Z',
  lastTryAt: '2026-11-25T18:00:00.000Z',
  lastStatus: 302,
  lastCode: 'WEBHOOK_REDIRECTED',
}

describe('cli webhook', () => {
  let api: FakeApi
  let place: Workplace

  async function webhook(argv: readonly string[], script: Script): Promise<Ran> {
    api = await new FakeApi(script).start()
    place = new Workplace(api.url)
    return place.run(['webhook', ...argv])
  }
  afterEach(async () => {
    await api.stop()
    place.remove()
  })
  const asked = () => api.requests.map(({ method, path }) => `${method} ${path}`)

  it('list shows state and counts, and with --json what the server said', async () => {
    const script: Script = () => ({ body: { endpoints: [ENDPOINT] } })
    const ran = await webhook(['list'], script)
    expect([ran.exit, asked()]).to.deep.equal([0, ['GET /v1/webhooks']])
    expect(ran.stdout).to.match(/chat +gone +2026\S+ +3 +1 +https:\/\/hooks\.example\.com +request\.published,/)
    expect((await place.run(['webhook', 'list', '--json'])).json()).to.deep.equal({ endpoints: [ENDPOINT] })
  })

  it('deliveries fetches pages up to the limit', async () => {
    const script: Script = (_, count) => ({ body: { deliveries: [DELIVERY], nextCursor: `d${count}` } })
    const ran = await webhook(['deliveries', 'chat', '--state', 'dead', '--limit', '3'], script)
    expect(ran.exit).to.equal(0)
    expect(asked()).to.deep.equal(Array.from({ length: 3 }, () => 'GET /v1/webhooks/chat/deliveries'))
    expect(api.requests[0]?.query.get('state')).to.equal('dead')
    expect(ran.stdout).to.include('302 WEBHOOK_REDIRECTED')
    expect(ran.stderr).to.include('--cursor')
  })

  it('deliveries --json is one document', async () => {
    const ran = await webhook(['deliveries', 'chat', '--json'], () => ({ body: { deliveries: [DELIVERY] } }))
    expect(ran.json()).to.deep.equal({ deliveries: [DELIVERY] })
  })

  it('redeliver and enable ask once', async () => {
    const pending = { ...DELIVERY, state: 'pending', attempts: 0, nextTryAt: DELIVERY.createdAt }
    const redelivered = await webhook(['redeliver', 'chat', 'event-01j9', '--json'], ({ path }) =>
      path.endsWith('/enable') ? { body: { ...ENDPOINT, state: 'active' } } : { status: 202, body: pending },
    )
    expect([redelivered.exit, redelivered.json()]).to.deep.equal([0, pending])
    const enabled = await place.run(['webhook', 'enable', 'chat'])
    expect([enabled.exit, enabled.stdout]).to.deep.equal([0, 'chat is active; 3 events wait for it.\n'])
    expect(asked()).to.deep.equal([
      'POST /v1/webhooks/chat/deliveries/event-01j9/redeliver',
      'POST /v1/webhooks/chat/enable',
    ])
  })

  it('test exits with the truth', async () => {
    const accepted = { id: 'event-1', accepted: true, status: 204 }
    const refused = { id: 'event-2', accepted: false, status: 500, code: 'WEBHOOK_REFUSED' }
    const timeout = { id: 'event-3', accepted: false, code: 'NET_TIMEOUT' }
    const good = await webhook(['test', 'chat'], (_, count) => ({ body: [accepted, refused, timeout][count - 1] }))
    expect([good.exit, good.stdout]).to.deep.equal([0, 'chat took event-1: 204\n'])
    const bad = await place.run(['webhook', 'test', 'chat', '--json'])
    expect([bad.exit, bad.json(), bad.codes()]).to.deep.equal([1, refused, ['WEBHOOK_REFUSED']])
    const late = await place.run(['webhook', 'test', 'chat'])
    expect([late.exit, late.codes()]).to.deep.equal([1, ['NET_TIMEOUT']])
  })

  it('says what the server refuses', async () => {
    const ran = await webhook(['enable', 'none'], () => problem(404, 'WEBHOOK_NOT_FOUND'))
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['WEBHOOK_NOT_FOUND']])
  })

  it('a token without the grant is told by the exit status', async () => {
    const ran = await webhook(['list'], () => problem(403, 'NOT_PERMITTED'))
    expect([ran.exit, ran.codes()]).to.deep.equal([3, ['NOT_PERMITTED']])
  })

  for (const argv of [
    ['enable', '../chat'],
    ['deliveries', 'Chat'],
    ['deliveries', 'chat', '--limit', '0'],
    ['redeliver', 'chat', 'a/b'],
    ['redeliver', 'chat'],
    ['test'],
  ]) {
    it(`${argv.join(' ')} is refused before anybody is asked`, async () => {
      const ran = await webhook(argv, () => ({ body: {} }))
      expect([ran.exit, ran.codes()]).to.deep.equal([2, ['USAGE_INVALID']])
      expect(api.requests).to.deep.equal([])
    })
  }
})
