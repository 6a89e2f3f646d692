// HTTP to one server with the authentication it asks for. Credentials go to this server and to the token realms that are
// configured for it, over TLS, and to nobody else; a redirect is never followed.
import { parseChallenge, type Challenge } from './challenge.ts'
import { basicAuthorization, type CredentialSource } from './credentials.ts'
import { NetError } from './errors.ts'
import { HttpClient, type HttpRequest, type HttpResponse, type Timeouts, type TlsOptions } from './http-client.ts'
import { isLoopbackHost } from './loopback.ts'
import { TokenCache } from './token-auth.ts'

export interface RemoteOptions {
  /** Origin and optional path prefix; http only for loopback hosts. */
  readonly url: string
  readonly tls: TlsOptions
  readonly timeouts: Timeouts
  /** Token servers that may be asked, by URL prefix. A realm on the server's own origin is always allowed. */
  readonly tokenRealms: readonly string[]
  readonly credentials: CredentialSource
}

export interface AuthenticatedRequest extends HttpRequest {
  /** What a token must allow: `repository:<name>:pull`. */
  readonly scope: string
  /** The registry host whose credentials are used. */
  readonly credentialHost: string
}

/** An encoded slash, backslash or percent sign: decoded by the token server, the path might lead out of the configured prefix. */
const ENCODED_SEPARATOR = /%(?:2f|5c|25)/i

export class AuthenticatedClient {
  readonly #options: RemoteOptions
  readonly #clients = new Map<string, HttpClient>()
  readonly #tokens: TokenCache
  /** What the server asked for last, and what could be met; saves the first, refused request. */
  #challenge: Challenge | undefined

  constructor(options: RemoteOptions, now: () => number = () => Date.now()) {
    this.#options = options
    this.#tokens = new TokenCache((origin) => this.#clientFor(origin), now)
  }

  /** The answer, also where it is a refusal. @throws NetError */
  async request(request: AuthenticatedRequest): Promise<HttpResponse> {
    const { origin, pathname } = new URL(this.#options.url)
    const sent = { ...request, path: pathname.replace(/\/$/, '') + request.path }
    const client = this.#clientFor(origin)
    const tried = await this.#asBefore(sent)
    const first = await client.request(tried)
    if (first.status !== 401) return first
    const header = first.headers.get('www-authenticate')
    if (header === undefined) return first
    const challenge = parseChallenge(header)
    this.#tokens.drop(tokenKey(challenge, request))
    const again = await this.#authorized(sent, challenge)
    // Kept only now: a challenge that cannot be met must not stand in the way of the next one.
    this.#challenge = challenge
    // The same again would only count as one more wrong password.
    if (again === undefined || again.headers?.['authorization'] === tried.headers?.['authorization']) return first
    return client.request(again)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()))
  }

  /** With what the server asked for last. Where that fails now, it is forgotten, and the next request asks the server anew. */
  async #asBefore(request: AuthenticatedRequest): Promise<AuthenticatedRequest> {
    const challenge = this.#challenge
    if (challenge === undefined) return request
    try {
      return (await this.#authorized(request, challenge)) ?? request
    } catch (error) {
      if (this.#challenge === challenge) this.#challenge = undefined
      throw error
    }
  }

  /** Undefined: there is nothing to authorize with. */
  async #authorized(request: AuthenticatedRequest, challenge: Challenge): Promise<AuthenticatedRequest | undefined> {
    const authorization = await this.#authorization(challenge, request)
    return authorization === undefined ? undefined : { ...request, headers: { ...request.headers, authorization } }
  }

  async #authorization(challenge: Challenge, request: AuthenticatedRequest): Promise<string | undefined> {
    const own = new URL(this.#options.url)
    if (challenge.scheme === 'basic') {
      const credentials = await this.#options.credentials.credentialsFor(request.credentialHost)
      if (credentials?.kind !== 'password') return undefined
      requireTls(own)
      return basicAuthorization(credentials)
    }
    // Refused before credentials are even read.
    this.#requireAllowedRealm(challenge, request.scope)
    const { realm, service } = challenge
    const token = await this.#tokens.token(tokenKey(challenge, request), async () => {
      const credentials = await this.#options.credentials.credentialsFor(request.credentialHost)
      if (credentials !== undefined) for (const url of [realm, own]) requireTls(url)
      return {
        realm,
        scope: request.scope,
        ...(service !== undefined && { service }),
        ...(credentials !== undefined && { credentials }),
      }
    })
    return `Bearer ${token}`
  }

  #requireAllowedRealm({ realm, service }: Challenge & { scheme: 'bearer' }, scope: string): void {
    const own = new URL(this.#options.url)
    const allowed =
      realm.origin === own.origin ||
      this.#options.tokenRealms.some((text) => {
        const listed = new URL(text)
        const prefix = listed.pathname.replace(/\/$/, '')
        return (
          realm.origin === listed.origin &&
          !ENCODED_SEPARATOR.test(realm.pathname) &&
          (realm.pathname === prefix || realm.pathname.startsWith(`${prefix}/`))
        )
      })
    if (allowed) return
    throw new NetError(
      'TOKEN_REALM_NOT_ALLOWED',
      'The server names a token realm that is not configured for it. Nothing was sent there. Add it to tokenRealms if it is right.',
      { server: own.origin, realm: realm.origin + realm.pathname, service: service ?? '', scope },
    )
  }

  #clientFor(origin: string): HttpClient {
    let client = this.#clients.get(origin)
    if (client === undefined) {
      client = new HttpClient(origin, this.#options.tls, this.#options.timeouts)
      this.#clients.set(origin, client)
    }
    return client
  }
}

function requireTls(url: URL): void {
  if (url.protocol === 'https:' || isLoopbackHost(url.hostname)) return
  throw new NetError('CREDENTIALS_OVER_PLAIN_HTTP', 'Credentials are not sent without TLS.', { server: url.origin })
}

function tokenKey(challenge: Challenge, { scope, credentialHost }: { scope: string; credentialHost: string }): string {
  return challenge.scheme === 'basic'
    ? 'basic'
    : JSON.stringify([challenge.realm.href, challenge.service ?? null, scope, credentialHost])
}
