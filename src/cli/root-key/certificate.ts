// The certificate of an offline root key, in FILE.crt beside FILE: what clients pin.
import { randomBytes } from 'node:crypto'
import { certificateKey, type PublicKey, type RootCertificateTerms } from '@countersign/tuf'
import { CliError } from '../errors.ts'
import { readPublicFile, reserveNewFile } from '../files.ts'

/** Ten years, as Notary gives its root certificates (notary v0.7.0 const.go NotaryRootExpiry): 10 x 365 days. */
const CERTIFICATE_DAYS = 3650
const DAY_MS = 86_400_000
const MAX_CERTIFICATE_BYTES = 64 * 1024

/** Of a new root key. */
export function certificateTerms(commonName: string, now: Date): RootCertificateTerms {
  const notAfter = new Date(now.getTime() + CERTIFICATE_DAYS * DAY_MS)
  return { commonName, notBefore: now, notAfter, serialNumber: positive(randomBytes(16)) }
}

/** Where the certificate of a root key stands. */
export function certificateFileOf(file: string): string {
  return `${file}.crt`
}

/**
 * FILE and FILE.crt: both are new, or neither is touched; where `make` throws, neither is left. A crash on the way leaves files that were
 * never used.
 * @param make gets what writes both
 * @throws CliError FILE_EXISTS, FILE_UNWRITABLE; what `make` throws
 */
export async function withNewRootFiles<T>(
  file: string,
  make: (write: (content: string, certificatePem: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  const certificateFile = await reserveNewFile(certificateFileOf(file), 0o644)
  const keyFile = await reserveNewFile(file, 0o600).catch(async (error: unknown) => {
    await certificateFile.discard()
    throw error
  })
  try {
    return await make(async (content, certificatePem) => {
      await keyFile.write(content)
      await certificateFile.write(certificatePem)
    })
  } catch (error) {
    await keyFile.discard()
    await certificateFile.discard()
    throw error
  }
}

/** @throws CliError FILE_UNREADABLE; TufError CERTIFICATE_* */
export async function readCertificate(file: string): Promise<PublicKey> {
  return certificateKey((await readPublicFile(certificateFileOf(file), MAX_CERTIFICATE_BYTES)).toString('utf8'))
}

/** @throws CliError ROOT_CERTIFICATE_MISMATCH */
export function requireSameKey(file: string, certificate: PublicKey, { canonicalKeyId }: PublicKey): void {
  if (certificate.canonicalKeyId === canonicalKeyId) return
  const certificateFile = certificateFileOf(file)
  throw new CliError(
    'ROOT_CERTIFICATE_MISMATCH',
    `${certificateFile} is not the certificate of the key that ${file} opens.`,
    { facts: { file, certificateFile } },
  )
}

/** That one of `listed` which is of this key. @throws CliError ROOT_CERTIFICATE_MISMATCH */
export function listedCertificate(
  file: string,
  { canonicalKeyId }: PublicKey,
  listed: readonly PublicKey[],
): PublicKey {
  const key = listed.find((one) => one.canonicalKeyId === canonicalKeyId)
  if (key !== undefined) return key
  throw new CliError(
    'ROOT_CERTIFICATE_MISMATCH',
    `No certificate of the key that ${file} opens is listed, and there is no ${certificateFileOf(file)}.`,
    { facts: { file, keyId: canonicalKeyId } },
  )
}

/** A serial number is positive (RFC 5280, 4.1.2.2): the first bit is cleared, and the first byte is not zero. */
function positive(serial: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(serial)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes
}
