// Notary's normal form: the only bytes that survive the trust server's own decoding and encoding unchanged. A file in any other
// form is accepted by a stock server and then cannot be found by its hash. This file writes the form, and says what has none.
import { Buffer } from 'node:buffer'
import { canonicalText } from './canonical.ts'
import { decodeUtf8, encodeUtf8 } from './encoding.ts'
import { TufError } from './errors.ts'
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import { asObject, asString } from './members.ts'

const ESCAPED = /[<>&\u2028\u2029]/g
/** The same in UTF-8. No other character's bytes contain one of these. */
const ESCAPED_BYTES = ['<', '>', '&', '\u2028', '\u2029'].map((character) => Buffer.from(character))
const HAS_ESCAPED = /[<>&\u2028\u2029]/

/**
 * Canonical text with the five characters escaped that Go's envelope encoder rewrites (Go encoding/json compact with
 * escapeHTML). Signatures cover the canonical text, not this one.
 * @throws TufError CANONICAL_*
 */
export function normalFormText(value: JsonValue): string {
  return escapeForEnvelope(canonicalText(value))
}

/** The same from bytes that are canonical already. */
export function escapedForEnvelope(canonical: Uint8Array): Uint8Array {
  const bytes = Buffer.from(canonical.buffer, canonical.byteOffset, canonical.byteLength)
  // Hot: large files have none of them, and are neither decoded nor written anew.
  if (!ESCAPED_BYTES.some((one) => bytes.includes(one))) return canonical
  return encodeUtf8(escapeForEnvelope(decodeUtf8(canonical)))
}

function escapeForEnvelope(canonical: string): string {
  return canonical.replace(ESCAPED, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/**
 * Whether a `signed` value, already read by its model, keeps every member when Notary decodes and encodes it. What fails here
 * may verify, but must not be built upon: the next version would not be readable from a stock trust server.
 * notary v0.7.0 tuf/data: root.go, targets.go, snapshot.go, timestamp.go, roles.go, keys.go, types.go (member tags).
 * @throws TufError NORMAL_FORM_UNKNOWN_MEMBER, NORMAL_FORM_MISSING_MEMBER, NORMAL_FORM_CUSTOM, NORMAL_FORM_EXPIRES, NORMAL_FORM_VALUE
 */
export function verifyNormalForm(signed: JsonObject): void {
  const type = asString(signed.get('_type'), '_type')
  switch (type) {
    case 'Root':
      verifyMembers(signed, ['_type', 'consistent_snapshot', 'expires', 'keys', 'roles', 'version'])
      verifyEach(signed.get('keys'), verifyKey)
      verifyEach(signed.get('roles'), (role) => {
        verifyMembers(role, ['keyids', 'threshold'])
      })
      break
    case 'Targets':
      verifyMembers(signed, ['_type', 'delegations', 'expires', 'targets', 'version'])
      verifyDelegations(signed.get('delegations'))
      verifyEach(signed.get('targets'), verifyFileMeta)
      break
    default:
      verifyMembers(signed, ['_type', 'expires', 'meta', 'version'])
      verifyEach(signed.get('meta'), verifyFileMeta)
  }
  verifyExpires(asString(signed.get('expires'), 'expires'))
}

function verifyDelegations(value: JsonValue | undefined): void {
  // Go writes `{"keys":null,"roles":null}` where this is null.
  if (!isJsonObject(value)) throw wrongValue('delegations')
  verifyMembers(value, ['keys', 'roles'])
  verifyEach(value.get('keys'), verifyKey)
  const roles = value.get('roles')
  if (!isJsonArray(roles)) return
  for (const item of roles) {
    const role = asObject(item, 'delegation')
    verifyMembers(role, ['keyids', 'name', 'threshold'], ['paths'])
    const paths = role.get('paths')
    // Go omits empty paths.
    if (paths === null || (isJsonArray(paths) && paths.length === 0)) throw wrongValue('paths')
  }
}

function verifyKey(key: JsonObject): void {
  verifyMembers(key, ['keytype', 'keyval'])
  verifyMembers(asObject(key.get('keyval'), 'keyval'), ['private', 'public'])
}

function verifyFileMeta(meta: JsonObject): void {
  // Hot: what nearly every entry has.
  if (meta.size === 2 && meta.has('hashes') && meta.has('length')) return
  verifyMembers(meta, ['hashes', 'length'], ['custom'])
  const custom = meta.get('custom')
  if (custom === null) throw wrongValue('custom')
  if (custom !== undefined) verifyCustom(custom)
}

/**
 * Go copies `custom` as it came, without sorting, and escapes the five characters before it signs but not before it verifies:
 * a value with one of them could not be signed again by Notary's own client (seen with notary 0.7.0, which publishes quotes,
 * backslashes and other characters beyond ASCII without harm). Order is ours to give, and is canonical.
 */
function verifyCustom(value: JsonValue): void {
  if (typeof value === 'string') verifyCustomText(value)
  if (isJsonArray(value)) value.forEach(verifyCustom)
  if (!isJsonObject(value)) return
  for (const [name, member] of value) {
    verifyCustomText(name)
    verifyCustom(member)
  }
}

function verifyCustomText(text: string): void {
  if (HAS_ESCAPED.test(text)) {
    throw new TufError('NORMAL_FORM_CUSTOM', 'A target has custom data that Notary cannot sign again')
  }
}

/** Go's time.RFC3339Nano: no trailing zeros in a fraction, and Z for no offset. */
function verifyExpires(expires: string): void {
  if (/\.\d*0(?:Z|[+-])/.test(expires) || /[+-]00:00$/.test(expires)) {
    throw new TufError('NORMAL_FORM_EXPIRES', 'An expiry is not written as Go writes it', { expires })
  }
}

function verifyEach(value: JsonValue | undefined, verify: (member: JsonObject) => void): void {
  if (!isJsonObject(value)) return
  for (const member of value.values()) verify(asObject(member, 'entry'))
}

function verifyMembers(object: JsonObject, required: readonly string[], optional: readonly string[] = []): void {
  let found = 0
  for (const name of required) {
    if (!object.has(name)) {
      throw new TufError('NORMAL_FORM_MISSING_MEMBER', 'A member is missing that Notary always writes', { name })
    }
    found++
  }
  for (const name of optional) if (object.has(name)) found++
  if (found === object.size) return
  const unknown = [...object.keys()].find((name) => !required.includes(name) && !optional.includes(name)) ?? ''
  throw new TufError('NORMAL_FORM_UNKNOWN_MEMBER', 'A member is unknown to Notary, which would drop it', {
    name: unknown.slice(0, 64),
  })
}

function wrongValue(name: string): TufError {
  return new TufError('NORMAL_FORM_VALUE', 'A member has a value that Notary would write in another way', { name })
}
