// Registry tokens: asks the realm that a challenge names, if it is one of those allowed, and keeps tokens until shortly before
// they end. distribution docs/spec/auth/token.md and oauth.md; docker/cli v28 sends the same requests.
import { z } from 'zod'
import { basicAuthorization, type Credentials } from './credentials.ts'
import { NetError } from './errors.ts'
import type { HttpClient, HttpResponse } from './http-client.ts'

export interface TokenRequest {
  readonly realm: URL
  readonly service?: string
  readonly scope: string
  readonly credentials?: Credentials
}

const MAX_TOKEN_BYTES = 64 * 1024
/** token.md: the default, and the least, of expires_in. */
const MIN_LIFETIME_S = 60
/** A token is not used in its last seconds. */
const SLACK_MS = 10_000
const MAX_TOKENS = 10_000

const tokenAnswer = z.object({
  token: z.string().min(1).max(MAX_TOKEN_BYTES).optional(),
  access_token: z.string().min(1).max(MAX_TOKEN_BYTES).optional(),
  expires_in: z.number().optional(),
})

interface Kept {
  readonly token: string
  readonly until: number
}

export class TokenCache {
  readonly #kept = new Map<string, Kept>()
  readonly #asking = new Map<string, Promise<string>>()
  readonly #clientFor: (origin: string) => HttpClient
  readonly #now: () => number

  constructor(clientFor: (origin: string) => HttpClient, now: () => number) {
    this.#clientFor = clientFor
    this.#now = now
  }

  /** A token; asked for once however many wait for it. `key` stands for the credentials and the scope. @throws NetError */
  async token(key: string, request: TokenRequest): Promise<string> {
    const kept = this.#kept.get(key)
    if (kept !== undefined && kept.until > this.#now()) return kept.token
    const asking = this.#asking.get(key)
    if (asking !== undefined) return asking
    const asked = this.#ask(key, request).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asked)
    return asked
  }

  /** Forgets a token that a server refused. */
  drop(key: string): void {
    this.#kept.delete(key)
  }

  async #ask(key: string, request: TokenRequest): Promise<string> {
    const answer = await this.#send(request)
    const facts = {
      realm: request.realm.origin + request.realm.pathname,
      service: request.service ?? '',
      scope: request.scope,
    }
    if (answer.status !== 200) {
      throw new NetError('TOKEN_REFUSED', 'The token server gives no token for this scope.', {
        ...facts,
        status: answer.status,
      })
    }
    const { token, lifetimeS } = readToken(answer, facts)
    if (this.#kept.size >= MAX_TOKENS) this.#kept.clear()
    this.#kept.set(key, { token, until: this.#now() + lifetimeS * 1000 - SLACK_MS })
    return token
  }

  async #send({ realm, service, scope, credentials }: TokenRequest): Promise<HttpResponse> {
    const client = this.#clientFor(realm.origin)
    if (credentials?.kind === 'identity-token') {
      const form = new URLSearchParams({
        client_id: 'countersign',
        grant_type: 'refresh_token',
        scope,
        refresh_token: credentials.token,
      })
      if (service !== undefined) form.set('service', service)
      return client.request({
        method: 'POST',
        path: realm.pathname + realm.search,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: Buffer.from(form.toString()),
        maxBytes: MAX_TOKEN_BYTES,
      })
    }
    const query = new URLSearchParams(realm.search)
    if (credentials !== undefined) query.set('account', credentials.username)
    query.set('scope', scope)
    if (service !== undefined) query.set('service', service)
    return client.request({
      method: 'GET',
      path: `${realm.pathname}?${query.toString()}`,
      headers: credentials === undefined ? {} : { authorization: basicAuthorization(credentials) },
      maxBytes: MAX_TOKEN_BYTES,
    })
  }
}

function readToken(answer: HttpResponse, facts: Record<string, string>): { token: string; lifetimeS: number } {
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(answer.body).toString('utf8'))
  } catch {
    throw new NetError('TOKEN_MALFORMED', 'The answer of the token server is not JSON.', facts)
  }
  const parsed = tokenAnswer.safeParse(document)
  const token = parsed.data?.token ?? parsed.data?.access_token
  // A header can carry visible characters only; anything else would be a way to smuggle headers.
  if (token === undefined || !/^[\x21-\x7e]+$/.test(token)) {
    throw new NetError('TOKEN_MALFORMED', 'The answer of the token server holds no usable token.', facts)
  }
  return { token, lifetimeS: Math.max(MIN_LIFETIME_S, parsed.data?.expires_in ?? MIN_LIFETIME_S) }
}
