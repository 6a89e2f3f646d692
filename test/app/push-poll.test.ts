// How often pushed tags are looked at, and what the log and the metrics say of it.
import { parseGun, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import { observe, pushSources } from '../../src/app/observation.ts'
import { PushPoll } from '../../src/app/push-poll.ts'
import { Metrics } from '../../src/http/metrics.ts'
import { createLog } from '../../src/log.ts'
import { StoreError } from '../../src/store/errors.ts'

const gun = parseGun('registry.example.com/team/app')
const since = new Date('2026-11-29T10:00:00.000Z')

describe('the poll of pushed tags', () => {
  const lines: { level: string; msg: string }[] = []
  const log = createLog('debug', { write: (line) => lines.push(JSON.parse(line) as (typeof lines)[number]) })
  beforeEach(() => {
    lines.length = 0
  })

  it('keeps to its pace, rests where nothing is due, and tells a failure once', async () => {
    let answer: () => Promise<number> = () => Promise.resolve(8)
    const asked: number[] = []
    const pushes = {
      look: (limit: number) => {
        asked.push(limit)
        return answer()
      },
      tellOverdue: () => Promise.resolve([{ gun, tag: parseTag('v1'), source: 'main', since, claims: [] }]),
    }
    const poll = new PushPoll(pushes, log, { looksPerMinute: 600, sources: [1] })
    expect(await poll.look()).to.equal(800)
    answer = () => Promise.resolve(0)
    expect(await poll.look()).to.equal(500)
    expect(await new PushPoll(pushes, log, { looksPerMinute: 3, sources: [] }).look()).to.equal(60_000)
    expect(asked).to.deep.equal([8, 8, 3])
    answer = () => Promise.reject(new StoreError('STORE_UNWRITABLE', 'full'))
    for (const again of [1, 2]) expect(await poll.look(), String(again)).to.equal(500)
    expect(lines.map(({ msg }) => msg)).to.deep.equal(['pushed tags could not be looked at; it is tried again'])
    await poll.tellOverdue()
    expect(lines.at(-1)).to.include({ msg: 'a pushed tag is not signed', tag: 'v1', gun })
  })

  it('is seen in the metrics, by source and result', async () => {
    const now = new Date(since.getTime() + 90_000)
    const counts = { unsigned: 2, waiting: 1, oldest: since }
    const metrics = new Metrics('0.0.0', {
      unfinishedImages: () => new Map(),
      oldestUnfinishedSeconds: () => 0,
      isKeyHolderUp: () => Promise.resolve(true),
      daysToNextExpiry: () => undefined,
      ...pushSources(() => counts, { now: () => now }),
    })
    const observer = observe(log, metrics)
    observer.pushesHeard({ source: 'main', accepted: 2, ignored: 3, malformed: 1 })
    observer.pushSettled({ source: 'main', gun, tag: 'v1', outcome: 'outdated' })
    observer.pushSettled({ source: 'main', gun, tag: 'v1', outcome: 'troubled', code: 'REGISTRY_UNAVAILABLE' })
    const text = await metrics.print()
    for (const line of [
      'countersign_push_events_total{source="main",result="accepted"} 2',
      'countersign_push_events_total{source="main",result="ignored"} 3',
      'countersign_push_events_total{source="main",result="malformed"} 1',
      'countersign_push_looks_total{source="main",result="outdated"} 1',
      'countersign_push_looks_total{source="main",result="troubled"} 1',
      'countersign_pushed_unsigned_tags 2',
      'countersign_pushed_waiting_tags 1',
      'countersign_pushed_unsigned_oldest_age_seconds 90',
    ]) {
      expect(text.split('\n')).to.include(line)
    }
    expect(lines.map(({ level, msg }) => `${level} ${msg}`)).to.deep.equal([
      'warn events of a registry could not be read',
      'info a pushed tag was looked at',
      'warn a pushed tag could not be looked at; it is tried again',
    ])
  })
})
