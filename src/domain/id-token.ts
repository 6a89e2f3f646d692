// Reads the token of an issuer (a signed JWT, RFC 7519) before its signature is checked: form, header, issuer, audience, times. Everything
// that needs no key is refused here, so that no stranger's token costs more than reading it. Pure.
import { Buffer } from 'node:buffer'
import { isJsonArray, isJsonObject, parseJson, TufError, type JsonObject, type JsonValue } from '@countersign/tuf'
import { OidcError } from './oidc-errors.ts'

/** The longest token that is read, in characters; those of GitHub and GitLab have about two thousand. */
export const MAX_TOKEN_LENGTH = 16 * 1024
/** Lists and objects in one another; claims of known issuers nest once. */
const MAX_DEPTH = 8
const MAX_TEXT = 1024
const MAX_KEY_ID = 512

/** What signs tokens here. Symmetric algorithms and `none` are not in the list, so that no configuration can allow them. */
export const TOKEN_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const
export type TokenAlgorithm = (typeof TOKEN_ALGORITHMS)[number]

/** What of an issuer's configuration its tokens are held against. Times are milliseconds. */
export interface TokenIssuer {
  /** For people and in identities: a-z, 0-9 and -. */
  readonly name: string
  /** `iss`, exactly. */
  readonly issuer: string
  /** `aud`, exactly, and no other beside it. */
  readonly audience: string
  readonly algorithms: readonly TokenAlgorithm[]
  /** How far the clocks may be apart. */
  readonly clockSkewMs: number
  /** How long ago a token may have been made. */
  readonly maxAgeMs: number
}

/** The claims of a token, by name. */
export type Claims = JsonObject

/** A token that is well formed, meant for us and valid now. Whether its issuer signed it is not known yet. */
export interface UnverifiedToken<I extends TokenIssuer> {
  readonly issuer: I
  readonly algorithm: TokenAlgorithm
  readonly keyId: string
  readonly claims: Claims
  /** `jti`: what tells it from every other token of its issuer. */
  readonly tokenId: string
  /** From then on it is refused, whatever the clocks say. */
  readonly acceptedUntil: Date
}

/** Header members that name a key beside `kid`, or change what is signed. None of them is needed, each was an attack somewhere. */
const REFUSED_HEADERS = ['crit', 'b64', 'zip', 'jwk', 'jku', 'x5u', 'x5c']

/**
 * The token as far as it can be read without a key.
 * @throws OidcError OIDC_TOKEN_MALFORMED, OIDC_HEADER_REFUSED, OIDC_ALGORITHM_REFUSED, OIDC_CLAIM_MISSING, OIDC_CLAIM_INVALID,
 * OIDC_ISSUER_UNKNOWN, OIDC_AUDIENCE_WRONG, OIDC_TOKEN_EXPIRED, OIDC_TOKEN_NOT_YET_VALID, OIDC_TOKEN_TOO_OLD
 */
export function readIdToken<I extends TokenIssuer>(text: string, issuers: readonly I[], now: Date): UnverifiedToken<I> {
  const [header, claims] = splitToken(text)
  const keyId = checkHeader(header)
  const issuer = issuerOf(claims, issuers)
  const algorithm = issuer.algorithms.find((allowed) => allowed === algorithmOf(header))
  if (algorithm === undefined) {
    throw new OidcError(
      'OIDC_ALGORITHM_REFUSED',
      'The token is not signed with an algorithm that its issuer may use.',
      {
        issuer: issuer.name,
        allowed: issuer.algorithms.join(', '),
      },
    )
  }
  checkAudience(claims, issuer)
  const acceptedUntil = checkTimes(claims, issuer, now)
  return { issuer, algorithm, keyId, claims, tokenId: textClaim(claims, 'jti'), acceptedUntil }
}

/** A claim that must be there, as text of 1 to 1024 characters. @throws OidcError OIDC_CLAIM_MISSING, OIDC_CLAIM_INVALID */
export function textClaim(claims: Claims, name: string): string {
  const text = optionalTextClaim(claims, name)
  if (text === undefined) throw new OidcError('OIDC_CLAIM_MISSING', `The token has no claim ${name}.`, { claim: name })
  return text
}

/** Likewise of one that need not be there; an empty text says as little as none. @throws OidcError OIDC_CLAIM_INVALID */
export function optionalTextClaim(claims: Claims, name: string): string | undefined {
  const value = claims.get(name)
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw invalidClaim(name, 'is no text')
  if (value.length > MAX_TEXT) throw invalidClaim(name, 'is too long')
  if (/\p{Cc}/u.test(value)) throw invalidClaim(name, 'holds control characters')
  return value
}

export function invalidClaim(name: string, what: string): OidcError {
  return new OidcError('OIDC_CLAIM_INVALID', `The claim ${name} ${what}.`, { claim: name })
}

