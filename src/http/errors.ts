// The codes that the HTTP layer itself refuses with. What the layers below refuse with keeps their codes.
import { CodedError, type ErrorFacts } from '@countersign/tuf'

export const HTTP_ERROR_CODES = [
  // before a route is found
  'REQUEST_MALFORMED',
  'REQUEST_TIMEOUT',
  'HEADERS_TOO_LARGE',
  'HEADER_REPEATED',
  'URL_TOO_LONG',
  'ROUTE_NOT_FOUND',
  'METHOD_NOT_ALLOWED',
  'SHUTTING_DOWN',
  // who asks
  'TOKEN_MISSING',
  'TOKEN_INVALID',
  // what is asked
  'PARAMETER_INVALID',
  'QUERY_INVALID',
  'IDEMPOTENCY_KEY_INVALID',
  'CONTENT_TYPE_UNSUPPORTED',
  'CONTENT_ENCODING_UNSUPPORTED',
  'BODY_TOO_LARGE',
  'BODY_INCOMPLETE',
  'BODY_MALFORMED',
  'BODY_INVALID',
  'BODY_UNEXPECTED',
  // the answer
  'NOT_READY',
  'INTERNAL',
] as const

export type HttpErrorCode = (typeof HTTP_ERROR_CODES)[number]

/** One member of the request that is not as it must be. Never holds the value. */
export interface RequestFault {
  /** `images[0]`, or a query parameter's name. */
  readonly path: string
  readonly message: string
}

/** A refusal of the HTTP layer. `headers` go into the answer (`Allow`, `WWW-Authenticate`, `Retry-After`). */
export class HttpError extends CodedError<HttpErrorCode> {
  readonly faults: readonly RequestFault[]
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: HttpErrorCode,
    message: string,
    o: {
      readonly facts?: ErrorFacts
      readonly faults?: readonly RequestFault[]
      readonly headers?: Readonly<Record<string, string>>
      readonly cause?: unknown
    } = {},
  ) {
    super(code, message, o.facts, o.cause === undefined ? undefined : { cause: o.cause })
    this.faults = o.faults ?? []
    this.headers = o.headers ?? {}
  }
}
