// A connection to one of the key holder's sockets: typed calls, answers matched by id, limits of size, number and time.
// It reconnects with the next call; a call whose answer was lost is never repeated here.
import { connect, type Socket } from 'node:net'
import * as z from 'zod'
import { KEY_HOLDER_ERROR_CODES, KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { KeyHolderErrorCode } from '../key-holder-protocol/errors.ts'
import { decodeAnswer, encodeFrame, FrameSplitter, MAX_FRAME_BYTES } from '../key-holder-protocol/frames.ts'
import type { AnswerFrame } from '../key-holder-protocol/frames.ts'
import { OPERATIONS } from '../key-holder-protocol/operations.ts'
import type {
  Attachments,
  OperationInput,
  OperationName,
  OperationResponse,
} from '../key-holder-protocol/operations.ts'

export interface KeyHolderConnectionOptions {
  /** For one call, from the first byte to the answer. */
  readonly timeoutMs?: number
  /** Largest answer in bytes. */
  readonly maxFrameBytes?: number
  /** Hears the code of every call that failed, for metrics. */
  readonly onFailure?: (code: KeyHolderErrorCode) => void
}

export interface KeyHolderAnswer<N extends OperationName> {
  readonly response: OperationResponse<N>
  readonly attachments: Attachments
}

/** Typed calls over a socket of the key holder. */
export interface KeyHolderConnection {
  /**
   * @throws KeyHolderError with the key holder's own code; KEY_HOLDER_UNREACHABLE where there was no answer: what was asked may
   * or may not have happened, and the same call may be made again
   */
  call<N extends OperationName>(
    operation: N,
    request: OperationInput<N>,
    attachments?: Attachments,
  ): Promise<KeyHolderAnswer<N>>
  /** Ends calls under way and refuses further ones. */
  close(): void
}

/** A connection that is opened by the first call. */
export function connectKeyHolder(socketPath: string, options: KeyHolderConnectionOptions = {}): KeyHolderConnection {
  return new SocketConnection(socketPath, options)
}

/** Above what the key holder takes for a call of a token (pkcs11/token.ts, LONGEST_ANSWER_MS). */
export const DEFAULT_TIMEOUT_MS = 60_000
/** Below the number that the key holder takes per connection; more calls wait for their turn. */
const MAX_IN_FLIGHT = 16

interface Pending {
  readonly resolve: (frame: AnswerFrame) => void
  readonly reject: (error: Error) => void
}

class SocketConnection implements KeyHolderConnection {
  readonly #path: string
  readonly #timeoutMs: number
  readonly #maxFrameBytes: number
  readonly #onFailure: (code: KeyHolderErrorCode) => void
  readonly #pending = new Map<number, Pending>()
  readonly #waiting: (() => void)[] = []
  #socket: Socket | undefined
  #lastId = 0
  #inFlight = 0
  #isClosed = false

  constructor(path: string, options: KeyHolderConnectionOptions) {
    this.#path = path
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    this.#maxFrameBytes = options.maxFrameBytes ?? MAX_FRAME_BYTES
    this.#onFailure = options.onFailure ?? (() => undefined)
  }

  async call<N extends OperationName>(
    operation: N,
    request: OperationInput<N>,
    attachments: Attachments = new Map(),
  ): Promise<KeyHolderAnswer<N>> {
    const id = ++this.#lastId
    const frame = encodeFrame({ id, operation, request, attachments })
    await this.#turn()
    try {
      if (this.#isClosed) throw unreachable(this.#path, 'the connection was closed')
      return readAnswer(operation, await this.#exchange(id, frame))
    } catch (error) {
      if (error instanceof KeyHolderError) this.#onFailure(error.code)
      throw error
    } finally {
      this.#inFlight--
      this.#waiting.shift()?.()
    }
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.destroy()
    this.#socket = undefined
    this.#failAll('the connection was closed')
  }

  async #turn(): Promise<void> {
    while (this.#inFlight >= MAX_IN_FLIGHT) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#inFlight++
  }

  async #exchange(id: number, frame: Buffer): Promise<AnswerFrame> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id)
        reject(unreachable(this.#path, 'it did not answer in time'))
      }, this.#timeoutMs)
      const settle = () => {
        clearTimeout(timer)
        this.#pending.delete(id)
      }
      this.#pending.set(id, {
        resolve: (answer) => {
          settle()
          resolve(answer)
        },
        reject: (error) => {
          settle()
          reject(error)
        },
      })
      this.#open().write(frame)
    })
  }

  #open(): Socket {
    if (this.#socket !== undefined && !this.#socket.destroyed && this.#socket.writable) return this.#socket
    const socket = connect(this.#path)
    const splitter = new FrameSplitter(this.#maxFrameBytes)
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const body of splitter.push(chunk)) this.#receive(decodeAnswer(body))
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined)
      }
    })
    socket.on('error', (cause) => {
      this.#lost(socket, 'code' in cause ? String(cause.code) : 'error', cause)
    })
    socket.on('close', () => {
      this.#lost(socket, 'the connection ended')
    })
    this.#socket = socket
    return socket
  }

  #receive(answer: AnswerFrame): void {
    const pending = this.#pending.get(answer.id)
    if (pending !== undefined) {
      pending.resolve(answer)
    } else if (answer.id === 0 && answer.error !== undefined) {
      // A frame of ours could not be read, so the key holder does not know which call it was, and closes.
      for (const one of [...this.#pending.values()]) one.resolve(answer)
    }
  }

  #lost(socket: Socket, why: string, cause?: Error): void {
    if (this.#socket !== socket) return
    this.#socket = undefined
    this.#failAll(why, cause)
  }

  #failAll(why: string, cause?: Error): void {
    for (const one of [...this.#pending.values()]) one.reject(unreachable(this.#path, why, cause))
  }
}

function readAnswer<N extends OperationName>(operation: N, answer: AnswerFrame): KeyHolderAnswer<N> {
  if (answer.error !== undefined) {
    const { code, message, facts } = answer.error
    throw new KeyHolderError(isCode(code) ? code : 'KEY_HOLDER_INTERNAL', message, facts)
  }
  const parsed = z.safeParse(OPERATIONS[operation].response, answer.response)
  if (!parsed.success) {
    throw new KeyHolderError('FRAME_MALFORMED', 'The key holder answered in an unknown shape.', { operation })
  }
  return { response: parsed.data as OperationResponse<N>, attachments: answer.attachments }
}

function isCode(code: string): code is KeyHolderErrorCode {
  return (KEY_HOLDER_ERROR_CODES as readonly string[]).includes(code)
}

function unreachable(path: string, why: string, cause?: Error): KeyHolderError {
  return new KeyHolderError(
    'KEY_HOLDER_UNREACHABLE',
    `The key holder cannot be reached: ${why}.`,
    { path, why },
    { cause },
  )
}
