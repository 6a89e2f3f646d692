// The codes with which the key holder refuses. Shared by the key holder (which throws them) and its client (which receives them).
import { CodedError, UPDATE_REFUSAL_CODES } from '@countersign/tuf'

export const KEY_HOLDER_ERROR_CODES = [
  // the conversation
  'FRAME_MALFORMED',
  'FRAME_TOO_LARGE',
  'OPERATION_UNKNOWN',
  'OPERATION_NOT_ON_THIS_SOCKET',
  'OPERATION_MALFORMED',
  'KEY_HOLDER_UNREACHABLE',
  'KEY_HOLDER_BUSY',
  'KEY_HOLDER_SEALED',
  'KEY_HOLDER_INTERNAL',
  // starting
  'KEY_HOLDER_CONFIG_INVALID',
  'KEY_HOLDER_FOLDER_EXPOSED',
  'KEY_HOLDER_ALREADY_RUNNING',
  'KEY_HOLDER_STATE_MISSING',
  'KEY_HOLDER_STATE_DAMAGED',
  'UNLOCK_KEY_UNREADABLE',
  'UNLOCK_KEY_EXPOSED',
  // keys and repositories
  'GUN_NOT_MANAGED',
  'GUN_ALREADY_MANAGED',
  'GUN_NOT_INITIALIZED',
  'KEY_NOT_FOUND',
  'KEY_NOT_STAGED',
  'KEY_NOT_REPLACEABLE',
  'KEY_IN_USE',
  'KEY_FILE_DAMAGED',
  'UNLOCK_KEY_WRONG',
  'ROOT_SIGNATURE_INVALID',
  'ROOT_CHANGE_REFUSED',
  'ROOT_CERTIFICATE_INVALID',
  // the base metadata
  'BASE_NOT_VERIFIED',
  'BASE_OLDER_THAN_KNOWN',
  'BASE_DIFFERS_FROM_KNOWN',
  'BASE_VERSION_NOT_OURS',
  'BASE_VERSION_IMPLAUSIBLE',
  // the change
  'ROLE_NOT_SIGNABLE',
  'CHANGE_EMPTY',
  'CHANGE_MALFORMED',
  'CHANGE_REFUSED',
  'PUBLICATION_REPLAYED',
  'REQUEST_ALREADY_PUBLISHED',
  // what the trust server asks for; updates are refused with the codes of `acceptUpdate`
  'SERVED_REPOSITORY_NOT_ALLOWED',
  'SERVED_REPOSITORY_UNKNOWN',
  'SERVED_REPOSITORY_DELETED',
  'SERVED_RECREATION_REFUSED',
  'SERVER_KEY_MISSING',
  ...UPDATE_REFUSAL_CODES,
  // limits
  'LIMIT_GUN',
  'LIMIT_TAG',
  'LIMIT_TAG_LOCKED',
  'LIMIT_ENTRIES',
  'LIMIT_VERSIONS',
  'LIMIT_INITIALIZE',
  'LIMIT_RECORDS',
  'LIMIT_SERVER_KEYS',
  'LIMITS_FILE_INVALID',
  'REPOSITORY_FROZEN',
  // the record
  'AUDIT_LOG_UNWRITABLE',
  'AUDIT_LOG_DAMAGED',
  'AUDIT_LOG_UNREADABLE',
  'STATE_UNWRITABLE',
] as const

export type KeyHolderErrorCode = (typeof KEY_HOLDER_ERROR_CODES)[number]

/** A refusal of the key holder, or the failure to reach it. */
export class KeyHolderError extends CodedError<KeyHolderErrorCode> {}
