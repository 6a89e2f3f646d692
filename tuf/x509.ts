// Certificates as data: read from PEM and DER, and made for new root keys. Which certificate may stand for a root or a
// delegation is root-certificate.ts. Notary uses certificates as labelled keys; there is no revocation.
import { Buffer } from 'node:buffer'
import { createPublicKey, sign, X509Certificate, type KeyObject } from 'node:crypto'
import {
  bits,
  bytesOf,
  contextTag,
  encodeDer,
  hasTag,
  integer,
  integerOf,
  isType,
  nullValue,
  octets,
  oid,
  oidOf,
  partsOf,
  readDer,
  sequence,
  set,
  text,
  time,
  timeOf,
  trueValue,
  unsignedInteger,
  type DerNode,
} from './der.ts'
import { TufError } from './errors.ts'
import { certificateKeyOf, publicKeyOf, type PublicKey } from './key.ts'
import { encodePem, parsePem } from './pem.ts'

/** What a certificate says. */
export interface Certificate {
  readonly x509: X509Certificate
  readonly der: Buffer
  /** The last common name of the subject, as Go takes it; empty without one. */
  readonly commonName: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly signatureAlgorithm: string
  readonly isCa: boolean
  /** How many CA certificates may stand between this one and the leaf. */
  readonly pathLength?: number
  /** Extension OIDs that are critical. */
  readonly critical: readonly string[]
  /** Absent: any use. */
  readonly extendedKeyUsages?: readonly string[]
  readonly hasNameConstraints: boolean
  /** First byte of the key usage bits; absent: any use. */
  readonly keyUsage?: number
}

/** What a root certificate is to say, but for its key. */
export interface RootCertificateTerms {
  /** The GUN, or a pattern that ends in `*`. May be longer than the 64 characters that other tools allow. */
  readonly commonName: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** 16 random bytes. */
  readonly serialNumber: Uint8Array
}

export interface NewRootCertificate extends RootCertificateTerms {
  readonly privateKey: KeyObject
}

/** A certificate that its own key has yet to sign. */
export interface UnsignedRootCertificate {
  /** What is signed: DER of TBSCertificate (RFC 5280, 4.1). */
  readonly message: Buffer
  /**
   * The certificate as PEM.
   * @param signature DER of ECDSA-Sig-Value (RFC 3279, 2.2.3), or PKCS #1 v1.5, over SHA-256: whether it is one is the caller's to know
   */
  readonly complete: (signature: Uint8Array) => string
}

export const OID = {
  commonName: '2.5.4.3',
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  extendedKeyUsage: '2.5.29.37',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  rsaWithSha256: '1.2.840.113549.1.1.11',
} as const

const MAX_CERTIFICATES = 10
/** digitalSignature and keyEncipherment: bits 0 and 2. */
const ROOT_KEY_USAGE = Buffer.from([0xa0])

/**
 * The certificates of a bundle, in file order.
 * notary v0.7.0 tuf/utils/x509.go LoadCertBundleFromPEM: every block is a certificate.
 * @throws TufError CERTIFICATE_PEM, CERTIFICATE_MALFORMED
 */
export function parseCertificates(pem: string): readonly Certificate[] {
  const blocks = parsePem(pem)
  if (blocks === undefined || blocks.length === 0 || blocks.length > MAX_CERTIFICATES) {
    throw new TufError('CERTIFICATE_PEM', 'Not PEM with one to ten certificates')
  }
  return blocks.map(({ type, body }) => {
    if (type !== 'CERTIFICATE') throw new TufError('CERTIFICATE_PEM', 'A PEM block is not a certificate', { type })
    return parseCertificate(body)
  })
}

/**
 * Whether the PEM text is byte for byte what Go would write for these certificates. For root keys anything else changes the
 * recomputed key ID, and Docker then refuses the root (notary v0.7.0 trustpinning/certs.go, CertsToKeys).
 */
export function isGoPem(pem: string, certificates: readonly Certificate[]): boolean {
  return pem === certificates.map(({ der }) => encodePem('CERTIFICATE', der)).join('')
}

/**
 * The `ecdsa-x509` or `rsa-x509` key of a bundle, leaf first.
 * @throws TufError CERTIFICATE_PEM (also where the bytes are not Go's), CERTIFICATE_MALFORMED, KEY_*
 */
export function certificateKey(pem: string): PublicKey {
  const certificates = parseCertificates(pem)
  if (!isGoPem(pem, certificates)) {
    throw new TufError('CERTIFICATE_PEM', 'PEM must have 64 columns, LF, a newline at the end, and nothing else')
  }
  return certificateKeyOf(pem)
}

/**
 * A self-signed certificate as PEM, with the fields and the order of fields that Notary's clients write.
 * notary v0.7.0 cryptoservice/certificate.go GenerateCertificate, tuf/utils/x509.go NewCertificate.
 * @throws TufError KEY_TYPE_UNSUPPORTED (neither ECDSA nor RSA), KEY_TOO_WEAK
 */
export function createRootCertificate({ privateKey, ...terms }: NewRootCertificate): string {
  const { message, complete } = prepareRootCertificate(terms, createPublicKey(privateKey))
  return complete(sign('sha256', message, { key: privateKey, dsaEncoding: 'der' }))
}

