// Certificates that we write, compared with Go's bytes, and the PEM that is accepted.
import { generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto'
import { expect } from 'chai'
import {
  certificateKey,
  createRootCertificate,
  parseCertificates,
  parseGun,
  parsePrivateKeyFile,
  publicKeyOf,
  publicKeyPem,
} from '@countersign/tuf'
import { expectCode } from './expect-code.ts'
import { vectorBytes, vectorJson, vectorText } from './vectors.ts'

const gun = parseGun('registry.example.test/demo/app')
const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey

function certificate(
  o: { commonName?: string; privateKey?: KeyObject; notBefore?: Date; notAfter?: Date } = {},
): string {
  return createRootCertificate({
    commonName: gun,
    notBefore: new Date('2026-01-01T00:00:00Z'),
    notAfter: new Date('2036-01-01T00:00:00Z'),
    serialNumber: Buffer.from('b11d7888cad1cad6071a10885768564b', 'hex'),
    privateKey: key,
    ...o,
  })
}

describe('createRootCertificate', () => {
  it('writes what Go writes, up to the signature', () => {
    const go = vectorText('repo-ecdsa/cert-6ea804ec.pem')
    const [rootKey] = parsePrivateKeyFile(
      vectorBytes('repo-ecdsa/keys/private/6ea804ec05093b81ccc56ecdcd6ccb9e57cb2a4e35d7262a2636de361fc35ec7.key'),
      Buffer.from('test-passphrase'),
    )
    const ours = certificate({
      privateKey: rootKey!.privateKey,
      notBefore: new Date('2024-01-01T00:00:00Z'),
      notAfter: new Date('2046-01-01T00:00:00Z'),
    })
    expect(signedPart(ours)).to.equal(signedPart(go))
  })

  it('writes what Go writes for RSA, byte for byte, since that signature is not random', () => {
    const go = vectorText('repo-mixed/cert-2f7cc68f.pem')
    const [rootKey] = parsePrivateKeyFile(
      vectorBytes('repo-mixed/keys/private/2f7cc68fadb58b5766848b0b4484bd849c0842eefdf10840f59e5fc46c33ec26.key'),
      Buffer.from('test-passphrase'),
    )
    const ours = createRootCertificate({
      commonName: 'registry.example.test/demo/mixed',
      privateKey: rootKey!.privateKey,
      notBefore: new Date('2024-01-01T00:00:00Z'),
      notAfter: new Date('2046-01-01T00:00:00Z'),
      serialNumber: Buffer.from('21ded4a4ed6b8c78a01b95d235a6ba78', 'hex'),
    })
    expect(ours).to.equal(go)
  })

  it('signs itself', () => {
    const x509 = new X509Certificate(certificate())
    expect(x509.verify(x509.publicKey)).to.equal(true)
  })

  it('takes names that are longer than 64 characters, and patterns', () => {
    for (const commonName of [`registry.example.test/${'a'.repeat(90)}`, 'registry.example.test/team_a/*', '*']) {
      const [read] = parseCertificates(certificate({ commonName }))
      expect(read!.commonName).to.equal(commonName)
    }
  })

  it('writes years from 2050 on as four digits', () => {
    const notAfter = new Date('2051-02-03T04:05:06Z')
    const pem = certificate({ notAfter })
    expect(parseCertificates(pem)[0]!.notAfter).to.deep.equal(notAfter)
    expect(new X509Certificate(pem).validTo).to.contain('2051')
  })

  it('refuses Ed25519, for which Notary has no certificates', () => {
    expectCode('KEY_TYPE_UNSUPPORTED', () => certificate({ privateKey: generateKeyPairSync('ed25519').privateKey }))
  })
})

describe('certificateKey', () => {
  for (const [file, repository] of [
    ['cert-6ea804ec.pem', 'repo-ecdsa'],
    ['cert-a0cae746.pem', 'repo-ecdsa'],
    ['cert-d215c964.pem', 'repo-mixed'],
    ['cert-2f7cc68f.pem', 'repo-mixed'],
    ['cert-a0b5afb2.pem', 'repo-mixed'],
    ['cert-1bd86772.pem', 'repo-mixed'],
  ] as const) {
    it(`finds both IDs of ${file}`, () => {
      const { keys } = vectorJson(`${repository}/keys.json`) as { keys: { PrivateKeyID: string; TufKeyID: string }[] }
      const { tufKeyId, canonicalKeyId } = certificateKey(vectorText(`${repository}/${file}`))
      const listed = keys.find(({ PrivateKeyID }) => PrivateKeyID.startsWith(file.slice(5, 13)))
      expect({ tufKeyId, canonicalKeyId }).to.deep.equal({
        tufKeyId: listed!.TufKeyID,
        canonicalKeyId: listed!.PrivateKeyID,
      })
    })
  }

  it('names the bare key as canonical', () => {
    expect(certificateKey(certificate()).canonicalKeyId).to.equal(publicKeyOf(key).tufKeyId)
  })

  it('gives the PEM back', () => {
    const pem = certificate()
    expect(publicKeyPem(certificateKey(pem))).to.equal(pem)
  })

  describe('refuses', () => {
    const pem = certificate()
    const cases: Record<string, string> = {
      'a missing newline at the end': pem.trimEnd(),
      'CRLF line ends': pem.replaceAll('\n', '\r\n'),
      'base64 in one line': pem.replace(
        /(?<=BEGIN CERTIFICATE-----\n)[^-]+/,
        (body) => `${body.replaceAll('\n', '')}\n`,
      ),
      'text in front': `subject\n${pem}`,
      headers: pem.replace('-----\n', '-----\nname: value\n\n'),
      'a key instead of a certificate': key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'eleven certificates': pem.repeat(11),
      nothing: '',
    }
    for (const [name, text] of Object.entries(cases)) {
      it(name, () => expectCode('CERTIFICATE_PEM', () => certificateKey(text)))
    }
    it('a certificate that is cut off', () => {
      const body = new X509Certificate(pem).raw.subarray(0, 200).toString('base64')
      expectCode('CERTIFICATE_MALFORMED', () =>
        certificateKey(`-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`),
      )
    })
  })
})

function signedPart(pem: string): string {
  const der = new X509Certificate(pem).raw
  return der.subarray(4, 8 + der.readUInt16BE(6)).toString('hex')
}
