// Whether requests can be signed now, for probes and metrics. Answers of the key holder are kept for a moment: probes need no token,
// and must not be a way to keep it busy.
import { CodedError } from '@countersign/tuf'
import type { Clock, KeyHolder } from '../domain/ports.ts'
import type { HealthProbes } from '../http/health.ts'
import type { Log } from '../log.ts'
import type { StoreDatabase } from '../store/database.ts'

/** How long an answer of the key holder counts, in milliseconds. */
const FRESH_MS = 1_000

type KeyHolderHealth = Awaited<ReturnType<HealthProbes['keyHolder']>>

export class Health implements HealthProbes {
  readonly #keyHolder: Pick<KeyHolder, 'status'>
  readonly #database: StoreDatabase
  readonly #clock: Clock
  readonly #log: Log
  #isStarted = false
  #last: { readonly at: number; readonly health: Promise<KeyHolderHealth> } | undefined

  constructor(o: {
    readonly keyHolder: Pick<KeyHolder, 'status'>
    readonly database: StoreDatabase
    readonly clock: Clock
    readonly log: Log
  }) {
    this.#keyHolder = o.keyHolder
    this.#database = o.database
    this.#clock = o.clock
    this.#log = o.log
  }

  /** To be called once everything that a first start makes is there. */
  started(): void {
    this.#isStarted = true
  }

  start(): 'ok' | 'pending' {
    return this.#isStarted ? 'ok' : 'pending'
  }

  keyHolder(): Promise<KeyHolderHealth> {
    const now = this.#clock.now().getTime()
    if (this.#last === undefined || now < this.#last.at || now - this.#last.at >= FRESH_MS) {
      this.#last = { at: now, health: this.#ask() }
    }
    return this.#last.health
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

  async #ask(): Promise<KeyHolderHealth> {
    try {
      return (await this.#keyHolder.status()).sealed ? 'sealed' : 'ok'
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      return error.code === 'KEY_HOLDER_SEALED' ? 'sealed' : 'unreachable'
    }
  }
}
