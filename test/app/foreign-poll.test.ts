// Where the watch looks: at all repositories, or at those that the feed of their trust server names; and what a feed cannot do to it.
import { parseGun, type Gun } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { ForeignPoll } from '../../src/app/foreign-poll.ts'
import type { FeedChange, FeedQuery } from '../../src/domain/trust-feed.ts'
import { createLog } from '../../src/log.ts'
import { newestChange, readFeed } from '../../src/service/read-feed.ts'
import { FakeTrustServerError } from '../support/fakes/trust-server.ts'
import { ManualTime } from '../support/fakes/time.ts'

const [app, web, other] = ['app', 'web', 'other'].map((name) => parseGun(`registry.example.com/team/${name}`)) as [
  Gun,
  Gun,
  Gun,
]
const MINUTE_MS = 60_000
const change = (id: number, gun: string, timestamp?: string): FeedChange => ({ id, gun, timestamp })

describe('the poll over what others publish', () => {
  let feed: FeedChange[] | undefined
  let asked: FeedQuery[]
  let looks: string[]
  let failing: Gun | undefined
  let registered: readonly Gun[]
  let lines: string[]
  let positions: Map<string, number>
  let time: ManualTime
  let poll: ForeignPoll

  beforeEach(() => {
    feed = [change(1, app), change(2, web)]
    asked = []
    looks = []
    lines = []
    failing = undefined
    positions = new Map<string, number>()
    time = new ManualTime()
    registered = [app, web, other]
    restart()
  })

  function restart(changes = changesOf): void {
    poll = new ForeignPoll({
      watch: {
        look: (gun, told) => {
          const name = gun.slice(gun.lastIndexOf('/') + 1)
          looks.push(told === undefined ? name : `${name} ${told.map(({ id }) => id).join(',')}`)
          return failing === gun
            ? Promise.reject(new FakeTrustServerError('NOTARY_UNAVAILABLE', 'away'))
            : Promise.resolve([])
        },
      },
      repositories: { list: () => registered.map((gun) => ({ gun, state: 'ready' }) as never) },
      feeds: { serverOf: () => 'notary', changes },
      positions: {
        position: (server) => positions.get(server),
        notePosition: (server, _, id) => void positions.set(server, id),
      },
      clock: time,
      log: createLog('info', { write: (line: string) => lines.push(line) }),
      fullEveryMs: 15 * MINUTE_MS,
    })
  }

  function changesOf(_: Gun, query: FeedQuery): Promise<readonly FeedChange[] | undefined> {
    asked.push(query)
    const { after, records } = query
    if (after === 'newest') return Promise.resolve(feed?.slice(-1))
    return Promise.resolve(feed?.filter(({ id }) => id > after).slice(0, records))
  }

  /** One minute later: where it looked, with the changes that it was told. */
  async function looked(): Promise<readonly string[]> {
    looks.length = 0
    asked.length = 0
    time.advance(MINUTE_MS)
    await poll.look(new AbortController().signal)
    return looks.sort()
  }

  it('looks at all first, then at what the feed names, with one request', async () => {
    expect(await looked()).to.deep.equal(['app ', 'other ', 'web '])
    expect(await looked()).to.deep.equal([])
    feed?.push(change(3, web, 'a'.repeat(64)), change(4, 'elsewhere/of/others'), change(5, web))
    expect(await looked()).to.deep.equal(['web 3,5'])
    expect(asked).to.deep.equal([{ scope: 'server', after: 2, records: 500 }])
    expect(await looked()).to.deep.equal([])
  })

  it('looks at a repository once when it is registered, whatever the feed said before', async () => {
    const all = registered
    registered = []
    expect(await looked()).to.deep.equal([])
    registered = all.slice(0, 1)
    expect(await looked()).to.deep.equal(['app '])
    feed?.push(change(3, web))
    expect(await looked()).to.deep.equal([])
    registered = all
    expect(await looked()).to.deep.equal(['other ', 'web '])
    expect(await looked()).to.deep.equal([])
  })

  it('looks at all again from time to time, and goes on from where it was after a restart', async () => {
    await looked()
    feed?.push(change(3, app))
    restart()
    expect(await looked()).to.deep.equal(['app 3', 'other ', 'web '])
    for (let minute = 1; minute < 15; minute++) expect(await looked(), `minute ${minute}`).to.deep.equal([])
    expect(await looked()).to.have.length(3)
  })

  it('looks again at what could not be looked at, with what the feed said then', async () => {
    await looked()
    failing = web
    feed?.push(change(3, web))
    expect(await looked()).to.deep.equal(['web 3'])
    feed?.push(change(4, web))
    expect(await looked()).to.deep.equal(['web 3,4'])
    failing = undefined
    expect(await looked()).to.deep.equal(['web 3,4'])
    expect(await looked()).to.deep.equal([])
    expect(lines.filter((line) => line.includes('could not be looked at'))).to.have.length(1)
  })

  it('looks at all each time where there is no feed, asks for it with the full looks alone, and says so once', async () => {
    feed = undefined
    for (let minute = 0; minute < 16; minute++) {
      expect(await looked()).to.deep.equal(['app', 'other', 'web'])
      expect(asked.length, `minute ${minute}`).to.equal(minute % 15 === 0 ? 1 : 0)
    }
    expect(lines.filter((line) => line.includes('change feed'))).to.have.length(1)
  })

  it('looks at all where the feed fails, and while it does', async () => {
    await looked()
    restart(() => Promise.reject(new FakeTrustServerError('NOTARY_UNAVAILABLE', 'away')))
    for (let minute = 0; minute < 3; minute++) expect(await looked()).to.deep.equal(['app', 'other', 'web'])
    expect(lines.filter((line) => line.includes('cannot be read'))).to.have.length(1)
    expect(positions.get('notary'), 'as it was').to.equal(2)
  })

  it('begins anew where the server counts from the beginning again', async () => {
    feed = Array.from({ length: 50 }, (_, index) => change(index + 1, app))
    await looked()
    feed = [change(1, web)]
    for (let minute = 0; minute < 14; minute++) await looked()
    expect(await looked(), 'the full look').to.have.length(3)
    feed.push(change(2, other))
    expect(await looked()).to.deep.equal(['other 2'])
  })

  it('a feed without end is read for ten pages, and then everything is looked at', async () => {
    await looked()
    const endless = (_: Gun, query: FeedQuery): Promise<readonly FeedChange[]> => {
      asked.push(query)
      const { after, records } = query
      if (after === 'newest') return Promise.resolve([change(1_000_000, app)])
      return Promise.resolve(Array.from({ length: records }, (_, index) => change(after + index + 1, app)))
    }
    restart(endless)
    expect(await looked()).to.deep.equal(['app', 'other', 'web'])
    expect(asked).to.have.length(12)
    expect(await readFeed({ changes: endless }, app, 'server', 0)).to.deep.equal({ kind: 'overrun' })
    expect(await newestChange({ changes: endless }, app, 'server')).to.equal(1_000_000)
  })

  it('stops between two servers and notes nothing then', async () => {
    const stopping = new AbortController()
    stopping.abort()
    await poll.look(stopping.signal)
    expect([looks, [...positions]]).to.deep.equal([[], []])
  })

  it('every change of ours is looked at, however the feed is cut into polls', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.constantFrom(app, web, other, 'foreign/gun'), { maxLength: 4 })),
        async (rounds) => {
          feed = []
          positions = new Map<string, number>()
          time = new ManualTime()
          restart()
          await looked()
          for (const round of rounds.slice(0, 10)) {
            const from = feed.length
            for (const gun of round) feed.push(change(feed.length + 1, gun))
            const expected = new Map<string, number[]>()
            for (const { id, gun } of feed.slice(from)) expected.set(gun, [...(expected.get(gun) ?? []), id])
            expected.delete('foreign/gun')
            const names = [...expected].map(([gun, ids]) => `${gun.slice(gun.lastIndexOf('/') + 1)} ${ids.join(',')}`)
            expect(await looked()).to.deep.equal(names.sort())
          }
        },
      ),
      { numRuns: 30 },
    )
  })
})
