// Destroys keys in tokens that nobody wants any more, as soon as their token is there, and again until it is done.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { ProcessLog } from './holder-log.ts'
import type { StateDatabase } from './database.ts'
import type { TokenCustodian } from './token-custodian.ts'
import type { UnwantedKey, UnwantedKeys } from './unwanted-keys.ts'

/** Records that nothing of the key is in its token, and calls `remove` in the same transaction. @param found whether it was there */
type OnDestroyed = (key: UnwantedKey, found: boolean, remove: () => void) => void

type Place = UnwantedKey['custody']

/** How often it is looked for unwanted keys, in milliseconds. */
const INTERVAL_MS = 10_000
/** After a failure: doubled each time, in milliseconds. */
const FIRST_PAUSE_MS = 10_000
const LONGEST_PAUSE_MS = 3_600_000
/** A new key that has not been recorded after this time never will be, in milliseconds. */
const LONGEST_MAKING_MS = 300_000
/** Keys of one token that could not be recorded and not be destroyed; then no more are made in it. */
const MAX_UNRECORDED = 16

export class TokenSweep {
  readonly #database: StateDatabase
  readonly #unwanted: UnwantedKeys
  readonly #tokens: TokenCustodian
  readonly #onDestroyed: OnDestroyed
  readonly #processLog: ProcessLog
  #timer: NodeJS.Timeout | undefined
  /** Places in which keys are being made, and since when, by performance.now(). */
  readonly #making = new Map<string, number>()
  readonly #pauses = new Map<string, { readonly failures: number; readonly until: number }>()
  readonly #underWay = new Map<string, Promise<void>>()
  #sweeping: Promise<void> | undefined
  #isClosed = false

  constructor(o: {
    readonly database: StateDatabase
    readonly unwanted: UnwantedKeys
    readonly tokens: TokenCustodian
    readonly onDestroyed: OnDestroyed
    readonly processLog: ProcessLog
  }) {
    this.#database = o.database
    this.#unwanted = o.unwanted
    this.#tokens = o.tokens
    this.#onDestroyed = o.onDestroyed
    this.#processLog = o.processLog
  }

  /** From now on unwanted keys are destroyed as soon as their token is there. */
  start(): void {
    this.#timer = setInterval(() => {
      this.sweep()
    }, INTERVAL_MS)
    this.#timer.unref()
    this.sweep()
  }

  /**
   * Writes down that a key is about to be made there. A crash after it leaves what the next start destroys, if it is there.
   * @throws KeyHolderError CUSTODY_UNAVAILABLE where too many that were made before cannot be destroyed; STATE_UNWRITABLE
   */
  expect(custody: Place, at: string): void {
    const left = this.#unwanted
      .all()
      .filter((one) => one.reason === 'unrecorded' && !this.#isBeingMade(one.custody) && isBeside(one.custody, custody))
    if (left.length >= MAX_UNRECORDED) {
      const message = 'Keys that were made in the token and not recorded cannot be destroyed; no more are made before.'
      throw new KeyHolderError('CUSTODY_UNAVAILABLE', message, { keys: left.length })
    }
    this.#making.set(custody, performance.now())
    this.#database.write(() => {
      this.#unwanted.add({ custody, reason: 'unrecorded' }, at)
    })
  }

  /** Call inside the transaction that stores the key. @throws KeyHolderError CUSTODY_KEY_MISSING: it took so long that it is destroyed */
  keep(custody: Place): void {
    this.#making.delete(custody)
    if (this.#unwanted.keep(custody)) return
    throw new KeyHolderError('CUSTODY_KEY_MISSING', 'The new key was not recorded in time and is destroyed.')
  }

  /**
   * New keys that will not be recorded, as far as the caller knows. Those that were recorded nevertheless stay: before anything is destroyed the
   * database says durably that it is not wanted.
   */
  abandon(custodies: readonly Place[]): void {
    for (const custody of custodies) this.#making.delete(custody)
    if (custodies.length > 0) this.sweep()
  }

  /** A key that nobody uses any more; call inside the transaction that says so. @param since RFC 3339 */
  discard(custody: Place, since: string): void {
    this.#unwanted.add({ custody, reason: 'retired' }, since)
  }

  isUnwanted(custody: string): boolean {
    return this.#unwanted.has(custody)
  }

  /** Of keys that are to be destroyed; not of those that are being made. */
  places(): readonly Place[] {
    return this.#unwanted.all().flatMap(({ custody }) => (this.#isBeingMade(custody) ? [] : [custody]))
  }

  /** Destroys this one now; nothing where it is wanted. @throws KeyHolderError CUSTODY_*, STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE */
  async destroy(custody: Place): Promise<void> {
    const unwanted = this.#unwanted.all().find((one) => one.custody === custody)
    if (unwanted === undefined) return
    const destroying = this.#underWay.get(custody) ?? this.#destroy(unwanted)
    this.#underWay.set(custody, destroying)
    try {
      await destroying
    } finally {
      this.#underWay.delete(custody)
    }
  }

  /** Begins with all that can be destroyed now, unless it is at it. */
  sweep(): void {
    if (this.#isClosed || this.#timer === undefined) return
    this.#sweeping ??= this.#sweepOnce().finally(() => {
      this.#sweeping = undefined
    })
  }

  /** Resolves when nothing is being destroyed any more. Close the tokens first: then nobody waits for them. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    await this.#sweeping
  }

  async #sweepOnce(): Promise<void> {
    try {
      for (const { custody } of this.#unwanted.all()) {
        if (this.#isClosed) return
        if (this.#isBeingMade(custody) || this.#tokens.stateOf(custody) !== 'ready') continue
        const { failures = 0, until = 0 } = this.#pauses.get(custody) ?? {}
        if (performance.now() < until) continue
        try {
          await this.destroy(custody)
          this.#pauses.delete(custody)
        } catch (error) {
          if (!(error instanceof KeyHolderError)) throw error
          const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures)
          this.#pauses.set(custody, { failures: failures + 1, until: performance.now() + pause })
          this.#processLog.warn({ custody, code: error.code }, 'a key in a token cannot be destroyed yet')
        }
      }
    } catch (error) {
      this.#processLog.error({ error }, 'unwanted keys in tokens are not destroyed')
    }
  }

  async #destroy({ custody, reason }: UnwantedKey): Promise<void> {
    const isStillUnwanted = this.#database.write(() => this.#unwanted.begin(custody))
    if (!isStillUnwanted) return
    // A crash between these leaves what the next start does again.
    const found = await this.#tokens.destroy(custody)
    this.#onDestroyed({ custody, reason }, found, () => {
      this.#unwanted.remove(custody)
    })
  }

  #isBeingMade(custody: string): boolean {
    const since = this.#making.get(custody)
    if (since !== undefined && performance.now() - since < LONGEST_MAKING_MS && this.#unwanted.has(custody)) return true
    this.#making.delete(custody)
    return false
  }
}

/** Whether two places are in the same token: what stands before the name of the key is the same. */
function isBeside(one: Place, other: Place): boolean {
  return one.split(';object=')[0] === other.split(';object=')[0]
}
