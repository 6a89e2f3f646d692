// What an imported key signs, out of its sealed form, to show that the key holder can use it. The key holder chose the challenge. No
// metadata looks like it, since it is not JSON.
import type { Gun } from '@countersign/tuf'

/** @param challenge base64, as the key holder gave it out */
export function keyImportMessage(gun: Gun, canonicalKeyId: string, challenge: string): Uint8Array {
  return Buffer.from(['countersign key import v1', gun, canonicalKeyId, challenge].join('\0'))
}
