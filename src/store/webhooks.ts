// Events, their deliveries and the state of endpoints in SQLite. An event is written in the transaction of what it tells, for each
// endpoint that wants it: a crash loses none, and the identifier that it got then is the same at every attempt.
import type { Gun } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import type {
  DeliveryCounts,
  DeliveryQuery,
  EndpointState,
  ExpiryMemory,
  IdentifierSource,
  WebhookStore,
} from '../domain/ports.ts'
import {
  type Delivery,
  type DeliveryState,
  type DeliveryUpdate,
  type Subscription,
  wants,
} from '../domain/webhook-delivery.ts'
import { freezeNews, webhookBody, type WebhookEventType, type WebhookNews } from '../domain/webhook-event.ts'
import type { StoreDatabase } from './database.ts'
import { StoreError } from './errors.ts'

interface DeliveryRow {
  readonly sequence: number
  readonly endpoint: string
  readonly id: string
  readonly type: WebhookEventType
  readonly subject: string
  readonly created_at: string
  readonly state: DeliveryState
  readonly attempts: number
  readonly next_try_at: string | null
  readonly last_try_at: string | null
  readonly last_status: number | null
  readonly last_code: string | null
}

/** An endpoint as it is configured, and a text that differs where the configuration does. */
export interface ConfiguredEndpoint extends Subscription {
  readonly configuration: string
}

/** Events are kept for so long, and no more than so many. */
const MAX_AGE_MS = 30 * 86_400_000
const MAX_EVENTS = 100_000
/** Events that are forgotten at once, so that nobody waits long for the database. */
const PRUNED_AT_ONCE = 500

export interface SqliteWebhookStoreOptions {
  readonly database: StoreDatabase
  readonly endpoints: readonly ConfiguredEndpoint[]
  readonly identifiers: IdentifierSource
  /** Hears that there is something to deliver, before it is durable; must not look at once. */
  readonly onRecorded?: () => void
  /** For tests. */
  readonly maxEvents?: number
}

export class SqliteWebhookStore implements WebhookStore {
  readonly #options: SqliteWebhookStoreOptions
  readonly #statements
  readonly #wanted: ReadonlySet<WebhookEventType>

  constructor(options: SqliteWebhookStoreOptions) {
    this.#options = options
    this.#statements = prepareStatements(options.database.sqlite)
    this.#wanted = new Set(options.endpoints.flatMap(({ events }) => events))
  }

