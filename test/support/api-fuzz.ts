// Calls made from the OpenAPI document, right ones and broken ones, and what every answer is held to: a status, a media type, a shape and
// a code that the document names for the operation.
import fc from 'fast-check'
import * as z from 'zod'
import { PROBLEMS, isPublicCode } from '../../src/http/problem.ts'
import { broken, validValues, type Json, type Schema, type ValueSources } from './json-schema-values.ts'
import { sendRaw, type RawAnswer } from './raw-http.ts'

/** The document, as far as it is used here. */
export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, ApiOperation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>
}

interface ApiOperation {
  readonly operationId: string
  readonly security: readonly unknown[]
  readonly parameters: readonly {
    readonly name: string
    readonly in: string
    readonly required: boolean
    readonly schema: Schema
  }[]
  readonly requestBody?: Content & { readonly required: boolean }
  readonly responses: Readonly<Record<string, Content>>
  readonly 'x-problem-codes': readonly string[]
}

interface FuzzedOperation extends ApiOperation {
  readonly method: string
  readonly path: string
}

export interface FuzzTarget {
  readonly url: string
  /** Secrets of tokens that may do everything. */
  readonly tokens: readonly string[]
  readonly document: ApiDocument
  /** Values that mean something to the server, by the operation. */
  readonly known: (operationId: string) => ValueSources['known']
}

/** One request as it is sent; a character is a byte, so that a counterexample can be read. */
interface RawRequest {
  readonly text: string
  /** It ends before its end. */
  readonly isCut: boolean
  /** It may have become a request for something else, or nothing. */
  readonly isAstray: boolean
}

function operationsOf({ paths }: ApiDocument): readonly FuzzedOperation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
  )
}

/** How many answers there were of each status and code. */
type Tally = Map<string, number>

/** Tries one operation. @throws where an answer is not as documented; fast-check says how to repeat it */
async function fuzzOperation(
  target: FuzzTarget,
  operation: FuzzedOperation,
  parameters: fc.Parameters<[RawRequest]>,
): Promise<Tally> {
  const tally: Tally = new Map()
  const judge = judgeOf(target.document, operation)
  await fc.assert(
    fc.asyncProperty(requests(target, operation), async ({ text, isCut, isAstray }) => {
      const answer = await sendRaw(target.url, Buffer.from(text, 'latin1'), { isCut })
      const outcome = answer === undefined ? 'silence' : judge(answer, isAstray)
      tally.set(outcome, (tally.get(outcome) ?? 0) + 1)
    }),
    parameters,
  )
  return tally
}

/** Requests that follow no operation at all. @throws where one is not refused as a problem, or found to be right */
export async function fuzzServer(target: FuzzTarget, parameters: fc.Parameters<[RawRequest]>): Promise<Tally> {
  const tally: Tally = new Map()
  await fc.assert(
    fc.asyncProperty(strays(target), async ({ text, isCut }) => {
      const answer = await sendRaw(target.url, Buffer.from(text, 'latin1'), { isCut })
      const outcome =
        answer === undefined ? 'silence' : answer.status < 300 ? String(answer.status) : problemCode(answer)
      if (answer !== undefined && answer.status >= 500) throw new Error(`${outcome}: ${answer.body}`)
      tally.set(outcome, (tally.get(outcome) ?? 0) + 1)
    }),
    parameters,
  )
  return tally
}

// ---- what an answer is held to

function judgeOf(document: ApiDocument, operation: FuzzedOperation): (answer: RawAnswer, isAstray: boolean) => string {
  const shapes = new Map(
    Object.entries(operation.responses).map(([status, { content = {} }]) => [
      Number(status),
      Object.entries(content).map(([type, { schema }]) => ({
        type,
        shape: type.includes('json') ? shapeOf(document, schema) : undefined,
      })),
    ]),
  )
  return (answer, isAstray) => {
    const { status, headers, body } = answer
    if (isAstray && (status === 404 || status === 405) && ELSEWHERE.has(problemCode(answer))) return problemCode(answer)
    const described = shapes.get(status)
    if (described === undefined) throw new Error(`status ${status} is not documented: ${body}`)
    const [content] = described
    if (content === undefined) {
      if (body !== '') throw new Error(`${status} has a body: ${body}`)
      return String(status)
    }
    const type = (headers.get('content-type') ?? '').split(';')[0]
    if (type !== content.type) throw new Error(`${status} is ${type}, documented as ${content.type}`)
    const parsed = content.shape?.safeParse(JSON.parse(body))
    if (parsed?.success === false) throw new Error(`${status} has another shape: ${parsed.error.message}\n${body}`)
    if (status < 300) return String(status)
    const code = problemCode(answer)
    if (!operation['x-problem-codes'].includes(code)) throw new Error(`${code} is not documented: ${body}`)
    // Nothing is out of reach here, so that no outage excuses it.
    if (status >= 500) throw new Error(`a failure inside: ${body}`)
    return code
  }
}

