// DER values of certificates and key files, on top of node-forge's ASN.1: reading with checks, and building. Knows no schema.
import { Buffer } from 'node:buffer'
import type forge from 'node-forge'
import asn1 from 'node-forge/lib/asn1.js'

const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class

export type DerNode = forge.asn1.Asn1

/** Bit strings are left as bytes: the package would otherwise guess whether they hold ASN.1. Its types lack these options. */
const fromDer = asn1.fromDer as unknown as (
  bytes: string,
  options: Readonly<Record<string, boolean | number>>,
) => DerNode
const createTagged = asn1.create as (tagClass: number, tag: number, constructed: boolean, parts: DerNode[]) => DerNode
const READ_OPTIONS = { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth: 32 }

export type UniversalType = 'integer' | 'octets' | 'bits' | 'boolean' | 'oid' | 'sequence' | 'set'

const TYPES: Readonly<Record<UniversalType, forge.asn1.Type>> = {
  integer: asn1.Type.INTEGER,
  octets: asn1.Type.OCTETSTRING,
  bits: asn1.Type.BITSTRING,
  boolean: asn1.Type.BOOLEAN,
  oid: asn1.Type.OID,
  sequence: asn1.Type.SEQUENCE,
  set: asn1.Type.SET,
}

/** What is read is not the DER that the caller expects. Callers turn it into a code of their own. */
export class DerError extends Error {}

/** @throws DerError also where the bytes are BER but not DER: lengths and values have one encoding. */
export function readDer(bytes: Uint8Array): DerNode {
  const binary = Buffer.from(bytes).toString('latin1')
  let node: DerNode
  try {
    node = fromDer(binary, READ_OPTIONS)
  } catch (cause) {
    throw new DerError('not ASN.1', { cause })
  }
  if (asn1.toDer(node).getBytes() !== binary) throw new DerError('not DER')
  return node
}

export function encodeDer(node: DerNode): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1')
}

export function isType(node: DerNode | undefined, type: UniversalType): node is DerNode {
  return node?.tagClass === UNIVERSAL && node.type === TYPES[type]
}

/** Whether the node carries the context tag, as optional members do. */
export function hasTag(node: DerNode | undefined, tag: number): node is DerNode {
  return node?.tagClass === CONTEXT_SPECIFIC && (node.type as number) === tag
}

/** The parts of a sequence or set, or of a constructed context tag. @throws DerError */
export function partsOf(node: DerNode | undefined, type?: 'sequence' | 'set'): readonly DerNode[] {
  if (node === undefined || (type !== undefined && !isType(node, type))) throw new DerError('not a sequence')
  if (typeof node.value === 'string') throw new DerError('not constructed')
  return node.value
}

/** The content bytes of a primitive value. @throws DerError */
export function bytesOf(node: DerNode | undefined, type?: UniversalType): Buffer {
  if (node === undefined || (type !== undefined && !isType(node, type))) throw new DerError('not the expected type')
  if (typeof node.value !== 'string') throw new DerError('not primitive')
  return Buffer.from(node.value, 'latin1')
}

/** An object identifier in dotted form. @throws DerError */
export function oidOf(node: DerNode | undefined): string {
  return asn1.derToOid(bytesOf(node, 'oid').toString('latin1'))
}

/** A small non-negative integer. @throws DerError */
export function integerOf(node: DerNode | undefined): number {
  const bytes = bytesOf(node, 'integer')
  if (bytes.length < 1 || bytes.length > 4 || (bytes[0] ?? 0) > 0x7f) throw new DerError('integer out of range')
  return bytes.readUIntBE(0, bytes.length)
}

function universal(type: forge.asn1.Type, constructed: boolean, value: string | DerNode[]): DerNode {
  return asn1.create(UNIVERSAL, type, constructed, value)
}

export function sequence(...parts: readonly DerNode[]): DerNode {
  return universal(asn1.Type.SEQUENCE, true, [...parts])
}

export function set(...parts: readonly DerNode[]): DerNode {
  return universal(asn1.Type.SET, true, [...parts])
}

export function oid(dotted: string): DerNode {
  return universal(asn1.Type.OID, false, asn1.oidToDer(dotted).getBytes())
}

/** A non-negative integer of any size from its big-endian bytes, in the shortest form. */
export function unsignedInteger(bytes: Uint8Array): DerNode {
  const hex = Buffer.from(bytes)
    .toString('hex')
    .replace(/^(?:00)+/, '')
  const padded = /^[0-7]/.test(hex) ? hex : `00${hex}`
  return universal(asn1.Type.INTEGER, false, Buffer.from(padded, 'hex').toString('latin1'))
}

export function integer(value: number): DerNode {
  return universal(asn1.Type.INTEGER, false, asn1.integerToDer(value).getBytes())
}

export function octets(bytes: Uint8Array): DerNode {
  return universal(asn1.Type.OCTETSTRING, false, Buffer.from(bytes).toString('latin1'))
}

/** A bit string of whole bytes but for the `unused` last bits. */
export function bits(bytes: Uint8Array, unused = 0): DerNode {
  return universal(asn1.Type.BITSTRING, false, String.fromCharCode(unused) + Buffer.from(bytes).toString('latin1'))
}

export function trueValue(): DerNode {
  return universal(asn1.Type.BOOLEAN, false, '\xff')
}

export function nullValue(): DerNode {
  return universal(asn1.Type.NULL, false, '')
}

/** Text as Go's asn1 chooses: PrintableString where possible, else UTF8String; `*`, `_` and `&` are not printable. */
export function text(value: string): DerNode {
  const printable = /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value)
  const binary = Buffer.from(value, 'utf8').toString('latin1')
  return universal(printable ? asn1.Type.PRINTABLESTRING : asn1.Type.UTF8, false, binary)
}

/** A time in whole seconds; UTCTime through 2049, as RFC 5280, 4.1.2.5 demands. */
export function time(at: Date): DerNode {
  const year = at.getUTCFullYear()
  return year >= 1950 && year < 2050
    ? universal(asn1.Type.UTCTIME, false, asn1.dateToUtcTime(at))
    : universal(asn1.Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(at))
}

/** @throws DerError */
export function timeOf(node: DerNode | undefined): Date {
  const value = bytesOf(node).toString('latin1')
  const utc = node?.type === asn1.Type.UTCTIME && /^\d{12}Z$/.test(value)
  const generalized = node?.type === asn1.Type.GENERALIZEDTIME && /^\d{14}Z$/.test(value)
  if (!utc && !generalized) throw new DerError('not a time')
  // RFC 5280, 4.1.2.5.1: two-digit years from 50 on are of the last century.
  const digits = generalized ? value : `${Number(value.slice(0, 2)) >= 50 ? '19' : '20'}${value}`
  const iso = digits.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z')
  const at = new Date(iso)
  if (Number.isNaN(at.getTime()) || at.toISOString() !== iso) throw new DerError('not a time')
  return at
}

export function contextTag(tag: number, ...parts: readonly DerNode[]): DerNode {
  return createTagged(CONTEXT_SPECIFIC, tag, true, [...parts])
}
