// Frames of the key holder's sockets: one header in JSON and raw attachments, so that metadata bytes never pass through JSON.
//
//   frame      = u32 total length of what follows (big endian) | u32 header length | header JSON (UTF-8) | attachments, back to back
//   header     = { "id": number, "attachments": [{ "name": string, "length": number }...], and either
//                  "operation": string, "request": object            (a request), or
//                  "response": object | "error": { code, message, facts }  (an answer) }
//
// Pure: bytes in, frames out. Limits are checked on the length field, before anything is buffered.
import * as z from 'zod'
import { KeyHolderError } from './errors.ts'
import type { Attachments } from './operations.ts'

/** The largest frame, in bytes: a full verified base of a repository with about 200,000 tags in two roles. */
export const MAX_FRAME_BYTES = 128 * 1024 * 1024
/** The largest header, in bytes. */
export const MAX_HEADER_BYTES = 4 * 1024 * 1024

const attachmentList = z
  .array(z.strictObject({ name: z.string().min(1).max(400), length: z.number().int().min(0).max(MAX_FRAME_BYTES) }))
  .max(512)

const requestHeader = z.strictObject({
  id: z.number().int().min(0),
  operation: z.string().max(64),
  request: z.unknown(),
  attachments: attachmentList,
})
const answerHeader = z.strictObject({
  id: z.number().int().min(0),
  response: z.unknown().optional(),
  error: z
    .strictObject({
      code: z.string(),
      message: z.string(),
      facts: z.record(z.string(), z.union([z.string(), z.number()])),
    })
    .optional(),
  attachments: attachmentList,
})

export interface RequestFrame {
  readonly id: number
  readonly operation: string
  readonly request: unknown
  readonly attachments: Attachments
}

export interface AnswerFrame {
  readonly id: number
  readonly response?: unknown
  readonly error?: {
    readonly code: string
    readonly message: string
    readonly facts: Readonly<Record<string, string | number>>
  }
  readonly attachments: Attachments
}

/** Bytes of a request or answer. @throws KeyHolderError FRAME_TOO_LARGE */
export function encodeFrame(frame: RequestFrame | AnswerFrame): Buffer {
  const { attachments, ...rest } = frame
  const list = [...attachments].map(([name, bytes]) => ({ name, length: bytes.byteLength }))
  const header = Buffer.from(JSON.stringify({ ...rest, attachments: list }), 'utf8')
  const total = 4 + header.byteLength + list.reduce((sum, a) => sum + a.length, 0)
  if (header.byteLength > MAX_HEADER_BYTES || total > MAX_FRAME_BYTES) {
    throw new KeyHolderError('FRAME_TOO_LARGE', 'The message to or from the key holder is too large.', { bytes: total })
  }
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32BE(total, 0)
  lengths.writeUInt32BE(header.byteLength, 4)
  return Buffer.concat([lengths, header, ...attachments.values()])
}

/** What a splitter keeps room for at first, in bytes. */
const INITIAL_CAPACITY = 64 * 1024

/**
 * Cuts a byte stream into frame bodies (everything after the first length field). Holds one buffer that grows with what has
 * come, never with what was announced, so neither a large length field nor many tiny pieces cost memory.
 * @throws KeyHolderError FRAME_TOO_LARGE as soon as a length field exceeds `maxBytes`
 */
export class FrameSplitter {
  readonly #maxBytes: number
  #buffer = Buffer.alloc(0)
  #buffered = 0

  constructor(maxBytes: number = MAX_FRAME_BYTES) {
    this.#maxBytes = maxBytes
  }

  /** Bytes of a frame that is not complete yet. */
  get buffered(): number {
    return this.#buffered
  }

  push(chunk: Buffer): Buffer[] {
    this.#append(chunk)
    const bodies: Buffer[] = []
    let offset = 0
    while (this.#buffered - offset >= 4) {
      const length = this.#buffer.readUInt32BE(offset)
      if (length > this.#maxBytes) throw tooLarge(length, this.#maxBytes)
      const end = offset + 4 + length
      if (end > this.#buffered) break
      bodies.push(Buffer.from(this.#buffer.subarray(offset + 4, end)))
      offset = end
    }
    this.#consume(offset)
    return bodies
  }

  #append(chunk: Buffer): void {
    const needed = this.#buffered + chunk.byteLength
    if (needed > this.#buffer.byteLength) {
      const grown = Buffer.alloc(Math.max(needed, 2 * this.#buffer.byteLength, INITIAL_CAPACITY))
      this.#buffer.copy(grown, 0, 0, this.#buffered)
      this.#buffer = grown
    }
    chunk.copy(this.#buffer, this.#buffered)
    this.#buffered = needed
  }

  #consume(bytes: number): void {
    if (bytes === 0) return
    const rest = this.#buffer.subarray(bytes, this.#buffered)
    this.#buffered = rest.byteLength
    // A large buffer is let go with the frame that needed it.
    this.#buffer = rest.byteLength === 0 ? Buffer.alloc(0) : Buffer.from(rest)
  }
}

function tooLarge(bytes: number, maxBytes: number): KeyHolderError {
  return new KeyHolderError('FRAME_TOO_LARGE', 'A frame exceeds the limit.', { bytes, maxBytes })
}

/** @throws KeyHolderError FRAME_MALFORMED */
export function decodeRequest(body: Buffer): RequestFrame {
  const { header, attachments } = decodeBody(body, requestHeader)
  return { id: header.id, operation: header.operation, request: header.request, attachments }
}

/** @throws KeyHolderError FRAME_MALFORMED */
export function decodeAnswer(body: Buffer): AnswerFrame {
  const { header, attachments } = decodeBody(body, answerHeader)
  if (header.error !== undefined) return { id: header.id, error: header.error, attachments }
  return { id: header.id, response: header.response, attachments }
}

function decodeBody<T extends { attachments: { name: string; length: number }[] }>(
  body: Buffer,
  schema: z.ZodType<T>,
): { header: T; attachments: Attachments } {
  if (body.byteLength < 4) throw malformed('too short')
  const headerLength = body.readUInt32BE(0)
  if (headerLength > MAX_HEADER_BYTES || 4 + headerLength > body.byteLength) throw malformed('header length')
  const parsed = schema.safeParse(parseHeader(body.subarray(4, 4 + headerLength)))
  if (!parsed.success) throw malformed('header shape')
  const attachments = new Map<string, Uint8Array>()
  let offset = 4 + headerLength
  for (const { name, length } of parsed.data.attachments) {
    if (attachments.has(name) || offset + length > body.byteLength) throw malformed('attachments')
    attachments.set(name, body.subarray(offset, offset + length))
    offset += length
  }
  if (offset !== body.byteLength) throw malformed('trailing bytes')
  return { header: parsed.data, attachments }
}

function parseHeader(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new KeyHolderError('FRAME_MALFORMED', 'The header of a frame is not JSON.', {}, { cause })
  }
}

function malformed(what: string): KeyHolderError {
  return new KeyHolderError('FRAME_MALFORMED', `A frame is malformed: ${what}.`, { what })
}
