// What an error of a port means for the step at hand. Codes are all that is looked at: the domain knows no adapter.
// A code that is not listed is taken for the worst: on publishing, that the answer was lost; else, that a retry cannot help.
import { CodedError } from '@countersign/tuf'
import type { Failure } from './signing-request.ts'

/** Of TrustPublisher.publish: nothing was stored because somebody else was first, or the server was updating. */
const CONFLICTS: readonly string[] = ['NOTARY_CONFLICT']

/** Of TrustPublisher.publish: the server refused these bytes or this caller, and will again. */
const REFUSALS: readonly string[] = ['NOTARY_UPDATE_INVALID', 'NOTARY_UNAUTHORIZED', 'NOTARY_NOT_CONFIGURED']

/** The other side could not be reached or was not able to answer; the same call may succeed later. */
const OUTAGES: readonly string[] = ['KEY_HOLDER_UNREACHABLE', 'KEY_HOLDER_SEALED', 'NOTARY_UNAVAILABLE']

/** Of KeyHolder.changeTargets: refused because of one of the changes, so the others should be tried without it. */
const CHANGE_REFUSALS: readonly string[] = [
  'LIMIT_TAG',
  'LIMIT_TAG_LOCKED',
  'LIMIT_ENTRIES',
  'CHANGE_MALFORMED',
  'CHANGE_REFUSED',
]

export function codeOf(error: unknown): string | undefined {
  return error instanceof CodedError ? String(error.code) : undefined
}

export function isConflict(error: unknown): boolean {
  return CONFLICTS.includes(codeOf(error) ?? '')
}

export function isPublishRefusal(error: unknown): boolean {
  return REFUSALS.includes(codeOf(error) ?? '')
}

export function isOutage(error: unknown): boolean {
  return OUTAGES.includes(codeOf(error) ?? '')
}

export function isChangeRefusal(error: unknown): boolean {
  return CHANGE_REFUSALS.includes(codeOf(error) ?? '')
}

/** What a request is told. An error without a code is a defect of ours: it is told apart, and its text stays inside. */
export function failureOf(error: unknown): Failure {
  if (error instanceof CodedError) return { code: String(error.code), detail: error.message }
  return { code: 'INTERNAL', detail: 'Something went wrong inside Countersign; the log has the cause.' }
}
