// From a request to an answer: every route of the protocol (notary v0.7.0 server/server.go, server/handlers), its headers and its caching.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import Koa, { type Context } from 'koa'
import { SNAPSHOT, TIMESTAMP, type Gun, type RoleName } from '@countersign/tuf'
import type { Log } from '../log.ts'
import { CATALOG, type Access, type Need } from './access.ts'
import { errorBody, ProtocolError } from './answers.ts'
import type { Action, Caller } from './caller.ts'
import { readChanges } from './change-feed.ts'
import { basicPassword } from './credential-list.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { MetadataStore, StoredFile } from './metadata-store.ts'
import type { Metrics } from './metrics.ts'
import { readOlderRoots, verifyOlderRoots } from './older-roots.ts'
import type { Publications } from './publications.ts'
import { refusalOfUpdate } from './refusals.ts'
import type { Renewals } from './renewals.ts'
import { routeOf, type RequestedGun, type Route } from './route.ts'
import type { Evidence, ServerSigner } from './signer.ts'
import { readForm, readUpload, type UploadLimits } from './upload.ts'

export interface ApplicationOptions {
  readonly store: MetadataStore
  readonly publications: Publications
  readonly renewals: Renewals
  readonly signer: ServerSigner
  readonly access: Access
  readonly budget: MemoryBudget
  readonly metrics: Metrics
  readonly log: Log
  readonly limits: UploadLimits
  /** Seconds that caches keep what may change, and what never does. */
  readonly maxAge: { readonly current: number; readonly fixed: number }
  /** Whether anybody may read the metrics; otherwise only this machine. */
  readonly areMetricsOpen: boolean
}

interface State {
  requestId: string
  route: string
  principal?: string
}

type Answer = Context & { state: State }

/** Longer paths name nothing. */
const MAX_URL_LENGTH = 4096
const JSON_TYPE = 'application/json; charset=utf-8'
/** What Go sniffs for metadata; clients do not look at it. */
const METADATA_TYPE = 'text/plain; charset=utf-8'

export function buildApplication(o: ApplicationOptions): Koa {
  const app = new Koa<State>()
  app.silent = true
  app.use(async (ctx) => {
    await answer(o, ctx)
  })
  return app
}

async function answer(o: ApplicationOptions, ctx: Answer): Promise<void> {
  const startedAt = process.hrtime.bigint()
  ctx.state = { requestId: `req_${randomBytes(15).toString('base64url')}`, route: 'unknown' }
  let code: string | undefined
  try {
    await new Handler(o, ctx).handle()
  } catch (error) {
    const refusal = refusalOfUpdate(error)
    code = refusal.code
    refuse(ctx, refusal)
    o.metrics.refused(code)
    const facts = { requestId: ctx.state.requestId, ...refusal.facts }
    if (refusal.status >= 500) o.log.error({ ...facts, error: refusal.cause }, 'a request failed')
  }
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9
  o.metrics.answered(ctx.state.route, ctx.status, seconds)
  const { requestId, route, principal } = ctx.state
  const line = { requestId, route, path: ctx.path.slice(0, 512), status: ctx.status, seconds, principal, code }
  if (ctx.method === 'GET' && ctx.status < 400) o.log.debug(line, 'answered')
  else o.log.info(line, 'answered')
}

function refuse(ctx: Answer, refusal: ProtocolError): void {
  ctx.status = refusal.status
  ctx.set(refusal.headers)
  ctx.set('content-type', JSON_TYPE)
  ctx.body = ctx.method === 'HEAD' ? null : errorBody(refusal)
  ctx.status = refusal.status
  // A body that nobody read would be read to its end to keep the connection.
  if (hasBody(ctx.req) && !ctx.req.complete) ctx.set('connection', 'close')
}

class Handler {
  readonly #o: ApplicationOptions
  readonly #ctx: Answer

  constructor(o: ApplicationOptions, ctx: Answer) {
    this.#o = o
    this.#ctx = ctx
  }

