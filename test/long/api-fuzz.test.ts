// The API of the running daemon against its document, with many requests to each operation. COUNTERSIGN_TEST_CASES says how many, COUNTERSIGN_TEST_SEED which.
import { expect } from 'chai'
import { fuzzApi, fuzzServer } from '../support/api-fuzz.ts'
import { RUN_SEED } from '../support/chance.ts'
import { startFuzzedDaemon } from '../support/fuzzed-daemon.ts'
import { Scope } from '../support/scope.ts'

const CASES = Number(process.env['COUNTERSIGN_TEST_CASES'] ?? 2_000)

describe(`the API, ${CASES} requests to each operation`, function () {
  this.timeout(0)
  const scope = new Scope()
  after(() => scope.close())

  it('answers as its document says', async () => {
    console.log(`      COUNTERSIGN_TEST_SEED=${RUN_SEED}`)
    const { target, failures } = await startFuzzedDaemon(scope)
    const parameters = { numRuns: CASES, seed: RUN_SEED }
    const tallies = new Map([...(await fuzzApi(target, parameters)), ['nothing', await fuzzServer(target, parameters)]])
    for (const [operation, tally] of tallies) {
      const counts = [...tally]
        .sort(([, one], [, other]) => other - one)
        .map(([outcome, count]) => `${outcome} ${count}`)
      console.log(`      ${operation}: ${counts.join(', ')}`)
    }
    expect(failures()).to.deep.equal([])
  })
})
