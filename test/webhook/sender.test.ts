import { expect } from 'chai'
import { DomainError } from '../../src/domain/errors.ts'
import type { Attempt } from '../../src/domain/webhook-delivery.ts'
import { type EndpointOptions, HttpWebhookSender } from '../../src/webhook/sender.ts'
import { freePort } from '../support/free-port.ts'
import { Scope } from '../support/scope.ts'
import { type Answer, startScriptedServer } from '../support/scripted-server.ts'
import { createTestCa } from '../support/tls.ts'
import { newWebhookSecret, receive } from '../support/webhook-receiver.ts'

const secret = newWebhookSecret()
const message = { id: 'event-1', type: 'ping', body: '{"type":"ping","timestamp":"x","data":{}}' } as const
const KIBIBYTE = 'x'.repeat(1024)

describe('HttpWebhookSender', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  function senderTo(url: string, o: Partial<EndpointOptions> = {}): HttpWebhookSender {
    const sender = new HttpWebhookSender([
      {
        name: 'one',
        url,
        tls: {},
        timeoutMs: 400,
        allowPrivateAddresses: true,
        readSecrets: () => [secret],
        ...o,
      },
    ])
    scope.add(() => sender.close())
    return sender
  }

  async function attempt(answer: Answer, now = new Date()): Promise<Attempt> {
    const { url } = await startScriptedServer(scope, answer)
    return senderTo(`${url}/hook`).send('one', message, now)
  }

  it('sends what the public library verifies, to the path that is configured', async () => {
    const previous = newWebhookSecret()
    const { url, heard } = await startScriptedServer(scope, (_, response) => response.writeHead(204).end())
    const sender = senderTo(`${url}/deep/hook`, { readSecrets: () => [secret, previous] })
    expect(await sender.send('one', message, new Date())).to.deep.equal({ outcome: 'accepted', status: 204 })
    const [request] = heard
    if (request === undefined) throw new Error('nothing came')
    expect([request.method, request.url]).to.deep.equal(['POST', '/deep/hook'])
    expect(request.headers['content-type']).to.equal('application/json')
    for (const one of [secret, previous]) expect(receive(one, request).id).to.equal('event-1')
    expect(() => receive(newWebhookSecret(), request)).to.throw()
    expect(request.headers).not.to.have.any.keys('authorization', 'cookie')
  })

  const accepted = (status: number): Attempt => ({ outcome: 'accepted', status })
  const failed = (code: string, status?: number): Attempt => ({
    outcome: 'failed',
    code,
    ...(status !== undefined && { status }),
  })
  const ANSWERS: readonly (readonly [string, Attempt, Answer])[] = [
    ['200 with a body', accepted(200), (_, r) => r.end('ok')],
    ['202', accepted(202), (_, r) => r.writeHead(202).end()],
    ['an announced body without end', accepted(200), (_, r) => r.writeHead(200, { 'content-length': 1e12 }).write('x')],
    ['a body that stops', accepted(200), (_, r) => void r.writeHead(200).write('half')],
    [
      'an endless body',
      accepted(200),
      (_, r) => {
        const more = (): void => {
          while (!r.destroyed && r.write(KIBIBYTE));
        }
        r.writeHead(200).on('drain', more)
        more()
      },
    ],
    ['400', failed('WEBHOOK_REFUSED', 400), (_, r) => r.writeHead(400).end('no')],
    ['500 with an endless body', failed('WEBHOOK_REFUSED', 500), (_, r) => void r.writeHead(500).write(KIBIBYTE)],
    ['410', { outcome: 'gone', status: 410, code: 'WEBHOOK_GONE' }, (_, r) => r.writeHead(410).end()],
    ['304', failed('WEBHOOK_REDIRECTED', 304), (_, r) => r.writeHead(304).end()],
    ['silence', failed('NET_TIMEOUT'), () => undefined],
    ['a reset', failed('NET_RESET'), (_, r) => r.socket?.resetAndDestroy()],
    ['what is not HTTP', failed('NET_MALFORMED'), (_, r) => r.socket?.end('220 mail ready\r\n')],
    ['endless headers', failed('NET_MALFORMED'), (_, r) => r.writeHead(200, { 'x-long': 'x'.repeat(40_000) }).end()],
  ]
  for (const [name, outcome, answer] of ANSWERS) {
    it(`${name}: ${outcome.outcome}`, async () => {
      expect(await attempt(answer)).to.deep.equal(outcome)
    })
  }

  it('an attempt ends in time, whatever the receiver does', async () => {
    const before = performance.now()
    await attempt((_, r) => {
      const timer = setInterval(() => r.write('x'), 50)
      r.writeHead(200).on('close', () => {
        clearInterval(timer)
      })
    })
    expect(performance.now() - before).to.be.lessThan(5_000)
  })

  for (const location of [
    'http://169.254.169.254/latest/meta-data/',
    'http://127.0.0.1:1/',
    'http://[::1]:1/',
    'https://example.com/',
    '/elsewhere',
  ]) {
    it(`does not follow a redirect to ${location}`, async () => {
      const { url, heard } = await startScriptedServer(scope, (_, r) => r.writeHead(307, { location }).end())
      const outcome = await senderTo(`${url}/hook`).send('one', message, new Date())
      expect(outcome).to.deep.equal(failed('WEBHOOK_REDIRECTED', 307))
      expect(heard.map(({ url: path }) => path)).to.deep.equal(['/hook'])
    })
  }

  const now = new Date('2026-05-01T10:00:00Z')
  for (const [status, header, milliseconds] of [
    [429, '120', 120_000],
    [503, '0', 0],
    [503, 'Fri, 01 May 2026 10:05:00 GMT', 300_000],
    [503, 'Fri, 01 May 2026 09:00:00 GMT', 0],
    [429, undefined, undefined],
    [429, '-5', undefined],
    [429, 'soon', undefined],
    [429, '99999999999999999999', undefined],
    [500, '120', undefined],
  ] as const) {
    it(`${status} with Retry-After ${header}: ${milliseconds}`, async () => {
      const outcome = await attempt(
        (_, r) => r.writeHead(status, header === undefined ? {} : { 'retry-after': header }).end(),
        now,
      )
      expect(outcome).to.deep.equal({
        outcome: 'failed',
        status,
        code: 'WEBHOOK_REFUSED',
        ...(milliseconds !== undefined && { retryAfterMs: milliseconds }),
      })
    })
  }

  it('names a port where nobody listens', async () => {
    const sender = senderTo(`http://127.0.0.1:${await freePort()}/`)
    expect(await sender.send('one', message, new Date())).to.deep.equal(failed('NET_REFUSED'))
  })

  it('makes no connection to this machine unless an operator allows it', async () => {
    const { url, heard } = await startScriptedServer(scope, (_, r) => r.end())
    for (const host of ['127.0.0.1', 'localhost']) {
      const sender = senderTo(url.replace('127.0.0.1', host), { allowPrivateAddresses: false })
      expect(await sender.send('one', message, new Date())).to.deep.equal(failed('NET_ADDRESS_FORBIDDEN'))
    }
    expect(heard).to.deep.equal([])
  })

  it('checks the certificate: a private authority where it is named, and no other', async () => {
    const [ca, other] = [createTestCa(), createTestCa()]
    const { url, heard } = await startScriptedServer(scope, (_, r) => r.end(), ca)
    const send = (o: Partial<EndpointOptions>, at = url) => senderTo(at, o).send('one', message, new Date())
    expect(await send({ tls: { caPem: ca.certificatePem } })).to.deep.equal(accepted(200))
    expect(await send({ tls: { caPem: other.certificatePem } })).to.deep.equal(failed('NET_TLS'))
    expect(await send({})).to.deep.equal(failed('NET_TLS'))
    const resolve: EndpointOptions['resolve'] = (_, done) => {
      done(null, [{ address: '127.0.0.1', family: 4 }])
    }
    const wrongName = url.replace('localhost', 'hooks.example.com')
    expect(await send({ tls: { caPem: ca.certificatePem }, resolve }, wrongName)).to.deep.equal(failed('NET_TLS'))
    expect(heard).to.have.length(1)
  })

  it('sends nothing where the secret cannot be read or is none', async () => {
    const { url, heard } = await startScriptedServer(scope, (_, r) => r.end())
    const secrets: readonly (readonly [string, () => readonly string[]])[] = [
      ['WEBHOOK_SECRET_UNUSABLE', () => ['whsec_short']],
      [
        'WEBHOOK_SECRET_UNUSABLE',
        () => {
          throw new DomainError('WEBHOOK_SECRET_UNUSABLE', 'gone')
        },
      ],
    ]
    for (const [code, readSecrets] of secrets) {
      expect(await senderTo(url, { readSecrets }).send('one', message, new Date())).to.deep.equal(failed(code))
    }
    expect(heard).to.deep.equal([])
  })

  it('a secret that was changed counts at the next attempt', async () => {
    const { url, heard } = await startScriptedServer(scope, (_, r) => r.end())
    let current = secret
    const sender = senderTo(url, { readSecrets: () => [current] })
    await sender.send('one', message, new Date())
    current = newWebhookSecret()
    await sender.send('one', message, new Date())
    const [first, second] = heard
    if (first === undefined || second === undefined) throw new Error('nothing came')
    receive(secret, first)
    receive(current, second)
    expect(() => receive(secret, second)).to.throw()
  })
})
