import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { expect } from 'chai'
import { readKeySet } from '../../src/identity/key-set.ts'
import { expectCode } from '../support/expect-code.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed = generateKeyPairSync('ed25519')
const jwk = (key: KeyObject, more: object = {}) => ({ ...key.export({ format: 'jwk' }), ...more })
const read = (...keys: readonly unknown[]) => readKeySet(Buffer.from(JSON.stringify({ keys })))

describe('a key set', () => {
  it('has each key for one algorithm', () => {
    const keys = read(
      jwk(rsa.publicKey, { kid: 'r', alg: 'RS256', use: 'sig' }),
      jwk(ec.publicKey, { kid: 'e' }),
      jwk(ed.publicKey, { kid: 'd', alg: 'Ed25519' }),
    )
    const algorithms = [...keys].map(([id, { algorithm }]) => `${id} ${algorithm}`)
    expect(algorithms).to.deep.equal(['r RS256', 'e ES256', 'd EdDSA'])
  })

  it('is read without private values, where an issuer publishes them by mistake', () => {
    const key = read(jwk(ec.privateKey, { kid: 'e' })).get('e')?.key
    expect(key?.type).to.equal('public')
  })

  const useless: Readonly<Record<string, unknown>> = {
    'a secret': { kty: 'oct', k: 'AAAA', kid: 'k', alg: 'HS256' },
    'a short RSA key': jwk(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey, { kid: 'k' }),
    'another curve': jwk(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey, { kid: 'k' }),
    'a key for encryption': jwk(rsa.publicKey, { kid: 'k', use: 'enc' }),
    'a key for another algorithm': jwk(rsa.publicKey, { kid: 'k', alg: 'PS256' }),
    'a key without a name': jwk(rsa.publicKey),
    'a point that is not on the curve': { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA', kid: 'k' },
    'a number': 7,
    nothing: null,
  }
  for (const [name, key] of Object.entries(useless)) {
    it(`leaves out ${name}`, () => {
      expect([...read(key, jwk(ec.publicKey, { kid: 'good' })).keys()]).to.deep.equal(['good'])
    })
  }

  it('leaves out both of two keys of one name', () => {
    const keys = read(jwk(ec.publicKey, { kid: 'k' }), jwk(rsa.publicKey, { kid: 'k' }))
    expect(keys.size).to.equal(0)
  })

  const malformed: Readonly<Record<string, string>> = {
    'no JSON': '<html>',
    'a list': '[]',
    'no keys': '{}',
    'keys that are no list': '{"keys":{}}',
    'more keys than anybody has': JSON.stringify({ keys: Array(129).fill(null) }),
    'keys twice': '{"keys":[],"keys":[]}',
  }
  for (const [name, text] of Object.entries(malformed)) {
    it(`refuses ${name}`, () => {
      expectCode('OIDC_PROVIDER_INVALID', () => readKeySet(Buffer.from(text)))
    })
  }
})
