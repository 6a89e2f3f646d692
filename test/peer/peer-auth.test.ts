// The harness itself, where peers ask who is there: a password file at the registry, and tokens at registry and Notary server.
import { expect } from 'chai'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine, type DockerEngine } from '../support/peers/docker-engine.ts'
import { HTPASSWD_ACCOUNT, startDockerRegistry } from '../support/peers/docker-registry.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { tarOf } from '../support/peers/tar.ts'
import { startTokenServer } from '../support/peers/token-server.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const ca = createTestCa()
const tar = tarOf([{ name: 'hello.txt', content: Buffer.from('hello') }])

describe('the real peers, where they ask for credentials', function () {
  this.timeout(60_000)
  const scope = new Scope()
  let engine: DockerEngine

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'docker', 'docker-engine')
    engine = await startDockerEngine(scope, { ca })
  })
  after(() => scope.close())

  it('the registry with a password file takes a push only from its account', async () => {
    const registry = await startDockerRegistry(scope, { auth: 'htpasswd' })
    const notary = await startNotaryServer(scope, { ca })
    const stranger = new DockerClient(scope, { notary, engine })
    const builder = new DockerClient(scope, { notary, engine, logins: { [registry.host]: HTPASSWD_ACCOUNT } })
    const reference = `${registry.host}/team/app:v1`
    await builder.must(['import', '-', reference], { input: tar })
    expect((await stranger.run(['push', reference])).text).to.contain('no basic auth credentials')
    expect((await builder.run(['push', reference])).status).to.equal(0)
  })

  it('with tokens, each account does what the authorisation server grants it, at both servers', async () => {
    const tokens = await startTokenServer(scope, {
      ca,
      accounts: {
        carol: { password: 'test-only', actions: () => ['push', 'pull'] },
        reader: { password: 'test-only', actions: () => ['pull'] },
      },
    })
    const registry = await startDockerRegistry(scope, { auth: tokens })
    const notary = await startNotaryServer(scope, { ca, tokens })
    const account = (username: string): DockerClient =>
      new DockerClient(scope, { notary, engine, logins: { [registry.host]: { username, password: 'test-only' } } })
    const reference = `${registry.host}/team/app:v1`
    await account('carol').must(['import', '-', reference], { input: tar })

    expect((await account('reader').trusted(['push', reference])).status).not.to.equal(0)
    const pushed = await account('carol').trusted(['push', reference])
    expect(pushed.status, pushed.text).to.equal(0)
    const pulled = await account('reader').trustedPull(reference)
    expect(pulled.status, pulled.text).to.equal(0)
    expect((await new DockerClient(scope, { notary, engine }).trustedPull(reference)).status).not.to.equal(0)

    const asked = tokens.requests.filter(({ account: name }) => name === 'carol').flatMap(({ granted }) => granted)
    expect(asked).to.include(`repository:team/app:push,pull`)
    expect(asked.some((text) => text.startsWith(`repository:${registry.host}/team/app:`))).to.equal(true)
  })
})
