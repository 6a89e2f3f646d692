// The HTTP server: its limits, its start and its orderly stop. What it answers is application.ts.
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../log.ts'

export interface ListenerSettings {
  readonly host: string
  readonly port: number
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
}

const MAX_HEADER_BYTES = 16 * 1024
const MAX_HEADERS = 100
/** How often Node looks for requests that are over their time, in milliseconds. */
const CHECK_INTERVAL_MS = 1_000
const KEEP_ALIVE_MS = 5_000

export interface Listener {
  /** Where clients on this machine reach it. */
  readonly url: string
  /** Takes no new connection, waits for requests at hand, then closes what is left. */
  stop(): Promise<void>
}

/** Rejects where the address is taken, or the certificate cannot be used. */
export async function listen(handle: RequestListener, settings: ListenerSettings, log: Log): Promise<Listener> {
  const server = createServer(settings, handle)
  server.on('clientError', (error: Error & { code?: string }, socket: Duplex) => {
    log.info({ code: error.code }, 'refused a request that could not be parsed, or did not come in time')
    answerBroken(error.code, socket)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: settings.host, port: settings.port }, () => {
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
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: settings.headersTimeoutMs,
    requestTimeout: settings.requestTimeoutMs,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    insecureHTTPParser: false,
    requireHostHeader: true,
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
            // Most clients have no certificate; one that cannot be verified counts as none.
            ...(tls.clientCa !== undefined && { ca: tls.clientCa, requestCert: true, rejectUnauthorized: false }),
          },
          handle,
        )
  server.maxConnections = settings.maxConnections
  server.maxHeadersCount = MAX_HEADERS
  return server
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

/** Requests that Node's parser gives up on never become requests: they are answered on the socket itself. */
function answerBroken(code: string | undefined, socket: Duplex): void {
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status =
    code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? '408 Request Timeout'
      : code === 'HPE_HEADER_OVERFLOW'
        ? '431 Request Header Fields Too Large'
        : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
}
