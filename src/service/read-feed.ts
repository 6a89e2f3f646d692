// Reads what a change feed has to say since the last time, within bounds: the feed of a hostile server has no end.
import type { Gun } from '@countersign/tuf'
import type { FeedChange, FeedScope, FeedSource } from '../domain/trust-feed.ts'

/** Changes asked for at once, and how often in a row. */
const PAGE = 500
const MAX_PAGES = 10

/** `none`: there is no feed for us. `overrun`: more than is read at once, so that nothing follows from it. */
export type FeedReading =
  | { readonly kind: 'read'; readonly changes: readonly FeedChange[]; readonly position: number }
  | { readonly kind: 'none' }
  | { readonly kind: 'overrun' }

/** @throws NotaryError */
export async function readFeed(feed: FeedSource, gun: Gun, scope: FeedScope, after: number): Promise<FeedReading> {
  const changes: FeedChange[] = []
  let position = after
  for (let page = 0; page < MAX_PAGES; page++) {
    const read = await feed.changes(gun, { scope, after: position, records: PAGE })
    if (read === undefined) return { kind: 'none' }
    changes.push(...read)
    position = read.at(-1)?.id ?? position
    if (read.length < PAGE) return { kind: 'read', changes, position }
  }
  return { kind: 'overrun' }
}

/** The last change that there is; 0 where there was none. Undefined: there is no feed for us. @throws NotaryError */
export async function newestChange(feed: FeedSource, gun: Gun, scope: FeedScope): Promise<number | undefined> {
  const read = await feed.changes(gun, { scope, after: 'newest', records: 1 })
  return read === undefined ? undefined : (read.at(-1)?.id ?? 0)
}
