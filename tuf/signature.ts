// One signature: its encodings, verifying it, and making one. How many signatures a role needs is signed.ts.
import { constants, sign, verify, type KeyObject, type SignKeyObjectInput } from 'node:crypto'
import { TufError } from './errors.ts'
import { keyObjectOf, pemKeyObjectOf, publicKeyOf, type PublicKey } from './key.ts'
import type { TufKeyId } from './role.ts'

export interface SignatureEntry {
  /** The TUF key ID, of the certificate where the key is one. */
  readonly keyId: TufKeyId
  /** Lower case. */
  readonly method: string
  /** Raw signature bytes. */
  readonly signature: Uint8Array
}

const RSA_PSS_SALT_BYTES = 32
const PYCRYPTO = 'pycrypto-pkcs#1 pss'

/** Which methods belong to which key type; nothing else verifies, whatever the bytes (algorithm confusion). */
const METHODS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['ecdsa', new Set(['ecdsa'])],
  ['ecdsa-x509', new Set(['ecdsa'])],
  ['rsa', new Set(['rsapss', 'rsapkcs1v15', PYCRYPTO])],
  ['rsa-x509', new Set(['rsapss', 'rsapkcs1v15'])],
  ['ed25519', new Set(['eddsa'])],
])

/**
 * Whether the signature over the message is by this key, with a method of its type. Never throws.
 * notary v0.7.0 tuf/signed/verifiers.go. ECDSA is SHA-256 for every curve, r and s of fixed width, not DER; RSA-PSS has a salt
 * of exactly 32 bytes; RSA keys have at least 2048 bits.
 */
export function verifySignature(key: PublicKey, method: string, message: Uint8Array, signature: Uint8Array): boolean {
  if (METHODS.get(key.keyType)?.has(method) !== true) return false
  try {
    const keyObject = method === PYCRYPTO ? pemKeyObjectOf(key) : keyObjectOf(key)
    return verifyWith(keyObject, method, message, signature)
  } catch (error) {
    // An unreadable key verifies nothing. OpenSSL's complaints about signature bytes mean the same.
    if (error instanceof Error) return false
    throw error
  }
}

/**
 * Signs with the method that Notary's clients use for the key, and verifies the result before giving it out, so that a fault
 * while signing neither publishes nor leaks anything. ECDSA is P-256 only, as stock tools make.
 * @param publicKey whose signature it must be; by default the key's own public half
 * @throws TufError KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK, SIGNATURE_SELF_CHECK
 */
export function signMessage(
  privateKey: KeyObject,
  message: Uint8Array,
  publicKey: PublicKey = publicKeyOf(privateKey),
): { method: string; signature: Uint8Array } {
  const method = methodOf(privateKey)
  const signature = sign(method === 'eddsa' ? null : 'sha256', message, inputFor(method, privateKey))
  if (!verifySignature(publicKey, method, message, signature)) {
    throw new TufError('SIGNATURE_SELF_CHECK', 'A signature just made does not verify', { method })
  }
  return { method, signature }
}

/** Whether `signMessage` can sign with this private key: keys that only verify are refused. @throws TufError KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK */
export function requireSigningKey(privateKey: KeyObject): void {
  publicKeyOf(privateKey)
  methodOf(privateKey)
}

function methodOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  if (asymmetricKeyType === 'ed25519') return 'eddsa'
  if (asymmetricKeyType === 'rsa') return 'rsapss'
  if (asymmetricKeyType !== 'ec' || asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new TufError('KEY_TYPE_UNSUPPORTED', 'ECDSA signatures are made with P-256 only')
  }
  return 'ecdsa'
}

function verifyWith(key: KeyObject, method: string, message: Uint8Array, signature: Uint8Array): boolean {
  return verify(method === 'eddsa' ? null : 'sha256', message, inputFor(method, key), signature)
}

function inputFor(method: string, key: KeyObject): SignKeyObjectInput {
  switch (method) {
    case 'ecdsa':
      return { key, dsaEncoding: 'ieee-p1363' }
    case 'rsapss':
    case PYCRYPTO:
      return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: RSA_PSS_SALT_BYTES }
    case 'rsapkcs1v15':
      return { key, padding: constants.RSA_PKCS1_PADDING }
    default:
      return { key }
  }
}
