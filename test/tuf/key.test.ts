// Public keys: both IDs, the one encoding of each, and what is carried but never verifies.
import { generateKeyPairSync, createPublicKey } from 'node:crypto'
import { expect } from 'chai'
import {
  encodeBase64,
  encodePublicKey,
  isCertificateKey,
  keyObjectOf,
  parsePublicKey,
  publicKeyOf,
  publicKeyPem,
  type JsonValue,
  type TufErrorCode,
} from '@countersign/tuf'
import { expectCode } from './expect-code.ts'
import { vectorText } from './vectors.ts'

const ecdsa = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const spki = ecdsa.publicKey.export({ type: 'spki', format: 'der' })

function keyJson(keyType: JsonValue, publicValue: JsonValue, extra: readonly [string, JsonValue][] = []): JsonValue {
  const keyValue = new Map<string, JsonValue>([
    ['private', null],
    ['public', publicValue],
  ])
  return new Map<string, JsonValue>([['keytype', keyType], ['keyval', keyValue], ...extra])
}

const keyOf = (keyType: string, bytes: Uint8Array) => parsePublicKey(keyJson(keyType, encodeBase64(bytes)))

describe('parsePublicKey', () => {
  it('computes the ID of the worked example', () => {
    const key = parsePublicKey(
      keyJson(
        'ecdsa',
        'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqaFDmYaAZc16reNcsJWK9JBk1BMrcZL5zyquwqg1cLXHhWyz4xQnViAr9sBjLbjS6mIEokFxCiUB13ZQmH2Sag==',
      ),
    )
    expect(key.tufKeyId).to.equal('bef6f9ee05826ddba5ab27d7251a5202f89332f9c8a68826e337fd265675b613')
    expect(key.canonicalKeyId).to.equal(key.tufKeyId)
    expect(publicKeyPem(key)).to.equal(vectorText('docker-cli-28.2.2/alice.pub').replace(/^role:.*\n\n/m, ''))
  })

  it('takes members in any order, and a missing private value', () => {
    const key = new Map<string, JsonValue>([
      ['keyval', new Map([['public', encodeBase64(spki)]])],
      ['keytype', 'ecdsa'],
    ])
    expect(parsePublicKey(key)).to.deep.equal(publicKeyOf(ecdsa.publicKey))
  })

  it('is written back as it was read', () => {
    const key = publicKeyOf(ecdsa.publicKey)
    expect(encodePublicKey(key)).to.deep.equal(keyJson('ecdsa', encodeBase64(spki)))
    expect(parsePublicKey(encodePublicKey(key))).to.deep.equal(key)
  })

  it('carries unknown types and unreadable values', () => {
    const unknown = parsePublicKey(keyJson('dilithium', 'AAAA', [['scheme', 'x']]))
    expect(unknown.canonicalKeyId).to.equal(unknown.tufKeyId)
    expectCode('KEY_TYPE_UNSUPPORTED', () => keyObjectOf(unknown))
    expectCode('KEY_MALFORMED', () => keyObjectOf(parsePublicKey(keyJson('ecdsa', 'AAAA'))))
    expectCode('KEY_MALFORMED', () => keyObjectOf(parsePublicKey(keyJson('ecdsa-x509', 'AAAA'))))
  })

  describe('refuses', () => {
    const cases: Record<string, [TufErrorCode, JsonValue]> = {
      'no object': ['METADATA_MALFORMED', 'key'],
      'no value': ['METADATA_MALFORMED', new Map([['keytype', 'ecdsa']])],
      'a type that is no text': ['METADATA_MALFORMED', keyJson(1, 'AAAA')],
      'a public value that is null': ['METADATA_MALFORMED', keyJson('ecdsa', null)],
      'base64 of the other alphabet': ['ENCODING_BASE64', keyJson('ecdsa', '-_==')],
      'a type with a control character': ['CANONICAL_CONTROL_CHARACTER', keyJson('a\u0000', 'AAAA')],
      'a very long type': ['KEY_MALFORMED', keyJson('a'.repeat(65), 'AAAA')],
      'a very long value': ['KEY_MALFORMED', keyJson('ecdsa', 'A'.repeat(131_076))],
      'a name in another case': ['METADATA_NAME_CASE', keyJson('ecdsa', 'AAAA', [['KeyType', 'rsa']])],
      'a name with the Kelvin sign': ['METADATA_NAME_CASE', keyJson('ecdsa', 'AAAA', [['\u212aeytype', 'rsa']])],
    }
    for (const [name, [code, value]] of Object.entries(cases)) {
      it(name, () => expectCode(code, () => parsePublicKey(value)))
    }
    it('a private value', () => {
      const keyValue = new Map([
        ['private', 'AAAA'],
        ['public', encodeBase64(spki)],
      ])
      const key = new Map<string, JsonValue>([
        ['keytype', 'ecdsa'],
        ['keyval', keyValue],
      ])
      expectCode('KEY_PRIVATE_PRESENT', () => parsePublicKey(key))
    })
  })
})

