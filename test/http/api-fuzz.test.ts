// Every operation of the OpenAPI document, with requests made from it, right ones and broken ones, over the real services and the real key
// holder. No answer is a failure inside, and every status, shape and code is one that the document names. The long run tries more.
import { expect } from 'chai'
import { fuzzApi, fuzzServer } from '../support/api-fuzz.ts'
import { RUN_SEED } from '../support/chance.ts'
import { type FuzzedOffice, openFuzzedOffice } from '../support/fuzzed-office.ts'
import { Scope } from '../support/scope.ts'

const parameters = { numRuns: 30, seed: RUN_SEED }

describe('the API, as its document says', function () {
  this.timeout(120_000)
  const scope = new Scope()
  let office: FuzzedOffice

  before(async () => {
    office = await openFuzzedOffice(scope)
  })
  after(() => scope.close())

  it(`answers ${parameters.numRuns} requests to each operation`, async () => {
    expect((await fuzzApi(office.target, parameters)).size).to.be.greaterThan(20)
  })

  it('refuses what is no operation, and what is no HTTP', async () => {
    await fuzzServer(office.target, { ...parameters, numRuns: 200 })
  })

  it('has failed nowhere inside', async () => {
    await office.world.settled()
    expect(office.failures).to.deep.equal([])
    expect(office.world.observer.troubles).to.deep.equal([])
  })
})
