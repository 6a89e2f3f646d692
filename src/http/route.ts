// A route as data: one description that makes the handler, its checks and its part of the OpenAPI document.
// Nothing here knows Koa; nothing here decides anything.
import type { IncomingMessage } from 'node:http'
import * as z from 'zod'
import type { Principal } from '../domain/principal.ts'
import { type BodyKind, faultsOf, hasBody, readBodyOf, refuseBody } from './body.ts'
import { HttpError } from './errors.ts'
import type { PublicCode } from './problem.ts'

export interface Reply {
  readonly status: number
  /** Sent as JSON; text where `type` says so; absent: no body. */
  readonly body?: unknown
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface ReplyDescription {
  readonly description: string
  /** Absent: no body. */
  readonly schema?: z.ZodType
  /** Default: application/json. */
  readonly type?: string
}

/** A call as it came in, with nothing checked yet. */
export interface RawCall {
  readonly request: IncomingMessage
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Who asks. @throws HttpError TOKEN_MISSING, TOKEN_INVALID */
  readonly identify: () => Principal
  readonly maxBodyBytes: number
  /** Fires when the client has gone or the server stops. */
  readonly signal: AbortSignal
  readonly requestId: string
}

/** A call whose every part has been checked. */
export interface Call<P, Q, B> {
  readonly params: P
  readonly query: Q
  readonly body: B
  readonly idempotencyKey: string | undefined
  readonly raw: RawCall
}

/** A call by a known identity. */
export interface TokenCall<P, Q, B> extends Call<P, Q, B> {
  readonly principal: Principal
}

interface RouteFacts {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** As the router reads it: `/v1/signing-requests/:id`. */
  readonly path: `/${string}`
  readonly operationId: string
  readonly summary: string
  readonly replies: Readonly<Record<number, ReplyDescription>>
  /** The codes that this operation refuses with, besides those that every operation may. */
  readonly codes: readonly PublicCode[]
  readonly takesIdempotencyKey?: true
  /** How the body is written. Default: JSON. */
  readonly bodyType?: BodyKind
}

export interface Route extends RouteFacts {
  readonly access: 'token' | 'sender' | 'open'
  readonly params: z.ZodType
  readonly query: z.ZodType
  /** Absent: a body is refused. */
  readonly body?: z.ZodType
  readonly handle: (raw: RawCall) => Promise<Reply>
}

interface Shapes<P, Q, B> {
  readonly params?: z.ZodType<P>
  readonly query?: z.ZodType<Q>
  readonly body?: z.ZodType<B>
}

const NOTHING = z.strictObject({})

/** A route that needs a token. The order of checks: who asks, then path and query, then the body. */
export function tokenRoute<P = object, Q = object, B = undefined>(
  facts: RouteFacts & Shapes<P, Q, B>,
  handle: (call: TokenCall<P, Q, B>) => Promise<Reply> | Reply,
): Route {
  return build(facts, 'token', async (raw, check) => {
    const principal = raw.identify()
    return handle({ ...(await check()), principal })
  })
}

/** A route for senders that are no identities of ours: `identify` says who sends, or refuses. The order of checks is that of `tokenRoute`. */
export function senderRoute<S, P = object, Q = object, B = undefined>(
  facts: RouteFacts & Shapes<P, Q, B>,
  identify: (raw: RawCall) => S,
  handle: (call: Call<P, Q, B> & { readonly sender: S }) => Promise<Reply> | Reply,
): Route {
  return build(facts, 'sender', async (raw, check) => {
    const sender = identify(raw)
    return handle({ ...(await check()), sender })
  })
}

/** A route that anybody may call. */
export function openRoute<P = object, Q = object, B = undefined>(
  facts: RouteFacts & Shapes<P, Q, B>,
  handle: (call: Call<P, Q, B>) => Promise<Reply> | Reply,
): Route {
  return build(facts, 'open', async (_raw, check) => handle(await check()))
}

function build<P, Q, B>(
  facts: RouteFacts & Shapes<P, Q, B>,
  access: Route['access'],
  run: (raw: RawCall, check: () => Promise<Call<P, Q, B>>) => Promise<Reply>,
): Route {
  const { params = NOTHING, query = NOTHING, body, ...rest } = facts
  const check = async (raw: RawCall): Promise<Call<P, Q, B>> => ({
    params: checked(params as z.ZodType<P>, raw.params, 'PARAMETER_INVALID'),
    query: checked(query as z.ZodType<Q>, queryObject(raw.query), 'QUERY_INVALID'),
    idempotencyKey: facts.takesIdempotencyKey === true ? idempotencyKey(raw.request) : undefined,
    body: await bodyOf(raw, body, facts.bodyType ?? 'json'),
    raw,
  })
  return {
    ...rest,
    access,
    params,
    query,
    ...(body !== undefined && { body }),
    handle: (raw) => run(raw, () => check(raw)),
  }
}

async function bodyOf<B>(raw: RawCall, schema: z.ZodType<B> | undefined, kind: BodyKind): Promise<B> {
  if (schema !== undefined && (hasBody(raw.request) || !schema.safeParse(undefined).success)) {
    return readBodyOf(kind, raw.request, schema, raw.maxBodyBytes)
  }
  refuseBody(raw.request)
  return undefined as B
}

function checked<T>(schema: z.ZodType<T>, value: unknown, code: 'PARAMETER_INVALID' | 'QUERY_INVALID'): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const what = code === 'QUERY_INVALID' ? 'The query' : 'The path'
  throw new HttpError(code, `${what} is not as it must be.`, { faults: faultsOf(parsed.error) })
}

/** The query by name. A name that stands twice becomes a list, which no schema accepts. */
function queryObject(query: URLSearchParams): Readonly<Record<string, unknown>> {
  const names = [...new Set(query.keys())]
  return Object.fromEntries(
    names.map((name) => {
      const values = query.getAll(name)
      return [name, values.length === 1 ? values[0] : values]
    }),
  )
}

const IDEMPOTENCY_KEY = /^[A-Za-z0-9._:-]{1,128}$/

/** The key, quoted (as the draft has it) or bare. @throws HttpError IDEMPOTENCY_KEY_INVALID */
function idempotencyKey(request: IncomingMessage): string | undefined {
  const header = request.headers['idempotency-key']
  if (header === undefined) return undefined
  const key = typeof header === 'string' ? header.replace(/^"(.*)"$/, '$1') : ''
  if (!IDEMPOTENCY_KEY.test(key)) {
    throw new HttpError('IDEMPOTENCY_KEY_INVALID', 'The Idempotency-Key header is not 1 to 128 plain characters.')
  }
  return key
}
