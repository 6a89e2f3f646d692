// How a private key travels from the command line into the key holder: encrypted to a key of the key holder that lives for one key and
// a few minutes (JWE, RFC 7516: ECDH-ES on P-256, A256GCM). Whoever records the socket, or finds a core dump of what lies between,
// has nothing. Pure but for randomness.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { compactDecrypt, CompactEncrypt } from 'jose'
import type * as z from 'zod'
import type { transportKey } from './shapes.ts'

const ALGORITHM = 'ECDH-ES'
const ENCRYPTION = 'A256GCM'

/** The public half, as a JWK. */
export type TransportKey = z.output<typeof transportKey>

/** A key pair's public half for the wire. */
export function transportKeyOf(publicKey: KeyObject): TransportKey {
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  return { kty: 'EC', crv: 'P-256', x, y }
}

/** @param pkcs8 DER; the caller zeroes it */
export async function sealForKeyHolder(pkcs8: Uint8Array, to: TransportKey, session: string): Promise<string> {
  return new CompactEncrypt(pkcs8)
    .setProtectedHeader({ alg: ALGORITHM, enc: ENCRYPTION, kid: session })
    .encrypt(createPublicKey({ key: to, format: 'jwk' }))
}

/** What was sealed, which the caller zeroes; undefined where it was sealed for another session, or is damaged. */
export async function openInKeyHolder(
  sealed: string,
  privateKey: KeyObject,
  session: string,
): Promise<Uint8Array | undefined> {
  try {
    const { plaintext, protectedHeader } = await compactDecrypt(sealed, privateKey, {
      keyManagementAlgorithms: [ALGORITHM],
      contentEncryptionAlgorithms: [ENCRYPTION],
      // A key is a few kilobytes: nothing that inflates is taken.
      maxDecompressedLength: 0,
    })
    if (protectedHeader.kid === session) return plaintext
    plaintext.fill(0)
    return undefined
  } catch {
    return undefined
  }
}
