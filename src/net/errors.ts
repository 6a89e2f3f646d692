// Why a connection or an authentication failed. What that means for a publication or a request is decided above.
import { CodedError } from '@countersign/tuf'

export const NET_ERROR_CODES = [
  'NET_DNS',
  'NET_ADDRESS_FORBIDDEN',
  'NET_REFUSED',
  'NET_TLS',
  'NET_CONNECT_TIMEOUT',
  'NET_TIMEOUT',
  'NET_RESET',
  'NET_MALFORMED',
  'NET_TOO_LARGE',
  'CHALLENGE_MALFORMED',
  'CHALLENGE_UNSUPPORTED',
  'TOKEN_REALM_NOT_ALLOWED',
  'TOKEN_REFUSED',
  'TOKEN_UNAVAILABLE',
  'TOKEN_MALFORMED',
  'CREDENTIALS_OVER_PLAIN_HTTP',
  'CREDENTIALS_UNREADABLE',
  'CREDENTIAL_HELPER_FAILED',
] as const

export type NetErrorCode = (typeof NET_ERROR_CODES)[number]

export class NetError extends CodedError<NetErrorCode> {}

/** Failures before any byte of the request was sent: the other side cannot have acted on it. */
const BEFORE_SENDING: readonly NetErrorCode[] = [
  'NET_DNS',
  'NET_ADDRESS_FORBIDDEN',
  'NET_REFUSED',
  'NET_TLS',
  'NET_CONNECT_TIMEOUT',
  'CHALLENGE_MALFORMED',
  'CHALLENGE_UNSUPPORTED',
  'TOKEN_REALM_NOT_ALLOWED',
  'TOKEN_REFUSED',
  'TOKEN_UNAVAILABLE',
  'TOKEN_MALFORMED',
  'CREDENTIALS_OVER_PLAIN_HTTP',
  'CREDENTIALS_UNREADABLE',
  'CREDENTIAL_HELPER_FAILED',
]

/** Whether the request certainly had no effect. */
export function isBeforeSending(error: NetError): boolean {
  return BEFORE_SENDING.includes(error.code)
}

const PASSING: readonly NetErrorCode[] = [
  'NET_DNS',
  'NET_REFUSED',
  'NET_CONNECT_TIMEOUT',
  'NET_TIMEOUT',
  'NET_RESET',
  'TOKEN_UNAVAILABLE',
]

/** Failures of the way, not of what is configured: the same call may succeed later. */
export function isPassing(error: NetError): boolean {
  return PASSING.includes(error.code)
}
