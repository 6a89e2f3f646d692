// Tags that were signed here and stand in the registry for something else by now. Pure.
import type { Gun, TargetName } from '@countersign/tuf'
import type { WebhookNews } from './webhook-event.ts'

/** How a signed tag stands in its registry: as signed, at another digest, or not at all. */
export const DRIFT_STATES = ['matches', 'moved', 'gone'] as const
export type DriftState = (typeof DRIFT_STATES)[number]

export interface SignedTag {
  readonly gun: Gun
  readonly tag: TargetName
  /** The signed digest, 64 hex digits; undefined where the tag is not signed any more, and its drift has to end. */
  readonly sha256: string | undefined
  readonly state: DriftState
  /** Of a moved tag: the digest that it stands for. */
  readonly found?: string
  /** Since when it is in this state, as far as is known. */
  readonly since: Date
  /** When the registry answered last. */
  readonly checkedAt: Date
  /** Since when it looks otherwise than the state says, which may be a push whose signature is on its way. */
  readonly suspectSince?: Date
  /** The code with which the last question failed: the state is then what was known before. */
  readonly trouble?: string
}

/** What others are told of. `unsigned`: the tag had drifted, and nothing is signed any more. */
export interface DriftChange {
  readonly gun: Gun
  readonly tag: TargetName
  readonly state: DriftState | 'unsigned'
  readonly signed?: string
  readonly found?: string
}

export interface DriftCounts {
  /** Tags that are asked for. */
  readonly signed: number
  readonly moved: number
  readonly gone: number
  /** Of which the last question had no answer. */
  readonly unknown: number
}

/** As the audit log keeps it. */
export function driftFacts({ gun, tag, state, signed, found }: DriftChange): Readonly<Record<string, string>> {
  return { gun, tag, state, ...(signed !== undefined && { signed }), ...(found !== undefined && { found }) }
}

export function driftNews(change: DriftChange, at: Date): WebhookNews {
  const { gun, tag } = change
  return { type: 'repository.drift', at, subject: `${gun}:${tag}`, guns: [gun], data: driftFacts(change) }
}
