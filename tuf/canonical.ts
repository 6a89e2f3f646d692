// Canonical JSON: the bytes that signatures cover. Strings and numbers are written by the `canonicaljson` package; the walk is
// ours, because the package fails on members such as `constructor: null` and orders names by locale instead of by bytes.
// What the package and Notary's encoder (docker/go canonical/json encode.go) write differently is refused, never guessed.
import * as canonicaljson from 'canonicaljson'
import { encodeUtf8 } from './encoding.ts'
import { TufError } from './errors.ts'
import { isJsonArray, type JsonObject, type JsonValue } from './json.ts'

const MAX_DEPTH = 64

const stringify = canonicaljson.stringify ?? canonicaljson.default.stringify

/** Printable ASCII without quote and backslash: the package writes it unchanged between quotes (property test). */
const PLAIN = /^[ !#-[\]-~]*$/
/** Go writes these raw, the package escapes them; JSON forbids them raw (reference: control characters). */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f]/
/** With the flag `u` a surrogate that has its pair does not match. */
const UNPAIRED = /\p{Surrogate}/u

/**
 * The canonical bytes of a value.
 * @throws TufError CANONICAL_CONTROL_CHARACTER, CANONICAL_SURROGATE, CANONICAL_NUMBER, CANONICAL_TOO_DEEP
 */
export function encodeCanonical(value: JsonValue): Uint8Array {
  return encodeUtf8(canonicalText(value))
}

/** The same as text. @throws as `encodeCanonical` */
export function canonicalText(value: JsonValue): string {
  return write(value, MAX_DEPTH)
}

/** Orders member names by their UTF-8 bytes; JavaScript's own order differs above U+D7FF. */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at)
    const right = b.charCodeAt(at)
    if (left === right) continue
    // Surrogates (U+D800 to U+DFFF) stand for code points above all other units.
    if (left >= 0xd800 && right >= 0xd800) return rank(left) - rank(right)
    return left - right
  }
  return a.length - b.length
}

function rank(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}

function write(value: JsonValue, depthLeft: number): string {
  if (typeof value === 'string') return writeString(value)
  if (typeof value === 'number') return writeNumber(value)
  if (value === null) return 'null'
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (depthLeft === 0) throw new TufError('CANONICAL_TOO_DEEP', 'A value nests too deeply', { maxDepth: MAX_DEPTH })
  if (isJsonArray(value)) return writeArray(value, depthLeft - 1)
  return writeObject(value, depthLeft - 1)
}

function writeArray(items: readonly JsonValue[], depthLeft: number): string {
  let text = '['
  for (const item of items) text += (text.length > 1 ? ',' : '') + write(item, depthLeft)
  return `${text}]`
}

function writeObject(members: JsonObject, depthLeft: number): string {
  let text = '{'
  for (const [name, value] of isSorted(members) ? members : sorted(members)) {
    text += `${text.length > 1 ? ',' : ''}${writeString(name)}:${write(value, depthLeft)}`
  }
  return `${text}}`
}

/** Files of Notary come sorted already. */
function isSorted(members: JsonObject): boolean {
  let previous: string | undefined
  for (const name of members.keys()) {
    if (previous !== undefined && compareNames(previous, name) > 0) return false
    previous = name
  }
  return true
}

function sorted(members: JsonObject): readonly (readonly [string, JsonValue])[] {
  return [...members].sort(([a], [b]) => compareNames(a, b))
}

function writeString(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  if (CONTROL.test(text)) {
    throw new TufError('CANONICAL_CONTROL_CHARACTER', 'Text with control characters has no agreed canonical form')
  }
  if (UNPAIRED.test(text)) {
    throw new TufError('CANONICAL_SURROGATE', 'Text with an unpaired surrogate has no agreed canonical form')
  }
  return stringify(text)
}

function writeNumber(value: number): string {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
    throw new TufError('CANONICAL_NUMBER', 'Only whole numbers up to 2^53-1 have an agreed canonical form')
  }
  return stringify(value)
}
