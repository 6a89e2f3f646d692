// Digests of files: computing them and comparing them with what metadata lists.
import { createHash, timingSafeEqual } from 'node:crypto'
import { decodeBase64, decodeHex, encodeBase64, encodeHex } from './encoding.ts'
import { TufError } from './errors.ts'

const DIGEST_BYTES: ReadonlyMap<string, number> = new Map([
  ['sha256', 32],
  ['sha512', 64],
])

/** 64 lower-case hex digits. */
export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Length in bytes of a digest that clients compute; undefined for algorithms that they skip. */
export function digestLength(algorithm: string): number | undefined {
  return DIGEST_BYTES.get(algorithm)
}

/**
 * Whether the bytes have every digest listed that we can compute. At least one must be computable.
 * notary v0.7.0 tuf/data/types.go CheckHashes.
 */
export function matchesHashes(bytes: Uint8Array, hashes: ReadonlyMap<string, string>): boolean {
  let compared = 0
  for (const algorithm of DIGEST_BYTES.keys()) {
    const listed = hashes.get(algorithm)
    if (listed === undefined) continue
    const expected = decodeBase64(listed)
    const computed = createHash(algorithm).update(bytes).digest()
    if (expected.length !== computed.length || !timingSafeEqual(expected, computed)) return false
    compared++
  }
  return compared > 0
}

/** Base64 as metadata holds it, from 64 hex digits. @throws TufError DIGEST_INVALID */
export function base64OfHexDigest(hex: string): string {
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new TufError('DIGEST_INVALID', 'Not 64 hexadecimal digits')
  return encodeBase64(decodeHex(hex))
}

/** 64 hex digits from the base64 that metadata holds. @throws TufError ENCODING_BASE64, DIGEST_INVALID */
export function hexOfBase64Digest(base64: string): string {
  const bytes = decodeBase64(base64)
  if (bytes.length !== 32) throw new TufError('DIGEST_INVALID', 'Not a SHA-256 digest')
  return encodeHex(bytes)
}

export { encodeBase64 as encodeDigest }
