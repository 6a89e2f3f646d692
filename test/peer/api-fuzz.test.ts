// Every operation of the OpenAPI document, with requests made from it, right ones and broken ones, at the running daemon. No answer is a
// failure inside, and every status, shape and code is one that the document names. The long run tries more.
import { expect } from 'chai'
import { fuzzApi, fuzzServer } from '../support/api-fuzz.ts'
import { RUN_SEED } from '../support/chance.ts'
import { type FuzzedDaemon, startFuzzedDaemon } from '../support/fuzzed-daemon.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'

const parameters = { numRuns: 30, seed: RUN_SEED }

describe('the API, as its document says', function () {
  this.timeout(120_000)
  const scope = new Scope()
  let daemon: FuzzedDaemon

  before(async function () {
    requirePeers(this, 'notary-server', 'registry')
    daemon = await startFuzzedDaemon(scope)
  })
  after(() => scope.close())

  it(`answers ${parameters.numRuns} requests to each operation`, async () => {
    expect((await fuzzApi(daemon.target, parameters)).size).to.be.greaterThan(20)
  })

  it('refuses what is no operation, and what is no HTTP', async () => {
    await fuzzServer(daemon.target, { ...parameters, numRuns: 200 })
  })

  it('has failed nowhere inside', () => {
    expect(daemon.failures()).to.deep.equal([])
  })
})
