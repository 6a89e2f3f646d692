// The refusals of the command line itself, and the exit status that each outcome gets.
// What the server refused keeps the server's own code: see ApiProblem.
import { CodedError, type ErrorFacts } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'

export const CLI_ERROR_CODES = [
  // usage: exit status 2
  'USAGE_INVALID',
  'DURATION_INVALID',
  'IMAGE_LIST_EMPTY',
  'IMAGE_LIST_UNREADABLE',
  'IMAGE_LIST_TOO_LARGE',
  'IMAGE_LIST_MALFORMED',
  'IMAGE_LIST_UNRESOLVED',
  'SERVER_NOT_CONFIGURED',
  'SERVER_ADDRESS_INVALID',
  'SERVER_INSECURE',
  'TOKEN_NOT_CONFIGURED',
  'ID_TOKEN_NOT_CONFIGURED',
  'CLIENT_CONFIG_INVALID',
  'PIN_MISSING',
  'PIN_KEY_MISSING',
  'AUDIT_KEY_UNUSABLE',
  'AUDIT_CHECKPOINT_UNUSABLE',
  // files: exit status 1
  'TOKEN_MALFORMED',
  'ID_TOKEN_UNAVAILABLE',
  'LOGIN_FAILED',
  'FILE_UNREADABLE',
  'FILE_EXISTS',
  'FILE_UNWRITABLE',
  // the conversation with the server: exit status 1
  'SERVER_NAME_UNKNOWN',
  'SERVER_UNREACHABLE',
  'SERVER_TLS_FAILED',
  'SERVER_TIMEOUT',
  'SERVER_REDIRECTED',
  'SERVER_ANSWER_MALFORMED',
  'SERVER_ANSWER_TOO_LARGE',
  // what a process of the service needs: exit status 1
  'ADDRESS_TAKEN',
  // outcomes
  'REQUEST_NOT_FINISHED',
  'REQUEST_DENIED',
  'APPROVAL_NOT_GIVEN',
  'APPROVER_KEY_UNSUITABLE',
  'REQUEST_NOT_PUBLISHED',
  'PRUNE_LEAVES_NOTHING',
  'PRUNE_PLAN_INVALID',
  'IMAGE_NOT_SIGNED',
  'IMAGE_PUSHED_UNSIGNED',
  // what a client remembers of a repository: exit status 1
  'TRUST_MEMORY_DAMAGED',
  // pins: exit status 1
  'PINS_DAMAGED',
  'PIN_BUNDLE_INVALID',
  'PIN_BUNDLE_OTHER_KEY',
  'PIN_BUNDLE_REPLACES',
  'PIN_BUNDLE_OLDER',
  'PIN_BUNDLE_EXPIRED',
  'PIN_UNKNOWN',
  // docker: exit status 1
  'DOCKER_NOT_FOUND',
  'DOCKER_PUSH_FAILED',
  'DOCKER_PULL_FAILED',
  'PUSHED_DIGEST_UNKNOWN',
  'INTERRUPTED',
  'CLI_INTERNAL',
  // doctor: exit status 1
  'ERROR_UNKNOWN',
  // receipts: exit status 1
  'RECEIPT_MALFORMED',
  'RECEIPT_OTHER_LOG',
  'RECEIPT_CHECKPOINT_INVALID',
  'RECEIPT_RECORD_ALTERED',
  'RECEIPT_PROOF_INVALID',
  'RECEIPT_IMAGE_ALTERED',
  'RECEIPT_OTHER_IMAGE',
  // the offline root
  'ROOT_KEY_FILE_UNSUITABLE',
  'ROOT_KEY_LEFT_IN_TOKEN',
  'ROOT_CERTIFICATE_MISMATCH',
  'ROOT_NOT_AS_EXPECTED',
  'ROOT_CHANGE_FILE_INVALID',
  'ROOT_SIGNATURES_MISSING',
  'PASSPHRASE_TOO_SHORT',
  'PASSPHRASE_WRONG',
  // shares: exit status 1
  'SHARES_MISSING',
  'SHARE_OF_ANOTHER_SET',
  'SHARE_UNSUITABLE',
  'SHARE_DAMAGED',
  'SHARE_TWICE',
  // backups: exit status 1
  'BACKUP_DAMAGED',
  'BACKUP_INTERRUPTED',
  'BACKUP_PASSPHRASE_DIFFERS',
  'FOLDER_NOT_EMPTY',
  'DRILL_FAILED',
  'KEYS_NOT_PROVEN',
  // imported keys: exit status 1
  'KEY_IMPORT_NOTHING',
  'KEY_IMPORT_NOT_PROVEN',
  // adoption
  'METADATA_NOT_VERIFIED',
] as const

