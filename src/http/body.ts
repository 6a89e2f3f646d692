// From the bytes of a request to a checked shape: type, size, strict JSON, depth, then the zod schema. Nothing is guessed or repaired.
import type { IncomingMessage } from 'node:http'
import { type JsonValue, isJsonArray, isJsonObject, parseJson, TufError } from '@countersign/tuf'
import type * as z from 'zod'
import { HttpError, type RequestFault } from './errors.ts'

/** Nesting of a body; the deepest that any request needs is three. */
const MAX_DEPTH = 16
/** Members of a form; no request has more than four. */
const MAX_FORM_MEMBERS = 32
/** The largest form: its one long member is a token, of which each character may be written as three. */
const MAX_FORM_BYTES = 64 * 1024
/** Faults that one answer lists. */
const MAX_FAULTS = 20

/** How a body is written. `events`: JSON under the names that registries give to what they send. */
export type BodyKind = 'json' | 'form' | 'events'

/**
 * The checked body of a request.
 * @throws HttpError CONTENT_TYPE_UNSUPPORTED, CONTENT_ENCODING_UNSUPPORTED, BODY_TOO_LARGE, BODY_INCOMPLETE, BODY_MALFORMED, BODY_INVALID
 */
export async function readBody<T>(
  request: IncomingMessage,
  schema: z.ZodType<T>,
  maxBytes: number,
  type: BodyType = JSON_TYPE,
): Promise<T> {
  checkHeaders(request, maxBytes, type)
  return checkedShape(plainValue(parseBody(await readBytes(request, maxBytes), maxBytes)), schema)
}

/**
 * Likewise of a form (application/x-www-form-urlencoded). A member that stands twice becomes a list, which no schema accepts.
 * @throws HttpError as `readBody`
 */
export async function readForm<T>(request: IncomingMessage, schema: z.ZodType<T>, maxBytes: number): Promise<T> {
  const limit = Math.min(maxBytes, MAX_FORM_BYTES)
  checkHeaders(request, limit, FORM_TYPE)
  return checkedShape(formValue(await readBytes(request, limit)), schema)
}

/** A body that is written in this way. @throws HttpError as `readBody` */
export function readBodyOf<T>(
  kind: BodyKind,
  request: IncomingMessage,
  schema: z.ZodType<T>,
  maxBytes: number,
): Promise<T> {
  if (kind === 'form') return readForm(request, schema, maxBytes)
  return readBody(request, schema, maxBytes, kind === 'json' ? JSON_TYPE : EVENTS_TYPE)
}

function checkedShape<T>(value: unknown, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(value)
  if (!parsed.success) {
    throw new HttpError('BODY_INVALID', 'The body has not the right shape.', { faults: faultsOf(parsed.error) })
  }
  return parsed.data
}

/** Refuses a body where none belongs. @throws HttpError BODY_UNEXPECTED */
export function refuseBody(request: IncomingMessage): void {
  if (!hasBody(request)) return
  throw new HttpError('BODY_UNEXPECTED', 'This request takes no body.', { headers: { connection: 'close' } })
}

/** Whether the request announces a body. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** What zod found, as paths and sentences; never the values. */
export function faultsOf(error: z.ZodError): readonly RequestFault[] {
  const faults = error.issues.flatMap((issue): RequestFault[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: pathOf([...issue.path, key]), message: 'is not known here' }))
      : [{ path: pathOf(issue.path), message: issue.message }],
  )
  return faults.slice(0, MAX_FAULTS)
}

function pathOf(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part).slice(0, 100)}`)).join('')
  return text.replace(/^\./, '')
}

interface BodyType {
  readonly name: string
  readonly header: RegExp
}

const JSON_TYPE: BodyType = {
  name: 'application/json',
  header: /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i,
}
const EVENTS_TYPE: BodyType = {
  name: 'application/json, or as registries call their events',
  header:
    /^application\/(json|cloudevents(-batch)?\+json|vnd\.docker\.distribution\.events\.v[12]\+json)\s*(;\s*charset="?utf-8"?\s*)?$/i,
}
const FORM_TYPE: BodyType = {
  name: 'application/x-www-form-urlencoded',
  header: /^application\/x-www-form-urlencoded\s*(;\s*charset="?utf-8"?\s*)?$/i,
}

function checkHeaders({ headers }: IncomingMessage, maxBytes: number, type: BodyType): void {
  // Closing the connection spares reading a body that nobody will look at.
  const close = { connection: 'close' }
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new HttpError('CONTENT_ENCODING_UNSUPPORTED', 'The body has a Content-Encoding.', { headers: close })
  }
  if (!type.header.test(headers['content-type'] ?? '')) {
    const message = `The body is not declared as ${type.name}.`
    throw new HttpError('CONTENT_TYPE_UNSUPPORTED', message, { headers: close })
  }
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes)
}

async function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    // The stream is not destroyed when reading stops, or the client would see a broken connection in place of the answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.byteLength
      if (length > maxBytes) break
      chunks.push(chunk)
    }
  } catch (cause) {
    throw new HttpError('BODY_INCOMPLETE', 'The body ended early.', { cause })
  }
  if (length > maxBytes) throw tooLarge(maxBytes)
  if (!request.complete) throw new HttpError('BODY_INCOMPLETE', 'The body ended early.')
  return Buffer.concat(chunks)
}

function tooLarge(maxBytes: number): HttpError {
  return new HttpError('BODY_TOO_LARGE', `The body is larger than ${maxBytes} bytes.`, {
    facts: { maxBytes },
    headers: { connection: 'close' },
  })
}

function parseBody(bytes: Buffer, maxBytes: number): JsonValue {
  try {
    return parseJson(bytes, { maxBytes, maxDepth: MAX_DEPTH })
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    throw new HttpError('BODY_MALFORMED', `The body is not JSON as it is read here: ${cause.code}.`, {
      facts: { reason: cause.code },
      cause,
    })
  }
}

function formValue(bytes: Buffer): unknown {
  const text = bytes.toString('latin1')
  // What is not ASCII is written with percent signs; these must be UTF-8.
  if (!/^[\x20-\x7e]*$/.test(text)) throw malformedForm()
  const members = text === '' ? [] : text.split('&')
  if (members.length > MAX_FORM_MEMBERS) throw malformedForm()
  const values = new Map<string, string | string[]>()
  for (const member of members) {
    const [name = '', ...rest] = member.split('=')
    const [key, value] = [decodeFormText(name), decodeFormText(rest.join('='))]
    const before = values.get(key)
    values.set(key, before === undefined ? value : [before, value].flat())
  }
  return Object.fromEntries(values)
}

function decodeFormText(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw malformedForm()
  }
}

function malformedForm(): HttpError {
  return new HttpError('BODY_MALFORMED', 'The body is no form as it is read here.')
}

/** Plain objects, as zod reads them. Names such as `__proto__` become own members, and so are refused as unknown. */
function plainValue(value: JsonValue): unknown {
  if (isJsonArray(value)) return value.map(plainValue)
  if (!isJsonObject(value)) return value
  const object: Record<string, unknown> = {}
  for (const [name, member] of value) {
    Object.defineProperty(object, name, {
      value: plainValue(member),
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return object
}
