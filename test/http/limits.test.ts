import { createConnection } from 'node:net'
import { Agent, request } from 'undici'
import { expect } from 'chai'
import { createTestCa } from '../support/tls.ts'
import { expectProblem, type Fixture, startFixture, TOKEN } from './fixture.ts'

describe('the limits of the HTTP server', () => {
  let fixture: Fixture | undefined

  afterEach(async () => {
    await fixture?.stop()
    fixture = undefined
  })

  const head = `Host: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\n`
  for (const [name, bytes] of [
    ['headers that never end', 'GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: '],
    ['a body that never ends', `POST /v1/tokens HTTP/1.1\r\n${head}Content-Length: 100\r\n\r\n{`],
  ] as const) {
    it(`ends ${name}`, async () => {
      fixture = await startFixture({
        config: 'http: { listen: "127.0.0.1:0", headersTimeout: 1s, requestTimeout: 1s }',
      })
      const text = await untilClosed(fixture.url, bytes)
      expect(text).to.match(/^HTTP\/1\.1 408 /)
      expect(text).to.include('"code":"REQUEST_TIMEOUT"')
      expect(fixture.calls).to.deep.equal([])
    })
  }

  it('drops connections above the number that is allowed', async () => {
    fixture = await startFixture({ config: 'http: { listen: "127.0.0.1:0", maxConnections: 1 }' })
    const port = Number(new URL(fixture.url).port)
    const first = createConnection(port, '127.0.0.1')
    await new Promise((done) => first.once('connect', done))
    first.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
    await new Promise((done) => first.once('data', done))
    const second = await untilClosed(fixture.url, 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
    first.destroy()
    expect(second).to.equal('')
  })
})

describe('TLS', () => {
  const ca = createTestCa()
  const { certificatePem, privateKeyPem } = ca.issue(['127.0.0.1'])
  const tls = { cert: Buffer.from(certificatePem), key: Buffer.from(privateKeyPem) }
  let fixture: Fixture

  beforeEach(async () => {
    fixture = await startFixture({ tls })
  })
  afterEach(async () => {
    await fixture.stop()
  })

  async function ask(connect: object): Promise<string> {
    const dispatcher = new Agent({ connect: { ca: ca.certificatePem, ...connect } })
    try {
      const answer = await request(`${fixture.url}/livez`, { dispatcher })
      await answer.body.dump()
      return String(answer.headers['strict-transport-security'])
    } catch {
      return 'refused'
    } finally {
      await dispatcher.destroy()
    }
  }

  it('is spoken, from version 1.2 on, and clients are told to keep to it', async () => {
    expect(fixture.url).to.match(/^https:/)
    expect(await ask({})).to.equal('max-age=31536000')
    expect(await ask({ maxVersion: 'TLSv1.2' })).to.equal('max-age=31536000')
    expect(await ask({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).to.equal('refused')
  })

  it('is not promised without it', async () => {
    const plain = await startFixture()
    try {
      const answer = await plain.ask({ path: '/livez', token: null })
      expect(answer.headers).not.to.have.property('strict-transport-security')
      expectProblem(await plain.ask({ path: '/nothing' }), 404, 'ROUTE_NOT_FOUND')
    } finally {
      await plain.stop()
    }
  })
})

function untilClosed(url: string, bytes: string): Promise<string> {
  return new Promise((done) => {
    const socket = createConnection(Number(new URL(url).port), '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString('latin1')))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      done(text)
    })
    socket.write(bytes)
  })
}
