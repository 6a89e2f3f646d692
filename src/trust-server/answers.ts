// The protocol's refusals: status, code and words of notary-server (notary v0.7.0 server/errors/errors.go, distribution errcode), and bodies
// that stock clients can read: they take 1,024 bytes of an answer (storage/httpstore.go tryUnmarshalError).
import { CodedError, type ErrorFacts } from '@countersign/tuf'

export const PROTOCOL_ERRORS = {
  INVALID_UPDATE: { status: 400, message: 'Update sent by the client is invalid.' },
  VERSION: { status: 400, message: 'A newer version of metadata is already available.' },
  INVALID_ROLE: { status: 400, message: 'The role you are attempting to operate on is invalid.' },
  NO_FILENAME: { status: 400, message: 'No file/role name provided.' },
  MALFORMED_JSON: { status: 400, message: 'JSON sent by the client could not be parsed by the server' },
  MALFORMED_UPLOAD: { status: 400, message: 'The body of your request is malformed.' },
  INVALID_GUN: { status: 400, message: 'The server does not accept actions on images of this name.' },
  INVALID_PARAMETERS: { status: 400, message: 'The parameters provided are not valid.' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  METADATA_NOT_FOUND: { status: 404, message: 'You have requested metadata that does not exist.' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  UNKNOWN: { status: 500, message: 'unknown error' },
  UPDATING: { status: 500, message: 'An error has occurred while updating the TUF repository.' },
  UNAVAILABLE: { status: 503, message: 'service unavailable' },
} as const

export type ProtocolCode = keyof typeof PROTOCOL_ERRORS

/** Names of failed validations, as stock clients print them. */
export type ValidationName = 'ErrValidation' | 'ErrBadHierarchy' | 'ErrBadRoot' | 'ErrBadTargets' | 'ErrBadSnapshot'

export interface RefusalOptions extends ErrorOptions {
  /** As JSON in the body. Absent: no such member, as the original has it in places. */
  readonly detail?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** For the log alone: codes and names, never a credential. */
  readonly facts?: ErrorFacts
}

/** A refusal in the words of the protocol. */
export class ProtocolError extends CodedError<ProtocolCode> {
  readonly status: number
  readonly detail: unknown
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ProtocolCode, { detail, headers = {}, facts = {}, ...options }: RefusalOptions = {}) {
    super(code, PROTOCOL_ERRORS[code].message, facts, options)
    this.status = PROTOCOL_ERRORS[code].status
    this.detail = detail
    this.headers = headers
  }
}

/** What a client reads of an answer; a longer one would not be understood. */
const MAX_BODY_BYTES = 1024
/** What is left for words beside code, message and names. */
const MAX_WORDS = 600

export function invalidUpdate(
  name: ValidationName,
  words: string,
  options: Pick<RefusalOptions, 'cause' | 'facts'> & { readonly missing?: string } = {},
): ProtocolError {
  const { missing, ...others } = options
  const error = { ...(missing !== undefined && { Missing: missing }), Msg: printable(words) }
  return new ProtocolError('INVALID_UPDATE', { ...others, detail: { Name: name, Error: error } })
}

/** The body, with the line break that Go's encoder writes. */
export function errorBody({ code, message, detail }: ProtocolError): string {
  const body = encode([{ code, message, ...(detail !== undefined && { detail }) }])
  return Buffer.byteLength(body) <= MAX_BODY_BYTES ? body : encode([{ code, message }])
}

function encode(errors: readonly object[]): string {
  return `${JSON.stringify({ errors })}\n`
}

/** Names out of an upload reach terminals by way of clients. */
function printable(words: string): string {
  return words.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_WORDS)
}