/** The same for a private key that signs somewhere else. @throws TufError KEY_TYPE_UNSUPPORTED (neither ECDSA nor RSA), KEY_TOO_WEAK */
export function prepareRootCertificate(terms: RootCertificateTerms, publicKey: KeyObject): UnsignedRootCertificate {
  const { keyType } = publicKeyOf(publicKey)
  if (keyType === 'ed25519') {
    throw new TufError('KEY_TYPE_UNSUPPORTED', 'Notary has no root certificates for this type of key', { keyType })
  }
  const algorithm =
    keyType === 'ecdsa' ? sequence(oid(OID.ecdsaWithSha256)) : sequence(oid(OID.rsaWithSha256), nullValue())
  const name = sequence(set(sequence(oid(OID.commonName), text(terms.commonName))))
  const body = sequence(
    contextTag(0, integer(2)),
    unsignedInteger(terms.serialNumber),
    algorithm,
    name,
    sequence(time(terms.notBefore), time(terms.notAfter)),
    name,
    readDer(publicKey.export({ type: 'spki', format: 'der' })),
    contextTag(
      3,
      sequence(
        extension(OID.keyUsage, bits(ROOT_KEY_USAGE, 5), true),
        extension(OID.extendedKeyUsage, sequence(oid(OID.codeSigning)), false),
        extension(OID.basicConstraints, sequence(), true),
      ),
    ),
  )
  const message = encodeDer(body)
  return {
    message,
    complete: (signature) => encodePem('CERTIFICATE', encodeDer(sequence(body, algorithm, bits(signature)))),
  }
}

/** DER of ECDSA-Sig-Value (RFC 3279, 2.2.3) from r and s side by side, as tokens and Notary write them. */
export function ecdsaSignatureDer(signature: Uint8Array): Buffer {
  const half = signature.byteLength / 2
  return encodeDer(sequence(unsignedInteger(signature.subarray(0, half)), unsignedInteger(signature.subarray(half))))
}

function extension(id: string, value: DerNode, critical: boolean): DerNode {
  const content = octets(encodeDer(value))
  return critical ? sequence(oid(id), trueValue(), content) : sequence(oid(id), content)
}

function parseCertificate(der: Buffer): Certificate {
  try {
    const x509 = new X509Certificate(der)
    const [body, , ...afterAlgorithm] = partsOf(readDer(der), 'sequence')
    if (afterAlgorithm.length !== 1) throw new Error('not three parts')
    return { x509, der, ...parseBody(partsOf(body, 'sequence')) }
  } catch (cause) {
    throw new TufError('CERTIFICATE_MALFORMED', 'A certificate cannot be read', {}, { cause })
  }
}

/** RFC 5280, 4.1. */
function parseBody(parts: readonly DerNode[]): Omit<Certificate, 'x509' | 'der'> {
  const [, signatureAlgorithm, , validity, subject, , ...optional] = hasTag(parts[0], 0) ? parts.slice(1) : parts
  const [notBefore, notAfter] = partsOf(validity, 'sequence')
  const list = optional.find((part) => hasTag(part, 3))
  return {
    signatureAlgorithm: oidOf(partsOf(signatureAlgorithm, 'sequence')[0]),
    commonName: commonNameOf(subject),
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    ...parseExtensions(list === undefined ? [] : partsOf(partsOf(list)[0], 'sequence')),
  }
}

/** Go crypto/x509/pkix FillFromRDNSequence: the last one counts. No limit on its length. */
function commonNameOf(subject: DerNode | undefined): string {
  let commonName = ''
  for (const attribute of partsOf(subject, 'sequence').flatMap((names) => partsOf(names, 'set'))) {
    const [id, value] = partsOf(attribute, 'sequence')
    if (oidOf(id) === OID.commonName) commonName = bytesOf(value).toString('utf8')
  }
  return commonName
}

function parseExtensions(
  list: readonly DerNode[],
): Pick<Certificate, 'isCa' | 'pathLength' | 'critical' | 'extendedKeyUsages' | 'hasNameConstraints' | 'keyUsage'> {
  const values = new Map<string, DerNode>()
  const critical: string[] = []
  for (const item of list) {
    const parts = partsOf(item, 'sequence')
    const id = oidOf(parts[0])
    if (values.has(id)) throw new Error('an extension stands twice')
    if (isType(parts[1], 'boolean')) critical.push(id)
    values.set(id, readDer(bytesOf(parts.at(-1), 'octets')))
  }
  const constraints = values.get(OID.basicConstraints)
  const [ca, pathLength] = constraints === undefined ? [] : partsOf(constraints, 'sequence')
  const usages = values.get(OID.extendedKeyUsage)
  const usageBits = values.get(OID.keyUsage)
  return {
    isCa: isType(ca, 'boolean') && bytesOf(ca)[0] !== 0,
    ...(pathLength !== undefined && { pathLength: integerOf(pathLength) }),
    ...(usages !== undefined && { extendedKeyUsages: partsOf(usages, 'sequence').map(oidOf) }),
    ...(usageBits !== undefined && { keyUsage: bytesOf(usageBits, 'bits')[1] ?? 0 }),
    hasNameConstraints: values.has(OID.nameConstraints),
    critical,
  }
}
