// The codes with which talking to other servers fails: connections, tokens and credentials. Facts name hosts, never secrets.
import { CodedError, type ErrorFacts } from '@countersign/tuf'

export const NET_ERROR_CODES = [
  // http-client.ts
  'NET_URL_NOT_ALLOWED',
  'NET_DNS',
  'NET_REFUSED',
  'NET_UNREACHABLE',
  'NET_TLS',
  'NET_TIMEOUT',
  'NET_RESET',
  'NET_TOO_LARGE',
  'NET_RESPONSE_MALFORMED',
  'NET_ENCODING_UNSUPPORTED',
  // tls-files.ts
  'NET_CERTIFICATE_FILE_INVALID',
  // challenge.ts, token-realms.ts, token-auth.ts
  'TOKEN_CHALLENGE_MALFORMED',
  'TOKEN_REALM_NOT_ALLOWED',
  'TOKEN_SERVER_UNREACHABLE',
  'TOKEN_SERVER_REFUSED',
  'TOKEN_SERVER_UNAVAILABLE',
  'TOKEN_SERVER_MALFORMED',
  // credentials.ts, secret-file.ts, docker-config.ts, credential-helper.ts
  'CREDENTIALS_FILE_UNREADABLE',
  'CREDENTIALS_FILE_EXPOSED',
  'CREDENTIALS_FILE_MALFORMED',
  'CREDENTIAL_HELPER_NAME_INVALID',
  'CREDENTIAL_HELPER_MISSING',
  'CREDENTIAL_HELPER_FAILED',
  'CREDENTIAL_HELPER_TIMEOUT',
  'CREDENTIAL_HELPER_MALFORMED',
] as const

export type NetErrorCode = (typeof NET_ERROR_CODES)[number]

/** A server that could not be talked to, or must not be. The message says what to check. */
export class NetError extends CodedError<NetErrorCode> {
  /** False: not one byte of the request can have reached the server. */
  readonly requestBegan: boolean

  constructor(
    code: NetErrorCode,
    message: string,
    facts: ErrorFacts = {},
    options: ErrorOptions & { readonly requestBegan?: boolean } = {},
  ) {
    super(code, message, facts, options)
    this.requestBegan = options.requestBegan ?? false
  }
}
