// The codes with which the token of a workload is refused. Codes are API: never reused, listed in docs/errors.md.
import { CodedError } from '@countersign/tuf'

export const OIDC_ERROR_CODES = [
  // its form
  'OIDC_TOKEN_MALFORMED',
  'OIDC_HEADER_REFUSED',
  'OIDC_ALGORITHM_REFUSED',
  'OIDC_CLAIM_MISSING',
  'OIDC_CLAIM_INVALID',
  // who made it, for whom and when
  'OIDC_ISSUER_UNKNOWN',
  'OIDC_AUDIENCE_WRONG',
  'OIDC_TOKEN_EXPIRED',
  'OIDC_TOKEN_NOT_YET_VALID',
  'OIDC_TOKEN_TOO_OLD',
  // its signature
  'OIDC_KEY_UNKNOWN',
  'OIDC_SIGNATURE_INVALID',
  'OIDC_PROVIDER_UNREACHABLE',
  'OIDC_PROVIDER_INVALID',
  // whom it names
  'OIDC_IDENTITY_UNKNOWN',
  'OIDC_EVENT_REFUSED',
  // its exchange
  'OIDC_TOKEN_SPENT',
  'OIDC_RATE_EXCEEDED',
  // people
  'OIDC_LOGIN_NOT_CONFIGURED',
] as const

export type OidcErrorCode = (typeof OIDC_ERROR_CODES)[number]

/** A token of an issuer is not exchanged. Facts name claims and what was configured, never values of a token that is not verified. */
export class OidcError extends CodedError<OidcErrorCode> {}