/** Of requests that met no operation. */
const ELSEWHERE: ReadonlySet<string> = new Set(['ROUTE_NOT_FOUND', 'METHOD_NOT_ALLOWED'])

/** The code of a problem document that agrees with its own table. @throws Error */
function problemCode({ status, headers, body }: RawAnswer): string {
  if (headers.get('content-type') !== 'application/problem+json') throw new Error(`${status} is no problem document`)
  const { code, status: stated, requestId } = JSON.parse(body) as { code: string; status: number; requestId: string }
  if (!isPublicCode(code) || stated !== status || PROBLEMS[code].status !== status) {
    throw new Error(`${status} does not agree with its document: ${body}`)
  }
  if (headers.get('cache-control') !== 'no-store') throw new Error('a refusal may be kept')
  const announced = headers.get('x-request-id')
  if (announced !== undefined && announced !== requestId) throw new Error('two ids of one request')
  if (status === 401 && headers.get('www-authenticate')?.startsWith('Bearer ') !== true) throw new Error('no challenge')
  if (status === 405 && !headers.has('allow')) throw new Error('no methods are allowed')
  return code
}

/** The document's schema as a check, made from JSON Schema and not from the shapes that the schemas were made of. */
function shapeOf(document: ApiDocument, schema: Schema): z.ZodType {
  const text = JSON.stringify({ ...schema, $defs: document.components.schemas })
  const local = JSON.parse(text.replaceAll('"#/components/schemas/', '"#/$defs/')) as Parameters<
    typeof z.fromJSONSchema
  >[0]
  return z.fromJSONSchema(local)
}

// ---- requests

function requests(target: FuzzTarget, operation: FuzzedOperation): fc.Arbitrary<RawRequest> {
  const right = rightRequest(target, operation)
  return fc.oneof(
    { weight: 3, arbitrary: right.map(encode) },
    {
      weight: 3,
      arbitrary: right.chain((parts) => brokenParts(parts).map((one) => ({ ...encode(one), isAstray: true }))),
    },
    { weight: 1, arbitrary: right.chain((parts) => cut(encode(parts))) },
  )
}

interface Parts {
  readonly method: string
  readonly path: string
  readonly query: readonly (readonly [name: string, value: string])[]
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body?: Json
  /** In the place of `body`. */
  readonly bytes?: Buffer
}

function rightRequest(target: FuzzTarget, operation: FuzzedOperation): fc.Arbitrary<Parts> {
  const sources: ValueSources = {
    components: target.document.components.schemas,
    known: target.known(operation.operationId),
  }
  const of = (where: string) => {
    const mine = operation.parameters.filter((one) => one.in === where)
    const values = Object.fromEntries(
      mine.map(({ name, schema }) => [name, validValues(schema, name, sources).filter((value) => value !== '')]),
    )
    const requiredKeys = mine.filter(({ required }) => required).map(({ name }) => name)
    return fc.record(values, { requiredKeys, noNullPrototype: true }) as fc.Arbitrary<Record<string, string>>
  }
  const schema = operation.requestBody?.content?.['application/json']?.schema
  const body: fc.Arbitrary<Json | undefined> =
    schema === undefined ? fc.constant(undefined) : validValues(schema, '', sources)
  return fc
    .record({
      params: of('path'),
      query: of('query'),
      more: of('header'),
      token: fc.constantFrom(...target.tokens),
      body,
    })
    .map(({ params, query, more, token, body: value }) => ({
      method: operation.method,
      path: operation.path.replace(/\{([a-z]+)\}/gi, (_, name: string) => encodeText(params[name] ?? '')),
      query: Object.entries(query),
      headers: [
        ['authorization', `Bearer ${token}`] as const,
        ...(value === undefined ? [] : [['content-type', 'application/json'] as const]),
        ...Object.entries(more),
      ],
      ...(value !== undefined && { body: value }),
    }))
}

/** As `encodeURIComponent`, also for text that is not well-formed. */
function encodeText(text: string): string {
  // Two dots would be a step up, which clients resolve before they ask.
  return encodeURIComponent(Buffer.from(text).toString()).replace(/^\.{1,2}$/, '%2E%2E')
}

const TYPES = [
  'text/plain',
  'application/json; charset=latin1',
  'application/jsonx',
  'application/x-www-form-urlencoded',
  '',
  'multipart/form-data; boundary=x',
]
const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,30}$/)
const fieldValue = fc.stringMatching(/^[!-~\x80-\xff]([ -~\x80-\xff]{0,60}[!-~\x80-\xff])?$/)

