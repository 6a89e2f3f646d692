// Which signed tags a repository is tidied of, and why. Pure.
import type { TargetName } from '@countersign/tuf'

/** Entries of one pruning: one publication, whose changes fit into one request to the key holder. */
export const MAX_PRUNED = 5_000

export interface PruneRules {
  /** Tags that the registry does not have. */
  readonly gone: boolean
  /** Tags that nobody has had signed here for this long, in milliseconds. */
  readonly olderThanMs?: number
  /** So many of those that were signed last stay, however old they are. */
  readonly keepLast?: number
}

export type PruneReason = 'gone' | 'old'

/** Why a request drops a tag: by a plan, whose word is looked at again before anything is signed. */
export interface Pruned {
  readonly reason: PruneReason
  /** When the plan was made. */
  readonly plannedAt: Date
}

/** A tag that clients find signed. */
export interface SignedEntry {
  readonly tag: TargetName
  /** 64 hex digits. */
  readonly sha256: string
  /** When it was signed here at this digest; absent where that is not known. */
  readonly signedAt?: Date
}

/** The tags that the age rule is about. One whose age is not known is none of them. */
export function oldTags(entries: readonly SignedEntry[], rules: PruneRules, now: Date): ReadonlySet<TargetName> {
  const { olderThanMs, keepLast = 0 } = rules
  if (olderThanMs === undefined) return new Set()
  const newestFirst = entries
    .flatMap(({ tag, signedAt }) => (signedAt === undefined ? [] : [{ tag, time: signedAt.getTime() }]))
    .sort((one, other) => other.time - one.time || (one.tag < other.tag ? 1 : -1))
  const old = newestFirst.slice(keepLast).filter(({ time }) => now.getTime() - time > olderThanMs)
  return new Set(old.map(({ tag }) => tag))
}
