// The custodian whose keys lie sealed in the key holder's own database. A key is in the clear only while it signs; those of snapshot and
// timestamp, which sign many times an hour and nothing that was not recorded before, stay open once they were used.
import { createPrivateKey, generateKeyPair, randomBytes, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import {
  encodePrivateKeyFile,
  publicKeyOf,
  ROOT,
  signMessage,
  TufError,
  type Gun,
  type PublicKey,
  type RoleName,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { keyImportMessage } from '../key-holder-protocol/key-import-proof.ts'
import type { Custodian, KeyRef, SigningPurpose } from './custodian.ts'
import { keyRefOf, type KeyTable, type StoredKey } from './key-table.ts'
import { isServerRole, requireUsable } from './key-use.ts'
import { rewrap, seal, unseal, type SealedFor } from './sealing.ts'

/** Types of keys that can be made. */
export type NewKeyType = 'ecdsa' | 'ed25519' | 'rsa'

/** A key pair that is stored nowhere: `keep` seals it. A crash before forgets it. */
export interface NewSealedKey extends Omit<StoredKey, 'sealed' | 'lastUsedAt'> {
  readonly custody: 'sealed'
  readonly privateKey: KeyObject
}

const generate = promisify(generateKeyPair)

/** Keys of snapshot and timestamp that stay open; the others are opened anew. */
const MAX_OPEN = 512

/** NIST SP 800-57 part 1 rev. 5, table 2: 128 bits of security. */
const RSA_BITS = 3072

export class FileCustodian implements Custodian {
  readonly kind = 'sealed'
  readonly #keys: KeyTable
  #unlockKey: Buffer
  /** In the order of their last use. */
  readonly #opened = new Map<string, KeyObject>()

  /** Takes over `unlockKey` and zeroes it on close. */
  constructor(keys: KeyTable, unlockKey: Buffer) {
    this.#keys = keys
    this.#unlockKey = unlockKey
  }

  publicKey(keyRef: KeyRef): PublicKey {
    return this.#keys.byRef(keyRef).publicKey
  }

  sign(
    keyRef: KeyRef,
    message: Uint8Array,
    purpose: SigningPurpose,
  ): Promise<{ method: string; signature: Uint8Array }> {
    const key = this.#keys.byRef(keyRef)
    requireUsable(key, purpose)
    return Promise.resolve(checked(() => signMessage(this.#open(key), message, key.publicKey), { ...purpose }))
  }

  /** Signs the words of key-import-proof.ts, made here: of the caller they have names alone. @throws KeyHolderError KEY_FILE_DAMAGED */
  proveImport(keyRef: KeyRef, challenge: string): ReturnType<typeof signMessage> {
    const key = this.#keys.byRef(keyRef)
    const { gun, role, publicKey } = key
    const message = keyImportMessage(gun, publicKey.canonicalKeyId, challenge)
    return checked(() => signMessage(this.#unsealKey(key), message, publicKey), { gun, role })
  }

  /** Root keys only: no other key leaves. */
  exportEncrypted(keyRef: KeyRef, passphrase: Uint8Array): string {
    const key = this.#keys.byRef(keyRef)
    if (key.role !== ROOT || key.state === 'retired' || key.custody !== 'sealed') {
      throw new KeyHolderError('KEY_NOT_FOUND', 'There is no root key of this name here.', { gun: key.gun })
    }
    const file = { privateKey: this.#unsealKey(key), role: key.role, path: key.publicKey.canonicalKeyId }
    return encodePrivateKeyFile(file, passphrase, randomBytes(8), randomBytes(16))
  }

  /**
   * Seals and stores it. Call inside the transaction that records it: what is sealed before could be stored after the unlock key was
   * changed, and nobody could open it.
   */
  keep({ privateKey, ...key }: NewSealedKey): void {
    const { gun, role, publicKey } = key
    const der = privateKey.export({ type: 'pkcs8', format: 'der' })
    try {
      const sealed = seal(der, this.#unlockKey, { gun, role, keyId: publicKey.canonicalKeyId })
      this.#keys.insert({ ...key, sealed })
    } finally {
      der.fill(0)
    }
  }

  /** Opens every key that lies sealed here once, but those that were destroyed. @throws KeyHolderError KEY_FILE_DAMAGED */
  checkAll(): void {
    for (const key of this.#sealedKeys()) this.#unsealDer(key).fill(0)
  }

  /** The same sealed key under another unlock key; nothing is stored. @throws KeyHolderError KEY_FILE_DAMAGED */
  rewrapped(sealed: Buffer, sealedFor: SealedFor, unlockKey: Buffer): Buffer {
    return rewrap(sealed, this.#unlockKey, unlockKey, sealedFor)
  }

  /** The unlock key itself, sealed under another key. */
  sealedUnlockKey(key: Buffer, sealedFor: SealedFor): Buffer {
    return seal(this.#unlockKey, key, sealedFor)
  }

  /** Seals the key of pin bundles, which belongs to no repository. Call inside the transaction that keeps it. */
  sealOwn(privateKey: KeyObject, sealedFor: SealedFor): Buffer {
    const der = privateKey.export({ type: 'pkcs8', format: 'der' })
    try {
      return seal(der, this.#unlockKey, sealedFor)
    } finally {
      der.fill(0)
    }
  }

  /** @throws KeyHolderError KEY_FILE_DAMAGED */
  openOwn(sealed: Buffer, sealedFor: SealedFor): KeyObject {
    const der = unseal(sealed, this.#unlockKey, sealedFor)
    try {
      return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    } finally {
      der.fill(0)
    }
  }

  /**
   * Signs a challenge with every key that lies sealed here, out of its sealed form, and verifies it. No metadata looks like what is signed.
   * @returns how many keys. @throws KeyHolderError KEY_FILE_DAMAGED
   */
  proveAll(challenge: string): number {
    const keys = this.#sealedKeys()
    for (const key of keys) {
      const { gun, role, publicKey } = key
      const message = backupProof(key, challenge)
      checked(() => signMessage(this.#unsealKey(key), message, publicKey), { gun, role })
    }
    return keys.length
  }

  /** From now on keys are sealed under a copy of this one. Call as soon as all rewrapped keys are durable, and before anything else. */
  takeUnlockKey(unlockKey: Buffer): void {
    this.#unlockKey.fill(0)
    this.#unlockKey = Buffer.from(unlockKey)
  }

  close(): void {
    this.#opened.clear()
    this.#unlockKey.fill(0)
  }

  #sealedKeys(): StoredKey[] {
    return this.#keys.all().filter(({ state, custody }) => state !== 'retired' && custody === 'sealed')
  }

  #open(key: StoredKey): KeyObject {
    if (!isServerRole(key.role)) return this.#unsealKey(key)
    const name = keyRefOf(key)
    const opened = this.#opened.get(name) ?? this.#unsealKey(key)
    this.#opened.delete(name)
    this.#opened.set(name, opened)
    const [oldest] = this.#opened.keys()
    if (this.#opened.size > MAX_OPEN && oldest !== undefined) this.#opened.delete(oldest)
    return opened
  }

  #unsealKey(key: StoredKey): KeyObject {
    const der = this.#unsealDer(key)
    try {
      return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    } catch (cause) {
      const facts = { gun: key.gun, role: key.role }
      throw new KeyHolderError('KEY_FILE_DAMAGED', 'A sealed key is damaged.', facts, { cause })
    } finally {
      der.fill(0)
    }
  }

  #unsealDer(key: StoredKey): Buffer {
    return unseal(key.sealed, this.#unlockKey, { gun: key.gun, role: key.role, keyId: key.publicKey.canonicalKeyId })
  }
}

/** What a key signs to prove that it came back. No metadata looks like it. */
export function backupProof({ gun, publicKey }: Pick<StoredKey, 'gun' | 'publicKey'>, challenge: string): Buffer {
  return Buffer.from(['countersign backup proof v1', gun, publicKey.canonicalKeyId, challenge].join('\0'))
}

/**
 * A fault while signing, or a private key that is not this public key's, must neither be published nor leak anything.
 * @throws KeyHolderError KEY_FILE_DAMAGED
 */
function checked<T>(sign: () => T, facts: Readonly<Record<string, string | number>>): T {
  try {
    return sign()
  } catch (cause) {
    if (!(cause instanceof TufError) || cause.code !== 'SIGNATURE_SELF_CHECK') throw cause
    throw new KeyHolderError('KEY_FILE_DAMAGED', 'A signature just made does not verify.', facts, { cause })
  }
}

/** A new key pair, to be sealed. */
export async function makeKey(gun: Gun, role: RoleName, keyType: NewKeyType, createdAt: string): Promise<NewSealedKey> {
  const privateKey = await newPrivateKey(keyType)
  const publicKey = publicKeyOf(privateKey)
  return { gun, role, publicKey, createdAt, custody: 'sealed', state: 'active', origin: 'made', privateKey }
}

/** A fresh private key in OpenSSL's memory. */
async function newPrivateKey(keyType: NewKeyType): Promise<KeyObject> {
  switch (keyType) {
    case 'ecdsa':
      return (await generate('ec', { namedCurve: 'P-256' })).privateKey
    case 'ed25519':
      return (await generate('ed25519', {})).privateKey
    case 'rsa':
      return (await generate('rsa', { modulusLength: RSA_BITS })).privateKey
  }
}