/** The same request with one thing wrong; it may happen to be right all the same. */
function brokenParts(parts: Parts): fc.Arbitrary<Parts> {
  const withHeader = (...headers: readonly (readonly [string, string])[]): Parts => ({
    ...parts,
    headers: [...parts.headers, ...headers],
  })
  const without = (name: string): Parts => ({ ...parts, headers: parts.headers.filter(([one]) => one !== name) })
  const segments = parts.path.split('/').length
  return fc.oneof(
    ...(parts.body === undefined
      ? []
      : [
          { weight: 6, arbitrary: broken(parts.body).map((body) => ({ ...parts, body })) },
          { weight: 3, arbitrary: brokenText(JSON.stringify(parts.body)).map((bytes) => ({ ...parts, bytes })) },
          {
            weight: 1,
            arbitrary: fc.constantFrom(...TYPES).map((type) => ({
              ...without('content-type'),
              headers: [...without('content-type').headers, ['content-type', type] as const],
            })),
          },
          {
            weight: 1,
            arbitrary: fc
              .constantFrom('gzip', 'br', 'identity', 'x, y')
              .map((coding) => withHeader(['content-encoding', coding])),
          },
        ]),
    // A body where none belongs, and none where one does.
    fc.constantFrom<Parts>(
      { ...parts, bytes: Buffer.from('{}') },
      { ...parts, bytes: Buffer.alloc(0) },
      { ...parts, bytes: Buffer.alloc(300_000, ' ') },
    ),
    fc
      .array(fc.tuple(fc.string({ maxLength: 8 }), fc.string({ unit: 'binary', maxLength: 30 })), {
        minLength: 1,
        maxLength: 3,
      })
      .map((more) => ({ ...parts, query: [...parts.query, ...more] })),
    fc.constant({ ...parts, query: [...parts.query, ...parts.query] }),
    // One segment of the path is something else.
    fc
      .tuple(
        fc.nat(segments - 1),
        fc.oneof(
          fc.string({ unit: 'binary', maxLength: 30 }).map(encodeText),
          fc.constantFrom('%', '%zz', '%00', '%ff', '%2F', '%2e%2e', 'x'.repeat(5000)),
        ),
      )
      .map(([at, text]) => ({
        ...parts,
        path: parts.path
          .split('/')
          .map((segment, index) => (index === at && index > 0 ? text : segment))
          .join('/'),
      })),
    fc.constantFrom('', 'Basic YTpi', 'Bearer', 'Bearer x', `Bearer cs_${'x'.repeat(43)}`, 'bearer  ').map((value) => ({
      ...without('authorization'),
      headers: [...without('authorization').headers, ['authorization', value] as const],
    })),
    fc
      .array(fc.tuple(token, fieldValue), { minLength: 1, maxLength: 5 })
      .map((headers) => withHeader(...headers.filter(([name]) => !STEERING.has(name.toLowerCase())))),
    fc
      .constantFrom<readonly (readonly [string, string])[]>(
        [['authorization', 'Bearer x']],
        [['idempotency-key', 'two words']],
        [
          ['idempotency-key', ''],
          ['idempotency-key', 'b'],
        ],
        [['host', 'elsewhere.example.com']],
        [['x-forwarded-for', '192.0.2.1']],
        [['expect', 'something']],
        [
          ['upgrade', 'websocket'],
          ['connection', 'upgrade'],
        ],
        [['x-large', 'x'.repeat(20_000)]],
        Array.from({ length: 120 }, (_, n) => [`x-${n}`, 'y'] as const),
      )
      .map((headers) => withHeader(...headers)),
    fc.constantFrom('PUT', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND').map((method) => ({ ...parts, method })),
  )
}

/** Headers that decide where a message ends: they are broken elsewhere. */
const STEERING = new Set([
  'content-length',
  'transfer-encoding',
  'connection',
  'expect',
  'upgrade',
  'host',
  'te',
  'trailer',
])

function brokenText(text: string): fc.Arbitrary<Buffer> {
  const bytes = Buffer.from(text)
  return fc.oneof(
    fc.nat(bytes.byteLength).map((length) => bytes.subarray(0, length)),
    fc.tuple(fc.nat(Math.max(0, bytes.byteLength - 1)), fc.nat(255)).map(([at, value]) => {
      const copy = Buffer.from(bytes)
      copy[at] = value
      return copy
    }),
    fc
      .constantFrom(
        `\ufeff${text}`,
        `${text}${text}`,
        `${text}\0`,
        `[${text}]`,
        '['.repeat(50_000),
        '{"a":'.repeat(5000),
        '"\\ud800"',
        '1e999',
        '-',
        `{"__proto__":${text}}`,
        text.replace('{', '{"x":1,"x":1,'),
        `${' '.repeat(100_000)}${text}`,
      )
      .map((other) => Buffer.from(other)),
    fc.uint8Array({ maxLength: 100 }).map((other) => Buffer.from(other)),
  )
}

function encode({ method, path, query, headers, body, bytes }: Parts): RawRequest {
  const content = bytes ?? (body === undefined ? undefined : Buffer.from(JSON.stringify(body)))
  const search = query.map(([name, value]) => `${encodeText(name)}=${encodeText(value)}`).join('&')
  const lines = [
    `${method} ${path}${search === '' ? '' : `?${search}`} HTTP/1.1`,
    'host: localhost',
    'connection: close',
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(content === undefined ? [] : [`content-length: ${content.byteLength}`]),
  ]
  const head = `${lines.join('\r\n')}\r\n\r\n`
  return { text: head + (content?.toString('latin1') ?? ''), isCut: false, isAstray: false }
}

/** Cut somewhere, or with a byte of its head or body changed. */
function cut({ text }: RawRequest): fc.Arbitrary<RawRequest> {
  return fc.oneof(
    fc.integer({ min: 1, max: text.length - 1 }).map((length) => stray(text.slice(0, length))),
    fc
      .tuple(fc.nat(text.length - 1), fc.nat(255))
      .map(([at, value]) => stray(text.slice(0, at) + String.fromCharCode(value) + text.slice(at + 1))),
  )
}

function stray(text: string): RawRequest {
  return { text, isCut: true, isAstray: true }
}

/** Mostly as they should be. */
const METHODS = ['GET', 'GET', 'GET', 'POST', 'DELETE', 'PUT', 'get', 'FOO', '']
const VERSIONS = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9', '']
const PATHS = [
  '/',
  '//',
  '/v1',
  '/v1/',
  '/v1/signing-requests/',
  '/V1/tokens',
  '/v1//tokens',
  '/livez/',
  '*',
  '/%',
  '/livez#x',
]
const FIELDS = [
  ...[
    'accept: */*',
    'x: y',
    'cookie: a=b',
    'host: a',
    'content-length: -1',
    'content-length: 1e9',
    'content-length: 5',
  ],
  ...[
    'transfer-encoding: chunked',
    'transfer-encoding: chunked, x',
    'transfer-encoding: identity',
    ' folded: x',
    'a b: c',
    ':',
  ],
  ...['connection: upgrade', 'upgrade: h2c', 'expect: 100-continue', 'x\0y: z', 'x: y\u007fz'],
]

/** Addresses and methods of nothing, heads that are none, and bytes that are no HTTP. */
function strays({ tokens }: FuzzTarget): fc.Arbitrary<RawRequest> {
  const path = fc.oneof(
    fc.webPath(),
    fc.constantFrom(...PATHS),
    fc.string({ unit: 'binary', maxLength: 40 }).map((text) => `/${encodeText(text)}`),
  )
  const field = fc.oneof(
    fc.tuple(token, fieldValue).map(([name, value]) => `${name}: ${value}`),
    fc.constantFrom(...FIELDS),
  )
  const head = fc
    .record({
      method: fc.constantFrom(...METHODS),
      path,
      version: fc.constantFrom(...VERSIONS),
      fields: fc.array(field, { maxLength: 3 }),
      secret: fc.constantFrom(...tokens),
    })
    .map(({ method, path: target, version, fields, secret }) =>
      [`${method} ${target} ${version}`, 'host: localhost', `authorization: Bearer ${secret}`, ...fields, '', ''].join(
        '\r\n',
      ),
    )
  const noise = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  return fc.oneof({ weight: 6, arbitrary: head }, noise).map(stray)
}

/** Operations that never succeed on what `startFuzzedDaemon` has: nobody signs a root there, no delivery is dead, no login is set. */
const NEVER: ReadonlySet<string> = new Set([
  ...['rotateKeys', 'renewRoles', 'repairRepository', 'addRootSignatures', 'changeRoot'],
  ...['redeliverWebhook', 'exchangeToken', 'readLoginProvider'],
])

/** Tries every operation. @throws Error that names the operation, and how to repeat it */
export async function fuzzApi(
  target: FuzzTarget,
  { numRuns, seed }: { readonly numRuns: number; readonly seed: number },
): Promise<ReadonlyMap<string, Tally>> {
  const tallies = new Map<string, Tally>()
  for (const operation of operationsOf(target.document)) {
    const { operationId } = operation
    try {
      tallies.set(operationId, await fuzzOperation(target, operation, { numRuns, seed }))
    } catch (cause) {
      throw new Error(`${operationId}: ${String(cause)}`, { cause })
    }
  }
  // That refusals alone are tried would prove little.
  const refused = [...tallies].filter(
    ([id, tally]) => !NEVER.has(id) && ![...tally.keys()].some((key) => /^2/.test(key)),
  )
  if (numRuns >= 200 && refused.length > 0)
    throw new Error(`never right: ${JSON.stringify(refused.map(([id, tally]) => [id, ...tally]))}`)
  return tallies
}
