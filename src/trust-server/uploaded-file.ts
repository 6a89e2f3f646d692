// The first look at an uploaded file: is it JSON with the fields that a server needs, and which version does it say? What it is worth is
// found out later. notary v0.7.0 server/handlers/default.go atomicUpdateHandler decodes the same few fields first.
import { isJsonObject, METADATA_LIMITS, parseExpires, parseJson, TufError, type JsonValue } from '@countersign/tuf'
import { ProtocolError } from './answers.ts'

/** The end of a file in normal form: `version` is the last member that Notary writes, and signatures hold no objects of their own. */
const NORMAL_END = /"version":([1-9][0-9]{0,9})\},"signatures":\[[^[\]]*\]\}$/
const NORMAL_START = '{"signed":{"_type":"'
/** Room for the signatures of all the keys of a role. */
const END_BYTES = 64 * 1024

/**
 * The version that the file says; 0 where it says none. A file in normal form is not parsed here: the key holder does that. Whether it
 * is in normal form all through is found out there, too; then the version read here is the one it has.
 * @throws ProtocolError MALFORMED_JSON
 */
export function versionOf(bytes: Buffer): number {
  const end = NORMAL_END.exec(bytes.toString('latin1', Math.max(0, bytes.byteLength - END_BYTES)))
  const isNormal = bytes.toString('latin1', 0, NORMAL_START.length) === NORMAL_START
  return isNormal && end?.[1] !== undefined ? Number(end[1]) : decodedVersion(bytes)
}

function decodedVersion(bytes: Buffer): number {
  const file = parsed(bytes)
  // Go decodes null into an empty envelope, and stops after the first value.
  if (file === null || file === undefined) return 0
  if (!isJsonObject(file)) throw malformed('envelope')
  const signed = file.get('signed') ?? null
  const signatures = file.get('signatures') ?? null
  if (signatures !== null && !Array.isArray(signatures)) throw malformed('signatures')
  if (signed === null) return 0
  if (!isJsonObject(signed)) throw malformed('signed')
  const version = signed.get('version') ?? 0
  const expires = signed.get('expires')
  if (typeof version !== 'number' || !isText(signed.get('_type')) || !isText(expires)) throw malformed('fields')
  if (typeof expires === 'string') checkExpires(expires)
  return version
}

/** undefined: something follows the document. */
function parsed(bytes: Buffer): JsonValue | undefined {
  try {
    return parseJson(bytes, METADATA_LIMITS)
  } catch (error) {
    if (!(error instanceof TufError)) throw error
    if (error.code === 'JSON_TRAILING_BYTES') return undefined
    throw malformed(error.code, error)
  }
}

function checkExpires(text: string): void {
  try {
    parseExpires(text)
  } catch (error) {
    if (error instanceof TufError) throw malformed(error.code, error)
    throw error
  }
}

function isText(value: JsonValue | undefined): boolean {
  return value === undefined || value === null || typeof value === 'string'
}

function malformed(reason: string, cause?: Error): ProtocolError {
  return new ProtocolError('MALFORMED_JSON', { facts: { reason }, ...(cause !== undefined && { cause }) })
}
