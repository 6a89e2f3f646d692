// Which certificates may stand for a root or a delegation, and chains to a pinned CA.
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect } from 'chai'
import {
  createRootCertificate,
  encodeBase64,
  parseGun,
  parsePublicKey,
  publicKeyOf,
  verifyCertificateChain,
  verifyDelegationCertificate,
  verifyRootCertificate,
  type PublicKey,
  type TufErrorCode,
} from '@countersign/tuf'
import { codeOf, expectCode } from './expect-code.ts'
import { vectorText } from './vectors.ts'

const gun = parseGun('registry.example.test/demo/app')
const now = new Date('2027-01-01T00:00:00Z')
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })

/** A key as a foreign root could list it: nothing about the PEM is checked on the way in. */
function keyOf(pem: string, keyType = 'ecdsa-x509'): PublicKey {
  const keyValue = new Map([
    ['private', null],
    ['public', encodeBase64(Buffer.from(pem, 'latin1'))],
  ])
  return parsePublicKey(
    new Map<string, string | typeof keyValue>([
      ['keytype', keyType],
      ['keyval', keyValue],
    ]),
  )
}

function fixture(...names: string[]): string {
  return names
    .map((name) => readFileSync(resolve(import.meta.dirname, `../vectors/x509/${name}.pem`), 'latin1'))
    .join('')
}

function made(o: { commonName?: string; notBefore?: string; notAfter?: string } = {}): PublicKey {
  return keyOf(
    createRootCertificate({
      commonName: o.commonName ?? gun,
      notBefore: new Date(o.notBefore ?? '2026-01-01T00:00:00Z'),
      notAfter: new Date(o.notAfter ?? '2036-01-01T00:00:00Z'),
      serialNumber: Buffer.alloc(16, 7),
      privateKey,
    }),
  )
}