export type CliErrorCode = (typeof CLI_ERROR_CODES)[number]

/** The exit statuses, as documented in docs/cli.md; they are API. */
export const EXIT = { done: 0, failed: 1, usage: 2, denied: 3, unfinished: 4 } as const
export type ExitStatus = (typeof EXIT)[keyof typeof EXIT]

const USAGE_CODES: ReadonlySet<string> = new Set<CliErrorCode>([
  'USAGE_INVALID',
  'DURATION_INVALID',
  'IMAGE_LIST_EMPTY',
  'IMAGE_LIST_UNREADABLE',
  'IMAGE_LIST_TOO_LARGE',
  'IMAGE_LIST_MALFORMED',
  'IMAGE_LIST_UNRESOLVED',
  'PRUNE_PLAN_INVALID',
  'SERVER_NOT_CONFIGURED',
  'SERVER_ADDRESS_INVALID',
  'SERVER_INSECURE',
  'TOKEN_NOT_CONFIGURED',
  'ID_TOKEN_NOT_CONFIGURED',
  'CLIENT_CONFIG_INVALID',
  'PIN_MISSING',
  'PIN_KEY_MISSING',
  'AUDIT_KEY_UNUSABLE',
  'AUDIT_CHECKPOINT_UNUSABLE',
])

/** A refusal of the command line; `next` says what the reader can do about it. */
export class CliError extends CodedError<CliErrorCode> {
  readonly next: string | undefined

  constructor(code: CliErrorCode, message: string, o: { next?: string; facts?: ErrorFacts; cause?: unknown } = {}) {
    super(code, message, o.facts, o.cause === undefined ? undefined : { cause: o.cause })
    this.next = o.next
  }
}

/** One thing that is wrong with what was sent, and where: `images[0]`, `http.listen`. */
export interface Fault {
  readonly path: string
  readonly message: string
}

/** What an `application/problem+json` answer said; `code` is the server's own. */
export class ApiProblem extends CodedError<string> {
  readonly status: number
  readonly title: string
  readonly next: string | undefined
  /** Seconds after which the server suggests to ask again. */
  readonly retryAfter: number | undefined
  /** Whether the server says that the same request can succeed later. */
  readonly mayRetry: boolean
  readonly faults: readonly Fault[]

  constructor(o: {
    code: string
    status: number
    title: string
    detail: string
    next?: string | undefined
    retryAfter?: number | undefined
    mayRetry?: boolean
    faults?: readonly Fault[]
    facts?: ErrorFacts
  }) {
    super(o.code, o.detail, { ...o.facts, status: o.status })
    this.status = o.status
    this.title = o.title
    this.next = o.next
    this.retryAfter = o.retryAfter
    this.mayRetry = o.mayRetry ?? false
    this.faults = o.faults ?? []
  }
}

/** The exit status of an error that ended a command. */
export function exitStatusOf(error: unknown): ExitStatus {
  if (error instanceof ApiProblem) return error.status === 403 ? EXIT.denied : EXIT.failed
  if (error instanceof CliError) {
    if (USAGE_CODES.has(error.code)) return EXIT.usage
    if (error.code === 'REQUEST_NOT_FINISHED') return EXIT.unfinished
    if (error.code === 'REQUEST_DENIED') return EXIT.denied
  }
  // Thrown here by the parser of image references only: what was written on the command line cannot be meant.
  if (error instanceof DomainError) return EXIT.usage
  return EXIT.failed
}
