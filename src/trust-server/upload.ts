// An update as it comes in: multipart/form-data, one part for each role. Only the file name of a part counts, slash included (trap Q15);
// field names do not. notary v0.7.0 server/handlers/default.go atomicUpdateHandler.
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { Busboy, type BusboyHeaders } from '@fastify/busboy'
import { parseRoleName, sha256Hex, TIMESTAMP, TufError, type RoleName } from '@countersign/tuf'
import { invalidUpdate, ProtocolError } from './answers.ts'
import type { Lease } from './memory-budget.ts'
import type { NewFile } from './metadata-store.ts'
import { versionOf } from './uploaded-file.ts'

export interface UploadLimits {
  /** Of one file, in bytes. */
  readonly fileBytes: number
  /** Of the whole body, in bytes. */
  readonly bodyBytes: number
  /** Parts of one update. */
  readonly parts: number
}

/** Headers of one part: Notary sends two. */
const MAX_PART_HEADERS = 16
const MAX_PART_HEADER_BYTES = 8 * 1024

/**
 * The files of an update, in the order of their first parts; of several parts for one role the last one counts, as in the original. A
 * timestamp is read and left out (trap Q32).
 * @throws ProtocolError MALFORMED_UPLOAD, NO_FILENAME, INVALID_ROLE, MALFORMED_JSON, INVALID_UPDATE (too large), UNAVAILABLE
 */
export async function readUpload(
  request: IncomingMessage,
  limits: UploadLimits,
  lease: Lease,
): Promise<ReadonlyMap<RoleName, NewFile>> {
  if (Number(request.headers['content-length'] ?? 0) > limits.bodyBytes) throw tooLarge(limits.bodyBytes)
  const reader = new UploadReader(request.headers, limits)
  let length = 0
  try {
    // The stream is not destroyed when reading stops, or the client would see a broken connection in place of the answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.byteLength
      if (length > limits.bodyBytes) throw tooLarge(limits.bodyBytes)
      lease.grow(chunk.byteLength)
      await reader.write(chunk)
    }
  } catch (error) {
    if (error instanceof ProtocolError) throw error
    throw malformed('ended early', error)
  }
  if (!request.complete) throw malformed('ended early')
  return reader.end()
}

/** A form is a few short fields. */
const MAX_FORM_BYTES = 16 * 1024

/** The fields of a form. @throws ProtocolError MALFORMED_UPLOAD */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.byteLength
      if (length > MAX_FORM_BYTES) throw malformed('too long')
      chunks.push(chunk)
    }
  } catch (error) {
    throw error instanceof ProtocolError ? error : malformed('ended early', error)
  }
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'))
}

class UploadReader {
  readonly #parser: Busboy
  readonly #limits: UploadLimits
  readonly #files = new Map<RoleName, NewFile>()
  #failure: ProtocolError | undefined
  #parts = 0
  #wake: () => void = () => undefined

  constructor(headers: IncomingMessage['headers'], limits: UploadLimits) {
    this.#limits = limits
    try {
      this.#parser = new Busboy({
        headers: { ...headers, 'content-type': headers['content-type'] ?? '' } satisfies BusboyHeaders,
        preservePath: true,
        limits: {
          fileSize: limits.fileBytes,
          parts: limits.parts + 1,
          fieldSize: 1,
          headerPairs: MAX_PART_HEADERS,
          headerSize: MAX_PART_HEADER_BYTES,
        },
      })
    } catch (cause) {
      throw malformed('no multipart', cause)
    }
    this.#parser.on('file', (_name, stream, filename) => {
      this.#read(stream, filename)
    })
    this.#parser.on('field', () => {
      this.#fail(new ProtocolError('NO_FILENAME'))
    })
    this.#parser.on('partsLimit', () => {
      this.#fail(tooManyParts(limits.parts))
    })
    this.#parser.on('error', (cause) => {
      this.#fail(malformed('unreadable', cause))
    })
  }

  async write(chunk: Buffer): Promise<void> {
    await this.#untilDone((done) => {
      this.#parser.write(chunk, done)
    })
  }

  async end(): Promise<ReadonlyMap<RoleName, NewFile>> {
    await this.#untilDone((done) => {
      this.#parser.once('finish', done)
      this.#parser.end()
    })
    this.#files.delete(TIMESTAMP)
    return this.#files
  }

  /** A part that is given up is not read on, and the parser would wait for it without end: a failure ends the waiting. */
  async #untilDone(work: (done: () => void) => void): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      work(resolve)
    })
    if (this.#failure === undefined) return
    this.#parser.destroy()
    throw this.#failure
  }

  #read(stream: Readable & { truncated?: boolean }, filename: string | undefined): void {
    this.#parts++
    if (this.#parts > this.#limits.parts) this.#fail(tooManyParts(this.#limits.parts))
    const role = this.#failure === undefined ? this.#roleOf(filename) : undefined
    if (role === undefined) {
      stream.resume()
      return
    }
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => {
      if (this.#failure === undefined) chunks.push(chunk)
    })
    stream.on('limit', () => {
      chunks.length = 0
      this.#fail(tooLarge(this.#limits.fileBytes))
    })
    stream.on('error', (cause) => {
      this.#fail(malformed('unreadable', cause))
    })
    stream.on('end', () => {
      if (this.#failure === undefined) this.#take(role, Buffer.concat(chunks))
    })
  }

  #take(role: RoleName, bytes: Buffer): void {
    try {
      const version = versionOf(bytes)
      this.#files.set(role, { role, version, sha256: sha256Hex(bytes), bytes })
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#fail(error)
    }
  }

  #roleOf(filename: string | undefined): RoleName | undefined {
    const name = (filename ?? '').replace(/\.json$/, '')
    if (name === '') {
      this.#fail(new ProtocolError('NO_FILENAME'))
      return undefined
    }
    try {
      return parseRoleName(name)
    } catch (error) {
      if (!(error instanceof TufError)) throw error
      this.#fail(new ProtocolError('INVALID_ROLE', { detail: printable(name) }))
      return undefined
    }
  }

  /** The first failure counts: parts are looked at in their order. */
  #fail(failure: ProtocolError): void {
    this.#failure ??= failure
    this.#wake()
  }
}

function tooLarge(maxBytes: number): ProtocolError {
  return invalidUpdate('ErrValidation', `the update is larger than this server takes: ${maxBytes} bytes`)
}

function tooManyParts(max: number): ProtocolError {
  return invalidUpdate('ErrValidation', `the update has more than ${max} parts`)
}

function malformed(reason: string, cause?: unknown): ProtocolError {
  return new ProtocolError('MALFORMED_UPLOAD', { facts: { reason }, ...(cause !== undefined && { cause }) })
}

function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 300)
}
