// The soak of test/long/soak.test.ts, small: on every run a few hundred requests meet every fault.
import { expect } from 'chai'
import { soak } from '../support/soak.ts'

describe('300 signs with faults in every fifth call', function () {
  this.timeout(120_000)

  it('lose none, double none, and leave none unrecorded', async () => {
    const result = await soak({ signs: 300, repositories: 5, clients: 10, rate: 0.2, tell: () => undefined })
    expect(result.faults).to.deep.equal([])
    expect([...result.injected.keys()]).to.include.members(['upload lost', 'upload echo', 'upload reset'])
    expect([...result.injected.keys()]).to.include.members(['changeTargets before', 'changeTargets after'])
    expect(result.restarts).to.be.at.least(1)
  })
})
