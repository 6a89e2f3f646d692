// A real OpenID provider (panva's oidc-provider) on loopback: it publishes discovery document and keys. Tokens of shapes that none of its
// flows makes, those of GitHub and GitLab above all, are signed here with the provider's own keys.
import type { EventEmitter } from 'node:events'
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CompactSign } from 'jose'
import { Provider, type JWK } from 'oidc-provider'
import type { Scope } from './scope.ts'
import { AUDIENCE } from './workload-claims.ts'

export type SigningAlgorithm = 'RS256' | 'ES256' | 'EdDSA'

export interface IssuerKey {
  readonly id: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export class OidcIssuer {
  readonly url: string
  readonly keys: Readonly<Record<SigningAlgorithm, IssuerKey>>
  /** How often each path was asked for. */
  readonly asked = new Map<string, number>()
  /** The code that the last device was given. */
  lastUserCode = ''
  /** It takes connections, and ends them. */
  isDown = false

  readonly #provider: Provider

  private constructor(url: string, keys: OidcIssuer['keys'], provider: Provider) {
    this.url = url
    this.keys = keys
    this.#provider = provider
  }

  /** Listens until the scope closes. */
  static async start(scope: Scope): Promise<OidcIssuer> {
    let handle: (request: IncomingMessage, response: ServerResponse) => void = () => undefined
    const server = createServer((request, response) => {
      handle(request, response)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    scope.add(
      () =>
        new Promise<void>((resolve) => {
          server.close(() => {
            resolve()
          })
          server.closeAllConnections()
        }),
    )
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const keys = newKeys()
    const provider = new Provider(url, {
      jwks: { keys: Object.entries(keys).map(([alg, key]) => jwkOf(alg, key)) },
      clients: [
        {
          client_id: AUDIENCE,
          redirect_uris: [],
          response_types: [],
          grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
          token_endpoint_auth_method: 'none',
        },
      ],
      features: { devInteractions: { enabled: false }, deviceFlow: { enabled: true } },
      conformIdTokenClaims: false,
      claims: { openid: ['sub', 'jti', 'team', 'email_verified'] },
      findAccount: (_, accountId) => ({
        accountId,
        claims: () => ({ sub: accountId, jti: randomUUID(), team: 'signers', email_verified: true }),
      }),
      ttl: { IdToken: 300, AccessToken: 300, DeviceCode: 600, Grant: 600 },
      cookies: { keys: [randomUUID()] },
    })
    // The types do not know this event.
    const events: EventEmitter = provider
    events.on('device_authorization.success', (_: unknown, body: { readonly user_code: string }) => {
      issuer.lastUserCode = body.user_code
    })
    const callback = provider.callback()
    const issuer = new OidcIssuer(url, keys, provider)
    handle = (request, response) => {
      const path = request.url ?? ''
      issuer.asked.set(path, (issuer.asked.get(path) ?? 0) + 1)
      if (issuer.isDown) request.socket.destroy()
      else void callback(request, response)
    }
    return issuer
  }

  /** What a person does in a browser: enters the code, signs in and agrees. */
  async approveDevice(userCode: string, accountId: string): Promise<void> {
    const code = await this.#provider.DeviceCode.findByUserCode(userCode.replaceAll('-', ''))
    if (code === undefined) throw new Error('the provider knows no such code')
    const grant = new this.#provider.Grant({ accountId, clientId: AUDIENCE })
    grant.addOIDCScope('openid')
    Object.assign(code, { accountId, scope: 'openid', grantId: await grant.save(), claims: {} })
    await code.save()
  }

  get keyFetches(): number {
    return this.asked.get('/jwks') ?? 0
  }

  /** An ID token that the provider itself makes for its client, with further claims; by the clock of this machine. */
  async issue(subject: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const client = await this.#provider.Client.find(AUDIENCE)
    if (client === undefined) throw new Error('the provider has lost its client')
    const token = new this.#provider.IdToken({ sub: subject }, { client })
    for (const [name, value] of Object.entries({ sub: subject, jti: randomUUID(), ...more })) token.set(name, value)
    return token.issue({ use: 'idtoken' })
  }

  /** A signed token. Members of the header replace the usual ones; undefined removes them. */
  async sign(
    claims: object | string,
    o: {
      readonly algorithm?: SigningAlgorithm
      readonly key?: KeyObject | Uint8Array
      readonly header?: Readonly<Record<string, unknown>>
    } = {},
  ): Promise<string> {
    const algorithm = o.algorithm ?? 'RS256'
    const key = this.keys[algorithm]
    const header = { alg: algorithm, typ: 'JWT', kid: key.id, ...o.header }
    const payload = Buffer.from(typeof claims === 'string' ? claims : JSON.stringify(claims))
    return new CompactSign(payload).setProtectedHeader(header).sign(o.key ?? key.privateKey)
  }
}

function newKeys(): OidcIssuer['keys'] {
  const named = ({ privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject }): IssuerKey => ({
    id: randomUUID(),
    privateKey,
    publicKey,
  })
  return {
    RS256: named(generateKeyPairSync('rsa', { modulusLength: 2048 })),
    ES256: named(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
    EdDSA: named(generateKeyPairSync('ed25519')),
  }
}

function jwkOf(alg: string, { id, privateKey }: IssuerKey): JWK {
  return { ...privateKey.export({ format: 'jwk' }), kid: id, use: 'sig', alg: alg === 'EdDSA' ? 'Ed25519' : alg }
}
