// Permission comes first: without it no connection is made, to nobody. Counted at the door of both servers.
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { startCountingProxy, type CountingProxy } from '../support/peers/counting-proxy.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startScriptedRegistry, type ScriptedRegistry } from '../support/peers/scripted-registry.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

describe('permission before any connection', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  let scripted: ScriptedRegistry
  let door: CountingProxy
  let countersign: Countersign
  let registered: string
  let stranger: string

  before(async function () {
    requirePeers(this, 'notary-server')
    scripted = await startScriptedRegistry(scope)
    const notary = await startNotaryServer(scope, { ca })
    door = await startCountingProxy(scope, Number(new URL(notary.url).port))
    const counted: NotaryServer = { ...notary, url: `https://localhost:${door.port}`, host: `localhost:${door.port}` }
    countersign = await Countersign.start(scope, { notary: counted, registry: scripted })
    registered = `${scripted.host}/team/app`
    await countersign.must(['repo', 'init', registered])
    stranger = join(countersign.folder, 'cli/stranger.token')
    const grant = `submit:${scripted.host}/other/*`
    await countersign.must(['token', 'create', 'stranger', '--grant', grant, '--out', stranger])
  })
  after(() => scope.close())

  async function expectSilence(work: () => Promise<void>): Promise<void> {
    const before = { notary: door.activity(), registry: scripted.requests.length }
    await work()
    expect({ notary: door.activity(), registry: scripted.requests.length }).to.deep.equal(before)
  }

  it('the doors do count: a permitted request goes through both', async () => {
    const before = { notary: door.activity(), registry: scripted.requests.length }
    await countersign.run(['sign', `${registered}:1.0`])
    await countersign.run(['repo', 'status', registered])
    expect(scripted.requests.length).to.be.greaterThan(before.registry)
    expect(door.activity()).to.be.greaterThan(before.notary)
  })

  for (const command of ['sign', 'unsign', 'verify', 'inspect']) {
    it(`${command}: a token without a grant on the repository`, () =>
      expectSilence(async () => {
        const refused = await countersign.run([command, `${registered}:1.0`], { tokenFile: stranger })
        expect(refused.status, refused.text).not.to.equal(0)
        expect(refused.text).to.contain('NOT_PERMITTED')
      }))

    it(`${command}: a repository that is not registered`, () =>
      expectSilence(async () => {
        const refused = await countersign.run([command, `${scripted.host}/team/unknown:1.0`])
        expect(refused.status, refused.text).not.to.equal(0)
        expect(refused.text).to.contain('NOT_PERMITTED')
      }))
  }

  it('repo init and repo status: a token without an operator’s grant', () =>
    expectSilence(async () => {
      for (const args of [
        ['repo', 'init', `${scripted.host}/other/new`],
        ['repo', 'status', registered],
      ]) {
        const refused = await countersign.run(args, { tokenFile: stranger })
        expect(refused.text).to.contain('NOT_PERMITTED')
        expect(refused.status).to.equal(3)
      }
    }))

  it('the refusal does not tell whether the repository exists', async () => {
    const refusals = []
    for (const gun of [registered, `${scripted.host}/team/unknown`]) {
      const { stdout } = await countersign.run(['sign', `${gun}:1.0`, '--json'], { tokenFile: stranger })
      refusals.push(stdout.replaceAll(gun, 'GUN').replaceAll(/"requestId": "[^"]*"/g, ''))
    }
    expect(refusals[0]).to.equal(refusals[1])
  })
})
