// Keys and signatures of the fakes.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  attachSignatures,
  certificateKey,
  createRootCertificate,
  type Gun,
  type PublicKey,
  publicKeyOf,
  signMessage,
  type UnsignedMetadata,
} from '@countersign/tuf'

export interface SigningKey {
  readonly privateKey: KeyObject
  readonly publicKey: PublicKey
}

export function newSigningKey(): SigningKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { privateKey, publicKey: publicKeyOf(privateKey) }
}

/** A root key with its certificate for the GUN. */
export function newRootKey(gun: Gun): SigningKey & { readonly pem: string } {
  const { privateKey } = newSigningKey()
  const pem = createRootCertificate({
    commonName: gun,
    notBefore: new Date('2026-01-01T00:00:00Z'),
    notAfter: new Date('2036-01-01T00:00:00Z'),
    serialNumber: Buffer.alloc(16, 7),
    privateKey,
  })
  return { privateKey, publicKey: certificateKey(pem), pem }
}

export function signFile(unsigned: UnsignedMetadata, keys: readonly SigningKey[]): Uint8Array {
  return attachSignatures(
    unsigned,
    keys.map(({ privateKey, publicKey }) => ({
      keyId: publicKey.tufKeyId,
      ...signMessage(privateKey, unsigned.message),
    })),
  )
}
