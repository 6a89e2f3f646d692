import { expect } from 'chai'
import { AuthenticatedClient, type RemoteOptions } from '../../src/net/authenticated-client.ts'
import { ANONYMOUS, passwordSource, type CredentialSource } from '../../src/net/credentials.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type Answer, type ScriptedServer } from '../support/scripted-server.ts'

const CAROL = passwordSource(
  () => 'carol',
  () => 'not-a-secret',
)
const BASIC = `Basic ${Buffer.from('carol:not-a-secret').toString('base64')}`
const SCOPE = 'repository:a/b:pull'

describe('AuthenticatedClient', () => {
  let scope: Scope
  let now: number
  beforeEach(() => {
    scope = new Scope()
    now = 1_000_000
  })
  afterEach(() => scope.close())

  function client(url: string, options: Partial<RemoteOptions> = {}) {
    const made = new AuthenticatedClient(
      {
        url,
        tls: {},
        timeouts: { connectMs: 1000, headersMs: 1000, totalMs: 2000 },
        tokenRealms: [],
        credentials: ANONYMOUS,
        ...options,
      },
      () => now,
    )
    scope.add(() => made.close())
    return (tokenScope = SCOPE) =>
      made.request({ method: 'GET', path: '/v2/', maxBytes: 1000, scope: tokenScope, credentialHost: 'registry.test' })
  }

  /** A server that wants a bearer token from the realm that `realm` names. */
  async function guarded(
    realm: () => string,
    accepts: (token: string | undefined) => boolean,
  ): Promise<ScriptedServer> {
    return startScriptedServer(scope, (heard, response) => {
      if (accepts(heard.headers.authorization?.replace('Bearer ', ''))) return response.end('in')
      return response
        .writeHead(401, { 'www-authenticate': `Bearer realm="${realm()}",service="s",scope="ignored"` })
        .end()
    })
  }

  const giveToken: Answer = (_, response) => response.end(JSON.stringify({ token: 'T1', expires_in: 100 }))

  it('sends nothing to a server that asks for nothing', async () => {
    const server = await startScriptedServer(scope, (_, response) => response.end('open'))
    expect((await client(server.url, { credentials: CAROL })()).status).to.equal(200)
    expect(server.heard[0]?.headers.authorization).to.equal(undefined)
  })

  it('answers a basic challenge, and then without being asked again', async () => {
    const server = await startScriptedServer(scope, (heard, response) =>
      heard.headers.authorization === BASIC
        ? response.end('in')
        : response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end(),
    )
    const ask = client(server.url, { credentials: CAROL })
    expect((await ask()).status).to.equal(200)
    expect((await ask()).status).to.equal(200)
    expect(server.heard.map((one) => one.headers.authorization)).to.deep.equal([undefined, BASIC, BASIC])
  })

  it('gives the refusal back where there are no credentials', async () => {
    const server = await startScriptedServer(scope, (_, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end(),
    )
    expect((await client(server.url)()).status).to.equal(401)
  })

  it('asks a configured realm with its own scope, and keeps the token until it ends', async () => {
    const realm = await startScriptedServer(scope, giveToken)
    const server = await guarded(
      () => `${realm.url}/token`,
      (token) => token === 'T1',
    )
    const ask = client(server.url, { credentials: CAROL, tokenRealms: [`${realm.url}/token`] })
    await Promise.all([ask(), ask(), ask()])
    expect(realm.heard.map((one) => one.url)).to.deep.equal([
      '/token?account=carol&scope=repository%3Aa%2Fb%3Apull&service=s',
    ])
    expect(realm.heard[0]?.headers.authorization).to.equal(BASIC)
    now += 80_000
    await ask()
    expect(realm.heard).to.have.length(1)
    now += 20_000
    await ask()
    expect(realm.heard).to.have.length(2)
    expect((await ask('repository:a/b:push,pull')).status).to.equal(200)
    expect(realm.heard).to.have.length(3)
  })

  it('sends an identity token to the realm only, in a form', async () => {
    const realm = await startScriptedServer(scope, giveToken)
    const server = await guarded(
      () => `${realm.url}/token`,
      (token) => token === 'T1',
    )
    const identity: CredentialSource = {
      credentialsFor: () => Promise.resolve({ kind: 'identity-token', token: 'REFRESH' }),
    }
    await client(server.url, { credentials: identity, tokenRealms: [realm.url] })()
    expect(realm.heard[0]?.method).to.equal('POST')
    expect(realm.heard[0]?.body.toString()).to.contain('refresh_token=REFRESH')
    expect(JSON.stringify(server.heard.map((one) => one.headers))).not.to.contain('REFRESH')
  })

  for (const [name, path] of [
    ['on another host', (url: string) => url],
    ['beside the configured path', (url: string) => `${url}/tokens`],
  ] as const) {
    it(`never asks a realm ${name}, not even anonymously`, async () => {
      const foreign = await startScriptedServer(scope, giveToken)
      const server = await guarded(
        () => path(foreign.url),
        () => false,
      )
      for (const credentials of [CAROL, ANONYMOUS]) {
        const ask = client(server.url, { credentials, tokenRealms: [`${foreign.url}/token`] })
        const error = await expectCodeAsync('TOKEN_REALM_NOT_ALLOWED', ask)
        expect(error.facts).to.include({ scope: SCOPE, service: 's' })
      }
      expect(foreign.heard).to.deep.equal([])
      expect(server.heard.every((one) => one.headers.authorization === undefined)).to.equal(true)
    })
  }

  it('never sends credentials to where a server or a realm redirects', async () => {
    const thief = await startScriptedServer(scope, giveToken)
    const realm = await startScriptedServer(scope, (_, response) =>
      response.writeHead(307, { location: thief.url }).end(),
    )
    const server = await guarded(
      () => `${realm.url}/token`,
      () => false,
    )
    await expectCodeAsync('TOKEN_REFUSED', client(server.url, { credentials: CAROL, tokenRealms: [realm.url] }))
    const redirecting = await startScriptedServer(scope, (_, response) =>
      response.writeHead(307, { location: thief.url }).end(),
    )
    expect((await client(redirecting.url, { credentials: CAROL })()).status).to.equal(307)
    expect(thief.heard).to.deep.equal([])
  })

  it('never sends credentials without TLS to another machine', async () => {
    const server = await guarded(
      () => 'http://auth.example.test/token',
      () => false,
    )
    const ask = client(server.url, { credentials: CAROL, tokenRealms: ['http://auth.example.test/token'] })
    await expectCodeAsync('CREDENTIALS_OVER_PLAIN_HTTP', ask)
  })

  for (const [name, body] of [
    ['no JSON', '<html>'],
    ['no token', '{}'],
    ['a token that would break the header', JSON.stringify({ token: 'a\r\nX-Evil: 1' })],
  ] as const) {
    it(`refuses a realm that answers with ${name}`, async () => {
      const realm = await startScriptedServer(scope, (_, response) => response.end(body))
      const server = await guarded(
        () => `${realm.url}/token`,
        () => false,
      )
      await expectCodeAsync('TOKEN_MALFORMED', client(server.url, { tokenRealms: [realm.url] }))
    })
  }

  it('asks for a new token once where the old one is refused', async () => {
    let tokens = 0
    const realm = await startScriptedServer(scope, (_, response) =>
      response.end(JSON.stringify({ access_token: `T${++tokens}` })),
    )
    const server = await guarded(
      () => `${realm.url}/token`,
      (token) => token === 'T2',
    )
    const ask = client(server.url, { tokenRealms: [realm.url] })
    expect((await ask()).status).to.equal(401)
    expect((await ask()).status).to.equal(200)
    expect(tokens).to.equal(2)
  })
})
