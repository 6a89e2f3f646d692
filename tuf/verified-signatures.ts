// Signatures that were found to be good, over messages that a cache holds (file-cache.ts). Bad ones are not remembered.
import { encodeBase64 } from './encoding.ts'
import type { PublicKey } from './key.ts'
import { verifySignature } from './signature.ts'

/** Messages never change once they are parsed, so that the object stands for its bytes. */
const known = new WeakMap<Uint8Array, Set<string>>()

/** From now on good signatures over this message are remembered, as long as it lives. */
export function rememberSignaturesOf(message: Uint8Array): void {
  if (!known.has(message)) known.set(message, new Set())
}

/** As `verifySignature`; looks first into what is remembered of this message. */
export function verifySignatureOnce(
  key: PublicKey,
  method: string,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const remembered = known.get(message)
  if (remembered === undefined) return verifySignature(key, method, message, signature)
  const entry = [key.keyType, key.publicValue, method, encodeBase64(signature)].join('\n')
  if (remembered.has(entry)) return true
  const isGood = verifySignature(key, method, message, signature)
  if (isGood) remembered.add(entry)
  return isGood
}
