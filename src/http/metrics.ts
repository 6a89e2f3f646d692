// What Prometheus reads. Names begin with countersign_, units are base units, labels have few values: never a tag, digest or token.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { TokenStatus } from '../domain/ports.ts'

/** Read when Prometheus asks, not kept. */
export interface MetricSources {
  /** Images that are not final, by status. */
  unfinishedImages(): ReadonlyMap<string, number>
  /** Seconds since the oldest unfinished image was last moved; 0 where there is none. */
  oldestUnfinishedSeconds(): number
  /** Whether the policy folder holds faults, so that the former policies stay in force. Absent: there is no folder. */
  readonly isPolicyFolderFaulty?: () => boolean
  /** Whether the key holder answers and is unsealed. */
  isKeyHolderUp(): Promise<boolean>
  /** The PKCS#11 tokens of the key holder. Absent: nobody looks. */
  tokens?(): Promise<readonly TokenStatus[]>
  /** Days until the first role of any repository expires, timestamps aside, as last seen. undefined where none was seen. */
  daysToNextExpiry(): number | undefined
  /** The same for each kind of role, with timestamps. Absent: nobody looks. */
  daysToNextExpiryByClass?(): ReadonlyMap<string, number>
  /** Signed tags by how they stand in their registries, as last seen. Absent: that is not looked for. */
  driftCounts?(): Readonly<Record<'moved' | 'gone' | 'unknown', number>>
  /** Pushed tags that are not signed. Absent: no registry tells of pushes. */
  pushCounts?(): { readonly unsigned: number; readonly waiting: number; readonly oldestSeconds: number }
  /** Events that wait for each webhook endpoint, and that were given up. Absent: there are no endpoints. */
  webhookCounts?(): ReadonlyMap<string, { readonly pending: number; readonly dead: number }>
}

