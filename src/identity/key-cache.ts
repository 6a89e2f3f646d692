// The keys of one issuer, kept for a while. However many tokens come with key IDs that nobody knows, the issuer is asked once in a while only.
import { OidcError } from '../domain/oidc-errors.ts'
import type { KeyLoader } from './key-loaders.ts'
import { readKeySet, type KeySet, type VerificationKey } from './key-set.ts'

/** For so long keys are used without asking. */
const FRESH_MS = 600_000
/** For so long they are used while the issuer cannot be asked: a key that it withdrew meanwhile still counts. */
const MAX_STALE_MS = 6 * 3_600_000
/** The least time between two questions. */
const PAUSE_MS = 30_000
/** Likewise after one that failed. */
const PAUSE_AFTER_FAILURE_MS = 5_000

/** Told after every question to the issuer; undefined: it answered. */
export type KeyObserver = (failure: OidcError | undefined) => void

export class KeyCache {
  readonly #load: KeyLoader
  readonly #now: () => number
  readonly #observe: KeyObserver
  #kept: { readonly keys: KeySet; readonly at: number } | undefined
  #asked: { readonly at: number; readonly failure?: OidcError } | undefined
  #asking: Promise<void> | undefined

  constructor(load: KeyLoader, now: () => number, observe: KeyObserver) {
    this.#load = load
    this.#now = now
    this.#observe = observe
  }

  /** @throws OidcError OIDC_KEY_UNKNOWN, OIDC_PROVIDER_UNREACHABLE, OIDC_PROVIDER_INVALID */
  async find(keyId: string): Promise<VerificationKey> {
    const fresh = this.#lookUp(keyId, FRESH_MS)
    if (fresh !== undefined) return fresh
    if (this.#asking !== undefined || this.#mayAsk()) {
      this.#asking ??= this.#ask().finally(() => {
        this.#asking = undefined
      })
      await this.#asking
    }
    const key = this.#lookUp(keyId, MAX_STALE_MS)
    if (key !== undefined) return key
    if (this.#asked?.failure !== undefined) throw this.#asked.failure
    throw new OidcError(
      'OIDC_KEY_UNKNOWN',
      'The issuer publishes no key of this name that tokens can be verified with.',
    )
  }

  #lookUp(keyId: string, maxAgeMs: number): VerificationKey | undefined {
    if (this.#kept === undefined) return undefined
    const age = this.#now() - this.#kept.at
    return age < 0 || age >= maxAgeMs ? undefined : this.#kept.keys.get(keyId)
  }

  #mayAsk(): boolean {
    if (this.#asked === undefined) return true
    const passed = this.#now() - this.#asked.at
    return passed < 0 || passed >= (this.#asked.failure === undefined ? PAUSE_MS : PAUSE_AFTER_FAILURE_MS)
  }

  async #ask(): Promise<void> {
    let failure: OidcError | undefined
    try {
      const keys = readKeySet(await this.#load())
      this.#kept = { keys, at: this.#now() }
    } catch (error) {
      if (!(error instanceof OidcError)) throw error
      failure = error
    }
    this.#asked = { at: this.#now(), ...(failure !== undefined && { failure }) }
    this.#observe(failure)
  }
}
