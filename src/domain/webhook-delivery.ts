// What becomes of an event on its way to one endpoint. Pure: the attempt and the time come in, the next state goes out.
import type { Pattern } from './pattern.ts'
import { matchesPattern } from './pattern.ts'
import type { WebhookEventType, WebhookNews } from './webhook-event.ts'

/** `dead`: no further attempt is made unless an operator asks for it. */
export const DELIVERY_STATES = ['pending', 'delivered', 'dead'] as const
export type DeliveryState = (typeof DELIVERY_STATES)[number]

/** What an endpoint is told of, as it is configured. */
export interface Subscription {
  readonly name: string
  readonly events: readonly WebhookEventType[]
  readonly repositories: readonly Pattern[]
}

/** One event for one endpoint. */
export interface Delivery {
  readonly endpoint: string
  /** Of the event: the receiver's `webhook-id`, the same at every attempt. */
  readonly id: string
  readonly type: WebhookEventType
  readonly subject: string
  readonly createdAt: Date
  readonly state: DeliveryState
  /** Attempts so far. */
  readonly attempts: number
  /** While it is pending. */
  readonly nextTryAt?: Date
  readonly lastTryAt?: Date
  /** The HTTP status of the last attempt, where there was an answer. */
  readonly lastStatus?: number
  /** Why the last attempt failed. */
  readonly lastCode?: string
}

/** How one attempt ended. */
export type Attempt =
  | { readonly outcome: 'accepted'; readonly status: number }
  /** 410: the receiver wants nothing more. */
  | { readonly outcome: 'gone'; readonly status: number; readonly code: string }
  | {
      readonly outcome: 'failed'
      readonly code: string
      readonly status?: number
      /** The receiver asked for so much time. */
      readonly retryAfterMs?: number
    }

/** What an attempt changes. */
export type DeliveryUpdate = Pick<
  Delivery,
  'state' | 'attempts' | 'nextTryAt' | 'lastTryAt' | 'lastStatus' | 'lastCode'
>

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** The pauses after the first, second, ... failed attempt; after the last of them one more attempt is made. */
export const RETRY_PAUSES_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR] as const
/** A pause grows by up to this part, so that many events do not come back at one moment. */
const JITTER = 0.2
/** The longest time that a receiver may ask for. */
export const MAX_RETRY_AFTER_MS = 24 * HOUR

export function wants({ events, repositories }: Subscription, { type, guns }: Pick<WebhookNews, 'type' | 'guns'>) {
  if (!events.includes(type)) return false
  return guns.length === 0 || guns.some((gun) => repositories.some((pattern) => matchesPattern(pattern, gun)))
}

/** @param chance from 0 to 1, for the jitter */
export function afterAttempt(
  { attempts: before }: Pick<Delivery, 'attempts'>,
  attempt: Attempt,
  now: Date,
  chance: number,
): DeliveryUpdate {
  const attempts = before + 1
  const { status } = attempt
  const made = { attempts, lastTryAt: now, ...(status !== undefined && { lastStatus: status }) }
  if (attempt.outcome === 'accepted') return { ...made, state: 'delivered' }
  const failed = { ...made, lastCode: attempt.code }
  const pause = RETRY_PAUSES_MS[before]
  if (pause === undefined) return { ...failed, state: 'dead' }
  const asked = attempt.outcome === 'failed' ? Math.min(attempt.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS) : 0
  const wait = Math.max(Math.round(pause * (1 + JITTER * chance)), asked)
  return { ...failed, state: 'pending', nextTryAt: new Date(now.getTime() + wait) }
}
