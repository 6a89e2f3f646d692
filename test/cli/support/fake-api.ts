// A server on loopback that answers as a test scripts it, and remembers what it was asked. It checks nothing of its own accord
// except that every request carries the token.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Received {
  readonly method: string
  /** Path as sent, still encoded, without query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  /** Of a form: its members. */
  readonly body: unknown
}

export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** An object is sent as JSON; text as it is. */
  readonly body?: unknown
  /** Cuts the connection instead of answering. */
  readonly cut?: boolean
  /** Called when the request arrived; the answer waits for it. */
  readonly before?: () => Promise<void> | void
}

export type Script = (request: Received, count: number) => Answer

export class FakeApi {
  readonly requests: Received[] = []
  readonly #script: Script
  readonly #server = createServer((request, response) => {
    void this.#serve(request, response)
  })

  constructor(script: Script) {
    this.#script = script
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString('utf8')
    const url = new URL(request.url ?? '/', 'http://loopback')
    const received: Received = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: readBody(request.headers['content-type'] ?? '', text),
    }
    this.requests.push(received)
    const answer = this.#script(received, this.requests.length)
    await answer.before?.()
    if (answer.cut === true) {
      request.socket.destroy()
      return
    }
    const status = answer.status ?? 200
    const body =
      typeof answer.body === 'string' ? answer.body : answer.body === undefined ? '' : JSON.stringify(answer.body)
    const type = status >= 400 ? 'application/problem+json' : 'application/json'
    response.writeHead(status, { 'content-type': type, ...answer.headers })
    response.end(body)
  }
}

function readBody(type: string, text: string): unknown {
  if (text === '') return undefined
  return type.includes('form') ? Object.fromEntries(new URLSearchParams(text)) : (JSON.parse(text) as unknown)
}

/** A problem document as the server writes it. */
export function problem(status: number, code: string, more: object = {}): Answer {
  return {
    status,
    body: {
      type: `urn:countersign:problem:${code}`,
      title: 'A title',
      status,
      detail: 'A detail of the server.',
      instance: '/v1',
      code,
      requestId: 'req-0001',
      next: 'Do this next.',
      retry: false,
      ...more,
    },
  }
}
