// Who may do what: challenges, our token realm, the registry's tokens, listed tokens.
import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { SignJWT, type JWTPayload } from 'jose'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testCertificateKey } from '../support/test-keys.ts'
import { createTestCa, type TestCertificate } from '../support/tls.ts'
import {
  filesOf,
  HttpCaller,
  newRepository,
  startTestTrustServer,
  testConfig,
  TOKEN,
  type Answer,
  type TestTrustServer,
} from '../support/trust-server/server.ts'

const GUN = 'registry.example.com:5000/team/app'
const PUSHER = `cs_${'p'.repeat(43)}`
const basic = (password: string) => ({ authorization: `Basic ${Buffer.from(`x:${password}`).toString('base64')}` })
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const BASE = `/v2/${GUN}/_trust/tuf/`

describe('access', () => {
  const scope = new Scope()
  after(() => scope.close())

  const call = (server: TestTrustServer, method: string, path: string, headers: Record<string, string> = {}) =>
    server.http.call({ method, path, headers, isAuthorized: false })

  async function published(config?: string): Promise<TestTrustServer> {
    const server = await startTestTrustServer(scope, config === undefined ? {} : { config })
    const builder = await newRepository(server, GUN, (gun) => new RepositoryBuilder(gun))
    expect((await server.http.post(GUN, filesOf(builder, ROOT, TARGETS))).status).to.equal(200)
    return server
  }

  describe('with our own realm', () => {
    let server: TestTrustServer
    before(async () => {
      const sha256 = createHash('sha256').update(PUSHER).digest('hex')
      const own = createHash('sha256').update(TOKEN).digest('hex')
      server = await published(`
http: { listen: '127.0.0.1:0' }
access:
  tokens:
    - { name: all, sha256: ${own}, repositories: ['*'], actions: ['*'] }
    - { name: pusher, sha256: ${sha256}, repositories: ['registry.example.com:5000/team/*'], actions: [pull, push] }`)
    })

    for (const [method, path, scopeText] of [
      ['GET', '/v2/', 'registry:catalog:*'],
      ['GET', '/v2/_trust/changefeed?records=1', 'registry:catalog:*'],
      ['POST', BASE, `repository:${GUN}:push,pull`],
      ['GET', `${BASE}timestamp.key`, `repository:${GUN}:push,pull`],
      ['POST', `${BASE}timestamp.key`, `repository:${GUN}:*`],
      ['DELETE', BASE, `repository:${GUN}:*`],
    ] as const) {
      it(`challenges ${method} ${path}`, async () => {
        const answer = await call(server, method, path)
        expect(answer).to.include({ status: 401, code: 'UNAUTHORIZED' })
        const challenge = String(answer.headers['www-authenticate'])
        expect(challenge).to.match(
          /^Bearer realm="http:\/\/127\.0\.0\.1:[0-9]+\/token",service="countersign-trust-server"/,
        )
        expect(challenge).to.include(`scope="${scopeText}"`)
      })
    }

    it('lets everybody read', async () => {
      expect((await call(server, 'GET', `${BASE}root.json`)).status).to.equal(200)
      expect((await call(server, 'GET', `/v2/${GUN}/_trust/changefeed?records=1`)).status).to.equal(200)
    })

    const tokenFor = async (password: string | undefined, scopeText: string): Promise<string> => {
      const answer = await call(
        server,
        'GET',
        `/token?service=s&scope=${encodeURIComponent(scopeText)}`,
        password === undefined ? {} : basic(password),
      )
      expect(answer.status).to.equal(200)
      return (JSON.parse(answer.body.toString()) as { token: string }).token
    }

    it('gives a listed token what it may, and nothing more', async () => {
      const token = await tokenFor(PUSHER, `repository:${GUN}:*`)
      expect((await call(server, 'GET', `${BASE}timestamp.key`, bearer(token))).status).to.equal(200)
      expect((await call(server, 'POST', `${BASE}timestamp.key`, bearer(token))).status).to.equal(401)
      expect((await call(server, 'DELETE', BASE, bearer(token))).status).to.equal(401)
      const other = await tokenFor(PUSHER, 'repository:registry.example.com/other:push,pull')
      expect(
        (await call(server, 'GET', '/v2/registry.example.com/other/_trust/tuf/timestamp.key', bearer(other))).status,
      ).to.equal(401)
    })

    it('takes a token for the repository it was asked for alone', async () => {
      const token = await tokenFor(TOKEN, `repository:${GUN}/sub:*`)
      expect((await call(server, 'DELETE', BASE, bearer(token))).status).to.equal(401)
    })

    for (const [name, password] of [
      ['nothing', undefined],
      ['a password of a registry', 'hunter2'],
      ['an unknown token', `cs_${'z'.repeat(43)}`],
    ] as const) {
      it(`gives ${name} a token to read`, async () => {
        const token = await tokenFor(password, `repository:${GUN}:push,pull`)
        expect((await call(server, 'GET', `${BASE}root.json`, bearer(token))).status).to.equal(200)
        expect((await call(server, 'GET', '/v2/', bearer(token))).status).to.equal(200)
        expect((await call(server, 'POST', BASE, bearer(token))).status).to.equal(401)
      })
    }

    for (const [name, headers] of [
      ['a password that is no token', basic('hunter2')],
      ['a token with one character too many', basic(`${PUSHER}x`)],
      ['a bearer of nonsense', bearer('a.b.c')],
      ['another scheme', { authorization: 'Digest x' }],
    ] as const) {
      it(`refuses ${name} at every route`, async () => {
        expect(await call(server, 'GET', `${BASE}root.json`, headers)).to.include({ status: 401, code: 'UNAUTHORIZED' })
      })
    }

    it('lets a token end', async () => {
      const token = await tokenFor(PUSHER, `repository:${GUN}:push,pull`)
      server.clock.now = new Date(server.clock.now.getTime() + 301_000)
      expect((await call(server, 'GET', `${BASE}timestamp.key`, bearer(token))).status).to.equal(401)
    })
  })

  it('asks readers too where reading is not open', async () => {
    const server = await published(testConfig('  reads: token'))
    expect((await call(server, 'GET', `${BASE}root.json`)).status).to.equal(401)
    expect((await call(server, 'GET', `${BASE}root.json`, basic(TOKEN))).status).to.equal(200)
    expect((await call(server, 'GET', '/v2/registry.example.com/nothing/_trust/tuf/root.json')).status).to.equal(401)
  })

  describe('with client certificates', () => {
    const ca = createTestCa()
    const clients = createTestCa('Clients')
    const bot = clients.issue(['bot'])
    let url: string
    let clock: TestTrustServer['clock']
    let tls: { readonly ca: string }
    before(async () => {
      const folder = scope.folder('tls')
      const write = (name: string, text: string): string => {
        writeFileSync(join(folder, name), text, { mode: 0o600 })
        return `'${join(folder, name)}'`
      }
      const { certificatePem, privateKeyPem } = ca.issue(['127.0.0.1'])
      const files = `certFile: ${write('tls.crt', certificatePem)}, keyFile: ${write('tls.key', privateKeyPem)}`
      const config = testConfig(
        `  clientCertificates: [{ commonName: bot, repositories: ['registry.example.com:5000/team/*'] }]`,
      ).replace(
        "listen: '127.0.0.1:0'",
        `listen: '127.0.0.1:0', tls: { ${files}, clientCaFile: ${write('clients.crt', clients.certificatePem)} }`,
      )
      const server = await startTestTrustServer(scope, { config })
      url = server.running.url
      clock = server.clock
      // Certificates of the test are made now.
      clock.now = new Date()
      tls = { ca: ca.certificatePem }
    })

    const ask = (
      path: string,
      certificate: TestCertificate | undefined,
      o: { method?: string; headers?: Record<string, string> } = {},
    ): Promise<Answer> => {
      const own = certificate && { cert: certificate.certificatePem, key: certificate.privateKeyPem }
      return new HttpCaller(url, { ...tls, ...own }).call({ path, isAuthorized: false, ...o })
    }

    it('takes one under its authority that is listed, for what it may', async () => {
      expect((await ask('/v2/', bot)).status).to.equal(200)
      expect((await ask(`${BASE}timestamp.key`, bot)).status).to.equal(200)
      expect((await ask(`${BASE}timestamp.key`, bot, { method: 'POST' })).status).to.equal(401)
      expect((await ask(BASE, bot, { method: 'DELETE' })).status).to.equal(401)
      expect((await ask('/v2/registry.example.com/other/_trust/tuf/timestamp.key', bot)).status).to.equal(401)
      expect((await ask('/v2/_trust/changefeed?records=1', bot)).status).to.equal(401)
    })

    for (const [name, make] of [
      ['none', () => undefined],
      ['one of another authority', () => createTestCa('Others').issue(['bot'])],
      ['one that signed itself', () => selfSigned('bot')],
      ['one that is not listed', () => clients.issue(['bot2'])],
      ['one that has ended', () => clients.issue(['bot'], { isExpired: true })],
    ] as const) {
      it(`takes ${name} for nobody’s`, async () => {
        const certificate = make()
        expect((await ask(`${BASE}timestamp.key`, certificate)).status).to.equal(401)
        expect((await ask('/v2/', certificate)).status).to.equal(401)
        // Who reads needs none, and is not turned away for a wrong one.
        expect((await ask(`${BASE}root.json`, certificate)).status).to.equal(404)
      })
    }

    it('takes one for nobody’s on a connection that outlives it', async () => {
      const caller = new HttpCaller(url, { ...tls, cert: bot.certificatePem, key: bot.privateKeyPem })
      const status = async () => (await caller.call({ path: `${BASE}timestamp.key`, isAuthorized: false })).status
      expect(await status()).to.equal(200)
      clock.now = new Date(Date.now() + 3 * 86_400_000)
      expect(await status()).to.equal(401)
      clock.now = new Date()
      expect(await status()).to.equal(200)
    })

    it('adds what a token may to what the certificate may, and takes no wrong token beside it', async () => {
      expect((await ask(BASE, bot, { method: 'DELETE', headers: basic(TOKEN) })).status).to.equal(200)
      expect((await ask(`${BASE}timestamp.key`, bot, { headers: basic('hunter2') })).status).to.equal(401)
    })

    it('lets a certificate under an authority of the same name disturb nobody else', async () => {
      const forged = createTestCa('Clients').issue(['bot'])
      const refused = Array.from({ length: 20 }, () => ask(`${BASE}timestamp.key`, forged).catch(() => undefined))
      const good = await Promise.all(Array.from({ length: 20 }, () => ask(`${BASE}timestamp.key`, bot)))
      expect(new Set(good.map(({ status }) => status))).to.deep.equal(new Set([200]))
      for (const answer of await Promise.all(refused)) expect(answer?.status ?? 401).to.be.oneOf([400, 401])
    })
  })

  describe('with the registry’s token server', () => {
    const ca = createTestCa()
    const signer = ca.issue(['auth.example.com'])
    const stranger = createTestCa().issue(['auth.example.com'])
    let server: TestTrustServer
    before(async () => {
      const bundle = join(scope.folder('roots'), 'roots.crt')
      writeFileSync(bundle, ca.certificatePem)
      server = await published(
        testConfig(
          `  tokenServer: { realm: 'https://auth.example.com/token', service: notary, issuer: auth, rootCertBundle: '${bundle}' }`,
        ),
      )
      // Certificates of the test are made now.
      server.clock.now = new Date()
    })

    async function token(
      claims: JWTPayload = {},
      by = signer,
      actions = ['push', 'pull'],
      alg = 'RS256',
    ): Promise<string> {
      const seconds = Math.floor(Date.now() / 1000)
      const access = [{ type: 'repository', name: GUN, actions }]
      return new SignJWT({ iss: 'auth', aud: 'notary', sub: 'carol', exp: seconds + 300, access, ...claims })
        .setProtectedHeader({ alg, x5c: [by.certificatePem.replaceAll(/-----[^-]+-----|\s/g, '')] })
        .sign(createPrivateKey(by.privateKeyPem))
    }

    it('names its realm, and has none of its own', async () => {
      const challenge = (await call(server, 'GET', '/v2/')).headers['www-authenticate']
      expect(challenge).to.equal(
        'Bearer realm="https://auth.example.com/token",service="notary",scope="registry:catalog:*"',
      )
      const token = await call(server, 'GET', '/token')
      expect([token.status, token.headers['www-authenticate']]).to.deep.equal([401, challenge])
    })

    it('takes what it signed, for what it names', async () => {
      expect((await call(server, 'GET', `${BASE}timestamp.key`, bearer(await token()))).status).to.equal(200)
      expect((await call(server, 'DELETE', BASE, bearer(await token()))).status).to.equal(401)
      expect(
        (await call(server, 'POST', `${BASE}snapshot.key`, bearer(await token({}, signer, ['*'])))).status,
      ).to.equal(200)
    })

    for (const [name, make] of [
      ['of another issuer', () => token({ iss: 'other' })],
      ['for another service', () => token({ aud: 'registry' })],
      ['that has ended', () => token({ exp: 1000 })],
      ['without an end', () => token({ exp: undefined as unknown as number })],
      ['of tomorrow', () => token({ nbf: Math.floor(Date.now() / 1000) + 86_400 })],
      ['under another authority', () => token({}, stranger)],
      ['for another repository', () => token({ access: [{ type: 'repository', name: 'other', actions: ['*'] }] })],
      [
        'without a signature',
        () =>
          Promise.resolve(
            `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{}').toString('base64url')}.`,
          ),
      ],
      [
        'signed with the public certificate as a secret',
        () =>
          new SignJWT({ iss: 'auth', aud: 'notary', exp: Math.floor(Date.now() / 1000) + 300 })
            .setProtectedHeader({ alg: 'HS256', x5c: [signer.certificatePem.replaceAll(/-----[^-]+-----|\s/g, '')] })
            .sign(Buffer.from(signer.certificatePem)),
      ],
      [
        'signed by a key that brings no certificate',
        () =>
          new SignJWT({ iss: 'auth', aud: 'notary', exp: Math.floor(Date.now() / 1000) + 300 })
            .setProtectedHeader({ alg: 'ES256' })
            .sign(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
      ],
    ] as const) {
      it(`refuses a token ${name}`, async () => {
        expect((await call(server, 'GET', `${BASE}timestamp.key`, bearer(await make()))).status).to.equal(401)
      })
    }
  })
})

function selfSigned(commonName: string): TestCertificate {
  const { privateKey, publicKey } = testCertificateKey('self', { commonName })
  return {
    certificatePem: Buffer.from(publicKey.publicValue, 'base64').toString(),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}
