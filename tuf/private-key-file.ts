// Private key files of Docker and Notary: reading every format that they accept, writing the one that they write.
// Refuses what they refuse. Reads no files; error facts never hold key bytes or passphrases.
import { Buffer } from 'node:buffer'
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { TufError } from './errors.ts'
import { publicKeyOf } from './key.ts'
import { encodePem, parsePem, type PemBlock } from './pem.ts'
import { decryptLegacy, decryptPbes2, encryptPbes2 } from './private-key-encryption.ts'
import { encodePrivateKeyInfo, readEd25519, readPrivateKeyInfo } from './private-key-info.ts'

/** One key of a file, with the headers that Notary puts above it. */
export interface PrivateKeyFile {
  readonly privateKey: KeyObject
  /** `root`, `targets`, `snapshot`, `timestamp`, `delegation`, or a signer's short name. */
  readonly role?: string
  readonly gun?: string
  /** In export bundles: the name of the file, which is the canonical key ID. */
  readonly path?: string
}

/** What a block says of itself before it is decrypted: enough to choose a passphrase. */
export type PrivateKeyHeaders = Omit<PrivateKeyFile, 'privateKey'>

/** One passphrase for every block, or one per block. */
export type PassphraseSource = Uint8Array | ((headers: PrivateKeyHeaders) => Uint8Array | undefined)

const MAX_FILE_BYTES = 256 * 1024
const MAX_KEYS = 32
const SALT_BYTES = 8
const IV_BYTES = 16
const HEADER_VALUE = /^[\x21-\x7e]{1,255}$/
/** Roles whose keys belong to one repository; keys of root and of signers serve many (reference: private key files). */
const ROLES_WITH_GUN: ReadonlySet<string> = new Set(['targets', 'snapshot', 'timestamp'])
/** `openssl ecparam -genkey` writes it in front of the key. */
const IGNORED_BLOCK = 'EC PARAMETERS'
const ENCRYPTED_BLOCK = 'ENCRYPTED PRIVATE KEY'

/**
 * Every key of a file: PKCS#8 plain or PBES2 (PBKDF2-HMAC-SHA1, AES-256-CBC), Notary's own Ed25519 form, and the older
 * `RSA|EC|ED25519 PRIVATE KEY`, plain or `Proc-Type: 4,ENCRYPTED`.
 * notary v0.7.0 tuf/utils/x509.go ParsePEMPrivateKey, tuf/utils/pkcs8.go. Stricter: every block must be readable, where Notary
 * skips some silently; RSA keys need 2048 bits; sizes and PBKDF2 iterations are limited.
 * @throws TufError KEY_FILE_TOO_LARGE, KEY_FILE_MALFORMED, KEY_FILE_UNSUPPORTED (including what Notary cannot read),
 * KEY_FILE_PASSPHRASE, KEY_FILE_PASSPHRASE_MISSING, KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK
 */
export function parsePrivateKeyFile(pem: Uint8Array, passphrase?: PassphraseSource): PrivateKeyFile[] {
  return privateKeyBlocks(pem).map(({ headers, open }) => {
    const chosen = typeof passphrase === 'function' ? passphrase(headers) : passphrase
    return { privateKey: open(chosen), ...headers }
  })
}

/** One key of a file that is still closed. */
export interface PrivateKeyBlock {
  readonly headers: PrivateKeyHeaders
  readonly isEncrypted: boolean
  /** @throws TufError as `parsePrivateKeyFile`; may be called again, with another passphrase */
  readonly open: (passphrase?: Uint8Array) => KeyObject
}

/**
 * The keys of a file, each to be opened for itself: with its own passphrase, or not at all where it is damaged.
 * @throws TufError KEY_FILE_TOO_LARGE, KEY_FILE_MALFORMED (no PEM, or none with a key)
 */
export function privateKeyBlocks(pem: Uint8Array): PrivateKeyBlock[] {
  if (pem.byteLength > MAX_FILE_BYTES) {
    throw new TufError('KEY_FILE_TOO_LARGE', 'A key file is larger than allowed', { maxBytes: MAX_FILE_BYTES })
  }
  const blocks = parsePem(Buffer.from(pem).toString('latin1'))?.filter(({ type }) => type !== IGNORED_BLOCK)
  if (blocks === undefined || blocks.length === 0)
    throw new TufError('KEY_FILE_MALFORMED', 'Not PEM with a private key')
  if (blocks.length > MAX_KEYS) {
    throw new TufError('KEY_FILE_TOO_LARGE', 'A key file has more keys than allowed', { maxKeys: MAX_KEYS })
  }
  return blocks.map((block) => ({
    headers: headersOf(block),
    isEncrypted: block.type === ENCRYPTED_BLOCK || block.headers.has('Proc-Type'),
    open: (passphrase) => parseBlock(block, passphrase),
  }))
}

