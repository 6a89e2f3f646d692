// HTTP to one origin, with limits on time and size. It follows no redirect, adds no credentials and decides nothing about statuses.
import { isIP } from 'node:net'
import { buildConnector, errors, Pool, type Dispatcher } from 'undici'
import { type AddressGuard, forbidden, guardedLookup, type Resolver } from './address-guard.ts'
import { NetError, type NetErrorCode } from './errors.ts'

/** Milliseconds. */
export interface Timeouts {
  /** To connect, TLS included. */
  readonly connectMs: number
  /** Until the answer begins, and between two pieces of its body. */
  readonly headersMs: number
  /** Until the answer has ended, everything included. */
  readonly totalMs: number
}

/** PEM texts; absent: the usual authorities, and no client certificate. */
export interface TlsOptions {
  readonly caPem?: string
  readonly clientCertificatePem?: string
  readonly clientKeyPem?: string
}

/** To which addresses a connection may be made; absent: to all. */
export interface AddressOptions {
  readonly isAllowed: AddressGuard
  /** For tests: the name service. */
  readonly resolve?: Resolver
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'HEAD'
  /** Path and query; begins with a slash. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** The largest body that is read, in bytes. */
  readonly maxBytes: number
  /** The status says it all: whatever the body is, it is no failure. A little of it is read, so that the connection may be used again. */
  readonly ignoresBody?: boolean
}

export interface HttpResponse {
  readonly status: number
  /** Names in lower case; repeated headers joined with a comma. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Uint8Array
}

const MAX_CONNECTIONS = 16
const MAX_HEADER_BYTES = 32 * 1024
/** Enough for a list of errors: what is read of an answer that is not 200. */
const MAX_ERROR_BYTES = 64 * 1024
/** What is read of a body that nobody wants. */
const MAX_IGNORED_BYTES = 16 * 1024
/** Shorter than servers usually wait, so that requests do not run into a connection that is being closed. */
const KEEP_ALIVE_MS = 4_000

export class HttpClient {
  readonly origin: string
  readonly #pool: Pool
  readonly #timeouts: Timeouts
  /** Errors that came while a connection was being made: nothing can have been sent. */
  readonly #whileConnecting = new WeakSet<Error>()

  constructor(origin: string, tls: TlsOptions, timeouts: Timeouts, addresses?: AddressOptions) {
    this.origin = origin
    this.#timeouts = timeouts
    this.#pool = new Pool(origin, {
      connections: MAX_CONNECTIONS,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: timeouts.headersMs,
      bodyTimeout: timeouts.headersMs,
      maxHeaderSize: MAX_HEADER_BYTES,
      connect: this.#connector(addresses?.isAllowed, {
        ...(addresses !== undefined && { lookup: guardedLookup(addresses.isAllowed, addresses.resolve) }),
        timeout: timeouts.connectMs,
        // Said although it is the default: NODE_TLS_REJECT_UNAUTHORIZED in the environment must not switch the check off.
        rejectUnauthorized: true,
        ...(tls.caPem !== undefined && { ca: tls.caPem }),
        ...(tls.clientCertificatePem !== undefined && { cert: tls.clientCertificatePem }),
        ...(tls.clientKeyPem !== undefined && { key: tls.clientKeyPem }),
      }),
    })
  }

  /** The answer, whatever its status. @throws NetError NET_* */
  async request(request: HttpRequest): Promise<HttpResponse> {
    const { method, path, body: sent, maxBytes } = request
    const deadline = AbortSignal.timeout(this.#timeouts.totalMs)
    try {
      const answer = await this.#pool.request({
        method,
        path,
        headers: { 'accept-encoding': 'identity', 'user-agent': 'countersign', ...request.headers },
        body: sent === undefined ? null : Buffer.from(sent.buffer, sent.byteOffset, sent.byteLength),
        signal: deadline,
      })
      const headers = headerMap(answer.headers)
      if (request.ignoresBody === true) {
        await discardSlowly(answer.body, deadline)
        return { status: answer.statusCode, headers, body: Buffer.alloc(0) }
      }
      if ((headers.get('content-encoding') ?? 'identity') !== 'identity') {
        discard(answer.body)
        throw this.#error('NET_MALFORMED', 'sent a compressed answer that was not asked for')
      }
      const body = await (answer.statusCode === 200
        ? this.#read(answer.body, headers, maxBytes)
        : readStart(answer.body, MAX_ERROR_BYTES))
      return { status: answer.statusCode, headers, body }
    } catch (error) {
      throw this.#named(error, deadline)
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  /** undici's own, except that its errors are remembered, and that an address in place of a name is looked at, too. */
  #connector(isAllowed: AddressGuard | undefined, options: buildConnector.BuildOptions): buildConnector.connector {
    const connect = buildConnector(options)
    return (target, done) => {
      const { hostname } = target
      if (isAllowed !== undefined && isIP(hostname) !== 0 && !isAllowed(hostname)) {
        done(forbidden(hostname), null)
        return
      }
      try {
        connect(target, (...[error, socket]) => {
          if (error === null) {
            done(null, socket)
            return
          }
          this.#whileConnecting.add(error)
          done(error, null)
        })
      } catch (error) {
        // Thrown where a certificate or key cannot be read.
        if (error instanceof Error) this.#whileConnecting.add(error)
        throw error
      }
    }
  }

  async #read(
    body: Dispatcher.ResponseData['body'],
    headers: ReadonlyMap<string, string>,
    maxBytes: number,
  ): Promise<Uint8Array> {
    if (Number(headers.get('content-length') ?? 0) > maxBytes) {
      discard(body)
      throw this.#error('NET_TOO_LARGE', `announced more than ${maxBytes} bytes`)
    }
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) continue
      length += chunk.byteLength
      if (length > maxBytes) {
        discard(body)
        throw this.#error('NET_TOO_LARGE', `sent more than ${maxBytes} bytes`)
      }
      chunks.push(chunk)
    }
    return Buffer.concat(chunks, length)
  }

  #named(error: unknown, deadline: AbortSignal): NetError {
    if (error instanceof NetError) return error
    const isConnecting = error instanceof Error && this.#whileConnecting.has(error)
    const code = isConnecting
      ? connectingCode(systemCode(error))
      : deadline.aborted
        ? 'NET_TIMEOUT'
        : connectedCode(systemCode(error))
    return this.#error(code, SENTENCES[code] ?? 'could not be reached', error)
  }

  #error(code: NetErrorCode, what: string, cause?: unknown): NetError {
    const facts = { server: this.origin, reason: systemCode(cause) || what }
    return new NetError(code, `${this.origin} ${what}.`, facts, { cause })
  }
}

