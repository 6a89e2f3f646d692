// What webhooks need: a place for events that is written together with what they tell, and somebody who carries them out.
// Calls of the stores are synchronous and durable, as of all stores; every one may throw StoreError.
import type { Gun, RoleName } from '@countersign/tuf'
import type { Attempt, Delivery, DeliveryState, DeliveryUpdate } from './webhook-delivery.ts'
import type { PING, WebhookEventType, WebhookNews } from './webhook-event.ts'

/** Takes events inside the transaction of the change that they tell. */
export interface EventOutbox {
  /** Whether any endpoint wants this type, so that nothing is made for nobody. */
  isWanted(type: WebhookEventType): boolean
  /** Stores the event for each endpoint that wants it, or nothing where none does. */
  record(news: WebhookNews): void
}

/** Remembers which repositories are frozen, so that each freeze is told once. */
export interface FreezeMemory {
  /** `reason`: undefined where the repository is not frozen. */
  note(gun: Gun, reason: string | undefined, at: Date): void
}

/** Remembers of which expiries it was told, so that each is told once at each distance, also over a restart. */
export interface ExpiryMemory {
  /** @param days how near it is; nothing happens where this expiry was told as near, or nearer. @param news made only where it is told */
  noteExpiry(
    expiry: { readonly gun: Gun; readonly role: RoleName; readonly expiresAt: Date; readonly days: number },
    news: () => WebhookNews,
  ): void
}

export interface EndpointState {
  /** `gone`: it answered 410; nothing is sent until it is enabled or configured otherwise. */
  readonly state: 'active' | 'gone'
  readonly since: Date
}

export interface DeliveryCounts {
  readonly pending: number
  readonly delivered: number
  readonly dead: number
}

export interface DeliveryQuery {
  readonly endpoint: string
  /** 1 to 200. */
  readonly limit: number
  readonly cursor?: string
  readonly state?: DeliveryState
}

export interface WebhookStore extends EventOutbox, FreezeMemory, ExpiryMemory {
  endpoint(name: string): EndpointState
  setEndpoint(name: string, state: EndpointState): void
  /** Pending deliveries whose time has come, the oldest time first, with the text to send. */
  due(endpoint: string, now: Date, limit: number): readonly (Delivery & { readonly body: string })[]
  /** When the first of the other pending deliveries is to be tried. */
  nextTry(endpoint: string, after: Date): Date | undefined
  /** What an attempt, or an operator, made of a delivery. */
  update(endpoint: string, id: string, update: DeliveryUpdate): void
  find(endpoint: string, id: string): Delivery | undefined
  /** Newest first. @throws DomainError CURSOR_INVALID */
  list(query: DeliveryQuery): { readonly deliveries: readonly Delivery[]; readonly nextCursor?: string }
  counts(endpoint: string): DeliveryCounts
  /** The same without those that were delivered, which are many: for whoever asks every few seconds. */
  undelivered(endpoint: string): Omit<DeliveryCounts, 'delivered'>
  /** The subject of the newest event of this type. */
  newest(type: WebhookEventType): string | undefined
  /** Forgets some events that are too old or too many; how many, and how many deliveries were still pending. */
  prune(now: Date): { readonly events: number; readonly undelivered: number }
}

export interface WebhookMessage {
  readonly id: string
  readonly type: WebhookEventType | typeof PING
  readonly body: string
}

export interface WebhookSender {
  /** One attempt. Never rejects: every failure has a code. */
  send(endpoint: string, message: WebhookMessage, now: Date): Promise<Attempt>
  /** Ends what is under way. */
  close(): Promise<void>
}
