import { expect } from 'chai'
import fc from 'fast-check'
import { intervalOrNever, parseDuration, parseSize, printDuration, printSize } from '../../src/config/units.ts'

describe('units', () => {
  for (const [text, expected] of [
    ['500ms', 500],
    ['5s', 5_000],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    ['0s', 0],
    ['5', undefined],
    ['5 s', undefined],
    ['05s', undefined],
    ['-5s', undefined],
    ['1.5s', undefined],
    ['5S', undefined],
    ['1m30s', undefined],
    ['', undefined],
    ['9999999999s', undefined],
  ] as const) {
    it(`reads the duration ${JSON.stringify(text)} as ${expected ?? 'nothing'}`, () => {
      expect(parseDuration(text)).to.equal(expected)
    })
  }

  for (const [text, expected] of [
    ['512B', 512],
    ['16KiB', 16_384],
    ['4MiB', 4_194_304],
    ['1GiB', 1_073_741_824],
    ['4MB', undefined],
    ['4mib', undefined],
    ['4', undefined],
  ] as const) {
    it(`reads the size ${JSON.stringify(text)} as ${expected ?? 'nothing'}`, () => {
      expect(parseSize(text)).to.equal(expected)
    })
  }

  it('reads an interval, or never', () => {
    const interval = intervalOrNever('5s', '1d')
    for (const [text, expected] of [
      ['0s', 0],
      ['0ms', 0],
      ['5s', 5_000],
      ['1d', 86_400_000],
    ] as const) {
      expect(interval.parse(text)).to.equal(expected)
    }
    for (const text of ['1ms', '4s', '25h', '0']) expect(interval.safeParse(text).success, text).to.equal(false)
    const { error } = interval.safeParse('1ms')
    expect(error?.issues[0]?.message).to.equal('must be a duration: 0s (never), or between 5s and 1d')
  })

  it('prints what it reads', () => {
    fc.assert(
      fc.property(fc.nat({ max: 999_999_999 }), (value) => {
        expect(parseDuration(printDuration(value))).to.equal(value)
        expect(parseSize(printSize(value))).to.equal(value)
      }),
    )
  })
})
