// What whoever takes a root key out of the key holder signs with it, before the key holder lets go of its own copy: the proof that the
// exported file opens and holds the key. No metadata looks like it, since it is not JSON.
import type { Gun } from '@countersign/tuf'

export function rootKeyRemovalMessage(gun: Gun, canonicalKeyId: string): Uint8Array {
  return Buffer.from(['countersign root key removal v1', gun, canonicalKeyId].join('\0'))
}
