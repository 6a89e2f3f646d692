// A certificate authority for tests, made anew each time. Its keys are worth nothing outside the test that made them.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import forge from 'node-forge'

/** Days that test certificates are valid. */
const LIFETIME_DAYS = 2

export interface TestCertificate {
  readonly certificatePem: string
  readonly privateKeyPem: string
}

export interface TestCa {
  readonly certificatePem: string
  /** A certificate for DNS names, URIs and IP addresses, good for servers and for clients. */
  issue(
    names: readonly string[],
    o?: { readonly isExpired?: boolean; readonly isForServers?: boolean; readonly hasNames?: boolean },
  ): TestCertificate
}

interface ForgeKey {
  readonly privateKeyPem: string
  readonly publicKey: forge.pki.rsa.PublicKey
  readonly privateKey: forge.pki.rsa.PrivateKey
}

function newKey(): ForgeKey {
  // Made by OpenSSL inside Node: the pure JavaScript generator takes seconds.
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const privateKeyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return {
    privateKeyPem,
    privateKey: forge.pki.privateKeyFromPem(privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()),
    publicKey: forge.pki.publicKeyFromPem(publicKey.export({ type: 'spki', format: 'pem' }).toString()),
  }
}

function newCertificate(commonName: string, key: ForgeKey, validity: Validity): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = key.publicKey
  // The first byte keeps the number positive and without leading zeros, as DER demands.
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`
  certificate.validity.notBefore = validity.notBefore
  certificate.validity.notAfter = validity.notAfter
  certificate.setSubject([{ name: 'commonName', value: commonName }])
  return certificate
}

interface Validity {
  readonly notBefore: Date
  readonly notAfter: Date
}

/** A fresh authority. @param validity of everything that it makes, its own certificate included */
export function createTestCa(
  commonName = 'Countersign test authority',
  validity: Validity = {
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + LIFETIME_DAYS * 86_400_000),
  },
): TestCa {
  const key = newKey()
  const ca = newCertificate(commonName, key, validity)
  ca.setIssuer(ca.subject.attributes)
  ca.setExtensions([
    { name: 'basicConstraints', critical: true, cA: true },
    { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
  ])
  ca.sign(key.privateKey, forge.md.sha256.create())
  return {
    certificatePem: pem(ca),
    issue: (names, { isExpired = false, isForServers = false, hasNames = true } = {}) => {
      const leafKey = newKey()
      const leaf = newCertificate(names[0] ?? 'localhost', leafKey, validity)
      if (isExpired) leaf.validity.notAfter = new Date(Date.now() - 60_000)
      leaf.setIssuer(ca.subject.attributes)
      leaf.setExtensions([
        { name: 'basicConstraints', critical: true, cA: false },
        { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: !isForServers },
        ...(hasNames ? [subjectNames(names)] : []),
      ])
      leaf.sign(key.privateKey, forge.md.sha256.create())
      return { certificatePem: pem(leaf), privateKeyPem: leafKey.privateKeyPem }
    },
  }
}

function subjectNames(names: readonly string[]): object {
  const altNames = names.map((name) => {
    if (isIP(name) !== 0) return { type: 7, ip: name }
    return { type: name.includes('://') ? 6 : 2, value: name }
  })
  return { name: 'subjectAltName', altNames }
}

function pem(certificate: forge.pki.Certificate): string {
  return forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n')
}
