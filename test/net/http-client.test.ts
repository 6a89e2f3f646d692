import { createServer } from 'node:net'
import { expect } from 'chai'
import { HttpClient } from '../../src/net/http-client.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { freePort } from '../support/free-port.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type Answer } from '../support/scripted-server.ts'

const TIMEOUTS = { connectMs: 1000, headersMs: 300, totalMs: 1000 }

describe('HttpClient', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  async function ask(answer: Answer, maxBytes = 1000) {
    const { url } = await startScriptedServer(scope, answer)
    return askAt(url, maxBytes)
  }

  async function askAt(url: string, maxBytes = 1000) {
    const client = new HttpClient(url, {}, TIMEOUTS)
    scope.add(() => client.close())
    return client.request({ method: 'GET', path: '/x', maxBytes })
  }

  it('gives status, headers and body', async () => {
    const answer = await ask((_, response) => response.writeHead(200, { 'X-One': 'a' }).end('body'))
    expect(answer.status).to.equal(200)
    expect(answer.headers.get('x-one')).to.equal('a')
    expect(Buffer.from(answer.body).toString()).to.equal('body')
  })

  it('does not follow a redirect', async () => {
    const elsewhere = await startScriptedServer(scope, (_, response) => response.end('gotcha'))
    const answer = await ask((_, response) => response.writeHead(302, { location: `${elsewhere.url}/` }).end())
    expect(answer.status).to.equal(302)
    expect(elsewhere.heard).to.deep.equal([])
  })

  it('reads a body of exactly the limit', async () => {
    expect((await ask((_, response) => response.end('x'.repeat(1000)))).body).to.have.length(1000)
  })

  const hostile: readonly (readonly [string, string, Answer])[] = [
    ['an announced body over the limit', 'NET_TOO_LARGE', (_, r) => r.end('x'.repeat(1001))],
    [
      'a body without an announced length that passes the limit',
      'NET_TOO_LARGE',
      (_, r) => {
        r.write('x'.repeat(600))
        r.end('x'.repeat(600))
      },
    ],
    [
      'an endless body',
      'NET_TOO_LARGE',
      (_, r) => {
        drip(r, 'x'.repeat(200), 5)
      },
    ],
    [
      'a body that trickles',
      'NET_TIMEOUT',
      (_, r) => {
        drip(r, 'x', 100)
      },
    ],
    ['a body that stops', 'NET_TIMEOUT', (_, r) => r.write('half')],
    ['silence', 'NET_TIMEOUT', () => undefined],
    ['a reset', 'NET_RESET', (_, r) => r.socket?.resetAndDestroy()],
    [
      'a body shorter than announced',
      'NET_RESET',
      (_, r) => {
        r.writeHead(200, { 'content-length': '100' })
        r.write('short')
        setTimeout(() => r.socket?.destroy(), 20)
      },
    ],
    [
      'a compressed body that was not asked for',
      'NET_MALFORMED',
      (_, r) => r.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    ],
    ['endless headers', 'NET_MALFORMED', (_, r) => r.writeHead(200, { 'x-long': 'x'.repeat(40_000) }).end()],
  ]
  for (const [name, code, answer] of hostile) {
    it(`refuses ${name}`, () => expectCodeAsync(code, () => ask(answer)))
  }

  it('names a port where nobody listens', async () => {
    const port = await freePort()
    await expectCodeAsync('NET_REFUSED', () => askAt(`http://127.0.0.1:${port}`))
  })

  it('names a host that does not exist', () => expectCodeAsync('NET_DNS', () => askAt('http://no-such-host.invalid')))

  it('names what is not HTTP', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('220 mail ready\r\n'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    scope.add(() => void server.close())
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    await expectCodeAsync('NET_MALFORMED', () => askAt(`http://127.0.0.1:${address.port}`))
  })

  it('names TLS where the other side has none', async () => {
    const { url } = await startScriptedServer(scope, (_, response) => response.end())
    await expectCodeAsync('NET_TLS', () => askAt(url.replace('http:', 'https:')))
  })
})

function drip(
  response: { write(text: string): unknown; on(event: 'close', done: () => void): unknown },
  text: string,
  everyMs: number,
) {
  const timer = setInterval(() => response.write(text), everyMs)
  response.on('close', () => {
    clearInterval(timer)
  })
}
