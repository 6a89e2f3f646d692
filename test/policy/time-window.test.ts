import { expect } from 'chai'
import type { TimeWindow } from '../../src/policy/project-file.ts'
import { isWithin } from '../../src/policy/time-window.ts'

const everyDay = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
const window = (more: Partial<TimeWindow>): TimeWindow => ({
  days: [...everyDay],
  from: '08:00',
  to: '18:00',
  zone: 'UTC',
  ...more,
})

/** 2026-05-04 is a Monday. */
const TABLE: readonly (readonly [string, Partial<TimeWindow>, string, boolean])[] = [
  ['its first minute', {}, '2026-05-04T08:00:00Z', true],
  ['a second before it', {}, '2026-05-04T07:59:59Z', false],
  ['its last second', {}, '2026-05-04T17:59:59Z', true],
  ['its end', {}, '2026-05-04T18:00:00Z', false],
  ['another day', { days: ['tue'] }, '2026-05-04T12:00:00Z', false],
  ['the clock of the place', { zone: 'Europe/Vienna' }, '2026-05-04T06:30:00Z', true],
  ['the same hour in winter', { zone: 'Europe/Vienna' }, '2026-01-05T06:30:00Z', false],
  [
    'the day of the place',
    { zone: 'Asia/Tokyo', days: ['tue'], from: '00:00', to: '02:00' },
    '2026-05-04T15:30:00Z',
    true,
  ],
  ['a whole day', { from: '00:00', to: '24:00' }, '2026-05-04T23:59:59Z', true],
  ['before midnight', { days: ['mon'], from: '22:00', to: '02:00' }, '2026-05-04T23:00:00Z', true],
  ['after midnight', { days: ['mon'], from: '22:00', to: '02:00' }, '2026-05-05T01:59:00Z', true],
  ['the morning of the day itself', { days: ['mon'], from: '22:00', to: '02:00' }, '2026-05-04T01:00:00Z', false],
  ['Monday after a Sunday night', { days: ['sun'], from: '22:00', to: '02:00' }, '2026-05-04T01:00:00Z', true],
]

describe('a time window', () => {
  for (const [what, change, at, expected] of TABLE) {
    it(`${expected ? 'holds' : 'leaves out'} ${what}`, () => {
      expect(isWithin([window(change)], new Date(at))).to.equal(expected)
    })
  }
})
