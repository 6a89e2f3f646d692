// 10,000 signs over 20 repositories while every fifth call fails: nothing is lost, nothing doubled, nothing left unrecorded. Shows
// its progress on standard error. COUNTERSIGN_TEST_SEED repeats the draws; COUNTERSIGN_TEST_SIGNS changes the number.
import { expect } from 'chai'
import { soak, SOAK_FAULTS } from '../support/soak.ts'

const SIGNS = Number(process.env['COUNTERSIGN_TEST_SIGNS'] ?? 10_000)
const tell = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

describe(`${SIGNS} signs with faults in every fifth call`, function () {
  this.timeout(3_600_000)

  it('lose none, double none, and leave none unrecorded', async () => {
    const began = performance.now()
    const result = await soak({ signs: SIGNS, repositories: 20, clients: 10, rate: 0.2, tell })
    const list = (counts: ReadonlyMap<string, number>): string =>
      [...counts].map(([name, count]) => `${name} ${count}`).join(', ')
    tell(`soak: ${Math.round((performance.now() - began) / 1000)} s, ${result.versions} versions published`)
    tell(`soak: faults: ${list(result.injected)}; restarts of the key holder ${result.restarts}`)
    tell(`soak: failed with a code and asked for again: ${list(result.failed) || 'none'}`)
    expect(result.faults).to.deep.equal([])
    expect([...result.injected.keys()]).to.have.members(SOAK_FAULTS)
    expect(result.restarts).to.be.at.least(Math.floor(SIGNS / 200))
  })
})
