// Has repositories looked at for versions that somebody else published, and says where that cannot be done: once, until it changes. Where a
// trust server lets us read its change feed, one request tells which ones to look at; from time to time all are looked at all the same,
// since a feed is a hint: it may leave out what is published, and changes that come side by side may show in another order.
import type { Gun } from '@countersign/tuf'
import { failureOf } from '../domain/port-faults.ts'
import type { Clock, RepositoryStore } from '../domain/ports.ts'
import type { FeedChange, FeedPositions, TrustFeeds } from '../domain/trust-feed.ts'
import type { Log } from '../log.ts'
import { newestChange, readFeed } from '../service/read-feed.ts'
import type { ForeignWatch } from '../service/services.ts'
import { settleEach } from '../service/settle.ts'

/** Repositories that are looked at side by side. */
const MAX_PARALLEL = 4
/** Changes that are kept of a repository that cannot be looked at now. */
const MAX_KEPT = 64

export interface ForeignPollOptions {
  readonly watch: ForeignWatch
  readonly repositories: Pick<RepositoryStore, 'list'>
  readonly feeds: TrustFeeds
  readonly positions: FeedPositions
  readonly clock: Clock
  readonly log: Log
  /** How long the feeds alone may say where to look, in milliseconds. */
  readonly fullEveryMs: number
}

/** What a feed says; undefined: nothing, so that everything is looked at. */
interface News {
  readonly changes: ReadonlyMap<string, readonly FeedChange[]>
  readonly position: number
}

export class ForeignPoll {
  readonly #o: ForeignPollOptions
  /** The code of the last failure. */
  readonly #troubles = new Map<Gun, string>()
  /** Repositories whose last look failed, with what the feed said of them. */
  readonly #again = new Map<Gun, readonly FeedChange[]>()
  /** Repositories that were looked at: what a feed said before they were registered, nobody has heard. */
  readonly #known = new Set<Gun>()
  /** Whether the server's feed can be read. */
  readonly #readable = new Map<string, boolean>()
  #lastFull = Number.NEGATIVE_INFINITY

  constructor(o: ForeignPollOptions) {
    this.#o = o
  }

  async look(stopping: AbortSignal): Promise<void> {
    const now = this.#o.clock.now().getTime()
    const isFull = now - this.#lastFull >= this.#o.fullEveryMs
    for (const [server, guns] of this.#byServer()) await this.#lookAt(server, guns, isFull, stopping)
    if (isFull && !stopping.aborted) this.#lastFull = now
  }

  /** Undefined: no server is configured; the look says so. */
  #byServer(): ReadonlyMap<string | undefined, readonly Gun[]> {
    const servers = new Map<string | undefined, Gun[]>()
    const repositories = this.#o.repositories.list()
    this.#forget(new Set(repositories.map(({ gun }) => gun)))
    for (const { gun, state } of repositories) {
      if (state !== 'ready') continue
      const server = this.#serverOf(gun)
      const guns = servers.get(server)
      if (guns === undefined) servers.set(server, [gun])
      else guns.push(gun)
    }
    return servers
  }

  #forget(registered: ReadonlySet<Gun>): void {
    for (const memory of [this.#troubles, this.#again, this.#known]) {
      for (const gun of memory.keys()) if (!registered.has(gun)) memory.delete(gun)
    }
  }

  #serverOf(gun: Gun): string | undefined {
    try {
      return this.#o.feeds.serverOf(gun)
    } catch {
      return undefined
    }
  }

  async #lookAt(
    server: string | undefined,
    guns: readonly Gun[],
    isFull: boolean,
    stopping: AbortSignal,
  ): Promise<void> {
    const [first] = guns
    // A feed that could not be read is asked for with the full looks alone.
    const isAsked = isFull || (server !== undefined && this.#readable.get(server) !== false)
    const news =
      server === undefined || first === undefined || !isAsked ? undefined : await this.#read(server, first, isFull)
    const isNamed = (gun: Gun): boolean =>
      news?.changes.has(gun) === true || this.#again.has(gun) || !this.#known.has(gun)
    const due = isFull || news === undefined ? guns : guns.filter(isNamed)
    const told = (gun: Gun): readonly FeedChange[] | undefined =>
      news && [...(this.#again.get(gun) ?? []), ...(news.changes.get(gun) ?? [])]
    const results = await settleEach(due, MAX_PARALLEL, async (gun) => {
      if (!stopping.aborted) await this.#o.watch.look(gun, told(gun))
    })
    if (stopping.aborted) return
    for (const { item: gun, result } of results) {
      if (result.status === 'fulfilled') {
        this.#troubles.delete(gun)
        this.#again.delete(gun)
        this.#known.add(gun)
      } else {
        this.#again.set(gun, told(gun)?.slice(-MAX_KEPT) ?? [])
        this.#trouble(gun, result.reason)
      }
    }
    // After the looks: a crash before it has the same changes read once more.
    if (server !== undefined && news !== undefined && news.position !== this.#o.positions.position(server)) {
      this.#o.positions.notePosition(server, undefined, news.position)
    }
  }

  async #read(server: string, gun: Gun, isFull: boolean): Promise<News | undefined> {
    const { feeds, positions, log } = this.#o
    try {
      const before = positions.position(server)
      // A server whose database was lost counts from the beginning again.
      const newest = before === undefined || isFull ? await newestChange(feeds, gun, 'server') : before
      const position = newest === undefined ? undefined : Math.min(newest, before ?? newest)
      const reading = position === undefined ? undefined : await readFeed(feeds, gun, 'server', position)
      if (reading?.kind === 'overrun') {
        // Everything is looked at now, and the feed again from its end on.
        const end = await newestChange(feeds, gun, 'server')
        if (end !== undefined) positions.notePosition(server, undefined, end)
        return undefined
      }
      this.#note(server, reading?.kind === 'read')
      if (reading?.kind !== 'read') return undefined
      const changes = new Map<string, FeedChange[]>()
      for (const change of reading.changes) changes.set(change.gun, [...(changes.get(change.gun) ?? []), change])
      return { changes, position: reading.position }
    } catch (error) {
      if (this.#readable.get(server) !== false) log.info({ server, error }, 'the change feed cannot be read')
      this.#readable.set(server, false)
      return undefined
    }
  }

  #note(server: string, isReadable: boolean): void {
    if (this.#readable.get(server) === isReadable) return
    this.#readable.set(server, isReadable)
    const found = isReadable
      ? 'the change feed of the trust server says which repositories to look at'
      : 'the trust server gives no change feed; each repository is looked at every time'
    this.#o.log.info({ server }, found)
  }

  #trouble(gun: Gun, error: unknown): void {
    const { code } = failureOf(error)
    if (this.#troubles.get(gun) === code) return
    this.#troubles.set(gun, code)
    this.#o.log.error({ gun, error }, 'what is published in a repository could not be looked at')
  }
}
