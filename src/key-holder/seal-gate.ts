// In front of the operations. Sealed, the process has no key and no unlock key, and answers nothing but how to unseal: requests of others wait
// where they come from. The audit log needs its key, too, so what happens while it is sealed is recorded when it is not any more.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { AnswerFrame, RequestFrame } from '../key-holder-protocol/frames.ts'
import type { OperationResponse, SocketName } from '../key-holder-protocol/operations.ts'
import { answerOfError, checkedCall, type Answering } from './dispatch.ts'
import type { AuditRecord, Call } from './holder.ts'
import { openHolder, type OpeningParts, type OpenHolder } from './open-holder.ts'
import { checkedUnlockKey, chooseUnlockKey, isPrepared, stretchingOf, unlock } from './settings.ts'
import { newStretching, unlockKeyOfCaller } from './unlock.ts'

/** Wrong unlock keys that are answered at once; with each further one the time to wait doubles. */
const FREE_TRIES = 3
const FIRST_WAIT_MS = 1000
const LONGEST_WAIT_MS = 300_000

export class SealGate implements Answering {
  readonly #parts: OpeningParts
  #open: OpenHolder | undefined
  /** Why it is sealed, while it is. */
  #why: 'start' | 'operator' = 'start'
  #since: Date
  #isStartRecorded = false
  /** Tokens are looked for whenever it is unsealed. */
  #isWatching = false
  #refused = 0
  #wrong = 0
  #lastWrongAt = 0
  /** Of sealing and unsealing there is one at a time. */
  #tail: Promise<unknown> = Promise.resolve()

  constructor(parts: OpeningParts) {
    this.#parts = parts
    this.#since = parts.now()
  }

  /** While it is unsealed. */
  get logPublicKey(): string | undefined {
    return this.#open?.logPublicKey
  }

