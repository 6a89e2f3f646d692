// A key in a token as TUF knows it: its public half, and signatures that were verified before anybody sees them.
import { createHash } from 'node:crypto'
import { publicKeyOf, verifySignature, type PublicKey } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { publicKeyOfPoint } from './public-point.ts'
import type { Token } from './token.ts'
import { formatTokenUri, type TokenUri } from './uri.ts'

/** As Notary's clients call it: r and s of 32 bytes each over a SHA-256 hash. */
const METHOD = 'ecdsa'

/** @throws KeyHolderError CUSTODY_*; CUSTODY_KEY_MISSING where another key is in the place of this one */
export async function signIn(
  token: Token,
  id: Uint8Array,
  message: Uint8Array,
  publicKey: PublicKey,
): Promise<{ method: string; signature: Uint8Array }> {
  const signature = await token.sign(id, createHash('sha256').update(message).digest())
  if (verifySignature(publicKey, METHOD, message, signature)) return { method: METHOD, signature }
  throw new KeyHolderError('CUSTODY_KEY_MISSING', 'The signature by the token is not one of this key.', {
    token: formatTokenUri(token.uri),
    canonicalKeyId: publicKey.canonicalKeyId,
  })
}

/** @param point CKA_EC_POINT. @throws KeyHolderError CUSTODY_KEY_TYPE */
export function publicKeyIn(point: Uint8Array, uri: TokenUri): PublicKey {
  const key = publicKeyOfPoint(point)
  if (key !== undefined) return publicKeyOf(key)
  throw new KeyHolderError('CUSTODY_KEY_TYPE', 'The token gives no public key of P-256.', {
    token: formatTokenUri(uri),
  })
}
