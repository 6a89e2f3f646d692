// The Koa application: the order of the middleware. Outside in: name and answer, refuse floods, find the route, run it.
import Router from '@koa/router'
import Koa, { type Middleware } from 'koa'
import type { Log } from '../log.ts'
import { authenticate, type TokenLookup } from './authenticate.ts'
import { hasBody } from './body.ts'
import { certificatePrincipal, type CertificateRule } from './client-certificate.ts'
import { HttpError } from './errors.ts'
import { guardRequest } from './guard.ts'
import type { Metrics } from './metrics.ts'
import { problemOf } from './problem.ts'
import { newRequestId } from './request-id.ts'
import type { Reply, Route } from './route.ts'

export interface ApplicationOptions {
  readonly routes: readonly Route[]
  readonly tokens: TokenLookup
  /** Machines that need no token. */
  readonly certificates: readonly CertificateRule[]
  readonly now: () => Date
  readonly metrics: Metrics
  readonly log: Log
  readonly maxBodyBytes: number
  /** Fires when the server stops: held-back answers are sent, new requests are refused. */
  readonly stopping: AbortSignal
  /** Whether browsers are told to come back over TLS only. */
  readonly isTls: boolean
}

/** What one request leaves for its line in the log. */
interface State {
  requestId: string
  route: string
  principal?: string
  code?: string
  /** Of the caller's trace, where it has one (W3C Trace Context, `traceparent`). */
  traceId?: string
}

type Handler = Middleware<State>

/** Answers of a server that starts or stops: their line in the log says enough. */
const EXPECTED: ReadonlySet<string> = new Set(['NOT_READY', 'SHUTTING_DOWN'])

export function buildApplication(o: ApplicationOptions): { readonly app: Koa<State>; readonly router: Router<State> } {
  const app = new Koa<State>()
  app.silent = true
  const router = new Router<State>({ sensitive: true, strict: true })
  for (const route of o.routes) router.register(route.path, [route.method], routeHandler(route, o))
  app.use(answer(o))
  app.use(async (ctx, next) => {
    if (o.stopping.aborted) throw new HttpError('SHUTTING_DOWN', 'The server is stopping.')
    guardRequest(ctx.req)
    await next()
  })
  app.use(router.routes())
  app.use((ctx) => {
    throw unknownRoute(router, ctx.path, ctx.method)
  })
  return { app, router }
}

/** Names the request, turns what was thrown into a problem document, and writes one line to the log. */
function answer(o: ApplicationOptions): Handler {
  return async (ctx, next) => {
    const startedAt = process.hrtime.bigint()
    ctx.state.requestId = newRequestId()
    ctx.state.route = 'unknown'
    const callersTrace = traceIdOf(ctx.req.headers['traceparent'])
    if (callersTrace !== undefined) ctx.state.traceId = callersTrace
    try {
      await next()
    } catch (error) {
      const { document, headers } = problemOf(error, { instance: ctx.path, requestId: ctx.state.requestId })
      ctx.state.code = document.code
      ctx.status = document.status
      ctx.set(headers)
      ctx.body = JSON.stringify(document)
      ctx.type = 'application/problem+json'
      // A body that nobody read would be read to its end to keep the connection.
      if (hasBody(ctx.req) && !ctx.req.complete) ctx.set('connection', 'close')
      if (document.code === 'TOKEN_MISSING' || document.code === 'TOKEN_INVALID') o.metrics.tokenRefused(document.code)
      if (document.status >= 500 && !EXPECTED.has(document.code)) {
        o.log.error({ requestId: ctx.state.requestId, error }, 'a request failed')
      }
    }
    ctx.set(securityHeaders(o.isTls))
    ctx.set('x-request-id', ctx.state.requestId)
    if (o.stopping.aborted) ctx.set('connection', 'close')
    const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9
    const { method, status } = ctx
    o.metrics.httpAnswered({ method: knownMethod(method), route: ctx.state.route, status, seconds })
    const { requestId, traceId, route, principal, code } = ctx.state
    const facts = { requestId, traceId, method, route, status, seconds, principal, code }
    // Probes and Prometheus ask every few seconds; their lines would hide the others.
    if (route.startsWith('/v1/') || status >= 400) o.log.info(facts, 'answered')
    else o.log.debug(facts, 'answered')
  }
}

/** The trace of version 00; undefined for everything else. It is noted and never believed. */
function traceIdOf(header: string | string[] | undefined): string | undefined {
  const match = typeof header === 'string' ? /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(header) : null
  return match?.[1] === '0'.repeat(32) ? undefined : match?.[1]
}

function routeHandler(route: Route, o: ApplicationOptions): Handler {
  return async (ctx) => {
    ctx.state.route = route.path
    const gone = new AbortController()
    ctx.res.once('close', () => {
      gone.abort()
    })
    const reply = await route.handle({
      request: ctx.req,
      params: (ctx as unknown as { readonly params: Readonly<Record<string, string>> }).params,
      // Not of Koa's URL, which stands on the Host header: there is none where a client sends nonsense.
      query: new URLSearchParams(ctx.querystring),
      identify: () => {
        const { authorization } = ctx.req.headers
        // A token that is offered is meant: one that is bad is refused, whatever the connection proves.
        const principal =
          (authorization === undefined ? certificatePrincipal(ctx.req.socket, o.certificates, o.now()) : undefined) ??
          authenticate(authorization, o.tokens)
        ctx.state.principal = principal.id
        return principal
      },
      maxBodyBytes: o.maxBodyBytes,
      signal: AbortSignal.any([gone.signal, o.stopping]),
      requestId: ctx.state.requestId,
    })
    send(ctx, reply)
  }
}

function send(ctx: Parameters<Handler>[0], { status, body, type, headers }: Reply): void {
  ctx.status = status
  if (headers !== undefined) ctx.set(headers)
  if (body === undefined) {
    ctx.body = null
    ctx.status = status
    return
  }
  ctx.body = type === undefined ? JSON.stringify(body) : body
  ctx.set('content-type', type ?? 'application/json; charset=utf-8')
}

function securityHeaders(isTls: boolean): Record<string, string> {
  return {
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    ...(isTls && { 'strict-transport-security': 'max-age=31536000' }),
  }
}

/** Methods are a label of metrics, so that only known ones are counted by name. */
function knownMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'DELETE'].includes(method) ? method : 'other'
}

function unknownRoute(router: Router<State>, path: string, method: string): HttpError {
  const methods = router.match(path, method).path.flatMap((layer) => layer.methods)
  if (methods.length === 0) return new HttpError('ROUTE_NOT_FOUND', 'There is nothing at this address.')
  const allow = [...new Set(methods)].sort().join(', ')
  return new HttpError('METHOD_NOT_ALLOWED', `This address knows: ${allow}.`, { headers: { allow }, facts: { allow } })
}
