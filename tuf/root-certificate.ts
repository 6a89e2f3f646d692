// Which certificates may stand for a root key or a delegation key, and whether one chains up to a pinned CA.
// Answers by throwing; whether the key may sign is the verifier's question.
import { TufError } from './errors.ts'
import type { Gun } from './gun.ts'
import { certificatePem, isCertificateKey, keyObjectOf, type PublicKey } from './key.ts'
import { isGoPem, OID, parseCertificates, type Certificate } from './x509.ts'

const ONE_DAY_MS = 24 * 60 * 60 * 1000
const CERT_SIGN = 0x04
const MAX_CHAIN = 8

/**
 * Signature algorithms of certificates: SHA-256, -384, -512 with ECDSA and RSA, RSA-PSS, Ed25519. Notary refuses SHA-1 only;
 * this list also keeps out MD5 and what Go does not know.
 */
const SIGNATURE_ALGORITHMS: ReadonlySet<string> = new Set([
  OID.ecdsaWithSha256,
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  OID.rsaWithSha256,
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.113549.1.1.10',
  '1.3.101.112',
])

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const ANY_USAGE = '2.5.29.37.0'

/** Critical extensions that the chain check understands: usages, constraints, subject names, policies. */
const UNDERSTOOD_EXTENSIONS: ReadonlySet<string> = new Set([
  OID.keyUsage,
  OID.basicConstraints,
  OID.extendedKeyUsage,
  '2.5.29.17',
  '2.5.29.32',
])

/**
 * Whether a root key is a certificate that may stand for this GUN now.
 * notary v0.7.0 trustpinning/certs.go ValidateRoot, parseAllCerts, validRootLeafCerts; tuf/utils/x509.go ValidateCertificate.
 * @throws TufError CERTIFICATE_BUNDLE (not a certificate, or not exactly one leaf in front), CERTIFICATE_PEM,
 * CERTIFICATE_MALFORMED, CERTIFICATE_NAME, CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_ALGORITHM, KEY_*
 */
export function verifyRootCertificate(key: PublicKey, gun: Gun, now: Date): void {
  const { certificates, leaf } = parseBundle(key)
  if (!isGoPem(certificatePem(key), certificates)) {
    throw new TufError('CERTIFICATE_PEM', 'The PEM of a root certificate is not byte for byte as Go writes it')
  }
  if (!matchesGun(leaf.commonName, gun)) {
    throw new TufError('CERTIFICATE_NAME', 'A root certificate is for another repository', {
      commonName: leaf.commonName.slice(0, 255),
      gun,
    })
  }
  verifyContent(key, leaf)
  verifyValidity(leaf, now, ONE_DAY_MS)
}

/**
 * What Notary's clients check of a certificate in a delegation; where it fails, they refuse the whole repository.
 * notary v0.7.0 tuf/tuf.go GetDelegationRole, tuf/utils/x509.go ValidateCertificate without expiry. Keys that are no
 * certificates pass.
 * @throws TufError CERTIFICATE_MALFORMED, CERTIFICATE_PEM, CERTIFICATE_ALGORITHM, CERTIFICATE_EXPIRED, KEY_*
 */
export function verifyDelegationCertificate(key: PublicKey): void {
  if (!isCertificateKey(key)) return
  const [leaf] = parseCertificates(certificatePem(key))
  if (leaf !== undefined) verifyContent(key, leaf)
}

/**
 * Whether the leaf of a root key chains up to one of the CA certificates, by way of the intermediates in its own bundle.
 * notary v0.7.0 trustpinning/trustpin.go caCheck, Go crypto/x509 Verify with its default usage serverAuth: a leaf for
 * codeSigning only does not pass. Stricter: CA certificates with name constraints are not used.
 * @throws TufError CERTIFICATE_CHAIN, CERTIFICATE_BUNDLE, CERTIFICATE_PEM, CERTIFICATE_MALFORMED
 */
export function verifyCertificateChain(key: PublicKey, caCertificatesPem: string, now: Date): void {
  const { leaf, intermediates } = parseBundle(key)
  const anchors = parseCertificates(caCertificatesPem)
  if (!isUsableInChain(leaf, now) || !chainsUp(leaf, intermediates, anchors, now, 0)) {
    throw new TufError('CERTIFICATE_CHAIN', 'A root certificate does not chain up to a pinned CA')
  }
}

