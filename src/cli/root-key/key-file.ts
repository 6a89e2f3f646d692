// The root key that never comes online: made here, kept in an encrypted file, used here for one kind of signature only.
// The private key leaves this process as that encrypted file and in no other form.
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import {
  certificateKey,
  certificatePem,
  CodedError,
  createRootCertificate,
  encodePrivateKeyFile,
  parsePrivateKeyFile,
  publicKeyOf,
  signMessage,
  verifyRootCertificate,
  verifySignature,
  type Gun,
  type PublicKey,
} from '@countersign/tuf'
import { existsSync } from 'node:fs'
import { readSecretBytes, readSecretFile } from '../../config/secret-file.ts'
import { CliError } from '../errors.ts'
import { givenPassphrase, type OpeningOptions } from '../shares/options.ts'
import {
  certificateFileOf,
  certificateTerms,
  listedCertificate,
  readCertificate,
  requireSameKey,
  withNewRootFiles,
} from './certificate.ts'

/** docker and notary ask for as many (notary v0.7.0 passphrase/passphrase.go). */
const MIN_PASSPHRASE_BYTES = 8
const ENCRYPTED_LABEL = '-----BEGIN ENCRYPTED PRIVATE KEY-----'

/** A root key out of its file: the certificate that clients pin, and the private half. */
export interface OfflineRoot {
  readonly certificatePem: string
  readonly key: PublicKey
  readonly privateKey: KeyObject
}

/**
 * Makes a P-256 root key with its self-signed certificate and writes FILE (encrypted, 0600) and FILE.crt, as `withNewRootFiles` does.
 * @throws CliError FILE_EXISTS, FILE_UNWRITABLE; what `prove` throws
 */
export async function createOfflineRoot(o: {
  readonly commonName: string
  readonly file: string
  readonly passphrase: Uint8Array
  readonly now: Date
  /** Looks at what was written; what it throws ends the matter. */
  readonly prove?: (key: PublicKey) => Promise<void>
}): Promise<PublicKey> {
  return withNewRootFiles(o.file, async (write) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const certificatePem = createRootCertificate({ ...certificateTerms(o.commonName, o.now), privateKey })
    const key = certificateKey(certificatePem)
    const file = { privateKey, role: 'root', path: key.canonicalKeyId }
    await write(encodePrivateKeyFile(file, o.passphrase, randomBytes(8), randomBytes(16)), certificatePem)
    await o.prove?.(key)
    return key
  })
}

/** How the words begin that say what a share of this root key opens. */
export function openedByShares({ tufKeyId }: PublicKey): string {
  return `root key ${tufKeyId}`
}

/**
 * Opens the root key in FILE with the certificate in FILE.crt, or where there is no such file with the one of `listed` that is of this key:
 * docker and notary keep none beside their keys. Both must be of the same key, and may stand for `gun` now.
 * @throws CliError ROOT_KEY_FILE_UNSUITABLE, ROOT_CERTIFICATE_MISMATCH, PASSPHRASE_WRONG, PASSPHRASE_TOO_SHORT, SHARE*, USAGE_INVALID;
 * ConfigError SECRET_FILE_*; TufError CERTIFICATE_*
 */
export async function openOfflineRoot(
  file: string,
  opening: OpeningOptions,
  gun: Gun,
  now: Date,
  listed: readonly PublicKey[] = [],
): Promise<OfflineRoot> {
  const { passphraseFile } = opening
  if (listed.length > 0 && passphraseFile !== undefined && !existsSync(certificateFileOf(file)))
    return openListedRoot(file, passphraseFile, gun, now, listed)
  const key = await readCertificate(file)
  verifyRootCertificate(key, gun, now)
  const passphrase = await givenPassphrase(opening, openedByShares(key), readPassphrase)
  if (passphrase === undefined) {
    throw new CliError(
      'USAGE_INVALID',
      `${file} opens with --passphrase-file FILE, or with --share FILE for each share.`,
    )
  }
  const privateKey = openAndForget(file, passphrase)
  requireSameKey(file, key, publicKeyOf(privateKey))
  return { certificatePem: certificatePem(key), key, privateKey }
}

/** @throws CliError ROOT_CERTIFICATE_MISMATCH, and as `openOfflineRoot` */
function openListedRoot(
  file: string,
  passphraseFile: string,
  gun: Gun,
  now: Date,
  listed: readonly PublicKey[],
): OfflineRoot {
  const privateKey = openAndForget(file, readPassphrase(passphraseFile))
  const key = listedCertificate(file, publicKeyOf(privateKey), listed)
  verifyRootCertificate(key, gun, now)
  return { certificatePem: certificatePem(key), key, privateKey }
}

/** A signature over exactly the reviewed bytes, checked with the certificate before it is given out. */
export function signWithRoot(root: OfflineRoot, message: Uint8Array): { method: string; signature: Uint8Array } {
  const made = signMessage(root.privateKey, message)
  if (verifySignature(root.key, made.method, message, made.signature)) return made
  throw new CliError('ROOT_CERTIFICATE_MISMATCH', 'The signature does not verify with the root certificate.')
}

function openAndForget(file: string, passphrase: Uint8Array): KeyObject {
  try {
    return openKeyFile(file, passphrase)
  } finally {
    passphrase.fill(0)
  }
}

function openKeyFile(file: string, passphrase: Uint8Array): KeyObject {
  const bytes = readSecretBytes(file)
  if (!bytes.includes(ENCRYPTED_LABEL)) {
    throw new CliError('ROOT_KEY_FILE_UNSUITABLE', `${file} is not an encrypted private key file.`, {
      facts: { file },
      next: 'Create one with: countersign root create.',
    })
  }
  const keys = readKeys(file, bytes, passphrase)
  const [only] = keys
  if (only === undefined || keys.length > 1 || (only.role !== undefined && only.role !== 'root')) {
    throw new CliError('ROOT_KEY_FILE_UNSUITABLE', `${file} must hold exactly one key, for the role root.`, {
      facts: { file, keys: keys.length },
    })
  }
  return only.privateKey
}

function readKeys(file: string, bytes: Uint8Array, passphrase: Uint8Array): ReturnType<typeof parsePrivateKeyFile> {
  try {
    return parsePrivateKeyFile(bytes, passphrase)
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause
    throw new CliError('PASSPHRASE_WRONG', `The key in ${file} cannot be opened (${String(cause.code)}).`, {
      facts: { file },
      next: 'Check the passphrase file; if it is right, the key file is damaged.',
      cause,
    })
  }
}

/** @throws CliError PASSPHRASE_TOO_SHORT; ConfigError SECRET_FILE_* */
export function readPassphrase(file: string): Uint8Array {
  const passphrase = Buffer.from(readSecretFile(file).reveal(), 'utf8')
  if (passphrase.byteLength >= MIN_PASSPHRASE_BYTES) return passphrase
  throw new CliError(
    'PASSPHRASE_TOO_SHORT',
    `The passphrase in ${file} is shorter than ${MIN_PASSPHRASE_BYTES} bytes.`,
    {
      facts: { file },
    },
  )
}
