// The HTTP server of the API: its routes behind its limits. What it answers is application.ts.
import type { RequestListener } from 'node:http'
import type { Config } from '../config/schema.ts'
import { listen, type Listener } from '../http-listener.ts'
import type { Log } from '../log.ts'
import type { Services } from '../service/services.ts'
import type { WebhookService } from '../service/webhooks.ts'
import { buildApplication } from './application.ts'
import { approvalRoutes } from './approvals.ts'
import { auditRoutes } from './audit.ts'
import { answerBrokenRequest } from './broken-request.ts'
import type { CertificateRule } from './client-certificate.ts'
import { MAX_HEADERS } from './guard.ts'
import { type HealthProbes, healthRoutes } from './health.ts'
import { inspectionRoutes } from './inspections.ts'
import { loginProviderRoutes } from './login-provider.ts'
import type { Metrics } from './metrics.ts'
import { metricsRoutes } from './metrics-route.ts'
import { withOpenApi } from './openapi-route.ts'
import { policyExplanationRoutes } from './policy-explanations.ts'
import { publishedMetadataRoutes } from './published-metadata.ts'
import { driftRoutes } from './drift.ts'
import { pushEventRoutes } from './push-events.ts'
import { pruningRoutes } from './prunings.ts'
import { repositoryRoutes } from './repositories.ts'
import type { Route } from './route.ts'
import { signingRequestRoutes } from './signing-requests.ts'
import { tokenExchangeRoutes } from './token-exchange.ts'
import { tokenRoutes } from './tokens.ts'
import { moveRoutes } from './moves.ts'
import { rootChangeRoutes } from './root-changes.ts'
import { upkeepRoutes } from './upkeep.ts'
import { unsignedTagRoutes } from './unsigned-tags.ts'
import { verificationRoutes } from './verifications.ts'
import { webhookRoutes } from './webhooks.ts'

export interface HttpServerOptions {
  readonly services: Pick<Services, 'requests' | 'repositories' | 'verifications' | 'tokens' | 'exchange' | 'audit'> & {
    readonly drift: Pick<Services['drift'], 'list'>
    readonly pushes: Pick<Services['pushes'], 'identify' | 'accept' | 'list'>
    readonly webhooks: WebhookService
  }
  readonly probes: HealthProbes
  readonly metrics: Metrics
  readonly log: Log
  readonly settings: Pick<Config, 'http' | 'limits' | 'metrics' | 'requests' | 'identity'>
  /** Certificate chain and private key, PEM, where settings.http.tls is given. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer; readonly clientCa?: Buffer }
  /** Machines that prove themselves by a client certificate. */
  readonly certificates?: readonly CertificateRule[]
  /** Default: this machine's clock. */
  readonly now?: () => Date
  readonly version: string
}

/** After so many requests a connection is closed, so that clients spread over restarted servers. */
const MAX_REQUESTS_PER_CONNECTION = 1_000

/** Every route of the API, in the order of the OpenAPI document. */
export function apiRoutes(o: Omit<HttpServerOptions, 'log' | 'tls'>): Route[] {
  const { services, settings } = o
  const maxImages = settings.limits.imagesPerRequest
  return withOpenApi(
    [
      ...signingRequestRoutes({ requests: services.requests, maxWaitMs: settings.requests.wait, maxImages }),
      ...approvalRoutes(services.requests),
      ...policyExplanationRoutes(services.requests, maxImages),
      ...repositoryRoutes(services.repositories),
      ...driftRoutes(services.drift),
      ...pushEventRoutes(services.pushes),
      ...unsignedTagRoutes(services.pushes),
      ...pruningRoutes(services.requests),
      ...upkeepRoutes(services.requests),
      ...rootChangeRoutes(services.requests),
      ...moveRoutes(services.requests),
      ...verificationRoutes(services.verifications, maxImages),
      ...inspectionRoutes(services.verifications),
      ...publishedMetadataRoutes(services.verifications),
      ...auditRoutes(services.audit),
      ...tokenRoutes(services.tokens),
      ...webhookRoutes(services.webhooks),
      ...tokenExchangeRoutes(services.exchange),
      ...loginProviderRoutes(settings.identity),
      ...healthRoutes(o.probes),
      ...metricsRoutes(o.metrics, settings.metrics.open),
    ],
    { version: o.version, serverUrl: settings.http.publicUrl ?? '/' },
  )
}

export class HttpServer {
  readonly #options: HttpServerOptions
  readonly #stopping = new AbortController()
  readonly #handle: RequestListener
  #listener: Listener | undefined

  constructor(options: HttpServerOptions) {
    this.#options = options
    const { app } = buildApplication({
      routes: apiRoutes(options),
      tokens: options.services.tokens,
      certificates: options.certificates ?? [],
      now: options.now ?? (() => new Date()),
      metrics: options.metrics,
      log: options.log,
      maxBodyBytes: options.settings.limits.bodyBytes,
      stopping: this.#stopping.signal,
      isTls: options.tls !== undefined,
    })
    const handle = app.callback()
    this.#handle = (request, response) => void handle(request, response)
  }

  /** Listens. Resolves with the address that clients on this machine use. Rejects where the address is taken. */
  async start(): Promise<{ readonly url: string }> {
    const { settings, tls, log } = this.#options
    const { http } = settings
    this.#listener = await listen(
      this.#handle,
      {
        listen: http.listen,
        ...(tls !== undefined && { tls }),
        headersTimeoutMs: http.headersTimeout,
        requestTimeoutMs: http.requestTimeout,
        shutdownTimeoutMs: http.shutdownTimeout,
        maxConnections: http.maxConnections,
        maxHeaderBytes: http.maxHeaderSize,
        // More than the guard allows, so that the guard sees that there are too many.
        maxHeaders: 2 * MAX_HEADERS,
        maxRequestsPerConnection: MAX_REQUESTS_PER_CONNECTION,
      },
      (error, socket) => {
        log.info({ code: answerBrokenRequest(error, socket) }, 'refused a request that could not be parsed')
      },
    )
    return { url: this.#listener.url }
  }

  /** Takes no new connection, sends held-back answers, waits for requests at hand, then closes what is left. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#listener?.stop()
    this.#listener = undefined
  }
}
