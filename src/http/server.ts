// The HTTP server: its limits, its start and its orderly stop. What it answers is application.ts.
import { createServer as createHttpServer, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Config } from '../config/schema.ts'
import type { Log } from '../log.ts'
import type { Services } from '../service/services.ts'
import { buildApplication } from './application.ts'
import { answerBrokenRequest } from './broken-request.ts'
import { MAX_HEADERS } from './guard.ts'
import { type HealthProbes, healthRoutes } from './health.ts'
import { inspectionRoutes } from './inspections.ts'
import type { Metrics } from './metrics.ts'
import { metricsRoutes } from './metrics-route.ts'
import { withOpenApi } from './openapi-route.ts'
import { publishedMetadataRoutes } from './published-metadata.ts'
import { repositoryRoutes } from './repositories.ts'
import type { Route } from './route.ts'
import { signingRequestRoutes } from './signing-requests.ts'
import { tokenRoutes } from './tokens.ts'
import { upkeepRoutes } from './upkeep.ts'
import { verificationRoutes } from './verifications.ts'

export interface HttpServerOptions {
  readonly services: Pick<Services, 'requests' | 'repositories' | 'verifications' | 'tokens'>
  readonly probes: HealthProbes
  readonly metrics: Metrics
  readonly log: Log
  readonly settings: Pick<Config, 'http' | 'limits' | 'metrics' | 'requests'>
  /** Certificate chain and private key, PEM, where settings.http.tls is given. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer }
  readonly version: string
}

/** How often Node looks for requests that are over their time, in milliseconds. */
const CHECK_INTERVAL_MS = 1_000
/** Idle connections are kept for this long, in milliseconds; longer than the usual proxy keeps them would race. */
const KEEP_ALIVE_MS = 5_000
/** After so many requests a connection is closed, so that clients spread over restarted servers. */
const MAX_REQUESTS_PER_CONNECTION = 1_000

/** Every route of the API, in the order of the OpenAPI document. */
export function apiRoutes(o: Omit<HttpServerOptions, 'log' | 'tls'>): Route[] {
  const { services, settings } = o
  const maxImages = settings.limits.imagesPerRequest
  return withOpenApi(
    [
      ...signingRequestRoutes({ requests: services.requests, maxWaitMs: settings.requests.wait, maxImages }),
      ...repositoryRoutes(services.repositories),
      ...upkeepRoutes(services.requests),
      ...verificationRoutes(services.verifications, maxImages),
      ...inspectionRoutes(services.verifications),
      ...publishedMetadataRoutes(services.verifications),
      ...tokenRoutes(services.tokens),
      ...healthRoutes(o.probes),
      ...metricsRoutes(o.metrics, settings.metrics.open),
    ],
    { version: o.version, serverUrl: settings.http.publicUrl ?? '/' },
  )
}

export class HttpServer {
  readonly #options: HttpServerOptions
  readonly #stopping = new AbortController()
  readonly #server: Server

  constructor(options: HttpServerOptions) {
    this.#options = options
    const { app } = buildApplication({
      routes: apiRoutes(options),
      tokens: options.services.tokens,
      metrics: options.metrics,
      log: options.log,
      maxBodyBytes: options.settings.limits.bodyBytes,
      stopping: this.#stopping.signal,
      isTls: options.tls !== undefined,
    })
    this.#server = this.#createServer()
    const handle = app.callback()
    this.#server.on('request', (request, response) => {
      void handle(request, response)
    })
    this.#server.on('clientError', (error: Error, socket) => {
      options.log.info({ code: answerBrokenRequest(error, socket) }, 'refused a request that could not be parsed')
    })
  }

  /** Listens. Resolves with the address that clients on this machine use. Rejects where the address is taken. */
  async start(): Promise<{ readonly url: string }> {
    const { listen } = this.#options.settings.http
    const colon = listen.lastIndexOf(':')
    const host = listen.slice(0, colon).replace(/^\[|\]$/g, '')
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port: Number(listen.slice(colon + 1)) }, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    const { address, family, port } = this.#server.address() as AddressInfo
    const scheme = this.#options.tls === undefined ? 'http' : 'https'
    return { url: `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}` }
  }

  /** Takes no new connection, sends held-back answers, waits for requests at hand, then closes what is left. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve()
      })
    })
    this.#server.closeIdleConnections()
    const timer = setTimeout(() => {
      this.#server.closeAllConnections()
    }, this.#options.settings.http.shutdownTimeout)
    await closed
    clearTimeout(timer)
  }

  #createServer(): Server {
    const { http } = this.#options.settings
    const { tls } = this.#options
    const options: ServerOptions = {
      maxHeaderSize: http.maxHeaderSize,
      headersTimeout: http.headersTimeout,
      requestTimeout: http.requestTimeout,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      insecureHTTPParser: false,
      requireHostHeader: true,
    }
    const server =
      tls === undefined
        ? createHttpServer(options)
        : createHttpsServer({ ...options, cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2' })
    server.maxConnections = http.maxConnections
    // One more than the guard allows, so that the guard sees that there are too many.
    server.maxHeadersCount = 2 * MAX_HEADERS
    server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION
    return server
  }
}