describe('publicKeyOf', () => {
  it('gives the same key for both halves', () => {
    expect(publicKeyOf(ecdsa.privateKey)).to.deep.equal(publicKeyOf(ecdsa.publicKey))
  })
  it('writes Ed25519 keys as 32 raw bytes', () => {
    const { publicKey } = generateKeyPairSync('ed25519')
    const key = publicKeyOf(publicKey)
    expect(Buffer.from(key.publicValue, 'base64')).to.have.lengthOf(32)
    expect(keyObjectOf(key).equals(publicKey)).to.equal(true)
    expect(createPublicKey(publicKeyPem(key)).equals(publicKey)).to.equal(true)
  })
  it('refuses weak and unknown kinds', () => {
    expectCode('KEY_TOO_WEAK', () => publicKeyOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey))
    expectCode('KEY_TYPE_UNSUPPORTED', () =>
      publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey),
    )
    expectCode('KEY_TYPE_UNSUPPORTED', () => publicKeyOf(generateKeyPairSync('x25519').publicKey))
    expectCode('KEY_TYPE_UNSUPPORTED', () => publicKeyOf(generateKeyPairSync('ed448').publicKey))
  })
})

describe('keyObjectOf', () => {
  for (const namedCurve of ['secp224r1', 'prime256v1', 'secp384r1', 'secp521r1']) {
    it(`reads ${namedCurve}`, () => {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve })
      expect(keyObjectOf(publicKeyOf(publicKey)).equals(publicKey)).to.equal(true)
    })
  }

  describe('refuses', () => {
    it('a key under another type', () => {
      expectCode('KEY_MALFORMED', () => keyObjectOf(keyOf('rsa', spki)))
      const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'der' })
      expectCode('KEY_MALFORMED', () => keyObjectOf(keyOf('ecdsa', rsa)))
    })
    it('trailing bytes, which OpenSSL forgives and Go does not', () => {
      expectCode('KEY_MALFORMED', () => keyObjectOf(keyOf('ecdsa', Buffer.concat([spki, Buffer.from([0])]))))
    })
    it('a compressed point, which Go does not read', () => {
      const compressed = Buffer.concat([
        Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
        Buffer.from([2 + (spki.at(-1)! & 1)]),
        spki.subarray(27, 59),
      ])
      expectCode('KEY_TYPE_UNSUPPORTED', () => keyObjectOf(keyOf('ecdsa', compressed)))
    })
    it('a point that is not on the curve', () => {
      const changed = Buffer.from(spki)
      changed[90]! ^= 1
      expectCode('KEY_MALFORMED', () => keyObjectOf(keyOf('ecdsa', changed)))
    })
    it('Ed25519 of another length', () => {
      expectCode('KEY_MALFORMED', () => keyObjectOf(keyOf('ed25519', Buffer.alloc(31))))
    })
    it('RSA below 2048 bits', () => {
      const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'der' })
      expectCode('KEY_TOO_WEAK', () => keyObjectOf(keyOf('rsa', weak)))
    })
    it('DER where a certificate has to be PEM', () => {
      expectCode('KEY_MALFORMED', () => keyObjectOf(keyOf('ecdsa-x509', spki)))
    })
  })

  it('reads the first certificate of a bundle', () => {
    const first = vectorText('repo-ecdsa/cert-6ea804ec.pem')
    const bundle = keyOf('ecdsa-x509', Buffer.from(first + vectorText('repo-ecdsa/cert-a0cae746.pem')))
    const single = keyOf('ecdsa-x509', Buffer.from(first))
    expect(isCertificateKey(bundle)).to.equal(true)
    expect(bundle.canonicalKeyId).to.equal(single.canonicalKeyId)
    expect(bundle.tufKeyId).not.to.equal(single.tufKeyId)
  })
})
