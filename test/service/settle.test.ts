import { setImmediate } from 'node:timers/promises'
import { expect } from 'chai'
import { settleEach } from '../../src/service/settle.ts'

describe('settling each', () => {
  it('keeps the order, works on so many at once and never more, and ends with all', async () => {
    let running = 0
    let most = 0
    const outcomes = await settleEach([5, 1, 4, 2, 3, 0], 3, async (turns) => {
      most = Math.max(most, ++running)
      for (let turn = 0; turn < turns; turn++) await setImmediate()
      running--
      if (turns % 2 === 0) throw new Error(String(turns))
    })
    expect(most).to.equal(3)
    expect(outcomes.map(({ item, result }) => [item, result.status])).to.deep.equal([
      [5, 'fulfilled'],
      [1, 'fulfilled'],
      [4, 'rejected'],
      [2, 'rejected'],
      [3, 'fulfilled'],
      [0, 'rejected'],
    ])
  })

  it('of nothing is nothing', async () => {
    expect(await settleEach([], 3, () => Promise.reject(new Error('never')))).to.deep.equal([])
  })
})
