// A PKCS#11 token as the key holder sees it: calls one after the other, in a process of its own, each with a time limit. What does not
// answer is ended and begun anew, with pauses; a PIN that was refused is not tried twice.
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
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
  /** Called when the token's state changes. */
  readonly onState?: (state: TokenState) => void
  /** The process to start, for tests; by default the one beside this file. */
  readonly script?: string
}

/** `ready`, or the code of what is wrong. `unknown` before the first call. */
export type TokenState = 'unknown' | 'ready' | KeyHolderErrorCode

/** Calls that wait, or are under way. */
const MAX_WAITING = 256
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
  readonly #probe: NodeJS.Timeout
  #process: TokenProcess | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #state: TokenState = 'unknown'
  #failures = 0
  /** performance.now(); before it nobody tries to open the token again. */
  #pauseUntil = 0
  /** Why there is a pause. */
  #trouble: KeyHolderError | undefined
  /** SHA-256 of a PIN that the token has refused: not tried again in this process. */
  #refusedPin: string | undefined
  #isClosed = false

  constructor(options: TokenOptions) {
    this.uri = options.uri
    this.#options = options
    this.#probe = setInterval(() => {
      void this.probe()
    }, PROBE_INTERVAL_MS)
    this.#probe.unref()
  }

  /** As the last call or probe found it. */
  get state(): TokenState {
    return this.#state
  }

  /** r and s over a SHA-256 hash. @throws KeyHolderError CUSTODY_* */
  sign(keyId: Uint8Array, hash: Uint8Array): Promise<Uint8Array> {
    return this.#call({ kind: 'sign', keyId, hash })
  }

  /** CKA_EC_POINT of a new key. Whoever calls it twice has two keys. @throws KeyHolderError CUSTODY_* */
  generate(keyId: Uint8Array, label: string): Promise<Uint8Array> {
    return this.#call({ kind: 'generate', keyId, label })
  }

  /** CKA_EC_POINT. @throws KeyHolderError CUSTODY_* */
  point(keyId: Uint8Array): Promise<Uint8Array> {
    return this.#call({ kind: 'point', keyId })
  }

  /** Both halves; a key that is not there, as a new session sees it, is well, too. @throws KeyHolderError CUSTODY_* */
  async destroy(keyId: Uint8Array): Promise<void> {
    await this.#call({ kind: 'destroy', keyId }).catch((error: unknown) => {
      if (!(error instanceof KeyHolderError) || error.code !== 'CUSTODY_KEY_MISSING') throw error
    })
  }

  /** Looks whether the token is there, unless it is at work. Never throws: `state` tells. */
  async probe(): Promise<void> {
    if (this.#waiting > 0 || this.#isClosed) return
    await this.#call({ kind: 'probe' }).catch((error: unknown) => {
      if (!(error instanceof KeyHolderError)) throw error
    })
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#probe)
    this.#drop()
  }

  #call(call: TokenCall): Promise<Uint8Array> {
    if (this.#waiting >= MAX_WAITING) throw this.#refusal('CUSTODY_UNAVAILABLE', 'too many calls wait for it')
    this.#waiting++
    const turn = this.#turn.then(() => this.#perform(call))
    this.#turn = turn.catch(() => undefined)
    return turn.finally(() => {
      this.#waiting--
    })
  }

  async #perform(call: TokenCall): Promise<Uint8Array> {
    try {
      const bytes = await this.#attempt(call)
      this.#failures = 0
      this.#become('ready')
      return bytes
    } catch (error) {
      const refusal = error instanceof Lost ? this.#refusal('CUSTODY_UNAVAILABLE', error.message) : error
      if (refusal instanceof KeyHolderError && !ABOUT_ONE_KEY.has(refusal.code)) this.#pause(refusal)
      throw refusal
    }
  }

  /** For a while the same refusal is given without another attempt. */
  #pause(trouble: KeyHolderError): void {
    this.#become(trouble.code)
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
    const pin = readPin()
    try {
      const digest = createHash('sha256').update(pin).digest('hex')
      if (digest === this.#refusedPin) throw this.#refusal('CUSTODY_PIN_INCORRECT', 'it was refused before')
      const opened = new TokenProcess(script, environment)
      this.#process = opened
      const answer = await opened.ask({ kind: 'open', module, token: uri, pin }, timeLimitMs)
      if (answer !== undefined && 'failure' in answer && answer.failure === 'pin-incorrect') this.#refusedPin = digest
      this.#bytesOf(answer, false)
      return opened
    } finally {
      pin.fill(0)
    }
  }

  /** @throws Lost; KeyHolderError */
  #bytesOf(answer: TokenAnswer | undefined, wasOpen: boolean): Uint8Array {
    const { end = 'the module ended', isTooSlow = false } = this.#process ?? {}
    const known: TokenAnswer = answer ?? { failure: 'lost', detail: end }
    if ('bytes' in known) return known.bytes
    const { failure, detail } = known
    // The next call begins anew: nothing of a session that failed is used again. A session that does not see a key may have lost its token.
    if (failure !== 'key-missing' || wasOpen) this.#drop()
    // A call that ran into its time limit is not made twice.
    if (failure === 'lost' || (failure === 'key-missing' && wasOpen)) throw new Lost(detail, wasOpen && !isTooSlow)
    throw this.#refusal(CODES[failure], detail)
  }

  #drop(): void {
    this.#process?.kill()
    this.#process = undefined
  }

  #become(state: TokenState): void {
    if (state === this.#state) return
    this.#state = state
    this.#options.onState?.(state)
  }

  #refusal(code: KeyHolderErrorCode, why: string): KeyHolderError {
    return new KeyHolderError(code, `${SENTENCES[code] ?? 'The token refuses'}: ${why}.`, {
      token: formatTokenUri(this.uri),
      why,
    })
  }
}

