// Tokens of a registry's token server, as notary-server takes them: JWT signed by a key whose certificate chains up to the bundle, or whose
// key ID is one of the bundle's. distribution docs/spec/auth/jwt.md, registry/auth/token/token.go.
import { createHash, X509Certificate, type KeyObject } from 'node:crypto'
import { errors, jwtVerify, type JWSHeaderParameters, type JWTPayload } from 'jose'
import * as z from 'zod'
import { allows, type Caller } from './caller.ts'

export interface TokenServerSettings {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  /** PEM with one or more certificates. */
  readonly rootCertificatesPem: string
}

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA']
/** Certificates between the signing one and a root. */
const MAX_CHAIN = 5
const CLOCK_TOLERANCE_S = 60

const accessList = z.array(z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) }))

export class RegistryTokens {
  readonly settings: TokenServerSettings
  readonly #roots: readonly X509Certificate[]
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #now: () => Date

  /** @throws Error where the bundle holds no certificate */
  constructor(settings: TokenServerSettings, now: () => Date) {
    this.settings = settings
    this.#now = now
    const blocks =
      settings.rootCertificatesPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
    this.#roots = blocks.map((pem) => new X509Certificate(pem))
    if (this.#roots.length === 0) throw new Error('the bundle holds no certificate')
    this.#keys = new Map(this.#roots.map(({ publicKey }) => [libtrustKeyId(publicKey), publicKey]))
  }

  /** The caller that the token names; undefined where the token is not one that is accepted now. */
  async verify(token: string): Promise<Caller | undefined> {
    try {
      const { payload } = await jwtVerify(token, (header) => this.#keyFor(header), {
        issuer: this.settings.issuer,
        audience: this.settings.service,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_S,
        currentDate: this.#now(),
        requiredClaims: ['exp'],
      })
      return callerOf(payload)
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof RefusedKey) return undefined
      throw error
    }
  }

  #keyFor({ x5c, kid }: JWSHeaderParameters): KeyObject {
    if (x5c !== undefined) return this.#chained(x5c)
    const key = kid === undefined ? undefined : this.#keys.get(kid)
    if (key === undefined) throw new RefusedKey('no known key')
    return key
  }

  #chained(x5c: readonly string[]): KeyObject {
    if (x5c.length === 0 || x5c.length > MAX_CHAIN) throw new RefusedKey('chain length')
    const [leaf, ...others] = x5c.map(readCertificate)
    if (leaf === undefined || !this.#chainsUp(leaf, others)) throw new RefusedKey('no chain')
    return leaf.publicKey
  }

  #chainsUp(certificate: X509Certificate, others: readonly X509Certificate[]): boolean {
    if (!isValid(certificate, this.#now())) return false
    const isIssuer = (issuer: X509Certificate): boolean =>
      issuer.ca &&
      isValid(issuer, this.#now()) &&
      certificate.checkIssued(issuer) &&
      certificate.verify(issuer.publicKey)
    if (this.#roots.some((root) => root.raw.equals(certificate.raw) || isIssuer(root))) return true
    return others.some(
      (other) =>
        isIssuer(other) &&
        this.#chainsUp(
          other,
          others.filter((one) => one !== other),
        ),
    )
  }
}

/** The key of a token is not one that is trusted here. */
class RefusedKey extends Error {}

function callerOf({ sub, access }: JWTPayload): Caller {
  const granted = accessList.safeParse(access ?? [])
  const list = granted.success ? granted.data : []
  const actionsOn = (type: string, name: string) =>
    list.filter((one) => one.type === type && one.name === name).flatMap(({ actions }) => actions)
  return {
    principal: `registry ${sub ?? ''}`.slice(0, 256),
    isAnonymous: false,
    may: (gun, action) => allows(actionsOn('repository', gun), action),
    mayList: actionsOn('registry', 'catalog').includes('*'),
  }
}

function readCertificate(base64: string): X509Certificate {
  try {
    return new X509Certificate(Buffer.from(base64, 'base64'))
  } catch (cause) {
    throw new RefusedKey('no certificate', { cause })
  }
}

function isValid({ validFrom, validTo }: X509Certificate, now: Date): boolean {
  return new Date(validFrom) <= now && now <= new Date(validTo)
}

/** docker/libtrust: base32 of the first 30 bytes of the SHA-256 of the public key, in groups of four. */
function libtrustKeyId(key: KeyObject): string {
  const digest = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
    .subarray(0, 30)
  const bits = [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const text = (bits.match(/.{5}/g) ?? []).map((five) =>
    'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.charAt(Number.parseInt(five, 2)),
  )
  return (text.join('').match(/.{4}/g) ?? []).join(':')
}