  /** To be called at the start: an endpoint that is new, or configured otherwise than before, is active. */
  takeConfiguration(now: Date): void {
    const changed = this.#options.endpoints.filter(
      ({ name, configuration }) => this.#statements.findEndpoint.get(name)?.configuration !== configuration,
    )
    if (changed.length === 0) return
    this.#options.database.transaction(() => {
      for (const { name, configuration } of changed) {
        this.#statements.saveEndpoint.run({ name, configuration, state: 'active', since: now.toISOString() })
      }
    })
  }

  isWanted(type: WebhookEventType): boolean {
    return this.#wanted.has(type)
  }

  record(news: WebhookNews): void {
    const receivers = this.#options.endpoints.filter((endpoint) => wants(endpoint, news))
    if (receivers.length === 0) return
    this.#options.database.transaction(() => {
      const { type, subject, at, data } = news
      const { lastInsertRowid: event } = this.#statements.insertEvent.run({
        id: this.#options.identifiers.next('event'),
        type,
        subject,
        createdAt: at.toISOString(),
        body: webhookBody(type, at, data),
      })
      for (const { name } of receivers) this.#statements.insertDelivery.run(name, event, at.toISOString())
    })
    this.#options.onRecorded?.()
  }

  note(gun: Gun, reason: string | undefined, at: Date): void {
    if (!this.isWanted('repository.frozen')) return
    if (this.#statements.findFreeze.get(gun)?.reason === reason) return
    this.#options.database.transaction(() => {
      if (reason === undefined) {
        this.#statements.deleteFreeze.run(gun)
        return
      }
      this.#statements.saveFreeze.run(gun, reason)
      this.record(freezeNews(gun, reason, at))
    })
  }

  noteExpiry({ gun, role, expiresAt, days }: Parameters<ExpiryMemory['noteExpiry']>[0], news: () => WebhookNews): void {
    if (!this.isWanted('repository.expiring')) return
    const told = this.#statements.findExpiry.get(gun, role)
    if (told?.expires_at === expiresAt.toISOString() && told.days <= days) return
    this.#options.database.transaction(() => {
      this.#statements.saveExpiry.run({ gun, role, expiresAt: expiresAt.toISOString(), days })
      this.record(news())
    })
  }

  endpoint(name: string): EndpointState {
    const row = this.#statements.findEndpoint.get(name)
    if (row === undefined) throw new StoreError('STORE_DAMAGED', 'An endpoint has no state.', { endpoint: name })
    return { state: row.state, since: new Date(row.since) }
  }

  setEndpoint(name: string, { state, since }: EndpointState): void {
    this.#options.database.transaction(() => {
      this.#statements.setEndpoint.run({ name, state, since: since.toISOString() })
    })
  }

  due(endpoint: string, now: Date, limit: number): readonly (Delivery & { readonly body: string })[] {
    return this.#statements.due
      .all({ endpoint, now: now.toISOString(), limit })
      .map((row) => ({ ...readDelivery(row), body: row.body }))
  }

  nextTry(endpoint: string, after: Date): Date | undefined {
    const next = this.#statements.nextTry.get(endpoint, after.toISOString())?.next_try_at
    return next === undefined ? undefined : new Date(next)
  }

  update(endpoint: string, id: string, update: DeliveryUpdate): void {
    this.#options.database.transaction(() => {
      this.#statements.update.run({
        endpoint,
        id,
        state: update.state,
        attempts: update.attempts,
        nextTryAt: update.nextTryAt?.toISOString() ?? null,
        lastTryAt: update.lastTryAt?.toISOString() ?? null,
        lastStatus: update.lastStatus ?? null,
        lastCode: update.lastCode ?? null,
      })
    })
  }

  find(endpoint: string, id: string): Delivery | undefined {
    const row = this.#statements.find.get(endpoint, id)
    return row === undefined ? undefined : readDelivery(row)
  }

  list({ endpoint, limit, cursor, state }: DeliveryQuery): {
    readonly deliveries: readonly Delivery[]
    readonly nextCursor?: string
  } {
    const query = { endpoint, before: parseCursor(cursor), rows: limit + 1 }
    const rows =
      state === undefined ? this.#statements.list.all(query) : this.#statements.listOfState.all({ ...query, state })
    const shown = rows.slice(0, limit)
    const last = shown.at(-1)
    return {
      deliveries: shown.map(readDelivery),
      ...(rows.length > limit && last !== undefined && { nextCursor: `d${last.sequence}` }),
    }
  }

  counts(endpoint: string): DeliveryCounts {
    return { ...this.undelivered(endpoint), delivered: this.#count(endpoint, 'delivered') }
  }

  undelivered(endpoint: string): Omit<DeliveryCounts, 'delivered'> {
    return { pending: this.#count(endpoint, 'pending'), dead: this.#count(endpoint, 'dead') }
  }

  #count(endpoint: string, state: DeliveryState): number {
    return this.#statements.count.get(endpoint, state)?.count ?? 0
  }

  newest(type: WebhookEventType): string | undefined {
    return this.#statements.newest.get(type)?.subject
  }

  prune(now: Date): { readonly events: number; readonly undelivered: number } {
    const { database, maxEvents = MAX_EVENTS } = this.#options
    return database.transaction(() => {
      const before = new Date(now.getTime() - MAX_AGE_MS).toISOString()
      const old = this.#statements.old.all({ before, maxEvents })
      let undelivered = 0
      for (const { sequence } of old) {
        undelivered += this.#statements.countUndelivered.get(sequence)?.count ?? 0
        this.#statements.deleteEvent.run(sequence)
      }
      return { events: old.length, undelivered }
    })
  }
}

function readDelivery(row: DeliveryRow): Delivery {
  return {
    endpoint: row.endpoint,
    id: row.id,
    type: row.type,
    subject: row.subject,
    createdAt: new Date(row.created_at),
    state: row.state,
    attempts: row.attempts,
    ...(row.next_try_at !== null && { nextTryAt: new Date(row.next_try_at) }),
    ...(row.last_try_at !== null && { lastTryAt: new Date(row.last_try_at) }),
    ...(row.last_status !== null && { lastStatus: row.last_status }),
    ...(row.last_code !== null && { lastCode: row.last_code }),
  }
}

/** The sequence below which a page starts. */
function parseCursor(cursor: string | undefined): number {
  if (cursor === undefined) return Number.MAX_SAFE_INTEGER
  const digits = /^d([0-9]{1,15})$/.exec(cursor)?.[1]
  if (digits === undefined) throw new DomainError('CURSOR_INVALID', 'Use the cursor of the previous page.')
  return Number(digits)
}

