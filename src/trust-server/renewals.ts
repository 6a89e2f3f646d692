// Keeps timestamps and snapshots fresh: in the background well before they end, and on reading where that did not happen, as the original does
// (notary v0.7.0 server/timestamp/timestamp.go GetOrCreateTimestamp). While nobody can sign, what has not ended is served on.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Gun } from '@countersign/tuf'
import type { Log } from '../log.ts'
import type { MetadataStore } from './metadata-store.ts'
import type { Publications } from './publications.ts'

export interface RenewalSettings {
  /** A timestamp is signed again when it has less than this left, in milliseconds. */
  readonly timestampBeforeMs: number
  /** A snapshot, likewise. */
  readonly snapshotBeforeMs: number
  /** How often the background looks, in milliseconds. */
  readonly everyMs: number
}

export interface RenewalsOptions {
  readonly store: MetadataStore
  readonly publications: Publications
  readonly settings: RenewalSettings
  readonly log: Log
  readonly now: () => Date
}

/** After a failure, readers do not ask for another try of the same repository for this long, in milliseconds. */
const RETRY_AFTER_MS = 5_000

export class Renewals {
  readonly #options: RenewalsOptions
  /** One renewal for each repository, however many wait for it. */
  readonly #running = new Map<Gun, Promise<void>>()
  readonly #failures = new Map<Gun, { readonly until: number; readonly error: unknown }>()

  constructor(options: RenewalsOptions) {
    this.#options = options
  }

  /** Resolves when timestamp and snapshot have not ended. @throws ProtocolError UNAVAILABLE where they cannot be signed now */
  async ensureFresh(gun: Gun): Promise<void> {
    const { store, now } = this.#options
    const expiry = store.expiry(gun)
    if (expiry === undefined || now() <= expiry.timestamp) return
    const failed = this.#failures.get(gun)
    if (failed !== undefined && failed.until > now().getTime()) throw failed.error
    await this.#renew(gun)
  }

  /** Signs again what ends soon, one repository after the other, and ends what a crash or an outage left. */
  async round(stopping: AbortSignal): Promise<void> {
    const { store, publications, settings, log, now } = this.#options
    for (const gun of store.stagedGuns()) {
      if (stopping.aborted) return
      await publications.settle(gun).catch((error: unknown) => {
        log.warn({ gun, error }, 'an update that was left cannot be ended yet')
      })
    }
    for (const gun of store.expiring(now(), settings)) {
      if (stopping.aborted) return
      await this.#renew(gun).catch((error: unknown) => {
        log.warn({ gun, error }, 'timestamp and snapshot cannot be signed again yet')
      })
    }
  }

  async run(stopping: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      await this.round(stopping).catch((error: unknown) => {
        this.#options.log.error({ error }, 'the search for what ends soon failed; it is tried again')
      })
      await sleep(this.#options.settings.everyMs, undefined, { signal: stopping }).catch(() => undefined)
    }
  }

  #renew(gun: Gun): Promise<void> {
    const running = this.#running.get(gun)
    if (running !== undefined) return running
    const { publications, settings, now } = this.#options
    const renewal = publications
      .renew(gun, { now: now(), windowMs: settings.snapshotBeforeMs })
      .then(
        () => {
          this.#failures.delete(gun)
        },
        (error: unknown) => {
          this.#failures.set(gun, { until: now().getTime() + RETRY_AFTER_MS, error })
          throw error
        },
      )
      .finally(() => this.#running.delete(gun))
    this.#running.set(gun, renewal)
    return renewal
  }
}
