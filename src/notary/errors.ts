// The codes with which reading from and publishing to a trust server fails.
// Faults of credentials and tokens keep their own codes: see net/errors.ts.
import { CodedError } from '@countersign/tuf'

export const NOTARY_ERROR_CODES = [
  /** No configured trust server holds this repository. */
  'NOTARY_NOT_CONFIGURED',
  /** Not connected: name, address, refusal or TLS; `reason` is the code of net/. Nothing was sent. */
  'NOTARY_UNREACHABLE',
  /** A read, or connecting, took too long. Never said of an update that may have arrived. */
  'NOTARY_TIMEOUT',
  /** 5xx or 429 in answer to a read; of an update, only where the server itself says that it stored nothing. */
  'NOTARY_UNAVAILABLE',
  'NOTARY_UNAUTHORIZED',
  'NOTARY_FORBIDDEN',
  'NOTARY_REDIRECTED',
  /** The server has no such address: the configured URL is not that of a trust server. */
  'NOTARY_ADDRESS_UNKNOWN',
  /** Lost a race: 400 VERSION, or 500 UPDATING (trap Q11). Nothing was stored. */
  'NOTARY_VERSION_CONFLICT',
  /** The server refuses these bytes and always will; facts `name` and `reason` are the server's words. */
  'NOTARY_INVALID_UPDATE',
  /** The update may have arrived: the connection broke, time ran out, or something between answered. Read back. */
  'NOTARY_ANSWER_LOST',
  'NOTARY_RESPONSE_TOO_LARGE',
  'NOTARY_RESPONSE_MALFORMED',
] as const

export type NotaryErrorCode = (typeof NOTARY_ERROR_CODES)[number]

/** A trust server that did not do what was asked. Facts name the server and the repository. */
export class NotaryError extends CodedError<NotaryErrorCode> {}
