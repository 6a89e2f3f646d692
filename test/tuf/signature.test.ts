// Signatures: made and verified for every key type; no method verifies with a key of another type.
import { constants, generateKeyPairSync, sign, type KeyObject, type SignKeyObjectInput } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  encodeBase64,
  parsePublicKey,
  publicKeyOf,
  signMessage,
  verifySignature,
  type JsonValue,
  type PublicKey,
} from '@countersign/tuf'
import { expectCode } from './expect-code.ts'

const message = Buffer.from('{"_type":"Targets"}')
const p256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const ed25519 = generateKeyPairSync('ed25519').privateKey
const METHODS = ['ecdsa', 'rsapss', 'rsapkcs1v15', 'eddsa', 'pycrypto-pkcs#1 pss']

const signWith = (key: KeyObject, options: Omit<SignKeyObjectInput, 'key'> = {}) =>
  sign('sha256', message, { key, ...options })
const pss = (saltLength: number) => signWith(rsa, { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })

describe('signMessage', () => {
  for (const [name, key, method, length] of [
    ['P-256', p256, 'ecdsa', 64],
    ['RSA', rsa, 'rsapss', 256],
    ['Ed25519', ed25519, 'eddsa', 64],
  ] as const) {
    it(`signs with ${name}`, () => {
      const made = signMessage(key, message)
      expect(made.method).to.equal(method)
      expect(made.signature).to.have.lengthOf(length)
      expect(verifySignature(publicKeyOf(key), made.method, message, made.signature)).to.equal(true)
    })
  }

  it('keeps the width of r and s, whatever their leading bytes', () => {
    for (let round = 0; round < 300; round++) {
      const { signature } = signMessage(p256, Buffer.from([round & 0xff, round >> 8]))
      expect(signature).to.have.lengthOf(64)
    }
  })

  it('refuses other curves and public keys', () => {
    const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey
    expectCode('KEY_TYPE_UNSUPPORTED', () => signMessage(p384, message))
  })
})

describe('verifySignature', () => {
  it('refuses every method that is not of the key’s type', () => {
    const keys: [PublicKey, Uint8Array, string[]][] = [
      [publicKeyOf(p256), signMessage(p256, message).signature, ['ecdsa']],
      [publicKeyOf(rsa), pss(32), ['rsapss']],
      [publicKeyOf(ed25519), signMessage(ed25519, message).signature, ['eddsa']],
    ]
    for (const [key, signature, accepted] of keys) {
      const found = [...METHODS, '', 'ECDSA', 'none', '__proto__'].filter((method) =>
        verifySignature(key, method, message, signature),
      )
      expect(found).to.deep.equal(accepted)
    }
  })

  it('refuses another message, and another key', () => {
    const { signature } = signMessage(p256, message)
    const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey
    expect(verifySignature(publicKeyOf(p256), 'ecdsa', Buffer.from('x'), signature)).to.equal(false)
    expect(verifySignature(publicKeyOf(other), 'ecdsa', message, signature)).to.equal(false)
  })

  for (const [namedCurve, length] of [
    ['secp224r1', 56],
    ['prime256v1', 64],
    ['secp384r1', 96],
    ['secp521r1', 132],
  ] as const) {
    it(`takes ${namedCurve} with ${length} bytes, and neither DER nor another width`, () => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve })
      const key = publicKeyOf(privateKey)
      const raw = signWith(privateKey, { dsaEncoding: 'ieee-p1363' })
      expect(raw).to.have.lengthOf(length)
      expect(verifySignature(key, 'ecdsa', message, raw)).to.equal(true)
      expect(verifySignature(key, 'ecdsa', message, signWith(privateKey, { dsaEncoding: 'der' }))).to.equal(false)
      const half = length / 2
      const wider = Buffer.concat([Buffer.alloc(1), raw.subarray(0, half), Buffer.alloc(1), raw.subarray(half)])
      expect(verifySignature(key, 'ecdsa', message, wider)).to.equal(false)
      expect(verifySignature(key, 'ecdsa', message, raw.subarray(1))).to.equal(false)
      expect(verifySignature(key, 'ecdsa', message, Buffer.alloc(length))).to.equal(false)
    })
  }

  it('takes RSA-PSS with a salt of 32 bytes only', () => {
    const key = publicKeyOf(rsa)
    const verdicts = [0, 20, 32, 64, 222].map((salt) => verifySignature(key, 'rsapss', message, pss(salt)))
    expect(verdicts).to.deep.equal([false, false, true, false, false])
  })

  it('takes PKCS#1 v1.5, which is never made', () => {
    const signature = signWith(rsa, { padding: constants.RSA_PKCS1_PADDING })
    expect(verifySignature(publicKeyOf(rsa), 'rsapkcs1v15', message, signature)).to.equal(true)
    expect(verifySignature(publicKeyOf(rsa), 'rsapss', message, signature)).to.equal(false)
  })

  it('takes PyCrypto’s method for an RSA key in PEM only', () => {
    const pem = generatePublicPem()
    expect(verifySignature(pemKey(pem), 'pycrypto-pkcs#1 pss', message, pss(32))).to.equal(true)
    expect(verifySignature(pemKey(pem), 'rsapss', message, pss(32))).to.equal(false)
    expect(verifySignature(publicKeyOf(rsa), 'pycrypto-pkcs#1 pss', message, pss(32))).to.equal(false)
  })

  it('has no opinion on keys that it does not know', () => {
    const unknown = parsePublicKey(keyJson('dilithium', 'AAAA'))
    const broken = parsePublicKey(keyJson('ecdsa', 'AAAA'))
    for (const method of METHODS) {
      expect(verifySignature(unknown, method, message, Buffer.alloc(64))).to.equal(false)
      expect(verifySignature(broken, method, message, Buffer.alloc(64))).to.equal(false)
    }
  })

  it('answers any signature bytes without throwing', () => {
    const keys = [publicKeyOf(p256), publicKeyOf(rsa), publicKeyOf(ed25519)]
    fc.assert(
      fc.property(
        fc.constantFrom(...keys),
        fc.constantFrom(...METHODS),
        fc.uint8Array({ maxLength: 300 }),
        (key, method, bytes) => {
          expect(verifySignature(key, method, message, bytes)).to.equal(false)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('fails with any single bit of the signature changed', () => {
    for (const privateKey of [p256, ed25519]) {
      const { method, signature } = signMessage(privateKey, message)
      for (let bit = 0; bit < signature.length * 8; bit += 5) {
        const changed = Buffer.from(signature)
        changed[bit >> 3]! ^= 1 << (bit & 7)
        expect(verifySignature(publicKeyOf(privateKey), method, message, changed)).to.equal(false)
      }
    }
  })
})

function keyJson(keyType: string, publicValue: string): JsonValue {
  return new Map<string, JsonValue>([
    ['keytype', keyType],
    ['keyval', new Map([['public', publicValue]])],
  ])
}

function pemKey(pem: string): PublicKey {
  return parsePublicKey(keyJson('rsa', encodeBase64(Buffer.from(pem))))
}

function generatePublicPem(): string {
  const body = publicKeyOf(rsa).publicValue.replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN PUBLIC KEY-----\n${body}\n-----END PUBLIC KEY-----\n`
}