  async handle(): Promise<void> {
    const ctx = this.#ctx
    const url = ctx.req.url ?? ''
    const question = url.indexOf('?')
    const route: Route =
      url.length > MAX_URL_LENGTH
        ? { kind: 'unknown' }
        : routeOf(ctx.method, question < 0 ? url : url.slice(0, question))
    ctx.state.route = route.kind
    const query = new URLSearchParams(question < 0 ? '' : url.slice(question + 1))
    switch (route.kind) {
      case 'unknown':
        return this.#unknown()
      case 'method-unknown':
        ctx.status = 405
        ctx.set('allow', 'DELETE, GET, POST')
        ctx.body = null
        ctx.status = 405
        return
      case 'ping':
        return this.#ping()
      case 'token':
        return this.#token(query)
      case 'health':
        return this.#health()
      case 'metrics':
        return this.#metrics()
      case 'all-changes':
        await this.#require(CATALOG)
        {
          this.#json(readChanges(this.#o.store, query))
          return
        }
      case 'changes': {
        this.#json(readChanges(this.#o.store, query, await this.#gun(route.gun, 'pull')))
        return
      }
      case 'older-roots': {
        this.#json({ versions: this.#o.store.rootVersions(await this.#gun(route.gun, 'pull')) })
        return
      }
      case 'bring-older-roots':
        return this.#bringOlderRoots(route.gun)
      case 'update':
        return this.#update(route.gun)
      case 'delete':
        return this.#delete(route.gun)
      case 'key':
      case 'rotate':
        return this.#key(route)
      case 'current':
        return this.#current(route)
      case 'by-sha256': {
        this.#send(
          this.#find(await this.#gun(route.gun, 'pull'), route.role, (gun, role) =>
            this.#o.store.bySha256(gun, role, route.hex),
          ),
          'fixed',
        )
        return
      }
      case 'by-version': {
        this.#send(
          this.#find(await this.#gun(route.gun, 'pull'), route.role, (gun, role) =>
            this.#o.store.byVersion(gun, role, route.version),
          ),
          'fixed',
        )
        return
      }
    }
  }

  /** A challenge here is what makes stock clients send credentials at all, later on (notary-v1 6.2). */
  async #ping(): Promise<void> {
    const caller = await this.#o.access.identify(this.#ctx.req)
    if (caller.isAnonymous) throw this.#o.access.refusal(this.#ctx.req, CATALOG)
    this.#json({})
  }

  /** After the question who asks, as the original has it (server/server.go, RootHandler). */
  async #unknown(): Promise<void> {
    await this.#require(CATALOG)
    throw new ProtocolError('METADATA_NOT_FOUND')
  }

  async #token(query: URLSearchParams): Promise<void> {
    const { req, method } = this.#ctx
    const form = method === 'POST' ? await readForm(req) : query
    const password = method === 'POST' ? (form.get('password') ?? undefined) : basicPassword(req.headers.authorization)
    const scopes = form.getAll('scope').flatMap((text) => text.split(' '))
    const token = await this.#o.access.exchange({ password, scopes })
    if (token === undefined) return this.#unknown()
    this.#ctx.set('cache-control', 'no-store')
    this.#json(token)
  }

  async #health(): Promise<void> {
    const fault = await this.#o.signer.fault()
    this.#json(fault === undefined ? {} : { 'Trust operational': fault })
    if (fault !== undefined) this.#ctx.status = 503
  }

  async #metrics(): Promise<void> {
    const { remoteAddress = '' } = this.#ctx.req.socket
    const isLocal = /^(::ffff:)?127\.|^::1$/.test(remoteAddress)
    if (!isLocal && !this.#o.areMetricsOpen) await this.#require(CATALOG)
    this.#ctx.body = await this.#o.metrics.print()
    this.#ctx.set('content-type', this.#o.metrics.contentType)
  }

  async #update(requested: RequestedGun): Promise<void> {
    const gun = requested.gun
    // The original's filter of repositories comes before its authorisation, too (trap Q14).
    if (gun === undefined) throw new ProtocolError('INVALID_GUN')
    const caller = await this.#require(repository(gun, ['push', 'pull']))
    const lease = this.#o.budget.lease()
    try {
      const files = await readUpload(this.#ctx.req, this.#o.limits, lease)
      await this.#o.publications.update(gun, files, this.#evidence(caller))
    } finally {
      lease.release()
    }
    this.#empty()
  }

  async #bringOlderRoots(requested: RequestedGun): Promise<void> {
    const gun = requireGun(requested)
    await this.#require(repository(gun, ['push', 'pull']))
    const lease = this.#o.budget.lease()
    try {
      const roots = await readOlderRoots(this.#ctx.req, this.#o.limits, lease)
      await this.#o.publications.bringOlderRoots(gun, verifyOlderRoots(gun, roots))
    } finally {
      lease.release()
    }
    this.#empty()
  }

  async #delete(requested: RequestedGun): Promise<void> {
    const gun = requireGun(requested)
    const caller = await this.#require(repository(gun, ['*']))
    await this.#o.publications.delete(gun, this.#evidence(caller))
    this.#empty()
  }

  async #key({ kind, gun: requested, role }: Extract<Route, { kind: 'key' | 'rotate' }>): Promise<void> {
    const gun = requireGun(requested)
    const caller = await this.#require(repository(gun, kind === 'key' ? ['push', 'pull'] : ['*']))
    const key = await this.#o.publications.serverKey(gun, role, kind === 'rotate', this.#evidence(caller))
    this.#json({ keytype: key.keyType, keyval: { public: key.publicValue, private: null } })
  }

  async #current({ gun: requested, role }: Extract<Route, { kind: 'current' }>): Promise<void> {
    const gun = await this.#gun(requested, 'pull')
    if (role === TIMESTAMP || role === SNAPSHOT) await this.#o.renewals.ensureFresh(gun)
    this.#send(
      this.#find(gun, role, (name, found) => this.#o.store.current(name, found)),
      'current',
    )
  }

  async #gun(requested: RequestedGun, action: Action): Promise<Gun> {
    await this.#require(repository(requested.text, [action]))
    return requireGun(requested)
  }

  async #require(need: Need): Promise<Caller> {
    const caller = await this.#o.access.require(this.#ctx.req, need)
    this.#ctx.state.principal = caller.principal
    return caller
  }

  #evidence({ principal }: Caller): Evidence {
    return { request: this.#ctx.state.requestId, principal }
  }

  #find(gun: Gun, role: RoleName | undefined, read: (gun: Gun, role: RoleName) => StoredFile | undefined): StoredFile {
    const file = role === undefined ? undefined : read(gun, role)
    if (file === undefined) throw notFound()
    return file
  }

  #send({ bytes, createdAt }: StoredFile, age: 'current' | 'fixed'): void {
    const ctx = this.#ctx
    ctx.body = bytes
    ctx.set('content-type', METADATA_TYPE)
    ctx.set('last-modified', createdAt.toUTCString().replace('GMT', 'UTC'))
    const seconds = this.#o.maxAge[age]
    if (seconds === 0) {
      ctx.set('cache-control', 'max-age=0, no-cache, no-store')
      ctx.set('pragma', 'no-cache')
      return
    }
    const revalidate = age === 'current' ? ', must-revalidate' : ''
    ctx.set('cache-control', `public, max-age=${seconds}, s-maxage=${seconds}${revalidate}`)
  }

  #json(value: object): void {
    this.#ctx.body = JSON.stringify(value)
    this.#ctx.set('content-type', JSON_TYPE)
  }

  /** 200 without a body: any other success is a failure to stock clients (trap Q12). */
  #empty(): void {
    this.#ctx.body = ''
    this.#ctx.remove('content-type')
    this.#ctx.status = 200
  }
}

function repository(name: string, actions: readonly Action[]): Need {
  return { type: 'repository', name, actions }
}

function requireGun({ gun }: RequestedGun): Gun {
  if (gun === undefined) throw notFound()
  return gun
}

function notFound(): ProtocolError {
  return new ProtocolError('METADATA_NOT_FOUND', { detail: {} })
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}