interface Bundle {
  readonly certificates: readonly Certificate[]
  readonly leaf: Certificate
  readonly intermediates: readonly Certificate[]
}

/** A key never changes, and neither does what stands in it. Whether it is valid now is asked each time. */
const bundles = new WeakMap<PublicKey, Bundle>()

function parseBundle(key: PublicKey): Bundle {
  const known = bundles.get(key)
  if (known !== undefined) return known
  if (!isCertificateKey(key)) {
    throw new TufError('CERTIFICATE_BUNDLE', 'A root key is not a certificate', { keyType: key.keyType })
  }
  const certificates = parseCertificates(certificatePem(key))
  const [leaf, ...intermediates] = certificates
  if (leaf === undefined || leaf.isCa || intermediates.some(({ isCa }) => !isCa)) {
    throw new TufError('CERTIFICATE_BUNDLE', 'A root key needs exactly one certificate that is not a CA, as the first')
  }
  const bundle = { certificates, leaf, intermediates }
  bundles.set(key, bundle)
  return bundle
}

/** notary v0.7.0 trustpinning/certs.go matchCNToGun. */
function matchesGun(commonName: string, gun: Gun): boolean {
  return commonName.endsWith('*') ? gun.startsWith(commonName.replace(/\*+$/, '')) : commonName === gun
}

function verifyContent(key: PublicKey, leaf: Certificate): void {
  if (leaf.notBefore > leaf.notAfter) {
    throw new TufError('CERTIFICATE_EXPIRED', 'A certificate ends before it begins')
  }
  if (!SIGNATURE_ALGORITHMS.has(leaf.signatureAlgorithm)) {
    throw new TufError('CERTIFICATE_ALGORITHM', 'A certificate is signed with an algorithm that is not accepted', {
      algorithm: leaf.signatureAlgorithm,
    })
  }
  keyObjectOf(key)
}

function verifyValidity(certificate: Certificate, now: Date, leewayMs: number): void {
  const { notBefore, notAfter } = certificate
  if (now > notAfter) {
    throw new TufError('CERTIFICATE_EXPIRED', 'A certificate has expired', { notAfter: notAfter.toISOString() })
  }
  if (now.getTime() + leewayMs < notBefore.getTime()) {
    throw new TufError('CERTIFICATE_NOT_YET_VALID', 'A certificate is not valid yet', {
      notBefore: notBefore.toISOString(),
    })
  }
}

/** Depth first, bounded; `cas` counts the CA certificates below the next one. */
function chainsUp(
  certificate: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly Certificate[],
  now: Date,
  cas: number,
): boolean {
  if (anchors.some(({ der }) => der.equals(certificate.der))) return true
  if (cas >= MAX_CHAIN) return false
  const isIssuer = (issuer: Certificate): boolean =>
    isUsableInChain(issuer, now) && isUsableIssuer(issuer, cas) && issued(issuer, certificate)
  if (anchors.some(isIssuer)) return true
  return intermediates.some((next) => {
    const rest = intermediates.filter((other) => other !== next)
    return isIssuer(next) && chainsUp(next, rest, anchors, now, cas + 1)
  })
}

function isUsableInChain(certificate: Certificate, now: Date): boolean {
  const usages = certificate.extendedKeyUsages
  return (
    now >= certificate.notBefore &&
    now <= certificate.notAfter &&
    SIGNATURE_ALGORITHMS.has(certificate.signatureAlgorithm) &&
    certificate.critical.every((id) => UNDERSTOOD_EXTENSIONS.has(id)) &&
    (usages === undefined || usages.includes(SERVER_AUTH) || usages.includes(ANY_USAGE))
  )
}

function isUsableIssuer(issuer: Certificate, cas: number): boolean {
  return (
    issuer.isCa &&
    !issuer.hasNameConstraints &&
    (issuer.keyUsage === undefined || (issuer.keyUsage & CERT_SIGN) !== 0) &&
    (issuer.pathLength === undefined || issuer.pathLength >= cas)
  )
}

function issued(issuer: Certificate, certificate: Certificate): boolean {
  return certificate.x509.checkIssued(issuer.x509) && certificate.x509.verify(issuer.x509.publicKey)
}
