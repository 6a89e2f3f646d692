// What the key of an adopted repository signs to show that the key holder can use it. The key holder chooses the challenge, each time another
// one. No metadata looks like it, since it is not JSON.
import type { Gun } from '@countersign/tuf'

/** @param challenge base64, as the key holder made it */
export function adoptionMessage(gun: Gun, canonicalKeyId: string, challenge: string): Uint8Array {
  return Buffer.from(['countersign adoption v1', gun, canonicalKeyId, challenge].join('\0'))
}
