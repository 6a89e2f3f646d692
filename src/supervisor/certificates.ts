// A small certificate authority for the server certificate of a first try: P-256, SHA-256, X.509 version 3 (RFC 5280). No files here.
// The authority is limited to the names of its one server (name constraints), so that a client which trusts it in general, and not for
// this server alone, gives its key no power over other names.
import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import type forge from 'node-forge'
import asn1 from 'node-forge/lib/asn1.js'
import util from 'node-forge/lib/util.js'

export interface CertificateWithKey {
  readonly certificatePem: string
  /** PKCS #8. */
  readonly privateKeyPem: string
}

export interface Validity {
  readonly from: Date
  readonly to: Date
}

type Node = forge.asn1.Asn1

const { Class, Type } = asn1
/** The package's types lack it. */
const { bytesFromIP } = util as unknown as { readonly bytesFromIP: (address: string) => string }

const OID = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
} as const

/** Bit 5 keyCertSign and bit 6 cRLSign; bit 0 digitalSignature. After the number of unused bits. */
const SIGNS_CERTIFICATES = '\x01\x06'
const SIGNS_HANDSHAKES = '\x07\x80'

/** An authority for servers of these names: DNS names and IP addresses. */
export function createAuthority(commonName: string, names: readonly string[], validity: Validity): CertificateWithKey {
  const keys = newKey()
  const subject = nameOf(commonName)
  return issue(keys, { subject, issuer: subject, issuerKey: keys.privateKey, validity }, [
    extension(OID.basicConstraints, true, sequence(primitive(Type.BOOLEAN, '\xff'), integer('\x00'))),
    extension(OID.keyUsage, true, primitive(Type.BITSTRING, SIGNS_CERTIFICATES)),
    extension(OID.nameConstraints, true, permittedOnly(names)),
    extension(OID.subjectKeyIdentifier, false, primitive(Type.OCTETSTRING, keyIdOf(keys.publicKey))),
  ])
}

/** A server certificate for these names, by that authority, with a key of its own. */
export function issueServerCertificate(
  authority: { readonly certificate: X509Certificate; readonly privateKey: KeyObject },
  commonName: string,
  names: readonly string[],
  validity: Validity,
): CertificateWithKey {
  const keys = newKey()
  const { certificate, privateKey } = authority
  const issuer = subjectOf(certificate)
  const authorityKeyId = tagged(0, false, keyIdOf(certificate.publicKey))
  return issue(keys, { subject: nameOf(commonName), issuer, issuerKey: privateKey, validity }, [
    extension(OID.basicConstraints, true, sequence()),
    extension(OID.keyUsage, true, primitive(Type.BITSTRING, SIGNS_HANDSHAKES)),
    extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))),
    extension(OID.subjectAltName, false, sequence(...names.map((name) => generalName(name, addressBytes(name))))),
    extension(OID.authorityKeyIdentifier, false, sequence(authorityKeyId)),
  ])
}

/** Whether the authority is for exactly these names. */
export function isAuthorityFor(certificate: X509Certificate, names: readonly string[]): boolean {
  return certificate.ca && certificate.raw.includes(toDer(permittedOnly(names)))
}

interface Facts {
  readonly subject: Node
  readonly issuer: Node
  readonly issuerKey: KeyObject
  readonly validity: Validity
}

interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

function newKey(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function issue(keys: KeyPair, o: Facts, extensions: readonly Node[]): CertificateWithKey {
  const algorithm = sequence(oid(OID.ecdsaWithSha256))
  const tbs = sequence(
    tagged(0, true, [integer('\x02')]),
    // Positive, and without leading zeros, as DER demands.
    integer(`\x01${randomBytes(15).toString('latin1')}`),
    algorithm,
    o.issuer,
    sequence(time(o.validity.from), time(o.validity.to)),
    o.subject,
    fromDer(spkiOf(keys.publicKey)),
    tagged(3, true, [sequence(...extensions)]),
  )
  const signature = sign('sha256', toDer(tbs), o.issuerKey).toString('latin1')
  const certificate = sequence(tbs, algorithm, primitive(Type.BITSTRING, `\x00${signature}`))
  return {
    certificatePem: new X509Certificate(toDer(certificate)).toString(),
    privateKeyPem: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** The subject as its bytes stand in the certificate: what names the issuer must be the same to the byte. */
function subjectOf(certificate: X509Certificate): Node {
  const [tbs] = partsOf(fromDer(certificate.raw))
  // Version, serial number, algorithm, issuer, validity, subject.
  const subject = partsOf(tbs)[5]
  if (subject === undefined) throw new Error('The certificate of the authority has no subject.')
  return subject
}

function partsOf(node: Node | undefined): readonly Node[] {
  return node === undefined || typeof node.value === 'string' ? [] : node.value
}

/** RFC 5280 4.2.1.10: addresses with a mask. What is not permitted of a kind that is named is excluded. */
function permittedOnly(names: readonly string[]): Node {
  const subtrees = names.map((name) => {
    const bytes = addressBytes(name)
    return sequence(generalName(name, bytes + '\xff'.repeat(bytes.length)))
  })
  return sequence(tagged(0, true, subtrees))
}

function generalName(name: string, address: string): Node {
  return isIP(name) === 0 ? tagged(2, false, name) : tagged(7, false, address)
}

/** Empty for DNS names. */
function addressBytes(name: string): string {
  return isIP(name) === 0 ? '' : bytesFromIP(name)
}

function nameOf(commonName: string): Node {
  return sequence(
    asn1.create(Class.UNIVERSAL, Type.SET, true, [
      sequence(oid(OID.commonName), primitive(Type.UTF8, util.encodeUtf8(commonName))),
    ]),
  )
}

function extension(id: string, isCritical: boolean, value: Node): Node {
  const critical = isCritical ? [primitive(Type.BOOLEAN, '\xff')] : []
  return sequence(oid(id), ...critical, primitive(Type.OCTETSTRING, toDer(value).toString('latin1')))
}

/** RFC 5280 4.1.2.5: UTCTime until 2049. */
function time(at: Date): Node {
  return at.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, asn1.dateToUtcTime(at))
    : primitive(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(at))
}

/** RFC 5280 4.2.1.2: the SHA-1 of the key's bits; a name, no protection. */
function keyIdOf(key: KeyObject): string {
  const point = spkiOf(key).subarray(-65)
  return createHash('sha1').update(point).digest().toString('latin1')
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

function sequence(...parts: readonly Node[]): Node {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, [...parts])
}

function primitive(type: forge.asn1.Type, bytes: string): Node {
  return asn1.create(Class.UNIVERSAL, type, false, bytes)
}

function integer(bytes: string): Node {
  return primitive(Type.INTEGER, bytes)
}

function oid(dotted: string): Node {
  return primitive(Type.OID, asn1.oidToDer(dotted).getBytes())
}

/** A context tag; the package's types know universal ones only. */
function tagged(tag: number, constructed: boolean, value: string | readonly Node[]): Node {
  const create = asn1.create as (tagClass: number, tag: number, constructed: boolean, value: unknown) => Node
  return create(Class.CONTEXT_SPECIFIC, tag, constructed, typeof value === 'string' ? value : [...value])
}

function toDer(node: Node): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1')
}

function fromDer(bytes: Buffer): Node {
  return asn1.fromDer(bytes.toString('latin1'))
}