const SENTENCES: Partial<Record<NetErrorCode, string>> = {
  NET_DNS: 'has a name that cannot be resolved',
  NET_REFUSED: 'does not accept connections',
  NET_TLS: 'has a certificate or TLS setting that is not accepted',
  NET_CONNECT_TIMEOUT: 'did not accept a connection in time',
  NET_TIMEOUT: 'did not answer in time',
  NET_RESET: 'ended the connection before its answer was complete',
  NET_MALFORMED: 'sent what is not HTTP',
}

/** The code that Node, OpenSSL or undici gave; it may stand on a cause, or on the first of several attempts. */
function systemCode(error: unknown, depth = 0): string {
  if (!(error instanceof Error) || depth > 3) return ''
  // undici 7.30 does not always give it a code.
  if (error instanceof errors.HTTPParserError) return 'HPE_INVALID'
  if ('code' in error && typeof error.code === 'string') return error.code
  return systemCode(error instanceof AggregateError ? error.errors[0] : error.cause, depth + 1)
}

/** Whatever is not the network's is TLS: OpenSSL has a hundred reasons to refuse a certificate. */
function connectingCode(code: string): NetErrorCode {
  if (/^(ENOTFOUND|EAI_)/.test(code)) return 'NET_DNS'
  if (/^(UND_ERR_CONNECT_TIMEOUT|ETIMEDOUT)$/.test(code)) return 'NET_CONNECT_TIMEOUT'
  if (/^(E[A-Z]+|UND_ERR_[A-Z_]+)$/.test(code) && code !== 'EPROTO') return 'NET_REFUSED'
  return 'NET_TLS'
}

/**
 * Once connected, the request may have been read, so a broken TLS record is a reset like any other. The exception: in TLS 1.3 a server
 * refuses a client's certificate only now, and then it has read nothing.
 */
function connectedCode(code: string): NetErrorCode {
  if (/^(UND_ERR_HEADERS_TIMEOUT|UND_ERR_BODY_TIMEOUT|ETIMEDOUT|UND_ERR_ABORTED)$/.test(code)) return 'NET_TIMEOUT'
  if (/^(HPE_|UND_ERR_HEADERS_OVERFLOW)/.test(code)) return 'NET_MALFORMED'
  if (/^ERR_SSL_\w*ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED)$/.test(code)) return 'NET_TLS'
  return 'NET_RESET'
}

/** At most `maxBytes` of an answer that is no success; the rest is of no interest and is not waited for. */
async function readStart(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) continue
    chunks.push(chunk)
    length += chunk.byteLength
    if (length > maxBytes) break
  }
  if (length > maxBytes) discard(body)
  return Buffer.concat(chunks, Math.min(length, maxBytes))
}

/** Reads what is small and comes in time, and lets go of the rest. */
async function discardSlowly(body: Dispatcher.ResponseData['body'], deadline: AbortSignal): Promise<void> {
  body.on('error', () => undefined)
  await body.dump({ limit: MAX_IGNORED_BYTES, signal: deadline }).catch(() => undefined)
}

/** Lets go of a body that is not wanted, without an unhandled error. */
function discard(body: Dispatcher.ResponseData['body']): void {
  body.on('error', () => undefined).destroy()
}

function headerMap(headers: Dispatcher.ResponseData['headers']): ReadonlyMap<string, string> {
  const map = new Map<string, string>()
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) map.set(name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value)
  }
  return map
}
