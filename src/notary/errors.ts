// What a Notary server's answer, or its absence, means.
import { CodedError } from '@countersign/tuf'

export const NOTARY_ERROR_CODES = [
  'NOTARY_NOT_CONFIGURED',
  'NOTARY_UNAVAILABLE',
  'NOTARY_UNAUTHORIZED',
  'NOTARY_REDIRECTED',
  'NOTARY_RESPONSE_MALFORMED',
  'NOTARY_RESPONSE_TOO_LARGE',
  'NOTARY_CONFLICT',
  'NOTARY_UPDATE_INVALID',
  'NOTARY_ANSWER_LOST',
] as const

export type NotaryErrorCode = (typeof NOTARY_ERROR_CODES)[number]

export class NotaryError extends CodedError<NotaryErrorCode> {}
