// Carries one event to one endpoint: one attempt, and what the answer means. Nothing but the status and Retry-After is looked at.
import { CodedError } from '@countersign/tuf'
import type { WebhookMessage, WebhookSender } from '../domain/ports.ts'
import type { Attempt } from '../domain/webhook-delivery.ts'
import { addressGuard, type AddressGuard, type Resolver } from '../net/address-guard.ts'
import { HttpClient, type HttpResponse, type TlsOptions } from '../net/http-client.ts'
import { parseWebhookSecret, signedHeaders } from './signature.ts'

export interface EndpointOptions {
  readonly name: string
  readonly url: string
  readonly tls: TlsOptions
  /** For the whole attempt, in milliseconds. */
  readonly timeoutMs: number
  readonly allowPrivateAddresses: boolean
  /** The secret, then its predecessor while it is changed; read anew for each attempt. @throws CodedError */
  readonly readSecrets: () => readonly string[]
  /** For tests. */
  readonly isAllowed?: AddressGuard
  /** For tests. */
  readonly resolve?: Resolver
}

interface Endpoint {
  readonly options: EndpointOptions
  readonly path: string
  readonly client: HttpClient
}

/** No attempt waits longer for a connection. */
const MAX_CONNECT_MS = 5_000

export class HttpWebhookSender implements WebhookSender {
  readonly #endpoints: ReadonlyMap<string, Endpoint>

  constructor(endpoints: readonly EndpointOptions[]) {
    this.#endpoints = new Map(endpoints.map((options) => [options.name, connected(options)]))
  }

  async send(name: string, { id, body }: WebhookMessage, now: Date): Promise<Attempt> {
    const endpoint = this.#endpoints.get(name)
    if (endpoint === undefined) throw new Error(`No endpoint ${name} is configured.`)
    const { options, path, client } = endpoint
    try {
      const secrets = options.readSecrets().map(parseWebhookSecret)
      const answer = await client.request({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/json', ...signedHeaders({ id, body }, secrets, now) },
        body: Buffer.from(body, 'utf8'),
        maxBytes: 0,
        ignoresBody: true,
      })
      return attemptOf(answer, now)
    } catch (error) {
      return { outcome: 'failed', code: error instanceof CodedError ? String(error.code) : 'INTERNAL' }
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#endpoints.values()].map(({ client }) => client.close()))
  }
}

function connected(options: EndpointOptions): Endpoint {
  const { origin, pathname } = new URL(options.url)
  const { timeoutMs, allowPrivateAddresses, resolve } = options
  const timeouts = { connectMs: Math.min(timeoutMs, MAX_CONNECT_MS), headersMs: timeoutMs, totalMs: timeoutMs }
  const isAllowed = options.isAllowed ?? addressGuard({ allowPrivate: allowPrivateAddresses })
  const client = new HttpClient(origin, options.tls, timeouts, {
    isAllowed,
    ...(resolve !== undefined && { resolve }),
  })
  return { options, path: pathname, client }
}

function attemptOf({ status, headers }: HttpResponse, now: Date): Attempt {
  if (status >= 200 && status < 300) return { outcome: 'accepted', status }
  if (status === 410) return { outcome: 'gone', status, code: 'WEBHOOK_GONE' }
  if (status >= 300 && status < 400) return { outcome: 'failed', status, code: 'WEBHOOK_REDIRECTED' }
  const retryAfterMs = status === 429 || status === 503 ? retryAfter(headers.get('retry-after'), now) : undefined
  return { outcome: 'failed', status, code: 'WEBHOOK_REFUSED', ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

/** RFC 9110, 10.2.3: seconds, or a date. */
function retryAfter(text: string | undefined, now: Date): number | undefined {
  if (text === undefined) return undefined
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1_000
  const date = /^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$/.test(text) ? Date.parse(text) : NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now.getTime())
}
