// Whether requests can be signed now, for probes and metrics. Answers of other processes are kept for a moment: probes need no
// token, and must not be a way to keep them busy.
import { CodedError } from '@countersign/tuf'
import type { Clock, KeyHolder, TokenStatus } from '../domain/ports.ts'
import type { HealthProbes } from '../http/health.ts'
import type { Log } from '../log.ts'
import type { StoreDatabase } from '../store/database.ts'
import type { TrustServerHealth, TrustServerProbe } from './trust-server-probe.ts'

/** How long an answer counts, in milliseconds. */
const FRESH_MS = 1_000

type KeyHolderHealth = Awaited<ReturnType<HealthProbes['keyHolder']>>

export class Health implements HealthProbes {
  readonly #keyHolder: Pick<KeyHolder, 'status'>
  readonly #database: StoreDatabase
  readonly #log: Log
  readonly #askKeyHolder: () => Promise<{ readonly health: KeyHolderHealth; readonly tokens: readonly TokenStatus[] }>
  readonly trustServer?: () => Promise<TrustServerHealth>
  #isStarted = false

  constructor(o: {
    readonly keyHolder: Pick<KeyHolder, 'status'>
    /** Absent: there is no embedded one. */
    readonly trustServer?: Pick<TrustServerProbe, 'ask'>
    readonly database: StoreDatabase
    readonly clock: Clock
    readonly log: Log
  }) {
    this.#keyHolder = o.keyHolder
    this.#database = o.database
    this.#log = o.log
    this.#askKeyHolder = kept(o.clock, () => this.#ask())
    const { trustServer } = o
    if (trustServer !== undefined) this.trustServer = kept(o.clock, () => trustServer.ask())
  }

  /** To be called once everything that a first start makes is there. */
  started(): void {
    this.#isStarted = true
  }

  start(): 'ok' | 'pending' {
    return this.#isStarted ? 'ok' : 'pending'
  }

  async keyHolder(): Promise<KeyHolderHealth> {
    return (await this.#askKeyHolder()).health
  }

  /** The PKCS#11 tokens of the key holder, where it answers. */
  async tokens(): Promise<readonly TokenStatus[]> {
    return (await this.#askKeyHolder()).tokens
  }

  database(): 'ok' | 'unwritable' {
    try {
      this.#database.check()
      return 'ok'
    } catch (error) {
      this.#log.error({ error }, 'the database cannot be written')
      return 'unwritable'
    }
  }

  async #ask(): Promise<{ readonly health: KeyHolderHealth; readonly tokens: readonly TokenStatus[] }> {
    try {
      const { sealed, tokens = [] } = await this.#keyHolder.status()
      return { health: sealed ? 'sealed' : 'ok', tokens }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      return { health: error.code === 'KEY_HOLDER_SEALED' ? 'sealed' : 'unreachable', tokens: [] }
    }
  }
}

/** Asks anew only where the last answer is too old; however many wait, one question. */
function kept<T>(clock: Clock, ask: () => Promise<T>): () => Promise<T> {
  let last: { readonly at: number; readonly answer: Promise<T> } | undefined
  return () => {
    const now = clock.now().getTime()
    if (last === undefined || now < last.at || now - last.at >= FRESH_MS) last = { at: now, answer: ask() }
    return last.answer
  }
}
