// An HTTP server as both daemons run it: its limits, its start and its orderly stop. What it answers is its caller's.
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { constants } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

export interface ListenerSettings {
  /** `host:port`; an IPv6 address in brackets. */
  readonly listen: string
  /** PEM. Without it, HTTP. */
  readonly tls?: {
    readonly cert: Buffer
    readonly key: Buffer
    /** Authorities of client certificates. */
    readonly clientCa?: Buffer
  }
  /** In milliseconds. */
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly shutdownTimeoutMs: number
  readonly maxConnections: number
  readonly maxHeaderBytes: number
  readonly maxHeaders: number
  /** After so many a connection is closed. 0: never. */
  readonly maxRequestsPerConnection: number
}

/** How often Node looks for requests that are over their time, in milliseconds. */
const CHECK_INTERVAL_MS = 1_000
/** Idle connections are kept for this long, in milliseconds; longer than the usual proxy keeps them would race. */
const KEEP_ALIVE_MS = 5_000

export interface Listener {
  /** Where clients on this machine reach it. */
  readonly url: string
  /** Takes no new connection, waits for requests at hand, then closes what is left. */
  stop(): Promise<void>
}

/**
 * Listens. Rejects where the address is taken, or the certificate cannot be used.
 * @param onBroken answers, on the socket itself, what Node's parser gave up on: it never becomes a request
 */
export async function listen(
  handle: RequestListener,
  settings: ListenerSettings,
  onBroken: (error: Error & { readonly code?: string }, socket: Duplex) => void,
): Promise<Listener> {
  const answer: RequestListener = (request, response) => {
    const isComplete = request.headers.host !== undefined || request.httpVersion !== '1.1'
    if (isComplete) handle(request, response)
    else onBroken(new Error('The request has no Host.'), request.socket)
  }
  const server = createServer(settings, answer)
  server.on('clientError', onBroken)
  // What Node would answer itself, in a form of its own. An expectation that nobody knows may be ignored (RFC 9110, 10.1.1).
  server.on('checkExpectation', answer)
  server.on('connect', (_request, socket) => {
    onBroken(new Error('This is no proxy.'), socket)
  })
  const colon = settings.listen.lastIndexOf(':')
  const host = settings.listen.slice(0, colon).replace(/^\[|\]$/g, '')
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port: Number(settings.listen.slice(colon + 1)) }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { address, family, port } = server.address() as AddressInfo
  const scheme = settings.tls === undefined ? 'http' : 'https'
  return {
    url: `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    stop: () => stop(server, settings.shutdownTimeoutMs),
  }
}

function createServer(settings: ListenerSettings, handle: RequestListener): Server {
  const { tls } = settings
  const options: ServerOptions = {
    maxHeaderSize: settings.maxHeaderBytes,
    headersTimeout: settings.headersTimeoutMs,
    requestTimeout: settings.requestTimeoutMs,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    insecureHTTPParser: false,
    // Required above, where the answer is ours.
    requireHostHeader: false,
  }
  const server =
    tls === undefined
      ? createHttpServer(options, handle)
      : createHttpsServer(
          {
            ...options,
            cert: tls.cert,
            key: tls.key,
            minVersion: 'TLSv1.2',
            ...(tls.clientCa !== undefined && clientCertificates(tls.clientCa)),
          },
          handle,
        )
  server.maxConnections = settings.maxConnections
  server.maxHeadersCount = settings.maxHeaders
  server.maxRequestsPerSocket = settings.maxRequestsPerConnection
  return server
}

/**
 * Most clients have no certificate; one that cannot be verified counts as none. A resumed session would carry an old verdict, and prove
 * nobody's key: without tickets none is resumed (Node keeps no sessions by itself), and every connection shows its certificate.
 */
function clientCertificates(ca: Buffer) {
  return { ca, requestCert: true, rejectUnauthorized: false, secureOptions: constants.SSL_OP_NO_TICKET }
}

/**
 * Whether the client has a certificate under the authorities of the listener that is valid now. The verdict of TLS is as old as the
 * connection, and connections outlive certificates. Authorities between are not looked at again.
 */
export function hasValidCertificate(socket: unknown, now: Date): socket is TLSSocket {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return false
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return false
  const time = now.getTime()
  return Date.parse(certificate.validFrom) <= time && time <= Date.parse(certificate.validTo)
}

async function stop(server: Server, timeoutMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve()
    })
  })
  server.closeIdleConnections()
  const timer = setTimeout(() => {
    server.closeAllConnections()
  }, timeoutMs)
  await closed
  clearTimeout(timer)
}