/** Publications take a few round trips; a busy repository waits for its turn. */
const PUBLICATION_BUCKETS_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
const HTTP_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export class Metrics {
  readonly #registry = new Registry()
  readonly #httpRequests: Histogram<'method' | 'route' | 'status'>
  readonly #images: Counter<'kind' | 'result'>
  readonly #publications: Histogram<'result'>
  readonly #conflicts: Counter
  readonly #keyHolderFailures: Counter<'code'>
  readonly #refusedTokens: Counter<'code'>
  readonly #webhooks: Counter<'endpoint' | 'result'>
  readonly #exchanges: Counter<'issuer'>
  readonly #foreignVersions: Counter<'frozen'>
  readonly #refusedExchanges: Counter<'code'>
  readonly #keyFetches: Counter<'issuer' | 'result'>
  readonly #pushEvents: Counter<'source' | 'result'>
  readonly #pushLooks: Counter<'source' | 'result'>

  constructor(version: string, sources: MetricSources) {
    const registers = [this.#registry]
    this.#httpRequests = new Histogram({
      name: 'countersign_http_request_duration_seconds',
      help: 'Time to answer HTTP requests. Held-back answers (wait=) are in it.',
      labelNames: ['method', 'route', 'status'],
      buckets: HTTP_BUCKETS_SECONDS,
      registers,
    })
    this.#images = new Counter({
      name: 'countersign_signing_request_images_total',
      help: 'Images of signing requests that came to an end, by result.',
      labelNames: ['kind', 'result'],
      registers,
    })
    this.#publications = new Histogram({
      name: 'countersign_publication_duration_seconds',
      help: 'Time from the intent of a publication to its proof or its end.',
      labelNames: ['result'],
      buckets: PUBLICATION_BUCKETS_SECONDS,
      registers,
    })
    this.#conflicts = new Counter({
      name: 'countersign_publication_conflicts_total',
      help: 'Publications that lost a race against somebody else.',
      registers,
    })
    this.#keyHolderFailures = new Counter({
      name: 'countersign_key_holder_failures_total',
      help: 'Calls of the key holder that failed, by code: foreign versions, a log that cannot be written, limits, keys.',
      labelNames: ['code'],
      registers,
    })
    this.#refusedTokens = new Counter({
      name: 'countersign_http_refused_tokens_total',
      help: 'Requests without a valid token.',
      labelNames: ['code'],
      registers,
    })
    this.#webhooks = new Counter({
      name: 'countersign_webhook_deliveries_total',
      help: 'Attempts to deliver an event, by endpoint and result: delivered, failed (tried again), dead, gone.',
      labelNames: ['endpoint', 'result'],
      registers,
    })
    this.#foreignVersions = new Counter({
      name: 'countersign_foreign_versions_total',
      help: 'Versions of roles that somebody else published; frozen: made with a key of ours, so that signing stopped.',
      labelNames: ['frozen'],
      registers,
    })
    for (const frozen of ['true', 'false']) this.#foreignVersions.inc({ frozen }, 0)
    this.#exchanges = new Counter({
      name: 'countersign_oidc_exchanges_total',
      help: 'Tokens of issuers that were exchanged.',
      labelNames: ['issuer'],
      registers,
    })
    this.#refusedExchanges = new Counter({
      name: 'countersign_oidc_refusals_total',
      help: 'Tokens of issuers that were refused, by reason.',
      labelNames: ['code'],
      registers,
    })
    this.#keyFetches = new Counter({
      name: 'countersign_oidc_key_fetches_total',
      help: 'Questions to issuers for their keys.',
      labelNames: ['issuer', 'result'],
      registers,
    })
    this.#pushEvents = new Counter({
      name: 'countersign_push_events_total',
      help: 'Events of registries: accepted (a tag that will be looked at), ignored (anything else), malformed.',
      labelNames: ['source', 'result'],
      registers,
    })
    this.#pushLooks = new Counter({
      name: 'countersign_push_looks_total',
      help: 'Looks at pushed tags, by how they ended: requested, known, signed, moved, outdated, gone, ignored, troubled.',
      labelNames: ['source', 'result'],
      registers,
    })
    this.#registerSources(version, sources)
  }

  /** The type of the text that `print` makes. */
  get contentType(): string {
    return this.#registry.contentType
  }

  print(): Promise<string> {
    return this.#registry.metrics()
  }

  /** `route` is the pattern, never the path. */
  httpAnswered(o: {
    readonly method: string
    readonly route: string
    readonly status: number
    readonly seconds: number
  }): void {
    this.#httpRequests.observe({ method: o.method, route: o.route, status: String(o.status) }, o.seconds)
  }

  tokenRefused(code: 'TOKEN_MISSING' | 'TOKEN_INVALID'): void {
    this.#refusedTokens.inc({ code })
  }

  foreignVersionSeen(isFrozen: boolean): void {
    this.#foreignVersions.inc({ frozen: String(isFrozen) })
  }

  pushesHeard(source: string, counts: Readonly<Record<'accepted' | 'ignored' | 'malformed', number>>): void {
    for (const [result, count] of Object.entries(counts)) this.#pushEvents.inc({ source, result }, count)
  }

  pushSettled(source: string, result: string): void {
    this.#pushLooks.inc({ source, result })
  }

  /** `issuer` is its name in the configuration. */
  tokenExchanged(issuer: string): void {
    this.#exchanges.inc({ issuer })
  }

  exchangeRefused(code: string): void {
    this.#refusedExchanges.inc({ code })
  }

  issuerAsked(issuer: string, result: string): void {
    this.#keyFetches.inc({ issuer, result })
  }

  /** The codes are a closed list of the key holder. */
  keyHolderFailed(code: string): void {
    this.#keyHolderFailures.inc({ code })
  }

  imageEnded(kind: string, result: string): void {
    this.#images.inc({ kind, result })
  }

  publicationEnded(result: string, seconds: number): void {
    this.#publications.observe({ result }, seconds)
  }

  publicationConflicted(): void {
    this.#conflicts.inc()
  }

  webhookAttempted(endpoint: string, result: string): void {
    this.#webhooks.inc({ endpoint, result })
  }

  #registerSources(version: string, sources: MetricSources): void {
    const registers = [this.#registry]
    new Gauge({ name: 'countersign_info', help: 'The version.', labelNames: ['version'], registers }).set(
      { version },
      1,
    )
    new Gauge({
      name: 'countersign_unfinished_images',
      help: 'Images of signing requests that are not at their end, by status.',
      labelNames: ['status'],
      registers,
      collect() {
        this.reset()
        for (const [status, count] of sources.unfinishedImages()) this.set({ status }, count)
      },
    })
    new Gauge({
      name: 'countersign_oldest_unfinished_image_age_seconds',
      help: 'Time since the unfinished image that waits longest was last moved.',
      registers,
      collect() {
        this.set(sources.oldestUnfinishedSeconds())
      },
    })
    const { isPolicyFolderFaulty } = sources
    if (isPolicyFolderFaulty !== undefined) {
      new Gauge({
        name: 'countersign_policy_folder_faulty',
        help: '1: the policy folder holds faults, and the policies that were read before stay in force.',
        registers,
        collect() {
          this.set(isPolicyFolderFaulty() ? 1 : 0)
        },
      })
    }
    new Gauge({
      name: 'countersign_key_holder_up',
      help: '1: the key holder answers and is unsealed.',
      registers,
      async collect() {
        this.set((await sources.isKeyHolderUp()) ? 1 : 0)
      },
    })
    new Gauge({
      name: 'countersign_key_holder_token_available',
      help: '1: this PKCS#11 token is there and logged in; 0: requests for its keys wait.',
      labelNames: ['label', 'uri'],
      registers,
      async collect() {
        const tokens = (await sources.tokens?.()) ?? []
        this.reset()
        for (const { label, uri, state } of tokens) this.set({ label, uri }, state === 'ready' ? 1 : 0)
      },
    })
    new Gauge({
      name: 'countersign_key_holder_token_keys_to_destroy',
      help: 'Keys in this PKCS#11 token that were retired, or made and not recorded, and are still there.',
      labelNames: ['label', 'uri'],
      registers,
      async collect() {
        const tokens = (await sources.tokens?.()) ?? []
        this.reset()
        for (const { label, uri, toDestroy } of tokens) this.set({ label, uri }, toDestroy)
      },
    })
    new Gauge({
      name: 'countersign_next_expiry_days',
      help: 'Days until the first role of any repository expires, timestamps aside, as last seen.',
      registers,
      collect() {
        const days = sources.daysToNextExpiry()
        if (days === undefined) this.remove()
        else this.set(days)
      },
    })
    new Gauge({
      name: 'countersign_role_next_expiry_days',
      help: 'Days until the first role of a kind expires in any repository, as last seen: root, targets, delegation, snapshot, timestamp.',
      labelNames: ['role'],
      registers,
      collect() {
        this.reset()
        for (const [role, days] of sources.daysToNextExpiryByClass?.() ?? []) this.set({ role }, days)
      },
    })
    new Gauge({
      name: 'countersign_drifted_tags',
      help: 'Signed tags that stand in the registry for something else (moved), not at all (gone), or of which the last question had no answer (unknown).',
      labelNames: ['state'],
      registers,
      collect() {
        this.reset()
        const counts = sources.driftCounts?.()
        for (const state of ['moved', 'gone', 'unknown'] as const) if (counts) this.set({ state }, counts[state])
      },
    })
    for (const [name, help, member] of [
      ['countersign_pushed_unsigned_tags', 'Tags that were pushed and are not signed, as far as is known.', 'unsigned'],
      ['countersign_pushed_waiting_tags', 'Those of them that have not been looked at.', 'waiting'],
      [
        'countersign_pushed_unsigned_oldest_age_seconds',
        'Time since a registry told of the one that is unsigned for longest; 0 where there is none.',
        'oldestSeconds',
      ],
    ] as const) {
      if (sources.pushCounts === undefined) continue
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(sources.pushCounts?.()[member] ?? 0)
        },
      })
    }
    for (const state of ['pending', 'dead'] as const) {
      new Gauge({
        name: `countersign_webhook_${state}`,
        help: `Events for a webhook endpoint that are ${state}.`,
        labelNames: ['endpoint'],
        registers,
        collect() {
          this.reset()
          for (const [endpoint, counts] of sources.webhookCounts?.() ?? []) this.set({ endpoint }, counts[state])
        },
      })
    }
  }
}
