// Public keys as metadata holds them, and their two IDs. Knows nothing of roles and trust.
import { Buffer } from 'node:buffer'
import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto'
import { encodeCanonical } from './canonical.ts'
import { sha256Hex } from './digest.ts'
import { decodeBase64, encodeBase64 } from './encoding.ts'
import { TufError } from './errors.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { asObject, asString, refuseCaseVariants } from './members.ts'
import { parsePem } from './pem.ts'
import type { TufKeyId } from './role.ts'

/** A key of metadata. Its type may be unknown and its value unreadable: such a key is carried, and never verifies. */
export interface PublicKey {
  readonly keyType: string
  /** Base64 as it stands in metadata. */
  readonly publicValue: string
  /** Computed from the content; metadata may list the key under another one, which never verifies. */
  readonly tufKeyId: TufKeyId
  /** The ID of the bare public key: differs from `tufKeyId` for certificates. Equal to it where the value cannot be read. */
  readonly canonicalKeyId: TufKeyId
}

/** Types that can verify. */
export const KEY_TYPES = ['ecdsa', 'ecdsa-x509', 'rsa', 'rsa-x509', 'ed25519'] as const
export type KeyType = (typeof KEY_TYPES)[number]

const KEY_MEMBERS = new Set(['keytype', 'keyval'])
const KEY_VALUE_MEMBERS = new Set(['private', 'public'])
const MAX_KEY_TYPE_LENGTH = 64
const MAX_PUBLIC_VALUE_LENGTH = 131_072
const MAX_KEY_ID_LENGTH = 128
const MIN_RSA_BITS = 2048
const MAX_RSA_EXPONENT = 2n ** 31n - 1n
/**
 * OpenSSL's names of the curves that Go has, with the length of their SubjectPublicKeyInfo in bytes. Only the form with a named
 * curve and an uncompressed point has that length; Go reads no other (crypto/x509 ParsePKIXPublicKey).
 */
const CURVES: ReadonlyMap<string, number> = new Map([
  ['secp224r1', 80],
  ['prime256v1', 91],
  ['secp384r1', 120],
  ['secp521r1', 158],
])
/** SubjectPublicKeyInfo of Ed25519 up to the 32 key bytes (RFC 8410, 4). */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/**
 * A key object of metadata, or of the trust server's `.key` answer; the order of members is free.
 * notary v0.7.0 tuf/data/keys.go UnmarshalPublicKey; stricter: a private value is refused, base64 has one spelling.
 * @throws TufError METADATA_MALFORMED, METADATA_NAME_CASE, KEY_MALFORMED, KEY_PRIVATE_PRESENT
 */
export function parsePublicKey(value: JsonValue): PublicKey {
  const key = asObject(value, 'key')
  refuseCaseVariants(key, KEY_MEMBERS)
  const keyValue = asObject(key.get('keyval'), 'keyval')
  refuseCaseVariants(keyValue, KEY_VALUE_MEMBERS)
  if ((keyValue.get('private') ?? null) !== null) {
    throw new TufError('KEY_PRIVATE_PRESENT', 'A public key comes with a private value')
  }
  return makePublicKey(asString(key.get('keytype'), 'keytype'), asString(keyValue.get('public'), 'public'))
}

/** The bare public key of a private or public key object. @throws TufError KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK */
export function publicKeyOf(key: KeyObject): PublicKey {
  const made = publicKeys.get(key) ?? readPublicKeyOf(key)
  publicKeys.set(key, made)
  return made
}

function readPublicKeyOf(key: KeyObject): PublicKey {
  const publicHalf = key.type === 'private' ? createPublicKey(key) : key
  const keyType = bareKeyType(publicHalf)
  const spki = publicHalf.export({ type: 'spki', format: 'der' })
  const value = keyType === 'ed25519' ? spki.subarray(ED25519_SPKI_PREFIX.length) : spki
  return makePublicKey(keyType, encodeBase64(value))
}

/** The key object in canonical member order. */
export function encodePublicKey(key: PublicKey): JsonObject {
  return keyObject(key.keyType, key.publicValue)
}

/** PEM for other tools: the certificate itself, else SubjectPublicKeyInfo. @throws TufError KEY_MALFORMED, KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK */
export function publicKeyPem(key: PublicKey): string {
  if (isCertificateKey(key)) return certificatePem(key)
  return keyObjectOf(key).export({ type: 'spki', format: 'pem' }).toString()
}

