// Reads a JSON Web Key Set (RFC 7517): the public keys that can verify tokens here, by key ID. What cannot is left out; nothing of a key
// that a token itself brings along is ever read.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { isJsonArray, isJsonObject, parseJson, TufError, type JsonObject, type JsonValue } from '@countersign/tuf'
import type { TokenAlgorithm } from '../domain/id-token.ts'
import { OidcError } from '../domain/oidc-errors.ts'

/** The largest set that is read, in bytes, and the most keys in it; issuers publish a handful. */
export const MAX_KEY_SET_BYTES = 256 * 1024
const MAX_KEYS = 128
const MAX_DEPTH = 8
/** Bits of an RSA key: what is shorter can be forged, what is longer takes too long. */
const RSA_BITS = { min: 2048, max: 8192 } as const

export interface VerificationKey {
  readonly algorithm: TokenAlgorithm
  readonly key: KeyObject
}

export type KeySet = ReadonlyMap<string, VerificationKey>

/** @throws OidcError OIDC_PROVIDER_INVALID */
export function readKeySet(bytes: Uint8Array): KeySet {
  const list = readObject(bytes, 'key set').get('keys')
  if (!isJsonArray(list) || list.length > MAX_KEYS)
    throw invalidProvider(`its key set is no list of at most ${MAX_KEYS} keys`)
  const usable = list.map(readKey).filter((one) => one !== undefined)
  // Two keys of one name: which of them is meant cannot be told, so neither is.
  return new Map(usable.filter(([id]) => usable.filter(([other]) => other === id).length === 1))
}

/** A document of an issuer. @throws OidcError OIDC_PROVIDER_INVALID */
export function readObject(bytes: Uint8Array, what: string): JsonObject {
  let value: JsonValue
  try {
    value = parseJson(bytes, { maxBytes: MAX_KEY_SET_BYTES, maxDepth: MAX_DEPTH })
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    throw invalidProvider(`its ${what} is not JSON as it is read here: ${cause.code}`, cause)
  }
  if (!isJsonObject(value)) throw invalidProvider(`its ${what} is no object`)
  return value
}

export function invalidProvider(what: string, cause?: unknown): OidcError {
  return new OidcError('OIDC_PROVIDER_INVALID', `The issuer does not answer as it must: ${what}.`, {}, { cause })
}

function readKey(value: JsonValue): readonly [id: string, key: VerificationKey] | undefined {
  if (!isJsonObject(value)) return undefined
  const [id, use, algorithm] = [value.get('kid'), value.get('use') ?? 'sig', value.get('alg')]
  if (typeof id !== 'string' || id === '' || use !== 'sig') return undefined
  const key = publicKey(value)
  const fitting = key === undefined ? undefined : algorithmOf(key)
  if (key === undefined || fitting === undefined) return undefined
  if (algorithm !== undefined && algorithm !== fitting && !(algorithm === 'Ed25519' && fitting === 'EdDSA'))
    return undefined
  return [id, { algorithm: fitting, key }]
}

/** The public members alone: whatever else stands in the key, a private value above all, is not looked at. */
function publicKey(jwk: JsonObject): KeyObject | undefined {
  const type = jwk.get('kty')
  const names =
    typeof type === 'string' ? { RSA: ['n', 'e'], EC: ['crv', 'x', 'y'], OKP: ['crv', 'x'] }[type] : undefined
  if (names === undefined) return undefined
  const members = [...names, 'kty'].map((name) => [name, jwk.get(name)] as const)
  if (members.some(([, member]) => typeof member !== 'string')) return undefined
  try {
    return createPublicKey({ key: Object.fromEntries(members) as Record<string, string>, format: 'jwk' })
  } catch {
    return undefined
  }
}

/** One key, one algorithm: a token cannot choose another for it. */
function algorithmOf(key: KeyObject): TokenAlgorithm | undefined {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return modulusLength >= RSA_BITS.min && modulusLength <= RSA_BITS.max ? 'RS256' : undefined
    case 'ec':
      return namedCurve === 'prime256v1' ? 'ES256' : undefined
    case 'ed25519':
      return 'EdDSA'
    default:
      return undefined
  }
}
