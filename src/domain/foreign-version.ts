// A version of a role that somebody else published: what it changed, and how others are told. Pure.
import type { ChangeDescription, Gun, RoleName } from '@countersign/tuf'
import type { WebhookNews } from './webhook-event.ts'

export interface ForeignVersion {
  readonly gun: Gun
  readonly role: RoleName
  readonly version: number
  /** 64 hex digits, of the file. */
  readonly sha256: string
  /** The version that was seen before. */
  readonly from?: number
  /** What is different from it; undefined where the file from before cannot be had any more, and for root. */
  readonly change: ChangeDescription | undefined
  /** It needed a key of ours: all keys of the role are, or one of them signed it. So signing was frozen. */
  readonly isFrozen: boolean
}

/** Tags in one event or record; the metadata has them all. */
const MAX_TAGS = 20
/** Characters of the tags in a record. */
const MAX_TEXT = 512

/** As the audit log keeps it. */
export function foreignFacts(found: ForeignVersion): Readonly<Record<string, string | number | boolean>> {
  const { gun, role, version, sha256, from, change, isFrozen } = found
  return {
    gun,
    role,
    version,
    sha256,
    frozen: isFrozen,
    ...(from !== undefined && { from }),
    ...(change !== undefined && {
      put: change.put.length,
      moved: change.moved.length,
      dropped: change.dropped.length,
      delegations: changesDelegations(change),
      tags: tagsOf(change).join(' ').slice(0, MAX_TEXT),
    }),
  }
}

export function foreignNews(found: ForeignVersion, at: Date): WebhookNews {
  const { gun, role, version, sha256, from, change, isFrozen } = found
  const data = {
    gun,
    role,
    version,
    sha256,
    frozen: isFrozen,
    ...(from !== undefined && { from }),
    ...(change !== undefined && {
      put: names(change.put),
      moved: names(change.moved),
      dropped: names(change.dropped),
      delegations: changesDelegations(change),
    }),
  }
  return { type: 'repository.foreign', at, subject: `${gun} ${role} ${version}`, guns: [gun], data }
}

function tagsOf({ put, moved, dropped }: ChangeDescription): readonly string[] {
  return [...put, ...moved, ...dropped].slice(0, MAX_TAGS).map(({ name }) => name)
}

function names(entries: readonly { readonly name: string }[]): readonly string[] {
  return entries.slice(0, MAX_TAGS).map(({ name }) => name)
}

function changesDelegations({ delegations }: ChangeDescription): boolean {
  const { added, removed, changed, reordered } = delegations
  return reordered || added.length + removed.length + changed.length > 0
}
