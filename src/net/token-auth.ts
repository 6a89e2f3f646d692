// Registry tokens: asks the realm that a challenge names, if it is one of those allowed, and keeps tokens until shortly before
// they end. distribution docs/spec/auth/token.md and oauth.md; docker/cli v28 sends the same requests.
import * as z from 'zod'
import { basicAuthorization, type Credentials } from './credentials.ts'
import { isPassing, NetError } from './errors.ts'
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
/** However long a realm says: a withdrawn password shall count within the hour. */
const MAX_LIFETIME_S = 3600
/** A token is not used in its last seconds. */
const SLACK_MS = 10_000
const MAX_TOKENS = 10_000

/** Servers written in Go send a member that they do not use as "" or null. */
const tokenAnswer = z.object({
  token: z.string().nullish(),
  access_token: z.string().nullish(),
  expires_in: z.number().nullish(),
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

  /**
   * A token; asked for once however many wait for it. `key` stands for the credentials and the scope; `prepare` reads the credentials,
   * and only where no token is kept.
   * @throws NetError
   */
  async token(key: string, prepare: () => Promise<TokenRequest>): Promise<string> {
    const kept = this.#kept.get(key)
    if (kept !== undefined && kept.until > this.#now()) return kept.token
    const asking = this.#asking.get(key)
    if (asking !== undefined) return asking
    const asked = this.#ask(key, prepare).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asked)
    return asked
  }

  /** Forgets a token that a server refused. */
  drop(key: string): void {
    this.#kept.delete(key)
  }

  async #ask(key: string, prepare: () => Promise<TokenRequest>): Promise<string> {
    const request = await prepare()
    const facts = {
      realm: request.realm.origin + request.realm.pathname,
      service: request.service ?? '',
      scope: request.scope,
    }
    const answer = await this.#send(request).catch((cause: unknown) => {
      throw named(cause, facts)
    })
    if (answer.status === 429 || answer.status >= 500) throw unavailable(facts, { status: answer.status })
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

type RequestFacts = Readonly<Record<'realm' | 'service' | 'scope', string>>

/** The request that the token was for has not been sent, and the error has to say so: NET_TIMEOUT or NET_RESET would not. */
function named(cause: unknown, facts: RequestFacts): unknown {
  if (!(cause instanceof NetError)) return cause
  if (isPassing(cause)) return unavailable(facts, { failure: cause.code }, cause)
  if (cause.code !== 'NET_TOO_LARGE' && cause.code !== 'NET_MALFORMED') return cause
  return new NetError(
    'TOKEN_MALFORMED',
    'The answer of the token server cannot be read.',
    { ...facts, failure: cause.code },
    { cause },
  )
}

function unavailable(facts: RequestFacts, why: Readonly<Record<string, string | number>>, cause?: unknown): NetError {
  const message = 'The token server is not able to answer now.'
  return new NetError('TOKEN_UNAVAILABLE', message, { ...facts, ...why }, { cause })
}

function readToken(answer: HttpResponse, facts: RequestFacts): { token: string; lifetimeS: number } {
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(answer.body).toString('utf8'))
  } catch {
    throw new NetError('TOKEN_MALFORMED', 'The answer of the token server is not JSON.', facts)
  }
  const parsed = tokenAnswer.safeParse(document).data
  const token = [parsed?.token, parsed?.access_token].find((text) => text !== undefined && text !== null && text !== '')
  // A header can carry visible characters only; anything else would be a way to smuggle headers.
  if (token === undefined || token === null || !/^[\x21-\x7e]+$/.test(token)) {
    throw new NetError('TOKEN_MALFORMED', 'The answer of the token server holds no usable token.', facts)
  }
  const lifetimeS = parsed?.expires_in ?? MIN_LIFETIME_S
  return { token, lifetimeS: Math.min(Math.max(lifetimeS, MIN_LIFETIME_S), MAX_LIFETIME_S) }
}
