// A PKCS#11 token as the key holder sees it: calls one after the other, in a process of its own, each with a time limit. What does not
// answer is ended and begun anew, with pauses; a PIN that was not accepted is not tried twice.
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { KeyHolderError, type KeyHolderErrorCode } from '../key-holder-protocol/errors.ts'
import type { TokenAnswer, TokenAnswerMessage, TokenCall, TokenFailure } from './calls.ts'
import { formatTokenUri, type TokenUri } from './uri.ts'

export interface TokenOptions {
  readonly uri: TokenUri
  /** Path of the module, a shared library. */
  readonly module: string
  /** Variables of the module's process, besides a few of ours. */
  readonly environment?: Readonly<Record<string, string>>
  /** For one call, in milliseconds. */
  readonly timeLimitMs: number
  /** Read at each login; zeroed afterwards. @throws KeyHolderError CUSTODY_PIN_UNREADABLE */
  readonly readPin: () => Buffer
  /** Whether the PIN is read and sent with each signature too, for keys that want that. */
  readonly givesPinToKeys?: boolean
  /** Called when the token's state changes; with the reason, where it is no good one. */
  readonly onState?: (state: TokenState, why?: string) => void
  /** The process to start, for tests; by default the one beside this file. */
  readonly script?: string
  /** How long a call may wait for its turn, for tests. */
  readonly longestTurnMs?: number
}

/** `ready`, or the code of what is wrong. `unknown` before the first call. */
export type TokenState = 'unknown' | 'ready' | KeyHolderErrorCode

/** For one call of a module, in seconds: what callers wait for in all is `LONGEST_ANSWER_MS`. */
export const MAX_TIME_LIMIT_SECONDS = 10
/** How long a call may wait for its turn, in milliseconds. */
const LONGEST_TURN_MS = 15_000
/**
 * After that a caller has an answer, in milliseconds: its turn, a call of a session that turns out to be lost, and opening, login and the
 * call again.
 */
export const LONGEST_ANSWER_MS = LONGEST_TURN_MS + 4 * MAX_TIME_LIMIT_SECONDS * 1000

/** Calls that wait, or are under way. */
const MAX_WAITING = 256
/** Logins in a row that ended with the word that the PIN was not judged: whoever says so again and again is not believed. */
const MAX_UNJUDGED_LOGINS = 2
/** Between attempts to open a token that is not there, in milliseconds: doubled each time. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000
/** How often it is asked whether it is there, in milliseconds. */
const PROBE_INTERVAL_MS = 5_000
/** What the module's process keeps of our environment. */
const INHERITED = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH']

const IS_SOURCE = import.meta.url.endsWith('.ts')
/** Beside this file, also in a bundle. */
const SCRIPT = fileURLToPath(new URL(IS_SOURCE ? 'token-process.ts' : 'token-process.js', import.meta.url))

/** A call that brought no answer, or a failure; `wasOpen`: a session that had worked before did not any more. */
class Lost extends Error {
  readonly wasOpen: boolean

  constructor(detail: string, wasOpen: boolean) {
    super(detail)
    this.wasOpen = wasOpen
  }
}

export class Token {
  readonly uri: TokenUri
  readonly #options: TokenOptions
  #watching: NodeJS.Timeout | undefined
  #process: TokenProcess | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #state: TokenState = 'unknown'
  #failures = 0
  /** performance.now(); before it nobody tries to open the token again. */
  #pauseUntil = 0
  /** Why there is a pause. */
  #trouble: KeyHolderError | undefined
  /** A PIN that was tried and not accepted, by its SHA-256: it is not tried again in this process. */
  #refusedPin: { readonly digest: string; readonly refusal: KeyHolderError } | undefined
  #unjudgedLogins = 0
  #isClosed = false

  constructor(options: TokenOptions) {
    this.uri = options.uri
    this.#options = options
  }

  /** As the last call or probe found it. */
  get state(): TokenState {
    return this.#state
  }

  /** r and s over a SHA-256 hash. @throws KeyHolderError CUSTODY_* */
  async sign(keyId: Uint8Array, hash: Uint8Array): Promise<Uint8Array> {
    const { givesPinToKeys = false, readPin } = this.#options
    if (!givesPinToKeys) return this.#call({ kind: 'sign', keyId, hash })
    const pin = readPin()
    try {
      return await this.#call({ kind: 'sign', keyId, hash, pin })
    } finally {
      pin.fill(0)
    }
  }

