import { expect } from 'chai'
import fc from 'fast-check'
import {
  formatKeyUri,
  formatTokenUri,
  isSameToken,
  parseKeyUri,
  parseTokenUri,
  type TokenUri,
} from '../../src/pkcs11/uri.ts'
import { expectCode } from '../support/expect-code.ts'

/** Texts of at most so many bytes in UTF-8, with every character that means something in a URI. */
const text = (bytes: number) =>
  fc
    .string({
      unit: fc.oneof(
        fc.constantFrom(';', '=', '?', '&', '%', '/', ':', '#', ' ', '*', '(', ')', "'", '"'),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      ),
    })
    .filter((value) => Buffer.byteLength(value) <= bytes && value !== '' && Buffer.from(value).toString() === value)

const tokenUri = fc.record({ token: text(32), serial: text(16) }, { requiredKeys: ['token'] })

describe('PKCS#11 URIs', () => {
  it('mean what was written into them, whatever a token or key is called', () => {
    fc.assert(
      fc.property(tokenUri, text(300), fc.uint8Array({ minLength: 1, maxLength: 32 }), (token, object, id) => {
        expect(parseTokenUri(formatTokenUri(token))).to.deep.equal(token)
        const key = { ...token, object, id: Buffer.from(id) }
        expect(parseKeyUri(formatKeyUri(key))).to.deep.equal(key)
      }),
    )
  })

  it('are taken as RFC 7512 writes them', () => {
    expect(parseTokenUri('pkcs11:token=The%20Software%20PKCS%2311%20Softtoken')).to.deep.equal({
      token: 'The Software PKCS#11 Softtoken',
    })
    expect(parseTokenUri('pkcs11:serial=DECC0401648;token=a=b')).to.deep.equal({ token: 'a=b', serial: 'DECC0401648' })
    expect(parseKeyUri('pkcs11:token=t;object=my-signing-key;type=private;id=%69%95%3e%5c')).to.deep.equal({
      token: 't',
      object: 'my-signing-key',
      id: Buffer.from('69953e5c', 'hex'),
    })
  })

  for (const [why, uri] of [
    ['another scheme', 'file:token=t'],
    ['no token', 'pkcs11:serial=1'],
    ['nothing', 'pkcs11:'],
    ['an empty label', 'pkcs11:token='],
    ['a label that no token can have', `pkcs11:token=${'x'.repeat(33)}`],
    ['a serial number that none can have', `pkcs11:token=t;serial=${'x'.repeat(17)}`],
    ['a name twice', 'pkcs11:token=t;token=u'],
    ['a name that is not known', 'pkcs11:token=t;colour=red'],
    ['a slot, which may be another tomorrow', 'pkcs11:token=t;slot-id=1'],
    ['a PIN', 'pkcs11:token=t?pin-value=1234'],
    ['where a PIN is', 'pkcs11:token=t?pin-source=/etc/passwd'],
    ['a module', 'pkcs11:token=t?module-path=/tmp/evil.so'],
    ['a module as if it were a name', 'pkcs11:token=t;module-path=/tmp/evil.so'],
    ['bytes that are not encoded', 'pkcs11:token=a b'],
    ['half of an encoded byte', 'pkcs11:token=a%2'],
    ['what is not UTF-8', 'pkcs11:token=%ff'],
    ['a part without value', 'pkcs11:token=t;serial'],
  ] as const) {
    it(`refuse ${why}: CUSTODY_URI_INVALID`, () => {
      expectCode('CUSTODY_URI_INVALID', () => parseTokenUri(uri))
      expectCode('CUSTODY_URI_INVALID', () => parseKeyUri(`${uri};object=o;id=%00`))
    })
  }

  for (const [why, uri] of [
    ['no id', 'pkcs11:token=t;object=o'],
    ['no name', 'pkcs11:token=t;id=%00'],
    ['a public key', 'pkcs11:token=t;object=o;id=%00;type=public'],
  ] as const) {
    it(`refuse a key with ${why}: CUSTODY_URI_INVALID`, () => {
      expectCode('CUSTODY_URI_INVALID', () => parseKeyUri(uri))
    })
  }

  it('without a serial number mean the token with that label, whichever it is', () => {
    const same = (one: TokenUri, other: TokenUri): boolean => isSameToken(one, other) && isSameToken(other, one)
    expect(same({ token: 't' }, { token: 't', serial: '1' })).to.equal(true)
    expect(same({ token: 't', serial: '1' }, { token: 't', serial: '1' })).to.equal(true)
    expect(same({ token: 't', serial: '1' }, { token: 't', serial: '2' })).to.equal(false)
    expect(same({ token: 't', serial: '1' }, { token: 'u', serial: '1' })).to.equal(false)
  })
})