  /** Takes over the unlock key. A crash before the records leaves nothing of it in the log. @throws KeyHolderError as `openHolder` */
  async open(unlockKey: Buffer, records: readonly AuditRecord[] = []): Promise<void> {
    const { limits, identity } = this.#parts
    const { uid, pid, version, startedAt } = identity
    const started = {
      kind: 'key-holder-started',
      by: 'key-holder',
      uid,
      pid,
      version,
      limitsDigest: limits.digest,
    } as const
    const first = this.#isStartRecorded ? [] : [{ ...started, startedAt }]
    this.#open = await openHolder(this.#parts, unlockKey, [...first, ...records])
    if (this.#isWatching) this.#open.watchTokens()
    this.#isStartRecorded = true
    this.#refused = 0
    this.#wrong = 0
  }

  /** Looks for tokens from now on, or as soon as it is unsealed. */
  watchTokens(): void {
    this.#isWatching = true
    this.#open?.watchTokens()
  }

  async answer(socket: SocketName, frame: RequestFrame): Promise<AnswerFrame> {
    const { operation } = frame
    if (operation !== 'seal' && operation !== 'unseal') {
      return this.#open === undefined
        ? this.refuse(socket, frame, this.#sealed())
        : this.#open.dispatcher.answer(socket, frame)
    }
    try {
      const call = checkedCall(socket, frame)
      const work = () => (operation === 'seal' ? this.#seal(call) : this.#unseal(call))
      const turn = this.#tail.then(work, work)
      this.#tail = turn
      return { id: frame.id, response: await turn, attachments: new Map() }
    } catch (error) {
      return this.refuse(socket, frame, error)
    } finally {
      for (const bytes of frame.attachments.values()) bytes.fill(0)
    }
  }

  refuse(socket: SocketName, frame: RequestFrame | undefined, thrown: unknown): AnswerFrame {
    if (this.#open !== undefined) return this.#open.dispatcher.refuse(socket, frame, thrown)
    this.#refused++
    return answerOfError(frame?.id ?? 0, thrown, (error) => {
      this.#parts.processLog.error({ error }, 'an operation failed')
    })
  }

  /** As a process that stops. */
  async close(): Promise<void> {
    await this.#tail.catch(() => undefined)
    if (this.#open === undefined) {
      this.#parts.processLog.warn({}, 'the stop is not recorded: the key holder is sealed')
      return
    }
    await this.#open.close({ kind: 'key-holder-stopped', by: 'key-holder' })
    this.#open = undefined
  }

  /** See the operation's description in the protocol. @throws KeyHolderError STATE_UNWRITABLE, AUDIT_LOG_UNWRITABLE */
  async #seal({ request, socket }: Call<'seal'>): Promise<OperationResponse<'seal'>> {
    const open = this.#open
    if (open === undefined) return { already: true, since: this.#since.toISOString() }
    // 1. The record. A crash leaves a key holder that starts as its configuration says.
    const { reason, evidence } = request
    open.record({ kind: 'key-holder-sealed', by: socket, reason, evidence })
    // 2. Nothing more is taken, nor begun of what waits; what is under way is finished, also in the log; then every key goes. A crash
    // leaves the same.
    this.#open = undefined
    this.#why = 'operator'
    this.#since = this.#parts.now()
    open.refuseFurther(this.#sealed())
    await open.close()
    this.#parts.processLog.warn({}, 'sealed by an operator; countersign unseal undoes it')
    return { already: false, since: this.#since.toISOString() }
  }

  /**
   * See the operation's description in the protocol.
   * @throws KeyHolderError UNLOCK_KEY_WRONG, UNSEAL_TOO_SOON, UNLOCK_KEY_NOT_CHOSEN, UNLOCK_KEY_CHOSEN_ALREADY, UNLOCK_KEY_NOT_CONFIGURED,
   * UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED; as `openHolder`
   */
  async #unseal(call: Call<'unseal'>): Promise<OperationResponse<'unseal'>> {
    const since = this.#since.toISOString()
    if (this.#open !== undefined) return { already: true, since }
    this.#refuseHaste()
    const unlockKey = await this.#unlockKeyFor(call).catch((error: unknown) => {
      if (error instanceof KeyHolderError && error.code === 'UNLOCK_KEY_WRONG') {
        this.#wrong++
        this.#lastWrongAt = this.#parts.now().getTime()
      }
      throw error
    })
    const { with: kind, evidence } = call.request
    const counts = { refused: this.#refused, wrongUnlockKeys: this.#wrong }
    await this.open(unlockKey, [
      {
        kind: 'key-holder-unsealed',
        by: call.socket,
        with: kind,
        sealedSince: since,
        why: this.#why,
        ...counts,
        evidence,
      },
    ])
    this.#parts.processLog.info({ sealedSince: since }, 'unsealed')
    return { already: false, since }
  }

  async #unlockKeyFor({ request, attachments }: Call<'unseal'>): Promise<Buffer> {
    const { database, sources } = this.#parts
    const isFirst = !isPrepared(database)
    if (request.with === 'configuration') {
      const { current, next } = sources
      if (current === undefined) {
        throw new KeyHolderError(
          'UNLOCK_KEY_NOT_CONFIGURED',
          'The configuration names no unlock key: an operator gives it.',
        )
      }
      return (await unlock(database, { current, ...(next !== undefined && { next }) }, isFirst)).unlockKey
    }
    if (isFirst && !request.first) {
      throw new KeyHolderError('UNLOCK_KEY_NOT_CHOSEN', 'This key holder has no unlock key yet: it has to be chosen.')
    }
    if (!isFirst && request.first) {
      throw new KeyHolderError('UNLOCK_KEY_CHOSEN_ALREADY', 'This key holder has its unlock key already.')
    }
    const stretching = isFirst ? newStretching() : stretchingOf(database)
    const unlockKey = await unlockKeyOfCaller(attachments.get('secret') ?? new Uint8Array(), request.with, stretching)
    if (isFirst) {
      // A crash after it leaves the unlock key chosen.
      chooseUnlockKey(database, unlockKey, stretching)
      return unlockKey
    }
    try {
      return checkedUnlockKey(database, unlockKey)
    } finally {
      unlockKey.fill(0)
    }
  }

  /** @throws KeyHolderError UNSEAL_TOO_SOON */
  #refuseHaste(): void {
    if (this.#wrong < FREE_TRIES) return
    const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#wrong - FREE_TRIES))
    const passed = this.#parts.now().getTime() - this.#lastWrongAt
    // A clock that was set back does not lock anybody out.
    if (passed < 0 || passed >= waitMs) return
    throw new KeyHolderError('UNSEAL_TOO_SOON', `${this.#wrong} unlock keys were wrong: the next one has to wait.`, {
      retryAfterSeconds: Math.ceil((waitMs - passed) / 1000),
    })
  }

  #sealed(): KeyHolderError {
    return new KeyHolderError('KEY_HOLDER_SEALED', 'The key holder is sealed.', {
      why: this.#why,
      since: this.#since.toISOString(),
    })
  }
}
