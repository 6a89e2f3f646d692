// Who may do what: identifies the caller of a request and refuses with the original's challenges (notary-v1 6.1).
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import { ProtocolError } from './answers.ts'
import { NOBODY, together, type Action, type Caller } from './caller.ts'
import { basicPassword, type CredentialList } from './credential-list.ts'
import { OWN_SERVICE, type OwnTokens } from './own-tokens.ts'
import type { RegistryTokens } from './registry-tokens.ts'

export interface AccessOptions {
  readonly credentials: CredentialList
  /** The realm that challenges name. */
  readonly tokens:
    { readonly kind: 'own'; readonly own: OwnTokens } | { readonly kind: 'registry'; readonly registry: RegistryTokens }
  /** Whether everybody may read. */
  readonly isReadingOpen: boolean
  /** Where clients reach this server; without it, the Host header is believed. */
  readonly publicUrl?: string
}

/** What is asked for; as it stands in challenges. */
export interface Need {
  readonly type: 'repository' | 'registry'
  readonly name: string
  readonly actions: readonly Action[]
}

export const CATALOG: Need = { type: 'registry', name: 'catalog', actions: ['*'] }

export class Access {
  readonly #options: AccessOptions

  constructor(options: AccessOptions) {
    this.#options = options
  }

  /** The caller. @throws ProtocolError UNAUTHORIZED where a credential is offered that is not accepted */
  async identify(request: IncomingMessage): Promise<Caller> {
    const { credentials } = this.#options
    const byCertificate = credentials.byConnection(request.socket)
    const { authorization } = request.headers
    if (authorization === undefined) return byCertificate
    const caller = await this.#byAuthorization(authorization)
    if (caller === undefined) throw this.refusal(request, CATALOG, 'invalid_token')
    return together(byCertificate, caller)
  }

  /** The caller, where it may. @throws ProtocolError UNAUTHORIZED */
  async require(request: IncomingMessage, need: Need): Promise<Caller> {
    const caller = await this.identify(request)
    const may =
      need.type === 'registry'
        ? caller.mayList
        : need.actions.every((action) => this.#isOpen(action) || caller.may(need.name, action))
    if (may) return caller
    throw this.refusal(request, need, caller.isAnonymous ? undefined : 'insufficient_scope')
  }

  /** A token of our own realm for what the request offers. undefined: the realm is somebody else's. */
  async exchange(offered: {
    readonly password?: string | undefined
    readonly scopes: readonly string[]
  }): Promise<object | undefined> {
    const { tokens, credentials } = this.#options
    if (tokens.kind !== 'own') return undefined
    const known = offered.password === undefined ? undefined : credentials.bySecret(offered.password)
    const { token, expires_in } = await tokens.own.issue(known ?? NOBODY, offered.scopes, (action) =>
      this.#isOpen(action),
    )
    return { token, access_token: token, expires_in }
  }

  /** 401 with the challenge for this need. */
  refusal(
    request: IncomingMessage,
    { type, name, actions }: Need,
    error?: 'invalid_token' | 'insufficient_scope',
  ): ProtocolError {
    const scope = `${type}:${name}:${actions.join(',')}`
    const { realm, service } = this.#realm(request)
    const challenge = [`realm="${realm}"`, `service="${service}"`, `scope="${quotable(scope)}"`]
    if (error !== undefined) challenge.push(`error="${error}"`)
    return new ProtocolError('UNAUTHORIZED', {
      headers: { 'www-authenticate': `Bearer ${challenge.join(',')}` },
      detail: actions.map((action) => ({ Type: type, Class: '', Name: name.slice(0, 255), Action: action })),
    })
  }

  #isOpen(action: Action): boolean {
    return action === 'pull' && this.#options.isReadingOpen
  }

  async #byAuthorization(authorization: string): Promise<Caller | undefined> {
    const { credentials, tokens } = this.#options
    const password = basicPassword(authorization)
    if (password !== undefined) return credentials.bySecret(password)
    const token = /^Bearer +([A-Za-z0-9._~+/=-]{1,16384})$/i.exec(authorization)?.[1]
    if (token === undefined) return undefined
    return tokens.kind === 'own' ? tokens.own.verify(token) : tokens.registry.verify(token)
  }

  #realm(request: IncomingMessage): { readonly realm: string; readonly service: string } {
    const { tokens, publicUrl } = this.#options
    if (tokens.kind === 'registry') return tokens.registry.settings
    const scheme = request.socket instanceof TLSSocket ? 'https' : 'http'
    const host = /^[A-Za-z0-9.:[\]-]{1,260}$/.exec(request.headers.host ?? '')?.[0] ?? 'localhost'
    return { realm: `${publicUrl ?? `${scheme}://${host}`}/token`, service: OWN_SERVICE }
  }
}

function quotable(text: string): string {
  return text.replace(/[^\x20-\x7e]|["\\]/g, '')
}
