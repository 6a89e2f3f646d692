// From the codes of our own checks, and of the key holder's, to the answer that the original gives for the same fault. The words are the
// original's where it has some (notary v0.7.0 server/handlers/validation.go, tuf/data, tuf/signed, trustpinning).
import {
  CodedError,
  UPDATE_REFUSAL_CODES,
  UpdateRefusal,
  type ErrorFacts,
  type UpdateRefusalCode,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { StoreError } from '../sqlite/errors.ts'
import { invalidUpdate, ProtocolError } from './answers.ts'

/** Seconds after which a client may ask again, where nothing tells more. */
const RETRY_AFTER = { 'retry-after': '5' }

/** The refusal of an update. Anything unknown is an error of ours. */
export function refusalOfUpdate(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error
  if (error instanceof UpdateRefusal) return refused(error.code, error)
  if (error instanceof KeyHolderError) return refusedByKeyHolder(error)
  if (error instanceof StoreError) return new ProtocolError('UPDATING', { cause: error, facts: { reason: error.code } })
  return unknown(error)
}

/** The refusal of anything else that the key holder is asked. */
export function refusalOfKeyHolder(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error
  if (!(error instanceof KeyHolderError)) return unknown(error)
  switch (error.code) {
    // notary v0.7.0 server/handlers/default.go: a repository outside gun_prefixes does not exist, but for updates.
    case 'SERVED_REPOSITORY_NOT_ALLOWED':
      return new ProtocolError('METADATA_NOT_FOUND', { detail: {}, cause: error, facts: { reason: error.code } })
    default:
      return passing(error) ?? unknown(error)
  }
}

function refusedByKeyHolder(error: KeyHolderError): ProtocolError {
  const { code } = error
  if (isUpdateRefusal(code)) return refused(code, error)
  switch (code) {
    case 'SERVED_REPOSITORY_UNKNOWN':
    case 'SERVED_REPOSITORY_DELETED':
      return refused('UPDATE_NO_ROOT', error)
    case 'SERVED_RECREATION_REFUSED':
      return refused('UPDATE_BAD_ROOT', error)
    case 'SERVED_REPOSITORY_NOT_ALLOWED':
      return new ProtocolError('INVALID_GUN', { cause: error, facts: { reason: code } })
    default:
      return passing(error) ?? unknown(error)
  }
}

function isUpdateRefusal(code: string): code is UpdateRefusalCode {
  return (UPDATE_REFUSAL_CODES as readonly string[]).includes(code)
}

function refused(code: UpdateRefusalCode, error: UpdateRefusal | KeyHolderError): ProtocolError {
  const { facts } = error
  // Found here for a file that the first look did not parse; the original finds it while it decodes the parts.
  if (MALFORMED_JSON.test(text(facts, 'reason'))) return new ProtocolError('MALFORMED_JSON', about(error))
  switch (code) {
    case 'UPDATE_NO_ROOT':
      return invalidUpdate('ErrValidation', 'no pre-existing root and no root provided in update.', about(error))
    case 'UPDATE_BAD_ROOT':
      return invalidUpdate('ErrBadRoot', rootWords(facts, error.code), about(error))
    case 'UPDATE_BAD_TARGETS':
      return invalidUpdate('ErrBadTargets', metadataWords(facts), about(error))
    case 'UPDATE_PARENT_UNUSABLE':
      return new ProtocolError('INVALID_UPDATE', about(error))
    case 'UPDATE_ORPHANS_TARGETS':
      return invalidUpdate('ErrBadTargets', 'valid signatures did not meet threshold for targets', about(error))
    case 'UPDATE_NO_TARGETS':
      return invalidUpdate('ErrValidation', 'targets must be loaded first', about(error))
    case 'UPDATE_BAD_SNAPSHOT':
      return invalidUpdate('ErrBadSnapshot', snapshotWords(facts), about(error))
    case 'UPDATE_NO_SNAPSHOT':
      return invalidUpdate('ErrBadHierarchy', NO_SNAPSHOT, { ...about(error), missing: 'snapshot' })
    case 'UPDATE_NO_TIMESTAMP_KEY':
      return invalidUpdate('ErrBadRoot', 'no timestamp keys exist on the server', about(error))
    case 'UPDATE_VERSION':
      return new ProtocolError('VERSION', { ...about(error), detail: {} })
  }
}

const MALFORMED_JSON = /^(JSON_(?!TRAILING_BYTES)|METADATA_EXPIRES$)/

const NO_SNAPSHOT = 'no snapshot was included in update and server does not hold current snapshot key for repository'

function rootWords(facts: ErrorFacts, code: string): string {
  const reason = text(facts, 'reason')
  if (code === 'SERVED_RECREATION_REFUSED' || facts['signers'] === 'previous') {
    return 'could not rotate trust to a new trusted root: failed to validate data with current trusted certificates'
  }
  if (reason === 'ROOT_VERSION' && facts['current'] !== undefined) {
    return `Root modifications must increment the version. Current ${text(facts, 'current')}, new ${text(facts, 'version')}`
  }
  if (/^(CERTIFICATE_|ROOT_NOT_PINNED)/.test(reason)) {
    return 'could not validate the path to a trusted root: unable to retrieve valid leaf certificates'
  }
  if (/^(SIGNATURE_|KEY_ID_)/.test(reason)) {
    return 'could not validate the path to a trusted root: failed to validate integrity of roots'
  }
  return metadataWords(facts)
}

function snapshotWords(facts: ErrorFacts): string {
  switch (facts['reason']) {
    case 'FILE_HASH_MISMATCH':
      return `sha256 checksum for ${text(facts, 'fileName')} did not match: expected ${text(facts, 'sha256')}`
    case 'METADATA_ROLE_MISSING':
      return `snapshot type metadata invalid: missing ${text(facts, 'named')} sha256 checksum information`
    default:
      return metadataWords(facts)
  }
}

function metadataWords(facts: ErrorFacts): string {
  const role = text(facts, 'role')
  const type = role.startsWith('targets') ? 'targets' : role
  const reason = text(facts, 'reason')
  switch (reason) {
    case 'SIGNATURE_NONE':
      return 'tuf: data has no signatures'
    case 'SIGNATURE_BELOW_THRESHOLD':
    case 'SIGNATURE_KEY_REPEATED':
      return `valid signatures did not meet threshold for ${role}`
    case 'KEY_ID_MISMATCH':
      return 'key ID is not valid for key content'
    case 'ROLE_NOT_DELEGATED':
      return `tuf: invalid role ${role}. delegation does not exist`
    case 'ROLE_EXPIRED':
      return `${role} expired at ${goDate(text(facts, 'expiresAt'))}`
    case 'ENCODING_BASE64':
      return 'illegal base64 data'
    case 'JSON_TRAILING_BYTES':
      return 'invalid character after top-level value'
    case 'METADATA_VERSION':
      return `${type} type metadata invalid: version cannot be less than one`
    case 'METADATA_TYPE':
      return `${type} type metadata invalid: expected type ${text(facts, 'expected')}`
    case 'METADATA_ROLE_MISSING':
      return `${type} type metadata invalid: missing ${text(facts, 'named')} role specification`
    case 'METADATA_DELEGATION':
      return `${type} type metadata invalid: delegation role ${text(facts, 'named')} invalid`
    case 'METADATA_KEY_MISSING':
      return `${type} type metadata invalid: key ID ${text(facts, 'keyId')} specified without corresponding key`
    case 'METADATA_THRESHOLD':
      return `${type} type metadata invalid: invalid threshold specified`
    case 'TARGET_OUTSIDE_PATHS':
      return `${role} may not sign ${text(facts, 'name')}: it is outside the paths of the delegation`
    default:
      return `${type} type metadata invalid: ${reason}`
  }
}

/** Go's `Mon Jan 2 15:04:05 MST 2006`. */
function goDate(iso: string): string {
  const at = new Date(iso)
  if (Number.isNaN(at.getTime())) return iso
  const [, day = '', month = '', year = '', time = ''] = /^(\w+), \d+ (\w+) (\d+) (\S+)/.exec(at.toUTCString()) ?? []
  return `${day} ${month} ${at.getUTCDate()} ${time} UTC ${year}`
}

/** The key holder cannot answer now, or not so often. */
function passing(error: KeyHolderError): ProtocolError | undefined {
  const options = { cause: error, facts: { reason: error.code }, headers: RETRY_AFTER }
  if (error.code.startsWith('LIMIT_')) return new ProtocolError('TOOMANYREQUESTS', options)
  return UNAVAILABLE.has(error.code) ? new ProtocolError('UNAVAILABLE', options) : undefined
}

const UNAVAILABLE: ReadonlySet<string> = new Set([
  'KEY_HOLDER_UNREACHABLE',
  'KEY_HOLDER_BUSY',
  'KEY_HOLDER_SEALED',
  'AUDIT_LOG_UNWRITABLE',
  'STATE_UNWRITABLE',
])

function unknown(error: unknown): ProtocolError {
  const reason = error instanceof CodedError ? String(error.code) : 'unexpected'
  return new ProtocolError('UNKNOWN', { cause: error, facts: { reason }, detail: {} })
}

function about(error: CodedError<string>): { cause: Error; facts: ErrorFacts } {
  return { cause: error, facts: { ...error.facts, refused: error.code } }
}

function text(facts: ErrorFacts, name: string): string {
  return String(facts[name] ?? '')
}
