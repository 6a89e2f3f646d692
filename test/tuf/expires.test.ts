// Expiry dates as Go reads and writes them.
import { expect } from 'chai'
import fc from 'fast-check'
import { formatExpires, isExpired, parseExpires } from '@countersign/tuf'
import { expectCode } from './expect-code.ts'

describe('parseExpires', () => {
  const good: Record<string, string> = {
    '2036-11-20T15:59:11Z': '2036-11-20T15:59:11.000Z',
    '2036-11-20T15:59:11.09753774Z': '2036-11-20T15:59:11.097Z',
    '2036-11-20T15:59:11.999999999Z': '2036-11-20T15:59:11.999Z',
    '2036-11-20T15:59:11.5-05:00': '2036-11-20T20:59:11.500Z',
    '2036-01-01T01:00:00+02:30': '2035-12-31T22:30:00.000Z',
    '2036-02-29T00:00:00+00:00': '2036-02-29T00:00:00.000Z',
    '0001-01-01T00:00:00Z': '0001-01-01T00:00:00.000Z',
    '9999-12-31T23:59:59Z': '9999-12-31T23:59:59.000Z',
  }
  for (const [text, expected] of Object.entries(good)) {
    it(`reads ${text}`, () => {
      expect(parseExpires(text).toISOString()).to.equal(expected)
    })
  }

  for (const text of [
    '',
    '2036-11-20',
    '2036-11-20 15:59:11Z',
    '2036-11-20t15:59:11Z',
    '2036-11-20T15:59:11z',
    '2036-11-20T15:59Z',
    '2036-11-20T15:59:11',
    '2036-11-20T15:59:11.Z',
    '2036-11-20T15:59:11,5Z',
    '2036-11-20T15:59:11+0500',
    '2036-11-20T15:59:11+24:00',
    '2036-11-20T15:59:11+01:60',
    '2036-13-20T15:59:11Z',
    '2036-00-20T15:59:11Z',
    '2035-02-29T15:59:11Z',
    '2036-11-31T15:59:11Z',
    '2036-11-20T24:00:00Z',
    '2036-11-20T15:60:11Z',
    '2036-11-20T15:59:60Z',
    '+02036-11-20T15:59:11Z',
    '2036-11-20T15:59:11Z\n',
    ' 2036-11-20T15:59:11Z',
    '2036-11-20T15:59:11.1234567890Z',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => expectCode('METADATA_EXPIRES', () => parseExpires(text)))
  }
})

describe('formatExpires', () => {
  it('writes whole seconds in UTC, which are read back', () => {
    const dates = fc.date({ min: new Date('1970-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    fc.assert(
      fc.property(dates, (at) => {
        const text = formatExpires(at)
        expect(text).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
        expect(at.getTime() - parseExpires(text).getTime()).to.be.within(0, 999)
      }),
    )
  })
  it('refuses what has no four-digit year', () => {
    for (const at of [new Date(NaN), new Date('+010000-01-01T00:00:00Z'), new Date('-000001-01-01T00:00:00Z')]) {
      expectCode('METADATA_EXPIRES', () => formatExpires(at))
    }
  })
})

describe('isExpired', () => {
  const at = new Date('2026-01-01T00:00:00Z')
  it('has no leeway, and holds at the very moment', () => {
    expect(isExpired(at, at)).to.equal(false)
    expect(isExpired(at, new Date(at.getTime() + 1))).to.equal(true)
    expect(isExpired(at, new Date(at.getTime() - 1))).to.equal(false)
  })
})
