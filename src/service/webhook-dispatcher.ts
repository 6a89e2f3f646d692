// Carries stored events to their endpoints. Each endpoint has a queue of its own: one that hangs holds up nobody else. What there is to
// do is always read from the store, so a start after a crash, a new event and an operator's demand are the same work.
import type { Clock, Pause, RandomSource, WebhookSender, WebhookStore } from '../domain/ports.ts'
import { afterAttempt, type Attempt, type Delivery, type DeliveryUpdate } from '../domain/webhook-delivery.ts'

/** Hears how attempts ended, after the store has it. What it throws is dropped. */
export interface DeliveryObserver {
  attempted(event: {
    readonly endpoint: string
    readonly id: string
    readonly type: string
    readonly attempt: number
    readonly result: 'delivered' | 'failed' | 'dead' | 'gone'
    readonly status?: number
    readonly code?: string
    readonly nextTryAt?: string
  }): void
  /** The store could not be read or written; it is tried again. */
  troubled(event: { readonly endpoint: string; readonly error: unknown }): void
  /** Events were forgotten before they were delivered. */
  lost(event: { readonly undelivered: number }): void
}

export interface DispatcherDependencies {
  readonly store: WebhookStore
  readonly sender: WebhookSender
  readonly clock: Clock
  readonly pause: Pause
  readonly random: RandomSource
  readonly observer: DeliveryObserver
}

/** Attempts of one endpoint at the same time. */
const AT_ONCE = 4
/** The longest time without a look, so that a clock that was put right is noticed, in milliseconds. */
const LOOK_EVERY_MS = 60_000
/** Until the store is tried again after a failure, in milliseconds. */
const STORE_PAUSE_MS = 5_000

export class WebhookDispatcher {
  readonly #dependencies: DispatcherDependencies
  readonly #queues: readonly EndpointQueue[]

  /** @param endpoints the names that are configured */
  constructor(dependencies: DispatcherDependencies, endpoints: readonly string[]) {
    this.#dependencies = dependencies
    this.#queues = endpoints.map((name) => new EndpointQueue(dependencies, name))
  }

  /** There may be something to do, or something has changed. Looks a moment later, never at once. */
  wake(): void {
    for (const queue of this.#queues) queue.wake()
  }

  /** Forgets what is too old or too much, a little at a time. */
  async prune(stopping: AbortSignal): Promise<void> {
    const { store, clock, pause, observer } = this.#dependencies
    for (;;) {
      const { events, undelivered } = store.prune(clock.now())
      if (undelivered > 0)
        dropping(() => {
          observer.lost({ undelivered })
        })
      if (events === 0 || stopping.aborted) return
      await pause.wait(10)
    }
  }

  /** Begins nothing new; what is under way is broken off, and made again after the next start. Resolves when nothing is under way. */
  async stop(): Promise<void> {
    for (const queue of this.#queues) queue.stop()
    await this.#dependencies.sender.close()
    await Promise.all(this.#queues.map((queue) => queue.idle()))
  }
}

class EndpointQueue {
  readonly #dependencies: DispatcherDependencies
  readonly #endpoint: string
  readonly #underWay = new Map<string, Promise<void>>()
  /** When the first of the pauses at hand ends. */
  #alarm = Infinity
  #isAwake = false
  #isStopping = false

  constructor(dependencies: DispatcherDependencies, endpoint: string) {
    this.#dependencies = dependencies
    this.#endpoint = endpoint
  }

  wake(): void {
    if (this.#isAwake || this.#isStopping) return
    this.#isAwake = true
    // Whoever wakes may be inside a transaction.
    queueMicrotask(() => {
      this.#isAwake = false
      this.#look()
    })
  }

  stop(): void {
    this.#isStopping = true
  }

  async idle(): Promise<void> {
    await Promise.all(this.#underWay.values())
  }

  #look(): void {
    if (this.#isStopping) return
    try {
      this.#begin()
    } catch (error) {
      this.#trouble(error)
      this.#wakeIn(STORE_PAUSE_MS)
    }
  }

  #begin(): void {
    const { store, clock } = this.#dependencies
    const now = clock.now()
    if (store.endpoint(this.#endpoint).state !== 'active') return
    // Those under way are still due in the store.
    for (const delivery of store.due(this.#endpoint, now, AT_ONCE + this.#underWay.size)) {
      if (this.#underWay.size >= AT_ONCE) return
      if (this.#underWay.has(delivery.id)) continue
      const work = this.#deliver(delivery).finally(() => {
        this.#underWay.delete(delivery.id)
        this.wake()
      })
      this.#underWay.set(delivery.id, work)
    }
    const next = store.nextTry(this.#endpoint, now)
    if (next !== undefined) this.#wakeIn(Math.min(next.getTime() - now.getTime(), LOOK_EVERY_MS))
  }

  async #deliver({ id, type, body, attempts }: Delivery & { readonly body: string }): Promise<void> {
    const { sender, clock } = this.#dependencies
    try {
      const attempt = await sender.send(this.#endpoint, { id, type, body }, clock.now())
      // Broken off by the stop: it counts for nothing.
      if (this.#isStopping && attempt.outcome === 'failed') return
      this.#settle({ id, type, attempts }, attempt)
    } catch (error) {
      // It stays pending. Not tried at once: the receiver would hear of it again and again while our disk is full.
      this.#trouble(error)
      await this.#dependencies.pause.wait(STORE_PAUSE_MS)
    }
  }

  #settle({ id, type, attempts }: Pick<Delivery, 'id' | 'type' | 'attempts'>, attempt: Attempt): void {
    const { store, clock, random, observer } = this.#dependencies
    const now = clock.now()
    const [byte = 0] = random.bytes(1)
    const update = afterAttempt({ attempts }, attempt, now, byte / 255)
    store.update(this.#endpoint, id, update)
    if (attempt.outcome === 'gone') store.setEndpoint(this.#endpoint, { state: 'gone', since: now })
    dropping(() => {
      observer.attempted({
        endpoint: this.#endpoint,
        id,
        type,
        attempt: update.attempts,
        result: resultOf(attempt, update),
        ...(attempt.status !== undefined && { status: attempt.status }),
        ...(attempt.outcome !== 'accepted' && { code: attempt.code }),
        ...(update.nextTryAt !== undefined && { nextTryAt: update.nextTryAt.toISOString() }),
      })
    })
  }

  /** One pause at a time, unless a shorter one is needed. */
  #wakeIn(milliseconds: number): void {
    const { clock, pause } = this.#dependencies
    const at = clock.now().getTime() + milliseconds
    if (at >= this.#alarm) return
    this.#alarm = at
    const ring = (): void => {
      if (this.#alarm === at) this.#alarm = Infinity
      this.wake()
    }
    void pause.wait(milliseconds).then(ring, ring)
  }

  #trouble(error: unknown): void {
    dropping(() => {
      this.#dependencies.observer.troubled({ endpoint: this.#endpoint, error })
    })
  }
}

function resultOf(attempt: Attempt, update: DeliveryUpdate): 'delivered' | 'failed' | 'dead' | 'gone' {
  if (attempt.outcome === 'gone') return 'gone'
  if (update.state === 'dead') return 'dead'
  return update.state === 'delivered' ? 'delivered' : 'failed'
}

function dropping(tell: () => void): void {
  try {
    tell()
  } catch {
    // The observer's own trouble.
  }
}