function prepareStatements(sqlite: StoreDatabase['sqlite']) {
  const columns = `d.sequence, d.endpoint, e.id, e.type, e.subject, e.created_at, d.state, d.attempts, d.next_try_at,
    d.last_try_at, d.last_status, d.last_code`
  const joined = 'webhook_deliveries d JOIN webhook_events e ON e.sequence = d.event'
  return {
    insertEvent: sqlite.prepare(
      `INSERT INTO webhook_events (id, type, subject, created_at, body)
       VALUES (:id, :type, :subject, :createdAt, :body)`,
    ),
    insertDelivery: sqlite.prepare(
      `INSERT INTO webhook_deliveries (endpoint, event, state, attempts, next_try_at) VALUES (?, ?, 'pending', 0, ?)`,
    ),
    findFreeze: sqlite.prepare<[string], { reason: string }>('SELECT reason FROM webhook_freezes WHERE gun = ?'),
    saveFreeze: sqlite.prepare(
      'INSERT INTO webhook_freezes (gun, reason) VALUES (?, ?) ON CONFLICT (gun) DO UPDATE SET reason = excluded.reason',
    ),
    deleteFreeze: sqlite.prepare('DELETE FROM webhook_freezes WHERE gun = ?'),
    findExpiry: sqlite.prepare<[string, string], { expires_at: string; days: number }>(
      'SELECT expires_at, days FROM webhook_expiries WHERE gun = ? AND role = ?',
    ),
    saveExpiry: sqlite.prepare(
      `INSERT INTO webhook_expiries (gun, role, expires_at, days) VALUES (:gun, :role, :expiresAt, :days)
       ON CONFLICT (gun, role) DO UPDATE SET expires_at = excluded.expires_at, days = excluded.days`,
    ),
    findEndpoint: sqlite.prepare<[string], { configuration: string; state: EndpointState['state']; since: string }>(
      'SELECT configuration, state, since FROM webhook_endpoints WHERE name = ?',
    ),
    saveEndpoint: sqlite.prepare(
      `INSERT INTO webhook_endpoints (name, configuration, state, since) VALUES (:name, :configuration, :state, :since)
       ON CONFLICT (name) DO UPDATE SET configuration = excluded.configuration, state = excluded.state,
         since = excluded.since`,
    ),
    setEndpoint: sqlite.prepare('UPDATE webhook_endpoints SET state = :state, since = :since WHERE name = :name'),
    due: sqlite.prepare<[object], DeliveryRow & { body: string }>(
      `SELECT ${columns}, e.body FROM ${joined}
       WHERE d.endpoint = :endpoint AND d.state = 'pending' AND d.next_try_at <= :now
       ORDER BY d.next_try_at, d.sequence LIMIT :limit`,
    ),
    nextTry: sqlite.prepare<[string, string], { next_try_at: string }>(
      `SELECT next_try_at FROM webhook_deliveries WHERE endpoint = ? AND state = 'pending' AND next_try_at > ?
       ORDER BY next_try_at LIMIT 1`,
    ),
    update: sqlite.prepare(
      `UPDATE webhook_deliveries SET state = :state, attempts = :attempts, next_try_at = :nextTryAt,
         last_try_at = :lastTryAt, last_status = :lastStatus, last_code = :lastCode
       WHERE endpoint = :endpoint AND event = (SELECT sequence FROM webhook_events WHERE id = :id)`,
    ),
    find: sqlite.prepare<[string, string], DeliveryRow>(
      `SELECT ${columns} FROM ${joined} WHERE d.endpoint = ? AND e.id = ?`,
    ),
    list: sqlite.prepare<[object], DeliveryRow>(
      `SELECT ${columns} FROM ${joined} WHERE d.endpoint = :endpoint AND d.sequence < :before
       ORDER BY d.sequence DESC LIMIT :rows`,
    ),
    listOfState: sqlite.prepare<[object], DeliveryRow>(
      `SELECT ${columns} FROM ${joined} WHERE d.endpoint = :endpoint AND d.state = :state AND d.sequence < :before
       ORDER BY d.sequence DESC LIMIT :rows`,
    ),
    count: sqlite.prepare<[string, DeliveryState], { count: number }>(
      'SELECT count(*) AS count FROM webhook_deliveries WHERE endpoint = ? AND state = ?',
    ),
    newest: sqlite.prepare<[string], { subject: string }>(
      'SELECT subject FROM webhook_events WHERE type = ? ORDER BY sequence DESC LIMIT 1',
    ),
    old: sqlite.prepare<[object], { sequence: number }>(
      `SELECT sequence FROM webhook_events
       WHERE created_at < :before OR sequence <= (SELECT max(sequence) FROM webhook_events) - :maxEvents
       ORDER BY sequence LIMIT ${PRUNED_AT_ONCE}`,
    ),
    countUndelivered: sqlite.prepare<[number], { count: number }>(
      `SELECT count(*) AS count FROM webhook_deliveries WHERE event = ? AND state = 'pending'`,
    ),
    deleteEvent: sqlite.prepare('DELETE FROM webhook_events WHERE sequence = ?'),
  }
}