export function isCertificateKey(key: PublicKey): boolean {
  return key.keyType === 'ecdsa-x509' || key.keyType === 'rsa-x509'
}

/** The PEM text inside a certificate key. @throws TufError KEY_MALFORMED */
export function certificatePem(key: PublicKey): string {
  return Buffer.from(decodeBase64(key.publicValue)).toString('latin1')
}

/** A key ID as listed in metadata: any short text, for it proves nothing until it is compared. @throws TufError KEY_MALFORMED */
export function parseTufKeyId(text: string): TufKeyId {
  if (text.length > MAX_KEY_ID_LENGTH) throw new TufError('KEY_MALFORMED', 'A key ID is too long')
  return text as TufKeyId
}

/** A certificate key from the PEM text of a certificate bundle, leaf first; the caller has checked the PEM. @throws TufError KEY_MALFORMED, KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK */
export function certificateKeyOf(pem: string): PublicKey {
  const bareType = bareKeyType(leafPublicKey(pem))
  return makePublicKey(`${bareType}-x509`, encodeBase64(Buffer.from(pem, 'latin1')))
}

/**
 * The key to verify with. @throws TufError KEY_TYPE_UNSUPPORTED (unknown type or curve), KEY_TOO_WEAK (RSA below 2048 bits),
 * KEY_MALFORMED
 */
export function keyObjectOf(key: PublicKey): KeyObject {
  const cached = keyObjects.get(key)
  if (cached !== undefined) return cached
  const made = readKeyObject(key.keyType, key.publicValue)
  keyObjects.set(key, made)
  return made
}

/** The key of an `rsa` entry whose value is PEM text, which only the method of PyCrypto reads. @throws TufError KEY_MALFORMED, KEY_TOO_WEAK */
export function pemKeyObjectOf(key: PublicKey): KeyObject {
  const pem = Buffer.from(decodeBase64(key.publicValue)).toString('latin1')
  const body = /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PUBLIC KEY-----\n?$/.exec(pem)?.[1]
  if (body === undefined) throw new TufError('KEY_MALFORMED', 'The value of a key is not PEM')
  const read = importSpki(Buffer.from(body, 'base64'))
  if (bareKeyType(read) !== 'rsa') throw new TufError('KEY_MALFORMED', 'The key is not an RSA key')
  return read
}

const keyObjects = new WeakMap<PublicKey, KeyObject>()
const publicKeys = new WeakMap<KeyObject, PublicKey>()

/** Keys by type and value, as they were made before: their IDs and key objects follow from these alone, and take long to make. */
const known = new Map<string, PublicKey>()
const MAX_KNOWN = 1024
/** Longer ones, chains of certificates, are made each time. */
const MAX_KNOWN_LENGTH = 4096

function makePublicKey(keyType: string, publicValue: string): PublicKey {
  // Neither a type nor base64 has a line break.
  const name = `${keyType}\n${publicValue}`
  const found = known.get(name)
  if (found !== undefined) return found
  const made = newPublicKey(keyType, publicValue)
  if (name.length <= MAX_KNOWN_LENGTH) {
    if (known.size >= MAX_KNOWN) known.clear()
    known.set(name, made)
  }
  return made
}

function newPublicKey(keyType: string, publicValue: string): PublicKey {
  if (keyType.length > MAX_KEY_TYPE_LENGTH || publicValue.length > MAX_PUBLIC_VALUE_LENGTH) {
    throw new TufError('KEY_MALFORMED', 'A key is too long')
  }
  decodeBase64(publicValue)
  const tufKeyId = computeKeyId(keyType, publicValue)
  return { keyType, publicValue, tufKeyId, canonicalKeyId: canonicalKeyId(keyType, publicValue) ?? tufKeyId }
}

function keyObject(keyType: string, publicValue: string): JsonObject {
  const keyValue = new Map([
    ['private', null],
    ['public', publicValue],
  ])
  return new Map<string, JsonValue>([
    ['keytype', keyType],
    ['keyval', keyValue],
  ])
}

/** notary v0.7.0 tuf/data/keys.go TUFKey.ID: the hash of the canonical key object, whose private value is always null. */
function computeKeyId(keyType: string, publicValue: string): TufKeyId {
  return sha256Hex(encodeCanonical(keyObject(keyType, publicValue))) as TufKeyId
}

