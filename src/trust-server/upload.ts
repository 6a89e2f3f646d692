// An update as it comes in: multipart/form-data, one part for each role. Only the file name of a part counts, slash included (trap Q15);
// field names do not. notary v0.7.0 server/handlers/default.go atomicUpdateHandler.
import type { IncomingMessage } from 'node:http'
import { MIMEType } from 'node:util'
import { Dicer } from '@fastify/busboy'
import contentDisposition from 'content-disposition'
import { parseRoleName, sha256Hex, TIMESTAMP, TufError, type RoleName } from '@countersign/tuf'
import { invalidUpdate, ProtocolError } from './answers.ts'
import { chunksOf, malformed } from './body.ts'
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
  const reader = new UploadReader(request.headers['content-type'], limits)
  for await (const chunk of chunksOf(request, limits.bodyBytes, tooLarge)) {
    lease.grow(chunk.byteLength)
    await reader.write(chunk)
  }
  return reader.end()
}

/** A form is a few short fields. */
const MAX_FORM_BYTES = 16 * 1024

/** The fields of a form. @throws ProtocolError MALFORMED_UPLOAD */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = []
  for await (const chunk of chunksOf(request, MAX_FORM_BYTES, () => malformed('too long'))) chunks.push(chunk)
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'))
}

class UploadReader {
  readonly #parser: Dicer
  readonly #limits: UploadLimits
  readonly #files = new Map<RoleName, NewFile>()
  #failure: ProtocolError | undefined
  #parts = 0
  /** Parts that have begun and not ended. */
  #open = 0
  #isFinished = false
  #wake: () => void = () => undefined

  constructor(contentType: string | undefined, limits: UploadLimits) {
    this.#limits = limits
    const options = {
      boundary: boundaryOf(contentType),
      maxHeaderPairs: MAX_PART_HEADERS,
      maxHeaderSize: MAX_PART_HEADER_BYTES,
    }
    this.#parser = new Dicer(options)
    this.#parser.on('part', (part) => {
      this.#read(part)
    })
    this.#parser.on('error', (cause) => {
      this.#fail(malformed('unreadable', cause))
    })
    this.#parser.on('finish', () => {
      this.#isFinished = true
      this.#wakeWhenDone()
    })
  }

  async write(chunk: Buffer): Promise<void> {
    // What follows the last boundary belongs to nobody. Nor may it be waited for: where a part of more than 16 KiB and the last boundary
    // came in one chunk, the parser never says that it took the chunk.
    if (this.#isDone) return
    await this.#untilDone((done) => {
      this.#parser.write(chunk, () => {
        done()
      })
    })
  }

  async end(): Promise<ReadonlyMap<RoleName, NewFile>> {
    await this.#untilDone(() => {
      this.#parser.end()
      this.#wakeWhenDone()
    })
    this.#files.delete(TIMESTAMP)
    return this.#files
  }

  /** A part that is given up is not read on, and the parser would wait for it without end: a failure ends the waiting. */
  async #untilDone(work: (done: () => void) => void): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      work(resolve)
      if (this.#failure !== undefined) resolve()
    })
    if (this.#failure === undefined) return
    this.#parser.destroy()
    throw this.#failure
  }

  /** The parser may be at its end before its last parts are. */
  get #isDone(): boolean {
    return this.#isFinished && this.#open === 0
  }

  #wakeWhenDone(): void {
    if (this.#isDone) this.#wake()
  }

  #read(part: Dicer.PartStream): void {
    this.#parts++
    if (this.#parts > this.#limits.parts) this.#fail(tooManyParts(this.#limits.parts))
    this.#open++
    let headers: PartHeaders | undefined
    let chunks: Buffer[] = []
    let length = 0
    part.on('header', (found) => {
      headers = found as PartHeaders
    })
    part.on('data', (chunk) => {
      if (this.#failure !== undefined) return
      length += chunk.length
      if (length > this.#limits.fileBytes) {
        chunks = []
        this.#fail(tooLarge(this.#limits.fileBytes))
      } else if (Buffer.isBuffer(chunk)) chunks.push(chunk)
    })
    part.on('error', (cause) => {
      this.#fail(malformed('unreadable', cause))
    })
    part.on('end', () => {
      this.#open--
      // Here and not before, so that the first fault of an update is the one that is told.
      if (this.#failure === undefined) this.#take(headers, chunks)
      this.#wakeWhenDone()
    })
  }

  #take(headers: PartHeaders | undefined, chunks: readonly Buffer[]): void {
    try {
      if (headers === undefined) throw malformed('a part without an end of its headers')
      const role = roleOf(headers)
      const bytes = Buffer.concat(chunks)
      this.#files.set(role, { role, version: versionOf(bytes), sha256: sha256Hex(bytes), bytes })
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#fail(error)
    }
  }

  #fail(failure: ProtocolError): void {
    this.#failure ??= failure
    this.#wake()
  }
}

/** By lower-case name. */
type PartHeaders = Readonly<Record<string, readonly string[]>>

/** RFC 2046, 5.1.1. */
const MAX_BOUNDARY = 70

/** @throws ProtocolError MALFORMED_UPLOAD */
function boundaryOf(contentType = ''): string {
  let type: MIMEType
  try {
    type = new MIMEType(contentType)
  } catch (cause) {
    throw malformed('no content type', cause)
  }
  const boundary = type.params.get('boundary') ?? ''
  if (!/^multipart\/(form-data|mixed)$/.test(type.essence) || boundary === '') throw malformed('no multipart')
  if (boundary.length > MAX_BOUNDARY) throw malformed('a boundary that is too long')
  return boundary
}

/** @throws ProtocolError NO_FILENAME, INVALID_ROLE */
function roleOf(headers: PartHeaders): RoleName {
  const name = fileNameOf(headers['content-disposition']?.[0]).replace(/\.json$/, '')
  if (name === '') throw new ProtocolError('NO_FILENAME')
  try {
    return parseRoleName(name)
  } catch (error) {
    if (!(error instanceof TufError)) throw error
    throw new ProtocolError('INVALID_ROLE', { detail: printable(name) })
  }
}

/** As Go's multipart.Part.FileName: whatever the type of the disposition is; empty where it cannot be read. */
function fileNameOf(disposition = ''): string {
  try {
    return contentDisposition.parse(disposition).parameters['filename'] ?? ''
  } catch {
    return ''
  }
}

export function tooLarge(maxBytes: number): ProtocolError {
  return invalidUpdate('ErrValidation', `the update is larger than this server takes: ${maxBytes} bytes`)
}

function tooManyParts(max: number): ProtocolError {
  return invalidUpdate('ErrValidation', `the update has more than ${max} parts`)
}

function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 300)
}
