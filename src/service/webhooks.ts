// Webhooks as the outer layers see them: which endpoints there are, what became of their events, and an operator's demands.
import { DomainError } from '../domain/errors.ts'
import { parsePattern, patternCovers } from '../domain/pattern.ts'
import type {
  Clock,
  DeliveryCounts,
  DeliveryQuery,
  EndpointState,
  IdentifierSource,
  KeyHolder,
  WebhookSender,
  WebhookStore,
} from '../domain/ports.ts'
import type { Principal } from '../domain/principal.ts'
import type { Attempt, Delivery, Subscription } from '../domain/webhook-delivery.ts'
import { PING, webhookBody } from '../domain/webhook-event.ts'

/** What is told of an endpoint: never its path, which may be a secret of the receiver's, nor its own secret. */
export interface WebhookEndpoint extends Subscription {
  readonly origin: string
}

export interface WebhookReport extends WebhookEndpoint, EndpointState {
  readonly counts: DeliveryCounts
}

export interface WebhookService {
  /** Endpoints in the order of the configuration. Grant `operator` on everything, as for all of these. @throws DomainError NOT_PERMITTED */
  list(principal: Principal): readonly WebhookReport[]
  /** Newest first. @throws DomainError NOT_PERMITTED, WEBHOOK_NOT_FOUND, CURSOR_INVALID */
  deliveries(
    principal: Principal,
    query: DeliveryQuery,
  ): { readonly deliveries: readonly Delivery[]; readonly nextCursor?: string }
  /** Sends an event again, from the first attempt on. @throws DomainError NOT_PERMITTED, WEBHOOK_NOT_FOUND, WEBHOOK_DELIVERY_NOT_FOUND */
  redeliver(principal: Principal, endpoint: string, id: string): Promise<Delivery>
  /** Lets an endpoint that answered 410 have events again, first those that wait. @throws DomainError NOT_PERMITTED, WEBHOOK_NOT_FOUND */
  enable(principal: Principal, endpoint: string): Promise<WebhookReport>
  /** Sends a `ping`, once and unstored, and tells how that ended. @throws DomainError NOT_PERMITTED, WEBHOOK_NOT_FOUND */
  test(principal: Principal, endpoint: string): Promise<{ readonly id: string; readonly attempt: Attempt }>
}

export interface WebhookDependencies {
  readonly store: WebhookStore
  readonly sender: WebhookSender
  readonly keyHolder: Pick<KeyHolder, 'appendRecord'>
  readonly clock: Clock
  readonly identifiers: IdentifierSource
  readonly endpoints: readonly WebhookEndpoint[]
  /** The dispatcher is to look again. */
  readonly wake: () => void
}

const EVERYTHING = parsePattern('*')

export class Webhooks implements WebhookService {
  readonly #dependencies: WebhookDependencies

  constructor(dependencies: WebhookDependencies) {
    this.#dependencies = dependencies
  }

  list(principal: Principal): readonly WebhookReport[] {
    requireOperatorOfEverything(principal)
    return this.#dependencies.endpoints.map((endpoint) => this.#report(endpoint))
  }

  deliveries(
    principal: Principal,
    query: DeliveryQuery,
  ): { readonly deliveries: readonly Delivery[]; readonly nextCursor?: string } {
    this.#endpoint(principal, query.endpoint)
    return this.#dependencies.store.list(query)
  }

  async redeliver(principal: Principal, endpoint: string, id: string): Promise<Delivery> {
    this.#endpoint(principal, endpoint)
    const { store, keyHolder, clock, wake } = this.#dependencies
    const delivery = this.#delivery(endpoint, id)
    await keyHolder.appendRecord('webhook-redelivered', { endpoint, event: id, type: delivery.type, by: principal.id })
    const { lastTryAt, lastStatus, lastCode } = this.#delivery(endpoint, id)
    store.update(endpoint, id, {
      state: 'pending',
      attempts: 0,
      nextTryAt: clock.now(),
      ...(lastTryAt !== undefined && { lastTryAt }),
      ...(lastStatus !== undefined && { lastStatus }),
      ...(lastCode !== undefined && { lastCode }),
    })
    wake()
    return this.#delivery(endpoint, id)
  }

  async enable(principal: Principal, name: string): Promise<WebhookReport> {
    const endpoint = this.#endpoint(principal, name)
    const { store, keyHolder, clock, wake } = this.#dependencies
    if (store.endpoint(name).state !== 'active') {
      await keyHolder.appendRecord('webhook-enabled', { endpoint: name, by: principal.id })
      store.setEndpoint(name, { state: 'active', since: clock.now() })
      wake()
    }
    return this.#report(endpoint)
  }

  async test(principal: Principal, name: string): Promise<{ readonly id: string; readonly attempt: Attempt }> {
    this.#endpoint(principal, name)
    const { sender, clock, identifiers } = this.#dependencies
    const now = clock.now()
    const id = identifiers.next('event')
    const body = webhookBody(PING, now, { endpoint: name })
    return { id, attempt: await sender.send(name, { id, type: PING, body }, now) }
  }

  #endpoint(principal: Principal, name: string): WebhookEndpoint {
    requireOperatorOfEverything(principal)
    const endpoint = this.#dependencies.endpoints.find((one) => one.name === name)
    if (endpoint === undefined) {
      throw new DomainError('WEBHOOK_NOT_FOUND', 'No endpoint of this name is configured.', {
        endpoint: name.slice(0, 64),
      })
    }
    return endpoint
  }

  #delivery(endpoint: string, id: string): Delivery {
    const delivery = this.#dependencies.store.find(endpoint, id)
    if (delivery === undefined) {
      throw new DomainError('WEBHOOK_DELIVERY_NOT_FOUND', 'This endpoint has no such delivery.', {
        endpoint,
        delivery: id.slice(0, 64),
      })
    }
    return delivery
  }

  #report(endpoint: WebhookEndpoint): WebhookReport {
    const { store } = this.#dependencies
    return { ...endpoint, ...store.endpoint(endpoint.name), counts: store.counts(endpoint.name) }
  }
}

/** Events tell of every repository, so a grant on some of them is not enough. */
function requireOperatorOfEverything({ grants }: Principal): void {
  const isOperator = grants.some(
    ({ grant, repositories }) =>
      grant === 'operator' && repositories.some((pattern) => patternCovers(pattern, EVERYTHING)),
  )
  if (isOperator) return
  throw new DomainError('NOT_PERMITTED', 'This identity has no grant "operator" on all repositories.', {
    grant: 'operator',
  })
}