  /** The serial number of the token, once it can be used. @throws KeyHolderError CUSTODY_* */
  async serial(): Promise<string> {
    return Buffer.from(await this.#call({ kind: 'probe' })).toString('utf8')
  }

  /**
   * CKA_EC_POINT of a new key. Whoever calls it twice has two keys; one that throws may have made one.
   * @param o.serial of the token that is meant; another one with the same label makes none
   * @throws KeyHolderError CUSTODY_*
   */
  generate(o: { readonly keyId: Uint8Array; readonly label: string; readonly serial: string }): Promise<Uint8Array> {
    return this.#call({ kind: 'generate', ...o })
  }

  /** CKA_EC_POINT. @throws KeyHolderError CUSTODY_* */
  point(keyId: Uint8Array): Promise<Uint8Array> {
    return this.#call({ kind: 'point', keyId })
  }

  /**
   * Destroys both halves, or what is left of them.
   * @param serial of the token that is meant, where it is known
   * @returns whether there was anything; a new session has looked where there was not
   * @throws KeyHolderError CUSTODY_*; CUSTODY_KEY_MISSING where another token with this label is there
   */
  async destroy(keyId: Uint8Array, serial?: string): Promise<boolean> {
    try {
      await this.#call({ kind: 'destroy', keyId, serial })
      return true
    } catch (error) {
      const failure: TokenFailure = 'key-missing'
      if (error instanceof KeyHolderError && error.facts['failure'] === failure) return false
      throw error
    }
  }

  /** Looks whether the token is there, unless it is at work. Never throws: `state` tells. */
  async probe(): Promise<void> {
    if (this.#waiting > 0 || this.#isClosed) return
    await this.#call({ kind: 'probe' }).catch((error: unknown) => {
      if (!(error instanceof KeyHolderError)) throw error
    })
  }

