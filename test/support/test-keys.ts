// Keys that follow from their names, so that a failing test fails again with the same bytes. Worthless anywhere else.
import { createECDH, createHash, createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  certificateKey,
  createRootCertificate,
  publicKeyOf,
  signMessage,
  type PublicKey,
  type SignatureEntry,
} from '@countersign/tuf'

export interface TestKey {
  readonly privateKey: KeyObject
  readonly publicKey: PublicKey
}

export type TestKeyType = 'ecdsa' | 'ed25519' | 'rsa'

const keys = new Map<string, KeyObject>()

/** The same name and type give the same key, in every process (RSA: in this process). */
export function testKey(name: string, type: TestKeyType = 'ecdsa'): TestKey {
  const privateKey = keyOf(name, type)
  return { privateKey, publicKey: publicKeyOf(privateKey) }
}

export interface TestCertificate {
  readonly commonName: string
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly type?: 'ecdsa' | 'rsa'
  /** Two certificates of one key differ in their serial number. */
  readonly serialNumber?: number
}

/** A key inside a self-signed certificate, as root keys are. */
export function testCertificateKey(name: string, certificate: TestCertificate): TestKey {
  const id = JSON.stringify([name, certificate])
  const cached = certificateKeys.get(id)
  if (cached !== undefined) return cached
  const privateKey = keyOf(name, certificate.type ?? 'ecdsa')
  const pem = createRootCertificate({
    commonName: certificate.commonName,
    notBefore: certificate.notBefore ?? new Date('2026-01-01T00:00:00Z'),
    notAfter: certificate.notAfter ?? new Date('2035-12-30T00:00:00Z'),
    serialNumber: Buffer.from([1, certificate.serialNumber ?? 0]),
    privateKey,
  })
  const key = { privateKey, publicKey: certificateKey(pem) }
  certificateKeys.set(id, key)
  return key
}

/** The same message gets the same signature, though ECDSA would make another each time: a file built twice is one file. */
export function signWith({ privateKey, publicKey }: TestKey, message: Uint8Array): SignatureEntry {
  const id = `${publicKey.canonicalKeyId}:${createHash('sha256').update(message).digest('hex')}`
  const made = signatures.get(id) ?? signMessage(privateKey, message)
  signatures.set(id, made)
  return { keyId: publicKey.tufKeyId, ...made }
}

const signatures = new Map<string, ReturnType<typeof signMessage>>()

const certificateKeys = new Map<string, TestKey>()

function keyOf(name: string, type: TestKeyType): KeyObject {
  const id = `${type}:${name}`
  const cached = keys.get(id)
  if (cached !== undefined) return cached
  const made = makeKey(createHash('sha256').update(`countersign test key ${id}`).digest(), type)
  keys.set(id, made)
  return made
}

function makeKey(seed: Buffer, type: TestKeyType): KeyObject {
  switch (type) {
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    case 'ed25519': {
      const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
      return createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' })
    }
    case 'ecdsa': {
      const curve = createECDH('prime256v1')
      curve.setPrivateKey(seed)
      const point = curve.getPublicKey()
      return createPrivateKey({
        key: {
          kty: 'EC',
          crv: 'P-256',
          d: seed.toString('base64url'),
          x: point.subarray(1, 33).toString('base64url'),
          y: point.subarray(33, 65).toString('base64url'),
        },
        format: 'jwk',
      })
    }
  }
}
