// Callers that the operator listed: Countersign tokens by the hash of their secret, client certificates by their common name.
import { createHash } from 'node:crypto'
import { hasValidCertificate } from '../http-listener.ts'
import { callerWith, NOBODY, type Caller, type Grant } from './caller.ts'

export interface ListedToken extends Grant {
  readonly name: string
  /** 64 hex digits. */
  readonly sha256: string
  readonly expiresAt?: Date
}

export interface ListedCertificate extends Grant {
  readonly commonName: string
}

/** As the daemon makes them: nobody guesses one, so a plain hash is enough to keep. */
const SECRET = /^cs_[A-Za-z0-9_-]{43}$/

export class CredentialList {
  readonly #tokens: ReadonlyMap<string, ListedToken>
  readonly #certificates: readonly ListedCertificate[]
  readonly #now: () => Date

  constructor(o: {
    readonly tokens: readonly ListedToken[]
    readonly certificates: readonly ListedCertificate[]
    readonly now: () => Date
  }) {
    this.#tokens = new Map(o.tokens.map((token) => [token.sha256, token]))
    this.#certificates = o.certificates
    this.#now = o.now
  }

  /** The caller with this secret. Anything that is no token of ours is forgotten at once: it may be somebody's registry password. */
  bySecret(secret: string): Caller | undefined {
    if (!SECRET.test(secret)) return undefined
    const token = this.#tokens.get(createHash('sha256').update(secret).digest('hex'))
    if (token === undefined || (token.expiresAt !== undefined && token.expiresAt <= this.#now())) return undefined
    return callerWith(`token ${token.name}`, [token])
  }

  /** The caller of a connection with a client certificate that was verified, and is valid now. */
  byConnection(socket: unknown): Caller {
    if (this.#certificates.length === 0 || !hasValidCertificate(socket, this.#now())) return NOBODY
    // A subject with several common names is a list, which is nobody's.
    const name: unknown = socket.getPeerCertificate().subject.CN
    const grants = this.#certificates.filter(({ commonName }) => commonName === name)
    return grants.length === 0 ? NOBODY : callerWith(`certificate ${String(name)}`.slice(0, 256), grants)
  }
}

/** The password of Basic authentication; undefined where the header holds none. */
export function basicPassword(header: string | undefined): string | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]{1,8192})$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : text.slice(colon + 1)
}
