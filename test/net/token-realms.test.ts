// Which realms a configured prefix lets in. A path that the token server may read otherwise than we do is not below the prefix.
import { expect } from 'chai'
import { AuthenticatedClient } from '../../src/net/authenticated-client.ts'
import { passwordSource } from '../../src/net/credentials.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer } from '../support/scripted-server.ts'

const CAROL = passwordSource(
  () => 'carol',
  () => 'not-a-secret',
)

describe('tokenRealms', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  /** A server that names `path` at a token server of which only /token is configured. */
  async function namedRealm(path: string) {
    const realm = await startScriptedServer(scope, (_, response) => response.end('{"token":"T"}'))
    const server = await startScriptedServer(scope, ({ headers }, response) =>
      headers.authorization === 'Bearer T'
        ? response.end('in')
        : response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm.url}${path}"` }).end(),
    )
    const client = new AuthenticatedClient({
      url: server.url,
      tls: {},
      timeouts: { connectMs: 1000, headersMs: 1000, totalMs: 2000 },
      tokenRealms: [`${realm.url}/token`],
      credentials: CAROL,
    })
    scope.add(() => client.close())
    const ask = () => client.request({ method: 'GET', path: '/', maxBytes: 100, scope: 's', credentialHost: 'h' })
    return { realm, ask }
  }

  for (const path of ['/token', '/token/', '/token/team', '/token?tenant=a%2Fb', '/token/a%20b']) {
    it(`lets in ${path}`, async () => {
      const { realm, ask } = await namedRealm(path)
      expect((await ask()).status).to.equal(200)
      expect(realm.heard).to.have.length(1)
    })
  }

  for (const path of [
    '/',
    '/tokens',
    '/TOKEN',
    '/token/../admin',
    '/token/%2e%2e/admin',
    '/token/.%2E/admin',
    '/token\\..\\admin',
    '/token/..%2fadmin',
    '/token/..%2Fadmin',
    '/token/..%5cadmin',
    '/token/..%5Cadmin',
    '/token/..%252fadmin',
    '/token%2f..%2fadmin',
  ]) {
    it(`keeps out ${path}`, async () => {
      const { realm, ask } = await namedRealm(path.replaceAll('\\', '\\\\'))
      await expectCodeAsync('TOKEN_REALM_NOT_ALLOWED', ask)
      expect(realm.heard).to.deep.equal([])
    })
  }
})
