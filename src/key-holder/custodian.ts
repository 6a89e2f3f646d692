// What can use a private key, and takes none out but a root key under a passphrase. The inside of the key holder; callers of the sockets
// never see it.
import type { Gun, PublicKey, RoleName, SignatureEntry } from '@countersign/tuf'

/** Names one key that is here, in whichever custody: `key:GUN#CANONICAL-KEY-ID`. */
export type KeyRef = string & { readonly brand: unique symbol }

/** What a signature is for; a custodian may refuse it, and errors name it. */
export interface SigningPurpose {
  readonly gun: Gun
  readonly role: RoleName
  readonly version: number
}

export interface Custodian {
  /** For listings: `sealed`. */
  readonly kind: string
  publicKey(keyRef: KeyRef): PublicKey
  /** Signs exactly `message` and verifies the result with the public key. @throws KeyHolderError KEY_NOT_FOUND, KEY_FILE_DAMAGED */
  sign(keyRef: KeyRef, message: Uint8Array, purpose: SigningPurpose): Promise<Omit<SignatureEntry, 'keyId'>>
  /** That an imported key can be used: its signature over `keyImportMessage` with this challenge. @throws KeyHolderError KEY_FILE_DAMAGED */
  proveImport(keyRef: KeyRef, challenge: string): Omit<SignatureEntry, 'keyId'>
  /** The private key file of docker and notary, encrypted. @throws KeyHolderError KEY_NOT_FOUND, KEY_FILE_DAMAGED */
  exportEncrypted(keyRef: KeyRef, passphrase: Uint8Array): string
  close(): void
}
