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
]
const good = ca.issue(['builder.example.com'])

/** What is presented, and the code of the refusal; undefined: taken. */
const TABLE: readonly (readonly [string, TestCertificate | undefined, string | undefined])[] = [
  ['a certificate that a rule names', good, undefined],
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
  const lines: string[] = []

  before(async () => {
    const server = ca.issue(['127.0.0.1'])
    fixture = await startFixture({
      certificates,
      log: createLog('info', { write: (line) => lines.push(line) }),
      tls: {
        cert: Buffer.from(server.certificatePem),
        key: Buffer.from(server.privateKeyPem),
        clientCa: Buffer.from(ca.certificatePem),
      },
    })
  })
  after(() => fixture.stop())

  /** One request on a connection of its own: status, code, and the session for a later one. */
  async function ask(certificate?: TestCertificate, o: { token?: string; options?: ConnectionOptions } = {}) {
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port: Number(new URL(fixture.url).port),
      ca: ca.certificatePem,
      ...(certificate !== undefined && { cert: certificate.certificatePem, key: certificate.privateKeyPem }),
      ...o.options,
    })
    let session: Buffer | undefined
    socket.on('session', (given) => (session = given))
    await once(socket, 'secureConnect')
    const authorization = o.token === undefined ? '' : `Authorization: Bearer ${o.token}\r\n`
    socket.write(`GET /v1/signing-requests HTTP/1.1\r\nHost: x\r\n${authorization}Connection: close\r\n\r\n`)
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    return {
      status: Number(text.slice(9, 12)),
      code: /application\/problem\+json[\s\S]*"code":"([A-Z_]+)"/.exec(text)?.[1],
      session,
      isReused: socket.isSessionReused(),
    }
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
    it(`are checked again where a session of ${version} is resumed`, async () => {
      const options = { minVersion: version, maxVersion: version }
      const first = await ask(good, { options })
      expect(first.session, 'a session').to.not.equal(undefined)
      const again = await ask(good, { options: { ...options, session: first.session } })
      expect(again.status).to.equal(200)
      const stranger = await ask(strangers.issue(['builder.example.com']), { options })
      const resumed = await ask(undefined, { options: { ...options, session: stranger.session } })
      expect(resumed.code).to.equal('TOKEN_MISSING')
    })
  }
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