/**
 * The file as Go writes it, which Docker and Notary read: PKCS#8 in PBES2 with headers. `gun` is written for targets, snapshot
 * and timestamp only; `path` (the canonical key ID) where the file is to be imported by `notary key import` and `docker trust key load`, which
 * skip encrypted keys without it (reference: private key files).
 * @param salt 8 random bytes
 * @param iv 16 random bytes
 * @throws TufError KEY_FILE_MALFORMED (a header value, salt or iv is not usable), KEY_TYPE_UNSUPPORTED, KEY_TOO_WEAK
 */
export function encodePrivateKeyFile(
  file: { readonly privateKey: KeyObject; readonly role: string; readonly gun?: string; readonly path?: string },
  passphrase: Uint8Array,
  salt: Uint8Array,
  iv: Uint8Array,
): string {
  if (salt.byteLength !== SALT_BYTES || iv.byteLength !== IV_BYTES) {
    throw new TufError('KEY_FILE_MALFORMED', 'A key file needs a salt of 8 and an iv of 16 bytes')
  }
  const headers = new Map(file.path === undefined ? [] : [['path', file.path]])
  headers.set('role', file.role)
  if (file.gun !== undefined && ROLES_WITH_GUN.has(file.role)) headers.set('gun', file.gun)
  for (const [name, value] of headers) {
    if (!HEADER_VALUE.test(value))
      throw new TufError('KEY_FILE_MALFORMED', 'A header of a key file is not plain text', { name })
  }
  const plain = encodePrivateKeyInfo(file.privateKey)
  const encrypted = encryptPbes2(plain, passphrase, salt, iv)
  plain.fill(0)
  return encodePem(ENCRYPTED_BLOCK, encrypted, headers)
}

function headersOf({ headers }: PemBlock): PrivateKeyHeaders {
  const [role, gun, path] = [headers.get('role'), headers.get('gun'), headers.get('path')]
  return { ...(role && { role }), ...(gun && { gun }), ...(path && { path }) }
}

function parseBlock(block: PemBlock, passphrase: Uint8Array | undefined): KeyObject {
  try {
    const key = readBlock(block, passphrase)
    publicKeyOf(key)
    verifyPair(key)
    return key
  } catch (error) {
    if (error instanceof TufError) throw error
    // The cause stays out: OpenSSL's words could hold parts of the key.
    if (error instanceof Error) throw new TufError('KEY_FILE_MALFORMED', 'A private key cannot be read')
    throw error
  }
}

function readBlock(block: PemBlock, passphrase: Uint8Array | undefined): KeyObject {
  switch (block.type) {
    case 'PRIVATE KEY':
      return readPrivateKeyInfo(block.body)
    case ENCRYPTED_BLOCK:
      return decrypted(() => decryptPbes2(block.body, requirePassphrase(passphrase)), readPrivateKeyInfo)
    case 'EC PRIVATE KEY':
      return readLegacy(block, passphrase, (der) => createPrivateKey({ key: der, format: 'der', type: 'sec1' }))
    case 'RSA PRIVATE KEY':
      return readLegacy(block, passphrase, (der) => createPrivateKey({ key: der, format: 'der', type: 'pkcs1' }))
    case 'ED25519 PRIVATE KEY':
      return readLegacy(block, passphrase, readEd25519)
    default:
      throw new TufError('KEY_FILE_UNSUPPORTED', 'A PEM block is not a private key', { type: block.type.slice(0, 64) })
  }
}

function readLegacy(block: PemBlock, passphrase: Uint8Array | undefined, read: (der: Buffer) => KeyObject): KeyObject {
  const procType = block.headers.get('Proc-Type')
  if (procType === undefined) return read(block.body)
  if (procType !== '4,ENCRYPTED') throw new TufError('KEY_FILE_UNSUPPORTED', 'This Proc-Type is not supported')
  const info = block.headers.get('DEK-Info') ?? ''
  return decrypted(() => decryptLegacy(block.body, info, requirePassphrase(passphrase)), read)
}

/** Reads what decryption gave. With a wrong passphrase the padding, or the structure below it, is broken. */
function decrypted(decrypt: () => Buffer, read: (der: Buffer) => KeyObject): KeyObject {
  const plain = decrypt()
  try {
    return read(plain)
  } catch (error) {
    if (error instanceof TufError && error.code !== 'KEY_FILE_MALFORMED') throw error
    throw new TufError('KEY_FILE_PASSPHRASE', 'The passphrase does not open the key')
  } finally {
    plain.fill(0)
  }
}

function requirePassphrase(passphrase: Uint8Array | undefined): Uint8Array {
  if (passphrase === undefined) throw new TufError('KEY_FILE_PASSPHRASE_MISSING', 'The key is encrypted')
  return passphrase
}

/** OpenSSL believes the public half that an EC or RSA file carries; a signature shows whether it belongs to the private one. */
function verifyPair(key: KeyObject): void {
  const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  const probe = Buffer.from('countersign')
  if (!verify(algorithm, probe, createPublicKey(key), sign(algorithm, probe, key))) {
    throw new TufError('KEY_FILE_MALFORMED', 'The public and the private half of a key do not belong together')
  }
}
