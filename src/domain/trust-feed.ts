// The change feed of a trust server: which repositories were published or deleted. A hint where to look, never evidence. Pure.
import type { Gun } from '@countersign/tuf'

export interface FeedChange {
  /** Rises with each change of the server. */
  readonly id: number
  /** As the server names it: any repository, also one that nobody registered here. */
  readonly gun: string
  /** SHA-256 of the timestamp that was published, in hex; undefined for a deletion, or where the server does not say. */
  readonly timestamp: string | undefined
}

/** Changes of one repository, or of all that the server has. */
export type FeedScope = 'repository' | 'server'

export interface FeedQuery {
  readonly scope: FeedScope
  /** Those after this change; `newest`: the last one alone. */
  readonly after: number | 'newest'
  /** At most so many. */
  readonly records: number
}

export interface FeedSource {
  /**
   * Oldest first, with rising IDs behind `after`. Undefined where the server has no feed, or does not let us read it.
   * @param gun says which server, with whose credentials, and for the scope `repository` of what
   * @throws NotaryError
   */
  changes(gun: Gun, query: FeedQuery): Promise<readonly FeedChange[] | undefined>
}

/** The feeds of the trust servers of the configuration. */
export interface TrustFeeds extends FeedSource {
  /** The server that has this repository, by its name. @throws NotaryError */
  serverOf(gun: Gun): string
}

/** Up to which change a feed was read, so that a restart goes on from there. */
export interface FeedPositions {
  /** @param gun undefined for the feed of the whole server */
  position(server: string, gun?: Gun): number | undefined
  notePosition(server: string, gun: Gun | undefined, id: number): void
}