  /** Looks whether it is there, now and every few seconds. Before that only a call opens it. */
  watch(): void {
    if (this.#isClosed) return
    this.#watching ??= setInterval(() => {
      void this.probe()
    }, PROBE_INTERVAL_MS).unref()
    void this.probe()
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#watching)
    this.#drop()
  }

  async #call(call: TokenCall): Promise<Uint8Array> {
    if (this.#waiting >= MAX_WAITING) throw this.#refusal('CUSTODY_UNAVAILABLE', 'too many calls wait for it')
    this.#waiting++
    const latest = performance.now() + (this.#options.longestTurnMs ?? LONGEST_TURN_MS)
    const turn = this.#turn.then(() => {
      if (performance.now() <= latest) return this.#perform(call)
      // Says nothing about the token: others are slow.
      throw this.#refusal('CUSTODY_UNAVAILABLE', 'other calls have taken too long')
    })
    this.#turn = turn.catch(() => undefined)
    try {
      return await turn
    } finally {
      this.#waiting--
    }
  }

  async #perform(call: TokenCall): Promise<Uint8Array> {
    try {
      const bytes = await this.#attempt(call)
      this.#failures = 0
      this.#become('ready')
      return bytes
    } catch (error) {
      const isLost = error instanceof Lost || isSystemError(error)
      const refusal = isLost ? this.#refusal('CUSTODY_UNAVAILABLE', error.message) : error
      if (refusal instanceof KeyHolderError && !ABOUT_ONE_KEY.has(refusal.code)) this.#pause(refusal)
      throw refusal
    }
  }

  /** For a while the same refusal is given without another attempt. */
  #pause(trouble: KeyHolderError): void {
    this.#become(trouble.code, String(trouble.facts['why'] ?? ''))
    if (trouble === this.#trouble) return
    this.#trouble = trouble
    this.#pauseUntil = performance.now() + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures)
    this.#failures++
  }

  /** Once more, at once, where a session that worked before was lost; but for new keys, of which there could then be two. */
  async #attempt(call: TokenCall): Promise<Uint8Array> {
    try {
      return await this.#ask(call)
    } catch (error) {
      if (!(error instanceof Lost) || !error.wasOpen || call.kind === 'generate') throw error
      return this.#ask(call)
    }
  }

  async #ask(call: TokenCall): Promise<Uint8Array> {
    if (this.#isClosed) throw this.#refusal('CUSTODY_UNAVAILABLE', 'the key holder stops')
    const wasOpen = this.#process !== undefined
    const opened = this.#process ?? (await this.#open())
    const answer = await opened.ask(call, this.#options.timeLimitMs)
    return this.#bytesOf(answer, wasOpen)
  }

  async #open(): Promise<TokenProcess> {
    if (performance.now() < this.#pauseUntil && this.#trouble !== undefined) throw this.#trouble
    const { module, uri, readPin, timeLimitMs, environment = {}, script = SCRIPT } = this.#options
    if (!existsSync(script)) throw this.#refusal('CUSTODY_NOT_INSTALLED', 'a program of one file uses no modules')
    const pin = readPin()
    try {
      const digest = createHash('sha256').update(pin).digest('hex')
      if (digest === this.#refusedPin?.digest) throw this.#refusedPin.refusal
      const opened = new TokenProcess(script, environment)
      this.#process = opened
      this.#bytesOf(await opened.ask({ kind: 'open', module, token: uri }, timeLimitMs), false)
      this.#requireLogin(await opened.ask({ kind: 'login', pin }, timeLimitMs), digest)
      return opened
    } finally {
      pin.fill(0)
    }
  }

  /**
   * The token judges a PIN a few times only. So whatever is no proof that it was not judged counts as a refusal: a result that is not known,
   * no answer, a crash.
   * @throws Lost; KeyHolderError
   */
  #requireLogin(answer: TokenAnswer | undefined, digest: string): void {
    const isUnjudged = answer !== undefined && 'failure' in answer && answer.failure === 'lost'
    this.#unjudgedLogins = isUnjudged ? this.#unjudgedLogins + 1 : 0
    if (answer !== undefined && 'bytes' in answer) this.#refusedPin = undefined
    else if (!isUnjudged || this.#unjudgedLogins >= MAX_UNJUDGED_LOGINS) {
      const { end = 'the module ended' } = this.#process ?? {}
      const { failure, detail } = answer ?? { failure: 'pin-incorrect', detail: end }
      const code = failure === 'lost' ? 'CUSTODY_PIN_INCORRECT' : CODES[failure]
      this.#refusedPin = { digest, refusal: this.#refusal(code, detail) }
      this.#unjudgedLogins = 0
      this.#drop()
      throw this.#refusedPin.refusal
    }
    this.#bytesOf(answer, false)
  }

  /** @throws Lost; KeyHolderError */
  #bytesOf(answer: TokenAnswer | undefined, wasOpen: boolean): Uint8Array {
    const { end = 'the module ended', isTooSlow = false } = this.#process ?? {}
    const known: TokenAnswer = answer ?? { failure: 'lost', detail: end }
    if ('bytes' in known) return known.bytes
    const { failure, detail } = known
    // The next call begins anew: nothing of a session that failed is used again. A session that does not see a key may have lost its token.
    const isNotThere = failure === 'key-missing' || failure === 'other-token'
    if (!isNotThere || wasOpen) this.#drop()
    // A call that ran into its time limit is not made twice.
    if (failure === 'lost' || (isNotThere && wasOpen)) throw new Lost(detail, wasOpen && !isTooSlow)
    throw this.#refusal(CODES[failure], detail, failure)
  }

  #drop(): void {
    this.#process?.kill()
    this.#process = undefined
  }

  #become(state: TokenState, why?: string): void {
    if (state === this.#state) return
    this.#state = state
    this.#options.onState?.(state, why)
  }

  #refusal(code: KeyHolderErrorCode, why: string, failure?: TokenFailure): KeyHolderError {
    return new KeyHolderError(code, `${SENTENCES[code] ?? 'The token refuses'}: ${why}.`, {
      token: formatTokenUri(this.uri),
      why,
      ...(failure !== undefined && { failure }),
    })
  }
}

