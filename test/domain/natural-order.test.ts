// The order in which docker lists tags. The expectations are those of sortorder's own rules, and what docker prints is compared in
// test/peer/docker-plugin.test.ts.
import { expect } from 'chai'
import fc from 'fast-check'
import { compareNaturally } from '../../src/domain/natural-order.ts'

describe('natural order', () => {
  it('takes digits by value, and everything else by byte', () => {
    const sorted = [
      '1',
      '1.2',
      '1.9',
      '1.10',
      '1.010',
      '02',
      '3',
      '10',
      'A',
      'Z',
      '_',
      'a',
      'a-1',
      'a1',
      'a2',
      'a10',
      'b',
    ]
    // "-" is a smaller byte than a letter, but a digit comes before it.
    const expected = [
      '1',
      '1.2',
      '1.9',
      '1.10',
      '1.010',
      '02',
      '3',
      '10',
      'A',
      'Z',
      '_',
      'a',
      'a1',
      'a2',
      'a10',
      'a-1',
      'b',
    ]
    expect([...sorted].reverse().sort(compareNaturally)).to.deep.equal(expected)
  })

  it('is a total order', () => {
    const tag = fc.stringMatching(/^[0-2ab.-]{0,6}$/)
    fc.assert(
      fc.property(tag, tag, tag, (a, b, c) => {
        expect(Math.sign(compareNaturally(a, b))).to.equal(-Math.sign(compareNaturally(b, a)) + 0)
        expect(compareNaturally(a, b) === 0).to.equal(a === b)
        if (compareNaturally(a, b) < 0 && compareNaturally(b, c) < 0) expect(compareNaturally(a, c)).to.be.below(0)
      }),
    )
  })
})
