// Envelope encryption of private keys: a fresh data key per secret (AES-256-GCM), itself wrapped by the unlock key (AES-256-GCM).
// What a secret is for (GUN, role, key ID) is bound to it, so sealed keys cannot be swapped. Pure; secrets are Buffers, zeroed here.
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'

/** What a sealed secret belongs to; authenticated, not encrypted. */
export interface SealedFor {
  readonly gun: string
  readonly role: string
  readonly keyId: string
}

const FORMAT = 1
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES

/** format byte | wrapped data key | nonce | ciphertext | tag. The caller zeroes `secret`. */
export function seal(secret: Uint8Array, unlockKey: Buffer, sealedFor: SealedFor): Buffer {
  const dataKey = randomBytes(KEY_BYTES)
  try {
    const bound = boundTo(sealedFor)
    return Buffer.concat([Uint8Array.of(FORMAT), encrypt(dataKey, unlockKey, bound), encrypt(secret, dataKey, bound)])
  } finally {
    dataKey.fill(0)
  }
}

/** The secret; the caller zeroes it. @throws KeyHolderError KEY_FILE_DAMAGED where any byte or the purpose differs */
export function unseal(sealed: Buffer, unlockKey: Buffer, sealedFor: SealedFor): Buffer {
  if (sealed[0] !== FORMAT || sealed.byteLength < 1 + WRAPPED_BYTES + NONCE_BYTES + TAG_BYTES) throw damaged(sealedFor)
  let dataKey: Buffer | undefined
  try {
    const bound = boundTo(sealedFor)
    dataKey = decrypt(sealed.subarray(1, 1 + WRAPPED_BYTES), unlockKey, bound)
    return decrypt(sealed.subarray(1 + WRAPPED_BYTES), dataKey, bound)
  } catch (cause) {
    throw damaged(sealedFor, cause)
  } finally {
    dataKey?.fill(0)
  }
}

/**
 * The same secret, with its data key wrapped by `to` in the place of `from`. Old and new are opened, so that no sealed secret is ever
 * replaced by one that does not open. @throws KeyHolderError KEY_FILE_DAMAGED
 */
export function rewrap(sealed: Buffer, from: Buffer, to: Buffer, sealedFor: SealedFor): Buffer {
  unseal(sealed, from, sealedFor).fill(0)
  const bound = boundTo(sealedFor)
  const dataKey = decrypt(sealed.subarray(1, 1 + WRAPPED_BYTES), from, bound)
  try {
    const rewrapped = Buffer.concat([
      Uint8Array.of(FORMAT),
      encrypt(dataKey, to, bound),
      sealed.subarray(1 + WRAPPED_BYTES),
    ])
    unseal(rewrapped, to, sealedFor).fill(0)
    return rewrapped
  } finally {
    dataKey.fill(0)
  }
}

/** Recognises an unlock key without telling anything about it. */
export function unlockKeyCheck(unlockKey: Buffer): Buffer {
  return createHmac('sha256', unlockKey).update('countersign unlock key check v1').digest()
}

/** Whether it is the unlock key that `check` was made of. */
export function isUnlockKey(unlockKey: Buffer, check: Buffer): boolean {
  const computed = unlockKeyCheck(unlockKey)
  return computed.byteLength === check.byteLength && timingSafeEqual(computed, check)
}

/** @throws KeyHolderError UNLOCK_KEY_WRONG */
export function checkUnlockKey(unlockKey: Buffer, check: Buffer): void {
  if (!isUnlockKey(unlockKey, check)) {
    throw new KeyHolderError('UNLOCK_KEY_WRONG', 'This is not the unlock key with which the keys were sealed.')
  }
}

function encrypt(plain: Uint8Array, key: Buffer, bound: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(bound)
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

function decrypt(bytes: Buffer, key: Buffer, bound: Buffer): Buffer {
  const end = bytes.byteLength - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(bound).setAuthTag(bytes.subarray(end))
  const plain = decipher.update(bytes.subarray(NONCE_BYTES, end))
  try {
    decipher.final()
  } catch (cause) {
    plain.fill(0)
    throw cause
  }
  return plain
}

/** Names of GUNs, roles and keys hold no zero byte, so this has one reading. */
function boundTo({ gun, role, keyId }: SealedFor): Buffer {
  return Buffer.from(['countersign sealed key v1', gun, role, keyId].join('\0'))
}

/** Names the key by these three and nothing else that the caller's value may hold. */
function damaged({ gun, role, keyId }: SealedFor, cause?: unknown): KeyHolderError {
  return new KeyHolderError('KEY_FILE_DAMAGED', 'A sealed key is damaged.', { gun, role, keyId }, { cause })
}
