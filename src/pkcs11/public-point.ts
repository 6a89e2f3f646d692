// The public half of a key in a token, from its CKA_EC_POINT. Pure.
import { createPublicKey, type KeyObject } from 'node:crypto'

/** An uncompressed point of P-256: 4, x, y (SEC 1, 2.3.3). */
const POINT_BYTES = 65
const OCTET_STRING = 0x04
const COORDINATE_BYTES = 32

/**
 * CKA_EC_POINT holds the DER encoding of an OCTET STRING with the point; some tokens leave the OCTET STRING out.
 * Undefined where it is no point of P-256.
 */
export function publicKeyOfPoint(attribute: Uint8Array): KeyObject | undefined {
  const point = unwrap(attribute)
  if (point.byteLength !== POINT_BYTES || point[0] !== 0x04) return undefined
  const coordinate = (from: number): string =>
    Buffer.from(point.subarray(from, from + COORDINATE_BYTES)).toString('base64url')
  try {
    const key = { kty: 'EC', crv: 'P-256', x: coordinate(1), y: coordinate(1 + COORDINATE_BYTES) }
    return createPublicKey({ key, format: 'jwk' })
  } catch (error) {
    // Not on the curve.
    if (error instanceof Error) return undefined
    throw error
  }
}

/** Both begin with 4; only the length tells them apart. */
function unwrap(attribute: Uint8Array): Uint8Array {
  const isWrapped =
    attribute.byteLength === POINT_BYTES + 2 && attribute[0] === OCTET_STRING && attribute[1] === POINT_BYTES
  return isWrapped ? attribute.subarray(2) : attribute
}
