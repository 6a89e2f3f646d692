// The soak of test/long/soak.test.ts, small: on every run two hundred requests meet every fault.
import { expect } from 'chai'
import { soak, SOAK_FAULTS } from '../support/soak.ts'

describe('200 signs with faults in every fifth call', function () {
  this.timeout(120_000)

  it('lose none, double none, and leave none unrecorded', async () => {
    const result = await soak({ signs: 200, repositories: 5, clients: 10, rate: 0.2, tell: () => undefined })
    expect(result.faults).to.deep.equal([])
    expect([...result.injected.keys()]).to.have.members(SOAK_FAULTS)
    expect(result.restarts).to.be.at.least(1)
  })
})
