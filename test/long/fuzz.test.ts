// A million cases for every parser. COUNTERSIGN_TEST_CASES says how many instead.
import { expect } from 'chai'
import { fuzz } from '../support/fuzz.ts'
import { FUZZ_TARGETS } from '../support/fuzz-targets.ts'

const CASES = Number(process.env['COUNTERSIGN_TEST_CASES'] ?? 1_000_000)

describe(`fuzzing, ${CASES} cases each`, () => {
  for (const target of FUZZ_TARGETS) {
    it(target.name, async function () {
      this.timeout(0)
      const { accepted, refused } = await fuzz(target, CASES)
      console.log(`      ${target.name}: ${accepted} accepted, ${refused} refused`)
      expect(accepted + refused).to.equal(CASES)
    })
  }
})