function splitToken(text: string): readonly [header: JsonObject, claims: JsonObject] {
  if (text.length > MAX_TOKEN_LENGTH) throw malformed('it is too long')
  const parts = text.split('.')
  const [header, payload, signature] = parts
  if (header === undefined || payload === undefined || signature === undefined || parts.length !== 3) {
    throw malformed('it has not three parts')
  }
  if (signature !== '') decodePart(signature)
  return [readPart(header), readPart(payload)]
}

function readPart(part: string): JsonObject {
  let value: JsonValue
  try {
    value = parseJson(decodePart(part), { maxBytes: MAX_TOKEN_LENGTH, maxDepth: MAX_DEPTH })
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    throw malformed(`a part of it is not JSON as it is read here: ${cause.code}`, cause)
  }
  if (!isJsonObject(value)) throw malformed('a part of it is no object')
  return value
}

/** Base64url without padding, with one spelling for each value. */
function decodePart(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (part === '' || bytes.toString('base64url') !== part) throw malformed('a part of it is not base64url')
  return bytes
}

/** The `kid`. */
function checkHeader(header: JsonObject): string {
  const refused = REFUSED_HEADERS.find((name) => header.has(name))
  if (refused !== undefined) {
    throw new OidcError('OIDC_HEADER_REFUSED', `The header of the token has the member ${refused}.`, {
      header: refused,
    })
  }
  const type = header.get('typ') ?? 'JWT'
  // Access and logout tokens are signed with the same keys; they carry another type.
  if (typeof type !== 'string' || type.toUpperCase() !== 'JWT') {
    throw new OidcError('OIDC_HEADER_REFUSED', 'The token is of another kind (typ).', { header: 'typ' })
  }
  if (typeof header.get('alg') !== 'string') throw malformed('its header names no algorithm')
  const keyId = header.get('kid')
  if (keyId === undefined) throw new OidcError('OIDC_KEY_UNKNOWN', 'The header of the token names no key (kid).')
  if (typeof keyId !== 'string' || keyId === '' || keyId.length > MAX_KEY_ID)
    throw malformed('its kid is no short text')
  return keyId
}

/** RFC 9864 has a new name for the same algorithm. */
function algorithmOf(header: JsonObject): JsonValue | undefined {
  const name = header.get('alg')
  return name === 'Ed25519' ? 'EdDSA' : name
}

function issuerOf<I extends TokenIssuer>(claims: Claims, issuers: readonly I[]): I {
  const name = textClaim(claims, 'iss')
  const issuer = issuers.find((known) => known.issuer === name)
  if (issuer === undefined) {
    throw new OidcError('OIDC_ISSUER_UNKNOWN', 'The issuer of the token is not configured here.')
  }
  return issuer
}

/** One audience: a token that is good for somebody else, too, may have been passed on by them. */
function checkAudience(claims: Claims, { audience, name }: TokenIssuer): void {
  const value = claims.get('aud')
  if (value === undefined) throw new OidcError('OIDC_CLAIM_MISSING', 'The token has no claim aud.', { claim: 'aud' })
  const list = isJsonArray(value) ? value : [value]
  if (list.some((one) => typeof one !== 'string')) throw invalidClaim('aud', 'is no text')
  if (list.length !== 1 || list[0] !== audience) {
    throw new OidcError('OIDC_AUDIENCE_WRONG', 'The token was made for another audience, or for several.', {
      issuer: name,
      expected: audience,
    })
  }
}

function checkTimes(claims: Claims, issuer: TokenIssuer, now: Date): Date {
  const { clockSkewMs, maxAgeMs, name } = issuer
  const [expires, issued] = [timeClaim(claims, 'exp'), timeClaim(claims, 'iat')]
  const notBefore = claims.has('nbf') ? timeClaim(claims, 'nbf') : issued
  const at = now.getTime()
  if (at >= expires + clockSkewMs) {
    throw new OidcError('OIDC_TOKEN_EXPIRED', 'The token has expired.', { issuer: name })
  }
  if (at < Math.max(notBefore, issued) - clockSkewMs) {
    throw new OidcError('OIDC_TOKEN_NOT_YET_VALID', 'The token is not valid yet, or was made in the future.', {
      issuer: name,
    })
  }
  if (at > issued + maxAgeMs + clockSkewMs) {
    throw new OidcError('OIDC_TOKEN_TOO_OLD', 'The token was made too long ago.', { issuer: name })
  }
  if (expires <= issued) throw invalidClaim('exp', 'is not after iat')
  return new Date(Math.min(expires, issued + maxAgeMs + 1) + clockSkewMs)
}

/** Seconds since 1970 (NumericDate), as milliseconds. */
function timeClaim(claims: Claims, name: string): number {
  const value = claims.get(name)
  if (value === undefined) throw new OidcError('OIDC_CLAIM_MISSING', `The token has no claim ${name}.`, { claim: name })
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 253_402_300_799) {
    throw invalidClaim(name, 'is no time')
  }
  return value * 1000
}

function malformed(what: string, cause?: unknown): OidcError {
  return new OidcError('OIDC_TOKEN_MALFORMED', `The token cannot be read: ${what}.`, {}, { cause })
}