const CODES: Readonly<Record<Exclude<TokenFailure, 'lost'>, KeyHolderErrorCode>> = {
  'not-installed': 'CUSTODY_NOT_INSTALLED',
  'pin-incorrect': 'CUSTODY_PIN_INCORRECT',
  'pin-last-try': 'CUSTODY_PIN_INCORRECT',
  'pin-locked': 'CUSTODY_PIN_LOCKED',
  'key-missing': 'CUSTODY_KEY_MISSING',
  'mechanism-missing': 'CUSTODY_KEY_TYPE',
}

/** They say nothing about the token as a whole. */
const ABOUT_ONE_KEY: ReadonlySet<KeyHolderErrorCode> = new Set(['CUSTODY_KEY_MISSING', 'CUSTODY_KEY_TYPE'])

const SENTENCES: Readonly<Partial<Record<KeyHolderErrorCode, string>>> = {
  CUSTODY_UNAVAILABLE: 'The token cannot be used now',
  CUSTODY_NOT_INSTALLED: 'PKCS#11 tokens cannot be used with this installation',
  CUSTODY_PIN_INCORRECT: 'The token has refused the PIN, and it is not tried again until its file changes',
  CUSTODY_PIN_LOCKED: 'The PIN of the token is locked',
  CUSTODY_KEY_MISSING: 'The key is not in the token',
  CUSTODY_KEY_TYPE: 'The token cannot make or use such a key',
}

/** One module, loaded in a process; at most one call at a time. */
class TokenProcess {
  readonly #child: ChildProcess
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
    this.#child = spawn(process.execPath, [...loaders, script], {
      env: { ...inherited, ...environment },
      // What modules print is nobody's log.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
    })
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
    if (this.end !== undefined) return Promise.resolve(undefined)
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
      this.#child.send({ id, call }, (error) => {
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
    this.#child.kill('SIGKILL')
    this.#finish(undefined)
  }

  #finish(answer: TokenAnswer | undefined): void {
    const settle = this.#settle
    this.#settle = undefined
    settle?.(answer)
  }
}
