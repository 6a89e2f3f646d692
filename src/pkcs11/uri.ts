// PKCS#11 URIs (RFC 7512), as far as they name tokens and keys here. A module, a PIN or where to read one never stand in a URI: they are
// the configuration's.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'

/** A token by what is written on it; never by its slot, since slots change their order. */
export interface TokenUri {
  /** Label. */
  readonly token: string
  readonly serial?: string
}

/** A key in a token. */
export interface TokenKeyUri extends TokenUri {
  /** CKA_ID: 16 random bytes. */
  readonly id: Buffer
  /** CKA_LABEL, for people. */
  readonly object: string
}

const SCHEME = 'pkcs11:'
/** RFC 7512, 2.3: unreserved, what `pk11-res-avail` adds, and percent-encoding. */
const VALUE = /^(?:[A-Za-z0-9._~[\]:@!$'()*+,=&-]|%[0-9A-Fa-f]{2})*$/
/** CK_TOKEN_INFO has 32 bytes for the label and 16 for the serial number. */
const MAX_LABEL_BYTES = 32
const MAX_SERIAL_BYTES = 16

/** `pkcs11:token=LABEL`, with a serial number where it is to be that one token. @throws KeyHolderError CUSTODY_URI_INVALID */
export function parseTokenUri(uri: string): TokenUri {
  const attributes = attributesOf(uri)
  onlyThese(uri, attributes, ['token', 'serial'])
  return tokenOf(uri, attributes)
}

/** A token, or a key in it by its CKA_ID: `pkcs11:token=LABEL;id=BYTES`. @throws KeyHolderError CUSTODY_URI_INVALID */
export function parsePlaceUri(uri: string): { readonly token: TokenUri; readonly id?: Buffer } {
  const attributes = attributesOf(uri)
  if (!attributes.has('id')) return { token: parseTokenUri(uri) }
  const { id, token, serial } = parseKeyUri(attributes.has('object') ? uri : `${uri};object=`)
  return { token: { token, ...(serial !== undefined && { serial }) }, id }
}

/** `pkcs11:token=LABEL;object=NAME;id=BYTES;type=private`. @throws KeyHolderError CUSTODY_URI_INVALID */
export function parseKeyUri(uri: string): TokenKeyUri {
  const attributes = attributesOf(uri)
  onlyThese(uri, attributes, ['token', 'serial', 'object', 'id', 'type'])
  const id = attributes.get('id')
  const object = attributes.get('object')
  const type = attributes.get('type')
  if (id === undefined || id.byteLength === 0) throw invalid(uri, 'it has no id')
  if (object === undefined) throw invalid(uri, 'it has no object')
  if (type !== undefined && type.toString() !== 'private') throw invalid(uri, 'its type is not private')
  return { ...tokenOf(uri, attributes), id, object: textOf(uri, object) }
}

export function formatTokenUri({ token, serial }: TokenUri): `pkcs11:${string}` {
  const parts = [`token=${encode(token)}`, ...(serial === undefined ? [] : [`serial=${encode(serial)}`])]
  return `${SCHEME}${parts.join(';')}`
}

export function formatKeyUri(key: TokenKeyUri): `pkcs11:${string}` {
  const id = [...key.id].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  return `${formatTokenUri(key)};object=${encode(key.object)};id=${id};type=private`
}

/** Whether a URI may mean this token: what both of them say is the same. */
export function isSameToken(one: TokenUri, other: TokenUri): boolean {
  const sameSerial = one.serial === undefined || other.serial === undefined || one.serial === other.serial
  return one.token === other.token && sameSerial
}

function attributesOf(uri: string): ReadonlyMap<string, Buffer> {
  if (!uri.startsWith(SCHEME)) throw invalid(uri, 'it does not begin with pkcs11:')
  if (uri.includes('?')) throw invalid(uri, 'module and PIN belong into the configuration, not into a URI')
  const attributes = new Map<string, Buffer>()
  for (const part of uri.slice(SCHEME.length).split(';')) {
    const [name = '', ...rest] = part.split('=')
    const value = rest.join('=')
    if (rest.length === 0) throw invalid(uri, 'a part has no value')
    if (!VALUE.test(value)) throw invalid(uri, `the value of ${printable(name)} is not encoded`)
    if (attributes.has(name)) throw invalid(uri, `it names ${printable(name)} twice`)
    attributes.set(name, decode(value))
  }
  return attributes
}

function onlyThese(uri: string, attributes: ReadonlyMap<string, Buffer>, names: readonly string[]): void {
  const other = [...attributes.keys()].find((name) => !names.includes(name))
  if (other === undefined) return
  const why = other.startsWith('slot-') ? 'slots change their order; name the token' : 'it is not used here'
  throw invalid(uri, `${printable(other)}: ${why}`)
}

function tokenOf(uri: string, attributes: ReadonlyMap<string, Buffer>): TokenUri {
  const label = attributes.get('token')
  const serial = attributes.get('serial')
  if (label === undefined || label.byteLength === 0 || label.byteLength > MAX_LABEL_BYTES) {
    throw invalid(uri, 'it needs the label of a token, of at most 32 bytes')
  }
  if (serial !== undefined && serial.byteLength > MAX_SERIAL_BYTES) {
    throw invalid(uri, 'a serial number has at most 16 bytes')
  }
  const token = textOf(uri, label)
  return { token, ...(serial !== undefined && { serial: textOf(uri, serial) }) }
}

function textOf(uri: string, bytes: Buffer): string {
  const text = bytes.toString('utf8')
  if (!Buffer.from(text).equals(bytes)) throw invalid(uri, 'a text in it is not UTF-8')
  return text
}

/** `value` matches VALUE. */
function decode(value: string): Buffer {
  return Buffer.from(
    value.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    'latin1',
  )
}

/** What it leaves is allowed in every value. */
function encode(text: string): string {
  return encodeURIComponent(text)
}

function printable(name: string): string {
  return /^[A-Za-z0-9_-]{1,64}$/.test(name) ? name : 'a part'
}

function invalid(uri: string, why: string): KeyHolderError {
  const facts = { uri: uri.slice(0, 256), why }
  return new KeyHolderError('CUSTODY_URI_INVALID', `This is no PKCS#11 URI that can be used here: ${why}.`, facts)
}