const CODES: Readonly<Record<Exclude<TokenFailure, 'lost'>, KeyHolderErrorCode>> = {
  'not-installed': 'CUSTODY_NOT_INSTALLED',
  'pin-incorrect': 'CUSTODY_PIN_INCORRECT',
  'pin-last-try': 'CUSTODY_PIN_INCORRECT',
  'pin-locked': 'CUSTODY_PIN_LOCKED',
  'key-missing': 'CUSTODY_KEY_MISSING',
  'other-token': 'CUSTODY_KEY_MISSING',
  'mechanism-missing': 'CUSTODY_KEY_TYPE',
}

/** They say nothing about the token as a whole. */
const ABOUT_ONE_KEY: ReadonlySet<KeyHolderErrorCode> = new Set(['CUSTODY_KEY_MISSING', 'CUSTODY_KEY_TYPE'])

const SENTENCES: Readonly<Partial<Record<KeyHolderErrorCode, string>>> = {
  CUSTODY_UNAVAILABLE: 'The token cannot be used now',
  CUSTODY_NOT_INSTALLED: 'PKCS#11 tokens cannot be used with this installation',
  CUSTODY_PIN_INCORRECT: 'The token has not accepted the PIN, and this process does not try it again',
  CUSTODY_PIN_LOCKED: 'The PIN of the token is locked',
  CUSTODY_KEY_MISSING: 'The key is not in the token',
  CUSTODY_KEY_TYPE: 'The token cannot make or use such a key',
}

/** One module, loaded in a process; at most one call at a time. */
class TokenProcess {
  /** Undefined: it could not be started. */
  readonly #child: ChildProcess | undefined
  #next = 0
  #settle: ((answer: TokenAnswer | undefined) => void) | undefined
  /** Why it is no more. */
  end?: string
  /** It is no more because a call took too long. */
  isTooSlow = false

  constructor(script: string, environment: Readonly<Record<string, string>>) {
    const inherited = Object.fromEntries(
      INHERITED.flatMap((name) => {
        const value = process.env[name]
        return value === undefined ? [] : [[name, value]]
      }),
    )
    // Loaders are for TypeScript alone.
    const loaders = script.endsWith('.ts') ? process.execArgv : []
    try {
      this.#child = spawn(process.execPath, [...loaders, script], {
        env: { ...inherited, ...environment },
        // What modules print is nobody's log.
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
        serialization: 'advanced',
      })
    } catch (error) {
      // Some system errors are thrown (ENOMEM), others come as an event (EMFILE).
      if (!isSystemError(error)) throw error
      this.end = `no process can be started (${error.message})`
      return
    }
    this.#child.on('message', ({ id, answer }: TokenAnswerMessage) => {
      if (id === this.#next) this.#finish(answer)
    })
    this.#child.on('error', (error) => {
      this.#stop(error.message)
    })
    this.#child.on('exit', (status, signal) => {
      this.#stop(`the process with the module ended (${signal ?? status ?? 'unknown'})`)
    })
  }

  /** Undefined: no answer, and the process is at its end. */
  ask(call: TokenCall, timeLimitMs: number): Promise<TokenAnswer | undefined> {
    const child = this.#child
    if (this.end !== undefined || child === undefined) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const id = ++this.#next
      const timer = setTimeout(() => {
        this.isTooSlow = this.end === undefined
        this.#stop(`no answer within ${timeLimitMs / 1000} s`)
      }, timeLimitMs)
      this.#settle = (answer) => {
        clearTimeout(timer)
        resolve(answer)
      }
      // Without a process the event of the error is still to come, and there is nothing that could send.
      if (child.pid === undefined) return
      child.send({ id, call }, (error) => {
        if (error !== null) this.#stop(error.message)
      })
    })
  }

  /** SIGKILL: a module that blocks hears nothing else. */
  kill(): void {
    this.#stop('it was ended')
  }

  #stop(why: string): void {
    if (this.end !== undefined) return
    this.end = why
    this.#child?.kill('SIGKILL')
    this.#finish(undefined)
  }

  #finish(answer: TokenAnswer | undefined): void {
    const settle = this.#settle
    this.#settle = undefined
    settle?.(answer)
  }
}

/** What the operating system refused. */
function isSystemError(error: unknown): error is Error & { readonly syscall: unknown } {
  return error instanceof Error && 'syscall' in error
}
