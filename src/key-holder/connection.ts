// One caller of a socket: frames in, answers out, with bounds on size, time, number and memory. Knows no operation.
import type { Socket } from 'node:net'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import {
  decodeRequest,
  encodeFrame,
  FrameSplitter,
  MAX_FRAME_BYTES,
  type AnswerFrame,
  type RequestFrame,
} from '../key-holder-protocol/frames.ts'
import type { SocketName } from '../key-holder-protocol/operations.ts'
import type { Answering } from './dispatch.ts'

export interface ConnectionLimits {
  /** Largest frame in bytes. */
  readonly maxFrameBytes: number
  /** Requests under way per connection. */
  readonly maxInFlight: number
  /** Requests under way on all connections together, in bytes; a single one may be larger. */
  readonly maxInFlightBytes: number
  /** Time for one frame from its first to its last byte. */
  readonly frameTimeMs: number
  /** Answers that a caller has not read, in bytes. */
  readonly maxUnreadBytes: number
  /** The same of all callers together. */
  readonly maxUnreadBytesInAll: number
  /** Incomplete frames of all connections together, in bytes. */
  readonly maxBufferedBytes: number
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  maxFrameBytes: MAX_FRAME_BYTES,
  maxInFlight: 32,
  maxInFlightBytes: 3 * MAX_FRAME_BYTES,
  frameTimeMs: 30_000,
  maxUnreadBytes: 2 * MAX_FRAME_BYTES,
  maxUnreadBytesInAll: 4 * MAX_FRAME_BYTES,
  maxBufferedBytes: 3 * MAX_FRAME_BYTES,
}

/** Bytes that all connections together hold. */
export class BufferBudget {
  /** Incomplete frames. */
  incomplete = 0
  /** Complete requests that are not answered yet. */
  inFlight = 0
  /** Answers that callers have not read. */
  unread = 0
}

export class Connection {
  readonly #socket: Socket
  readonly #name: SocketName
  readonly #dispatcher: Answering
  readonly #limits: ConnectionLimits
  readonly #budget: BufferBudget
  readonly #splitter: FrameSplitter
  #inFlight = 0
  #isEnding = false
  #frameTimer: NodeJS.Timeout | undefined

  constructor(socket: Socket, name: SocketName, dispatcher: Answering, limits: ConnectionLimits, budget: BufferBudget) {
    this.#socket = socket
    this.#name = name
    this.#dispatcher = dispatcher
    this.#limits = limits
    this.#budget = budget
    this.#splitter = new FrameSplitter(limits.maxFrameBytes)
    socket.on('data', (chunk: Buffer) => {
      this.#receive(chunk)
    })
    socket.on('end', () => {
      if (this.#splitter.buffered > 0) this.#fail(malformed('truncated'))
      else this.end()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#isEnding = true
      this.#watchFrame(0)
    })
  }

  /** Reads no more; closes when the answers under way are written. */
  end(): void {
    this.#isEnding = true
    if (this.#inFlight === 0) this.#socket.end()
  }

  /** Closes at once. */
  destroy(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    if (this.#isEnding) return
    try {
      const before = this.#splitter.buffered
      const bodies = this.#splitter.push(chunk)
      this.#watchFrame(this.#splitter.buffered - before, bodies.length > 0)
      if (this.#budget.incomplete > this.#limits.maxBufferedBytes) throw busy('too many bytes of incomplete frames')
      for (const body of bodies) this.#request(decodeRequest(body), body.byteLength)
    } catch (error) {
      if (!(error instanceof KeyHolderError)) throw error
      this.#fail(error)
    }
  }

  /** Keeps the time of the frame at hand: it starts with its first byte, and more bytes do not prolong it. */
  #watchFrame(growth: number, isNewFrame = false): void {
    this.#budget.incomplete += this.#isEnding ? -this.#held : growth
    this.#held = this.#isEnding ? 0 : this.#held + growth
    if (this.#held > 0 && !isNewFrame && this.#frameTimer !== undefined) return
    clearTimeout(this.#frameTimer)
    this.#frameTimer = undefined
    if (this.#held === 0) return
    this.#frameTimer = setTimeout(() => {
      this.#fail(malformed('too slow'))
    }, this.#limits.frameTimeMs)
  }

  #held = 0

  #request(frame: RequestFrame, bytes: number): void {
    const excess = this.#excess(bytes)
    if (excess !== undefined) {
      this.#write(this.#dispatcher.refuse(this.#name, frame, busy(excess)))
      return
    }
    this.#inFlight++
    this.#budget.inFlight += bytes
    void this.#dispatcher.answer(this.#name, frame).then((answer) => {
      this.#inFlight--
      this.#budget.inFlight -= bytes
      this.#write(answer)
      if (this.#isEnding && this.#inFlight === 0) this.#socket.end()
    })
  }

  /** What there would be too much of with one more request of this size. The work at hand also counts where its caller has gone. */
  #excess(bytes: number): string | undefined {
    const { maxInFlight, maxInFlightBytes } = this.#limits
    const { inFlight } = this.#budget
    if (this.#inFlight >= maxInFlight) return 'too many requests under way'
    if (inFlight > 0 && inFlight + bytes > maxInFlightBytes) return 'too many bytes of requests under way'
    return undefined
  }

  #write(answer: AnswerFrame): void {
    if (this.#socket.destroyed) return
    const bytes = encode(answer)
    this.#budget.unread += bytes.byteLength
    // Called also where the connection ends before they are read.
    this.#socket.write(bytes, () => {
      this.#budget.unread -= bytes.byteLength
    })
    const { maxUnreadBytes, maxUnreadBytesInAll } = this.#limits
    const { writableLength } = this.#socket
    const isOver = writableLength > maxUnreadBytes || this.#budget.unread > maxUnreadBytesInAll
    if (isOver && writableLength > 0) this.#socket.destroy()
  }

  /** After a frame that cannot be read there is no next one: the refusal is recorded and told, and the connection ends. */
  #fail(error: KeyHolderError): void {
    if (this.#isEnding) return
    const answer = this.#dispatcher.refuse(this.#name, undefined, error)
    this.#isEnding = true
    this.#watchFrame(0)
    this.#socket.end(encodeFrame(answer))
    this.#socket.resume()
  }
}

function encode(answer: AnswerFrame): Buffer {
  try {
    return encodeFrame(answer)
  } catch (thrown) {
    if (!(thrown instanceof KeyHolderError)) throw thrown
    const { code, message, facts } = thrown
    return encodeFrame({ id: answer.id, error: { code, message, facts }, attachments: new Map() })
  }
}

function malformed(what: string): KeyHolderError {
  return new KeyHolderError('FRAME_MALFORMED', `A frame is malformed: ${what}.`, { what })
}

function busy(what: string): KeyHolderError {
  return new KeyHolderError('KEY_HOLDER_BUSY', `The key holder is busy: ${what}.`, { what })
}
