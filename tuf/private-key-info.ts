// PrivateKeyInfo (PKCS#8) as Notary reads and writes it, with its own form for Ed25519. Encryption is private-key-encryption.ts.
import { Buffer } from 'node:buffer'
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { bytesOf, encodeDer, integer, integerOf, octets, oid, oidOf, partsOf, readDer, sequence } from './der.ts'
import { TufError } from './errors.ts'
import { publicKeyOf } from './key.ts'

const EC_OID = '1.2.840.10045.2.1'
const RSA_OID = '1.2.840.113549.1.1.1'
/** notary v0.7.0 tuf/utils/pkcs8.go oidPublicKeyED25519; not the one of RFC 8410, which Notary cannot read. */
const ED25519_OID = '1.3.6.1.4.1.11591.15.1'

const CURVE_OIDS: ReadonlyMap<string, string> = new Map([
  ['secp224r1', '1.3.132.0.33'],
  ['prime256v1', '1.2.840.10045.3.1.7'],
  ['secp384r1', '1.3.132.0.34'],
  ['secp521r1', '1.3.132.0.35'],
])

const ED25519_BYTES = 32
/** PKCS#8 of an Ed25519 seed up to the seed itself (RFC 8410, 7), for node:crypto. */
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/**
 * The key of an unencrypted PrivateKeyInfo. notary v0.7.0 tuf/utils/pkcs8.go parsePKCS8ToTufKey.
 * @throws TufError KEY_FILE_UNSUPPORTED, KEY_FILE_MALFORMED
 * @throws Error where the structure or the key is broken
 */
export function readPrivateKeyInfo(der: Buffer): KeyObject {
  const [version, algorithm, privateKey] = partsOf(readDer(der), 'sequence')
  if (integerOf(version) > 1)
    throw new TufError('KEY_FILE_UNSUPPORTED', 'Only versions 0 and 1 of PKCS#8 are supported')
  const id = oidOf(partsOf(algorithm, 'sequence')[0])
  switch (id) {
    case EC_OID:
    case RSA_OID:
      return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    case ED25519_OID:
      return readEd25519(bytesOf(privateKey, 'octets'))
    default:
      throw new TufError('KEY_FILE_UNSUPPORTED', 'Notary cannot read private keys of this algorithm', { algorithm: id })
  }
}

/** Go's bytes for the three key types. @throws TufError KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK */
export function encodePrivateKeyInfo(key: KeyObject): Buffer {
  switch (publicKeyOf(key).keyType) {
    case 'ecdsa': {
      const curve = CURVE_OIDS.get(key.asymmetricKeyDetails?.namedCurve ?? '') ?? ''
      const algorithm = sequence(oid(EC_OID), oid(curve))
      return encodeDer(sequence(integer(1), algorithm, octets(key.export({ type: 'sec1', format: 'der' }))))
    }
    case 'rsa':
      return encodeDer(
        sequence(integer(0), sequence(oid(RSA_OID)), octets(key.export({ type: 'pkcs1', format: 'der' }))),
      )
    default:
      return encodeDer(sequence(integer(0), sequence(oid(ED25519_OID)), octets(ed25519Bytes(key))))
  }
}

/**
 * Notary's 96 bytes: public key, seed, public key again.
 * @throws TufError KEY_FILE_MALFORMED where the public key is not that of the seed
 */
export function readEd25519(bytes: Buffer): KeyObject {
  const seed = bytes.subarray(ED25519_BYTES, 2 * ED25519_BYTES)
  if (bytes.length !== 3 * ED25519_BYTES)
    throw new TufError('KEY_FILE_MALFORMED', 'An Ed25519 key of Notary has 96 bytes')
  const key = createPrivateKey({ key: Buffer.concat([ED25519_PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
  if (!ed25519Bytes(key).equals(bytes)) {
    throw new TufError('KEY_FILE_MALFORMED', 'The public and the private half of a key do not belong together')
  }
  return key
}

function ed25519Bytes(key: KeyObject): Buffer {
  const seed = key.export({ type: 'pkcs8', format: 'der' }).subarray(-ED25519_BYTES)
  const publicBytes = createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(-ED25519_BYTES)
  return Buffer.concat([publicBytes, seed, publicBytes])
}
