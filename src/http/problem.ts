// The only way from an error to a response. ONE table: every public code has a row, or this file does not compile.
// An error without a row is answered with 500 and nothing inside; the log has the cause.
import { CodedError, type ErrorFacts, type TufErrorCode } from '@countersign/tuf'
import type { DomainErrorCode } from '../domain/errors.ts'
import type { OidcErrorCode } from '../domain/oidc-errors.ts'
import type { KeyHolderErrorCode } from '../key-holder-protocol/errors.ts'
import type { NetErrorCode } from '../net/errors.ts'
import type { NotaryErrorCode } from '../notary/errors.ts'
import type { RegistryErrorCode } from '../registry/errors.ts'
import type { StoreErrorCode } from '../store/errors.ts'
import { HttpError, type HttpErrorCode, type RequestFault } from './errors.ts'
import { DOMAIN_PROBLEMS } from './problems/domain.ts'
import { HTTP_PROBLEMS } from './problems/http.ts'
import { KEY_HOLDER_PROBLEMS } from './problems/key-holder.ts'
import { NET_PROBLEMS } from './problems/net.ts'
import { NOTARY_PROBLEMS } from './problems/notary.ts'
import { OIDC_PROBLEMS } from './problems/oidc.ts'
import { REGISTRY_PROBLEMS } from './problems/registry.ts'
import type { ProblemRow } from './problems/row.ts'
import { STORE_PROBLEMS } from './problems/store.ts'
import { TUF_PROBLEMS } from './problems/tuf.ts'

/** The tables by the layer whose codes they answer; docs/errors.md follows this order. */
export const PROBLEM_LAYERS = {
  'HTTP API': HTTP_PROBLEMS,
  'Requests, repositories and permissions': DOMAIN_PROBLEMS,
  'Workload identity': OIDC_PROBLEMS,
  'Key holder': KEY_HOLDER_PROBLEMS,
  'Trust servers': NOTARY_PROBLEMS,
  Registries: REGISTRY_PROBLEMS,
  Connections: NET_PROBLEMS,
  Store: STORE_PROBLEMS,
  'Names, keys and metadata': TUF_PROBLEMS,
} as const

export const PROBLEMS = {
  ...HTTP_PROBLEMS,
  ...DOMAIN_PROBLEMS,
  ...OIDC_PROBLEMS,
  ...KEY_HOLDER_PROBLEMS,
  ...NOTARY_PROBLEMS,
  ...REGISTRY_PROBLEMS,
  ...NET_PROBLEMS,
  ...STORE_PROBLEMS,
  ...TUF_PROBLEMS,
} as const satisfies Readonly<Record<PublicCode, ProblemRow>>

/** Every code that a client may see. */
export type PublicCode =
  | HttpErrorCode
  | DomainErrorCode
  | OidcErrorCode
  | KeyHolderErrorCode
  | NotaryErrorCode
  | RegistryErrorCode
  | NetErrorCode
  | StoreErrorCode
  | TufErrorCode

/** The body of an `application/problem+json` answer (RFC 9457). */
export interface ProblemDocument {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  /** The path that was asked for. */
  readonly instance: string
  readonly code: PublicCode
  readonly requestId: string
  /** What to do next. */
  readonly next: string
  /** Whether the same request can succeed later without anybody changing anything. */
  readonly retry: boolean
  readonly facts?: ErrorFacts
  readonly errors?: readonly RequestFault[]
}

export interface Problem {
  readonly document: ProblemDocument
  readonly headers: Readonly<Record<string, string>>
}

/** Seconds after which a client may try again, where the answer does not say otherwise. */
const RETRY_AFTER_SECONDS = '5'

export function isPublicCode(code: string): code is PublicCode {
  return Object.hasOwn(PROBLEMS, code)
}

export function problemRow(code: PublicCode): ProblemRow {
  return PROBLEMS[code]
}

export function problemType(code: PublicCode): string {
  return `urn:countersign:problem:${code}`
}

/** The answer to an error. Total: whatever was thrown has one. */
export function problemOf(error: unknown, context: { readonly instance: string; readonly requestId: string }): Problem {
  const known = error instanceof CodedError && isPublicCode(error.code as string) ? error : undefined
  const code: PublicCode = known === undefined ? 'INTERNAL' : (known.code as PublicCode)
  const row = problemRow(code)
  const isShown = known !== undefined && row.status !== 500
  const document: ProblemDocument = {
    type: problemType(code),
    title: row.title,
    status: row.status,
    detail: isShown ? known.message : row.title,
    instance: context.instance,
    code,
    requestId: context.requestId,
    next: row.next,
    retry: row.retry,
    ...(isShown && Object.keys(known.facts).length > 0 && { facts: known.facts }),
    ...(known instanceof HttpError && known.faults.length > 0 && { errors: known.faults }),
  }
  const mayRetry = row.retry && (row.status === 429 || row.status === 503)
  return {
    document,
    headers: {
      ...(mayRetry && { 'retry-after': RETRY_AFTER_SECONDS }),
      ...(row.status === 401 && { 'www-authenticate': challenge(code) }),
      ...(known instanceof HttpError && known.headers),
    },
  }
}

/** RFC 6750, 3: no error code where no token was sent. */
function challenge(code: PublicCode): string {
  return code === 'TOKEN_MISSING' ? 'Bearer realm="countersign"' : 'Bearer realm="countersign", error="invalid_token"'
}
