// Requests to one server by Node's own HTTP client, over connections that are kept for a moment: loading a client library takes a command longer than
// the request itself.
import type { Agent, IncomingMessage } from 'node:http'
import type { ClientCertificate } from './client-certificate.ts'

/** How long a connection that nobody uses is kept, in milliseconds: shorter than servers do. */
const KEEP_ALIVE_MS = 1000

export interface HttpCallerOptions {
  /** PEM of the only certificate authorities to trust, or undefined for the usual ones. */
  readonly ca: string | undefined
  readonly certificate: ClientCertificate | undefined
  /** Milliseconds to connect, TLS included. */
  readonly connectMs: number
  /** Milliseconds between two pieces of an answer. */
  readonly idleMs: number
}

export interface HttpCall {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Milliseconds until the answer begins. */
  readonly headersMs: number
  readonly signal: AbortSignal
}

export class HttpCaller {
  readonly #options: HttpCallerOptions
  #agent: Agent | undefined

  constructor(options: HttpCallerOptions) {
    this.#options = options
  }

  /** The answer, whose body is still to be read, whatever its status; redirects are not followed. @throws Error with a `code` */
  async send(url: URL, { method, headers, body, headersMs, signal }: HttpCall): Promise<IncomingMessage> {
    const { ca, certificate, connectMs, idleMs } = this.#options
    const isTls = url.protocol === 'https:'
    const http = isTls ? await import('node:https') : await import('node:http')
    this.#agent ??= new http.Agent({
      keepAlive: true,
      timeout: KEEP_ALIVE_MS,
      // Said although it is the default: NODE_TLS_REJECT_UNAUTHORIZED in the environment must not switch the check off.
      rejectUnauthorized: true,
      ...(ca !== undefined && { ca }),
      ...certificate,
    })
    const agent = this.#agent
    return new Promise((resolve, reject) => {
      const request = http.request(url, { agent, method, headers, signal })
      const end = (what: string) => () => {
        request.destroy(timedOut(what))
      }
      const late = setTimeout(end('HEADERS_TIMEOUT'), connectMs + headersMs)
      request.once('socket', (socket) => {
        if (!socket.connecting) return
        const slow = setTimeout(end('CONNECT_TIMEOUT'), connectMs)
        socket.once(isTls ? 'secureConnect' : 'connect', () => {
          clearTimeout(slow)
        })
        request.once('close', () => {
          clearTimeout(slow)
        })
      })
      request.once('response', (response) => {
        clearTimeout(late)
        response.setTimeout(idleMs, () => {
          response.destroy(timedOut('BODY_TIMEOUT'))
        })
        resolve(response)
      })
      request.on('error', (error) => {
        clearTimeout(late)
        reject(error)
      })
      request.end(body)
    })
  }

  close(): void {
    this.#agent?.destroy()
  }
}

function timedOut(code: string): Error {
  return Object.assign(new Error('The server did not answer in time.'), { code })
}