describe('verifyRootCertificate', () => {
  const verify = (key: PublicKey, at = now) =>
    codeOf(() => {
      verifyRootCertificate(key, gun, at)
    })?.code

  it('takes certificates of Go, of OpenSSL, of ours, and bundles with intermediates', () => {
    expect(verify(keyOf(vectorText('repo-ecdsa/cert-6ea804ec.pem')))).to.equal(undefined)
    expect(verify(keyOf(fixture('bare')))).to.equal(undefined)
    expect(verify(keyOf(fixture('leaf-of-intermediate', 'intermediate')))).to.equal(undefined)
    expect(verify(made())).to.equal(undefined)
  })

  describe('compares the common name with the GUN', () => {
    const names: Record<string, TufErrorCode | undefined> = {
      'registry.example.test/demo/app': undefined,
      'registry.example.test/demo/*': undefined,
      'registry.example.test/demo/ap*': undefined,
      'registry.example.test/demo/app*': undefined,
      'registry.example.test/**': undefined,
      '*': undefined,
      'registry.example.test/demo/ap': 'CERTIFICATE_NAME',
      'registry.example.test/demo/app2': 'CERTIFICATE_NAME',
      'registry.example.test/other/*': 'CERTIFICATE_NAME',
      'Registry.example.test/demo/app': 'CERTIFICATE_NAME',
      '*/demo/app': 'CERTIFICATE_NAME',
      '': 'CERTIFICATE_NAME',
    }
    for (const [commonName, code] of Object.entries(names)) {
      it(JSON.stringify(commonName), () => {
        expect(verify(made({ commonName }))).to.equal(code)
      })
    }
    it('a name longer than 64 characters', () => {
      const long = parseGun(`registry.example.test/${'a'.repeat(74)}`)
      expect(
        codeOf(() => {
          verifyRootCertificate(made({ commonName: long }), long, now)
        }),
      ).to.equal(undefined)
    })
  })

  it('holds until the very second of its end, and from a day before its beginning', () => {
    const key = made({ notBefore: '2027-01-02T00:00:00Z', notAfter: '2028-01-01T00:00:00Z' })
    expect(verify(key, new Date('2027-01-01T00:00:00Z'))).to.equal(undefined)
    expect(verify(key, new Date('2026-12-31T23:59:59Z'))).to.equal('CERTIFICATE_NOT_YET_VALID')
    expect(verify(key, new Date('2028-01-01T00:00:00Z'))).to.equal(undefined)
    expect(verify(key, new Date('2028-01-01T00:00:01Z'))).to.equal('CERTIFICATE_EXPIRED')
  })

  describe('refuses', () => {
    const keys: Record<string, [TufErrorCode, PublicKey]> = {
      'a bare key': ['CERTIFICATE_BUNDLE', publicKeyOf(privateKey)],
      'a CA certificate as leaf': ['CERTIFICATE_BUNDLE', keyOf(fixture('ca-with-gun'))],
      'two leaves': ['CERTIFICATE_BUNDLE', keyOf(fixture('leaf', 'bare'))],
      'a CA in front of the leaf': ['CERTIFICATE_BUNDLE', keyOf(fixture('ca', 'leaf'))],
      'a certificate that ends before it begins': [
        'CERTIFICATE_EXPIRED',
        made({ notBefore: '2030-01-01T00:00:00Z', notAfter: '2029-01-01T00:00:00Z' }),
      ],
      'SHA-1': ['CERTIFICATE_ALGORITHM', keyOf(fixture('sha1'), 'rsa-x509')],
      'RSA of 1024 bits': ['KEY_TOO_WEAK', keyOf(fixture('rsa1024'), 'rsa-x509')],
      'a key type other than the certificate’s': ['KEY_MALFORMED', keyOf(fixture('bare'), 'rsa-x509')],
      'CRLF line ends': ['CERTIFICATE_PEM', keyOf(fixture('bare').replaceAll('\n', '\r\n'))],
      'a missing newline at the end': ['CERTIFICATE_PEM', keyOf(fixture('bare').trimEnd())],
      'text in front': ['CERTIFICATE_PEM', keyOf(`subject=x\n${fixture('bare')}`)],
      'no PEM at all': ['CERTIFICATE_PEM', keyOf('AAAA')],
      'a PEM block that is no certificate': [
        'CERTIFICATE_PEM',
        keyOf('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'),
      ],
      'a certificate that is no DER': [
        'CERTIFICATE_MALFORMED',
        keyOf('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
      ],
    }
    for (const [name, [code, key]] of Object.entries(keys)) {
      it(name, () => {
        expect(verify(key)).to.equal(code)
      })
    }
  })

  it('answers any changed byte with a code, or with the same verdict', () => {
    const pem = fixture('bare')
    const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
    for (let at = 0; at < der.length; at++) {
      const changed = Buffer.from(der)
      changed[at]! ^= 0x04
      const body = changed.toString('base64').replace(/.{64}(?=.)/g, '$&\n')
      verify(keyOf(`-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`))
    }
  })
})

describe('verifyDelegationCertificate', () => {
  it('takes bare keys and certificates of any name and age', () => {
    verifyDelegationCertificate(publicKeyOf(privateKey))
    verifyDelegationCertificate(
      made({ commonName: 'alice', notBefore: '1999-01-01T00:00:00Z', notAfter: '2001-01-01T00:00:00Z' }),
    )
    verifyDelegationCertificate(keyOf(fixture('ca')))
    verifyDelegationCertificate(keyOf(fixture('bare').replaceAll('\n', '\r\n')))
  })
  it('refuses what makes Notary’s clients refuse the whole repository', () => {
    expectCode('KEY_TOO_WEAK', () => {
      verifyDelegationCertificate(keyOf(fixture('rsa1024'), 'rsa-x509'))
    })
    expectCode('CERTIFICATE_ALGORITHM', () => {
      verifyDelegationCertificate(keyOf(fixture('sha1'), 'rsa-x509'))
    })
    expectCode('CERTIFICATE_EXPIRED', () => {
      verifyDelegationCertificate(made({ notBefore: '2030-01-01T00:00:00Z', notAfter: '2029-01-01T00:00:00Z' }))
    })
    expectCode('CERTIFICATE_PEM', () => {
      verifyDelegationCertificate(keyOf('x'))
    })
  })
})

describe('verifyCertificateChain', () => {
  const verify = (leaf: string[], cas: string[], at = now) =>
    codeOf(() => {
      verifyCertificateChain(keyOf(fixture(...leaf)), fixture(...cas), at)
    })?.code

  it('takes a leaf of the CA, directly and by way of an intermediate', () => {
    expect(verify(['leaf'], ['ca'])).to.equal(undefined)
    expect(verify(['leaf'], ['other-ca', 'ca'])).to.equal(undefined)
    expect(verify(['leaf-server-auth'], ['ca'])).to.equal(undefined)
    expect(verify(['leaf-of-intermediate', 'intermediate'], ['ca'])).to.equal(undefined)
    expect(verify(['leaf-of-intermediate', 'other-ca', 'intermediate'], ['ca'])).to.equal(undefined)
    expect(verify(['leaf-of-intermediate'], ['intermediate'])).to.equal(undefined)
    expect(verify(['leaf-of-path-length-0'], ['ca-path-length-0'])).to.equal(undefined)
    expect(verify(['bare'], ['bare'])).to.equal(undefined)
  })

  describe('refuses', () => {
    const cases: Record<string, [string[], string[]]> = {
      'a leaf of another CA': [['leaf'], ['other-ca']],
      'a self-signed leaf': [['bare'], ['ca']],
      'a leaf for code signing only, as Go does': [['leaf-code-signing'], ['ca']],
      'a leaf with an unknown critical extension': [['leaf-unknown-critical'], ['ca']],
      'a missing intermediate': [['leaf-of-intermediate'], ['ca']],
      'an issuer that is no CA': [['leaf-of-not-a-ca'], ['not-a-ca']],
      'an issuer that may not sign certificates': [['leaf-of-ca-without-cert-sign'], ['ca-without-cert-sign']],
      'an issuer with name constraints': [['leaf-of-name-constraints'], ['ca-name-constraints']],
      'a path longer than the CA allows': [['leaf-of-intermediate-short', 'intermediate-short'], ['ca-path-length-0']],
    }
    for (const [name, [leaf, cas]] of Object.entries(cases)) {
      it(name, () => {
        expect(verify(leaf, cas)).to.equal('CERTIFICATE_CHAIN')
      })
    }
    it('certificates before their time and after it', () => {
      expect(verify(['leaf'], ['ca'], new Date('2026-11-01T00:00:00Z'))).to.equal('CERTIFICATE_CHAIN')
      expect(verify(['leaf'], ['ca'], new Date('2127-01-01T00:00:00Z'))).to.equal('CERTIFICATE_CHAIN')
    })
    it('a leaf with the name of the CA’s subject, but not its signature', () => {
      // Same issuer name, other key: `ca` and a second CA of that name.

      const selfMade = createRootCertificate({
        commonName: 'Test CA',
        notBefore: new Date('2026-01-01T00:00:00Z'),
        notAfter: new Date('2036-01-01T00:00:00Z'),
        serialNumber: Buffer.alloc(16, 9),
        privateKey,
      })
      expectCode('CERTIFICATE_CHAIN', () => {
        verifyCertificateChain(keyOf(selfMade), fixture('ca'), now)
      })
    })
    it('a pin that is no certificate', () => {
      expectCode('CERTIFICATE_PEM', () => {
        verifyCertificateChain(keyOf(fixture('leaf')), 'x', now)
      })
    })
  })
})
