// Machines without a token: what a connection proves, over real TLS.
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { once } from 'node:events'
import { expect } from 'chai'
import { parsePattern } from '../../src/domain/pattern.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { createLog } from '../../src/log.ts'
import { createTestCa, type TestCertificate } from '../support/tls.ts'
import { type Fixture, startFixture, TOKEN } from './fixture.ts'

const ca = createTestCa()
const strangers = createTestCa('Another authority')
const grants = [{ grant: 'read' as const, repositories: [parsePattern('*')] }]
const certificates = [
  { san: 'dns:first.example.com', grants },
  { san: 'dns:builder.example.com', grants },
  { san: 'uri:spiffe://example.com/builder', grants },
]
const good = ca.issue(['builder.example.com'])

/** What is presented, and the code of the refusal; undefined: taken. */
const TABLE: readonly (readonly [string, TestCertificate | undefined, string | undefined])[] = [
  ['a certificate that a rule names', good, undefined],
  ['one whose URI a rule names', ca.issue(['spiffe://example.com/builder']), undefined],
  ['one whose URI is longer', ca.issue(['spiffe://example.com/builder/2']), 'TOKEN_MISSING'],
  ['none', undefined, 'TOKEN_MISSING'],
  ['one of another authority', strangers.issue(['builder.example.com']), 'TOKEN_MISSING'],
  ['one that has expired', ca.issue(['builder.example.com'], { isExpired: true }), 'TOKEN_MISSING'],
  ['one that no rule names', ca.issue(['other.example.com']), 'TOKEN_MISSING'],
  ['one whose common name alone is right', ca.issue(['builder.example.com'], { hasNames: false }), 'TOKEN_MISSING'],
  ['one for servers', ca.issue(['builder.example.com'], { isForServers: true }), 'TOKEN_MISSING'],
  ['one with a name that only begins like it', ca.issue(['builder.example.com.evil']), 'TOKEN_MISSING'],
]

describe('client certificates', () => {
  let fixture: Fixture
  let now = new Date()
  const lines: string[] = []

  before(async () => {
    const server = ca.issue(['127.0.0.1'])
    fixture = await startFixture({
      certificates,
      now: () => now,
      log: createLog('info', { write: (line) => lines.push(line) }),
      tls: {
        cert: Buffer.from(server.certificatePem),
        key: Buffer.from(server.privateKeyPem),
        clientCa: Buffer.from(ca.certificatePem),
      },
    })
  })
  after(() => fixture.stop())

  async function open(certificate?: TestCertificate, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = connect({
      host: '127.0.0.1',
      port: Number(new URL(fixture.url).port),
      ca: ca.certificatePem,
      ...(certificate !== undefined && { cert: certificate.certificatePem, key: certificate.privateKeyPem }),
      ...options,
    })
    await once(socket, 'secureConnect')
    return socket
  }

  /** One request and its whole answer, on a connection that stays open. */
  async function exchange(socket: TLSSocket, token?: string) {
    const authorization = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`
    socket.write(`GET /v1/signing-requests HTTP/1.1\r\nHost: x\r\n${authorization}\r\n`)
    let text = ''
    const length = () => Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN)
    while (!(Buffer.byteLength(text) >= text.indexOf('\r\n\r\n') + 4 + length()))
      text += String((await once(socket, 'data'))[0])
    return {
      status: Number(text.slice(9, 12)),
      code: /application\/problem\+json[\s\S]*"code":"([A-Z_]+)"/.exec(text)?.[1],
    }
  }

  /** One request on a connection of its own, and the session that it was offered for a later one. */
  async function ask(certificate?: TestCertificate, o: { token?: string; options?: ConnectionOptions } = {}) {
    const socket = await open(certificate, o.options)
    // Asked now: of a closed connection nobody knows.
    const isReused = socket.isSessionReused()
    let session: Buffer | undefined
    socket.on('session', (given) => (session = given))
    const answer = await exchange(socket, o.token)
    session ??= socket.getSession()
    socket.destroy()
    return { ...answer, session, isReused }
  }

  for (const [what, certificate, code] of TABLE) {
    it(`${code === undefined ? 'take' : 'do not take'} ${what}`, async () => {
      const answer = await ask(certificate)
      expect([answer.status, answer.code]).to.deep.equal(code === undefined ? [200, undefined] : [401, code])
    })
  }

  it('are the identity in the log', async () => {
    lines.length = 0
    await ask(good)
    expect(lines.join('\n')).to.include('"principal":"certificate:dns:builder.example.com"')
  })

  it('take the first rule where two names match', async () => {
    lines.length = 0
    await ask(ca.issue(['builder.example.com', 'first.example.com']))
    expect(lines.join('\n')).to.include('"principal":"certificate:dns:first.example.com"')
  })

  it('do not save a bad token, and a good one is what counts', async () => {
    expect((await ask(good, { token: `cs_${'x'.repeat(43)}` })).code).to.equal('TOKEN_INVALID')
    lines.length = 0
    expect((await ask(good, { token: TOKEN })).status).to.equal(200)
    expect(lines.join('\n')).not.to.include('certificate:')
  })

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`are shown anew at each connection: no session of ${version} is resumed`, async () => {
      const options = { minVersion: version, maxVersion: version }
      const { session } = await ask(good, { options })
      const keyless = { ...options, ...(session !== undefined && { session }) }
      for (const certificate of [good, undefined]) {
        const again = await ask(certificate, { options: keyless })
        expect([again.isReused, again.status]).to.deep.equal([false, certificate === undefined ? 401 : 200])
      }
    })
  }

  it('end on a connection that outlives them, and begin with their first day', async () => {
    const socket = await open(good)
    expect((await exchange(socket)).status).to.equal(200)
    for (const days of [3, -1]) {
      now = new Date(Date.now() + days * 86_400_000)
      expect((await exchange(socket)).code, `${days} days from now`).to.equal('TOKEN_MISSING')
    }
    now = new Date()
    expect((await exchange(socket)).status).to.equal(200)
    socket.destroy()
  })
})

describe('identity.certificates', () => {
  const config = (certificate: string, tls = 'clientCaFile: ca.crt') =>
    parseConfig(`http: { tls: { certFile: a, keyFile: b, ${tls} } }\nidentity: { certificates: [${certificate}] }`)
  const rule = (o: { san?: string; grant?: string } = {}) =>
    `{ san: "${o.san ?? 'dns:a.example.com'}", grants: [{ grant: ${o.grant ?? 'submit'}, repositories: ["*"] }] }`

  it('are rules over one name each, and need authorities', () => {
    expect(config(rule()).ok).to.equal(true)
    const bad = [
      config(rule({ grant: 'admin' })),
      config(rule({ san: 'dns:*.example.com' })),
      config(rule({ san: 'cn:builder' })),
      config(`${rule()}, ${rule()}`),
      config(rule(), ''),
    ]
    expect(bad.map(({ ok }) => ok)).to.deep.equal([false, false, false, false, false])
  })
})