/** notary v0.7.0 tuf/utils/x509.go CanonicalKeyID, X509PublicKeyID. Undefined: not a certificate, or not a readable one. */
function canonicalKeyId(keyType: string, publicValue: string): TufKeyId | undefined {
  if (keyType !== 'ecdsa-x509' && keyType !== 'rsa-x509') return undefined
  try {
    const spki = leafPublicKey(Buffer.from(publicValue, 'base64').toString('latin1')).export({
      type: 'spki',
      format: 'der',
    })
    return computeKeyId(keyType === 'rsa-x509' ? 'rsa' : 'ecdsa', encodeBase64(spki))
  } catch {
    return undefined
  }
}

function readKeyObject(keyType: string, publicValue: string): KeyObject {
  const bytes = Buffer.from(decodeBase64(publicValue))
  let key: KeyObject
  switch (keyType) {
    case 'ecdsa-x509':
    case 'rsa-x509':
      key = leafPublicKey(bytes.toString('latin1'))
      break
    case 'ecdsa':
    case 'rsa':
      key = importSpki(bytes)
      break
    case 'ed25519':
      if (bytes.length !== 32) throw new TufError('KEY_MALFORMED', 'An Ed25519 key has 32 bytes')
      key = importSpki(Buffer.concat([ED25519_SPKI_PREFIX, bytes]))
      break
    default:
      throw new TufError('KEY_TYPE_UNSUPPORTED', 'Keys of this type are not understood', { keyType })
  }
  // The type named in metadata must be the type of the key, or one key could be used with another's method.
  if (bareKeyType(key) !== keyType.replace(/-x509$/, '')) {
    throw new TufError('KEY_MALFORMED', 'The key is not of the type that it is listed with', { keyType })
  }
  return key
}

function importSpki(der: Buffer): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: der, format: 'der', type: 'spki' })
  } catch (cause) {
    throw new TufError('KEY_MALFORMED', 'A public key cannot be read', {}, { cause })
  }
  // OpenSSL forgives trailing bytes and missing parameters; Go does not.
  if (!der.equals(key.export({ type: 'spki', format: 'der' }))) {
    throw new TufError('KEY_MALFORMED', 'A public key is not in its one encoding')
  }
  return key
}

/**
 * The public key of the first certificate, as Go's verifiers take it (notary v0.7.0 tuf/signed/verifiers.go: the first PEM
 * block, which must be a certificate).
 */
function leafPublicKey(pem: string): KeyObject {
  const leaf = parsePem(pem)?.[0]
  if (leaf?.type !== 'CERTIFICATE') throw new TufError('KEY_MALFORMED', 'The value of a key is not a certificate')
  let certificate: X509Certificate
  let key: KeyObject
  try {
    certificate = new X509Certificate(leaf.body)
    key = certificate.publicKey
  } catch (cause) {
    throw new TufError('KEY_MALFORMED', 'The certificate of a key cannot be read', {}, { cause })
  }
  const spki = key.export({ type: 'spki', format: 'der' })
  if (!certificate.raw.equals(leaf.body) || !leaf.body.includes(spki)) {
    throw new TufError('KEY_MALFORMED', 'The certificate of a key is not in its one encoding')
  }
  return key
}

/** The type of a public key object. @throws TufError KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK */
export function bareKeyType(key: KeyObject): 'ecdsa' | 'rsa' | 'ed25519' {
  switch (key.asymmetricKeyType) {
    case 'ec': {
      const curve = key.asymmetricKeyDetails?.namedCurve ?? 'unnamed'
      if (key.export({ type: 'spki', format: 'der' }).length !== CURVES.get(curve)) {
        throw new TufError('KEY_TYPE_UNSUPPORTED', 'This curve or form of key is not supported', { curve })
      }
      return 'ecdsa'
    }
    case 'rsa': {
      // notary v0.7.0 tuf/signed/verifiers.go: minRSAKeySizeBit.
      const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
      if (bits < MIN_RSA_BITS) throw new TufError('KEY_TOO_WEAK', 'RSA keys need 2048 bits', { bits })
      if ((key.asymmetricKeyDetails?.publicExponent ?? 0n) > MAX_RSA_EXPONENT) {
        throw new TufError('KEY_TYPE_UNSUPPORTED', 'The public exponent of an RSA key is too large')
      }
      return 'rsa'
    }
    case 'ed25519':
      return 'ed25519'
    default:
      throw new TufError('KEY_TYPE_UNSUPPORTED', 'Keys of this kind are not supported', {
        keyType: key.asymmetricKeyType ?? 'none',
      })
  }
}
