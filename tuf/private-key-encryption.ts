// The two ways in which key files are encrypted: PBES2 as Notary writes it, and OpenSSL's traditional one, for reading only.
import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, createHash, pbkdf2Sync } from 'node:crypto'
import {
  bytesOf,
  encodeDer,
  integer,
  integerOf,
  octets,
  oid,
  oidOf,
  partsOf,
  readDer,
  sequence,
  type DerNode,
} from './der.ts'
import { TufError } from './errors.ts'

const PBES2_OID = '1.2.840.113549.1.5.13'
const PBKDF2_OID = '1.2.840.113549.1.5.12'
const HMAC_SHA1_OID = '1.2.840.113549.2.7'
const AES_256_CBC_OID = '2.16.840.1.101.3.4.1.42'

const ITERATIONS = 2048
/** About a tenth of a second; Notary itself writes 2048 and has no limit. */
const MAX_ITERATIONS = 100_000
const KEY_BYTES = 32
const MAX_SALT_BYTES = 1024

/**
 * notary v0.7.0 tuf/utils/pkcs8.go ParsePKCS8ToTufKey: PBES2 with PBKDF2 and AES-256-CBC. Notary computes with HMAC-SHA1
 * whatever the file names, so a file that names another function is refused by name.
 * @throws TufError KEY_FILE_UNSUPPORTED, KEY_FILE_PASSPHRASE
 * @throws Error where the structure is broken
 */
export function decryptPbes2(der: Buffer, passphrase: Uint8Array): Buffer {
  const [scheme, ciphertext] = partsOf(readDer(der), 'sequence')
  const [schemeId, parameters] = partsOf(scheme, 'sequence')
  requireOid(schemeId, PBES2_OID)
  const [derivation, cipher] = partsOf(parameters, 'sequence')
  const [derivationId, derivationParameters] = partsOf(derivation, 'sequence')
  requireOid(derivationId, PBKDF2_OID)
  const [cipherId, iv] = partsOf(cipher, 'sequence')
  requireOid(cipherId, AES_256_CBC_OID)
  const key = deriveKey(partsOf(derivationParameters, 'sequence'), passphrase)
  return decipher('aes-256-cbc', key, bytesOf(iv, 'octets'), bytesOf(ciphertext, 'octets'))
}

/** The same structure as Go writes it: 2048 iterations, no name of the function, because HMAC-SHA1 is the default. */
export function encryptPbes2(plain: Buffer, passphrase: Uint8Array, salt: Uint8Array, iv: Uint8Array): Buffer {
  const key = pbkdf2Sync(passphrase, salt, ITERATIONS, KEY_BYTES, 'sha1')
  const cipher = createCipheriv('aes-256-cbc', key, iv)
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()])
  const parameters = sequence(
    sequence(oid(PBKDF2_OID), sequence(octets(salt), integer(ITERATIONS))),
    sequence(oid(AES_256_CBC_OID), octets(iv)),
  )
  return encodeDer(sequence(sequence(oid(PBES2_OID), parameters), octets(ciphertext)))
}

/** Key length in bytes of the ciphers that Go's crypto/x509 DecryptPEMBlock knows; single DES is left out. */
const LEGACY_CIPHERS: ReadonlyMap<string, number> = new Map([
  ['AES-128-CBC', 16],
  ['AES-192-CBC', 24],
  ['AES-256-CBC', 32],
  ['DES-EDE3-CBC', 24],
])

/**
 * OpenSSL's traditional encryption: the key is a chain of MD5 over passphrase and salt, the salt is the start of the iv.
 * @param info value of the header `DEK-Info`
 * @throws TufError KEY_FILE_UNSUPPORTED, KEY_FILE_PASSPHRASE
 */
export function decryptLegacy(ciphertext: Buffer, info: string, passphrase: Uint8Array): Buffer {
  const [, name = '', ivHex = ''] = /^([A-Z0-9-]+),([0-9A-Fa-f]+)$/.exec(info) ?? []
  const keyBytes = LEGACY_CIPHERS.get(name)
  const iv = Buffer.from(ivHex, 'hex')
  if (keyBytes === undefined || iv.length !== (name.startsWith('AES') ? 16 : 8)) {
    throw new TufError('KEY_FILE_UNSUPPORTED', 'This encryption of a key file is not supported', {
      cipher: name.slice(0, 64),
    })
  }
  let block = Buffer.alloc(0)
  let key = Buffer.alloc(0)
  while (key.length < keyBytes) {
    block = createHash('md5').update(block).update(passphrase).update(iv.subarray(0, 8)).digest()
    key = Buffer.concat([key, block])
  }
  return decipher(name.toLowerCase(), key.subarray(0, keyBytes), iv, ciphertext)
}

function deriveKey([salt, iterations, ...rest]: readonly DerNode[], passphrase: Uint8Array): Buffer {
  const count = integerOf(iterations)
  const saltBytes = bytesOf(salt, 'octets')
  if (count < 1 || count > MAX_ITERATIONS || saltBytes.length > MAX_SALT_BYTES) {
    throw new TufError('KEY_FILE_UNSUPPORTED', 'The key derivation asks for more work than allowed', {
      iterations: count,
      maxIterations: MAX_ITERATIONS,
    })
  }
  // What may follow: the key length, and the name of the function.
  const named = rest.at(-1)
  if (named !== undefined && typeof named.value !== 'string') requireOid(partsOf(named, 'sequence')[0], HMAC_SHA1_OID)
  return pbkdf2Sync(passphrase, saltBytes, count, KEY_BYTES, 'sha1')
}

function decipher(name: string, key: Buffer, iv: Buffer, ciphertext: Buffer): Buffer {
  try {
    const open = createDecipheriv(name, key, iv)
    return Buffer.concat([open.update(ciphertext), open.final()])
  } catch {
    // The padding is wrong: almost always the passphrase.
    throw new TufError('KEY_FILE_PASSPHRASE', 'The passphrase does not open the key')
  }
}

function requireOid(node: DerNode | undefined, expected: string): void {
  const found = oidOf(node)
  if (found !== expected) {
    throw new TufError('KEY_FILE_UNSUPPORTED', 'Notary cannot read key files encrypted in this way', {
      algorithm: found,
    })
  }
}
