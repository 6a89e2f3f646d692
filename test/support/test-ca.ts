// A certificate authority for tests, and root keys that it vouches for. Made of DER by hand, because the library makes only
// self-signed certificates.
import { createPublicKey, sign, type KeyObject } from 'node:crypto'
import { certificateKey } from '@countersign/tuf'
import {
  bits,
  contextTag,
  encodeDer,
  integer,
  octets,
  oid,
  readDer,
  sequence,
  set,
  text,
  time,
  trueValue,
  unsignedInteger,
  type DerNode,
} from '../../tuf/der.ts'
import { encodePem } from '../../tuf/pem.ts'
import { testKey, type TestKey } from './test-keys.ts'

const COMMON_NAME = '2.5.4.3'
const BASIC_CONSTRAINTS = '2.5.29.19'
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'

/** The authority's own certificate. */
export function testCa(name: string): string {
  const isCa = sequence(oid(BASIC_CONSTRAINTS), trueValue(), octets(encodeDer(sequence(trueValue()))))
  return certificate({ subject: name, issuer: name, key: keyOf(name), issuerKey: keyOf(name), extensions: [isCa] })
}

/** A root key whose certificate the authority signed; without any usage, as Go wants it for CA pins. */
export function testKeyOfCa(name: string, commonName: string, ca: string): TestKey {
  const { privateKey } = testKey(name)
  const pem = certificate({ subject: commonName, issuer: ca, key: privateKey, issuerKey: keyOf(ca), extensions: [] })
  return { privateKey, publicKey: certificateKey(pem) }
}

function keyOf(ca: string): KeyObject {
  return testKey(`ca ${ca}`).privateKey
}

function certificate(o: {
  subject: string
  issuer: string
  key: KeyObject
  issuerKey: KeyObject
  extensions: readonly DerNode[]
}): string {
  const algorithm = sequence(oid(ECDSA_WITH_SHA256))
  const body = sequence(
    contextTag(0, integer(2)),
    unsignedInteger(Buffer.from([1])),
    algorithm,
    nameOf(o.issuer),
    sequence(time(new Date('2026-01-01T00:00:00Z')), time(new Date('2036-01-01T00:00:00Z'))),
    nameOf(o.subject),
    readDer(createPublicKey(o.key).export({ type: 'spki', format: 'der' })),
    ...(o.extensions.length === 0 ? [] : [contextTag(3, sequence(...o.extensions))]),
  )
  const signature = sign('sha256', encodeDer(body), { key: o.issuerKey, dsaEncoding: 'der' })
  return encodePem('CERTIFICATE', encodeDer(sequence(body, algorithm, bits(signature))))
}

function nameOf(commonName: string): DerNode {
  return sequence(set(sequence(oid(COMMON_NAME), text(commonName))))
}
