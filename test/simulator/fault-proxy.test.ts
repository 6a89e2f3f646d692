// Each fault of the proxy, by what the server heard and what the client saw.
import { expect } from 'chai'
import { NETWORK_FAULTS, startFaultProxy, type FaultProxy, type NetworkFault } from '../support/fault-proxy.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer, type ScriptedServer } from '../support/scripted-server.ts'

/** Requests heard by the server, and what the client saw. */
const EXPECTED: Readonly<Record<NetworkFault, readonly [heard: number, seen: string]>> = {
  drop: [0, 'broken'],
  refuse: [0, '503 0'],
  lose: [1, 'broken'],
  truncate: [1, 'broken'],
  delay: [1, '200 1000'],
  duplicate: [2, '200 1000'],
}

describe('the fault proxy', () => {
  let scope: Scope
  let server: ScriptedServer
  let proxy: FaultProxy

  beforeEach(async () => {
    scope = new Scope()
    server = await startScriptedServer(scope, (_, response) => response.end('x'.repeat(1000)))
    proxy = await startFaultProxy(scope, { target: server.url, rate: 0, seed: 1, delayMs: 5 })
  })
  afterEach(() => scope.close())

  async function post(): Promise<string> {
    try {
      const answer = await fetch(`${proxy.url}/upload`, { method: 'POST', body: 'sent' })
      return `${answer.status} ${(await answer.arrayBuffer()).byteLength}`
    } catch {
      return 'broken'
    }
  }

  for (const fault of NETWORK_FAULTS) {
    it(fault, async () => {
      proxy.plan(fault)
      const seen = await post()
      expect([server.heard.length, seen]).to.deep.equal(EXPECTED[fault])
      expect(proxy.struck).to.deep.equal([{ fault, method: 'POST', url: '/upload' }])
      expect(await post(), 'planned once').to.equal('200 1000')
      expect(server.heard.every(({ body }) => body.toString() === 'sent')).to.equal(true)
    })
  }

  it('does the same again with the same seed', async () => {
    const run = async (seed: number) => {
      const one = await startFaultProxy(scope, { target: server.url, rate: 0.5, seed, delayMs: 1 })
      for (let count = 0; count < 20; count++) {
        await fetch(`${one.url}/${count}`).then(
          (answer) => answer.arrayBuffer().catch(() => undefined),
          () => undefined,
        )
      }
      return one.struck
    }
    const [first, second, other] = [await run(7), await run(7), await run(8)]
    expect(first.length).to.be.within(3, 17)
    expect(second).to.deep.equal(first)
    expect(other).to.not.deep.equal(first)
  })
})
