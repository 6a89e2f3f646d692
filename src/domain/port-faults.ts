// What an error of a port means for the step at hand. Codes are all that is looked at: the domain knows no adapter.
// A code that is not listed is taken for the worst: on publishing, that the answer was lost; else, that a retry cannot help.
import { CodedError } from '@countersign/tuf'
import type { Failure } from './signing-request.ts'

/** The codes that mean something here; a test holds them against the codes that the adapters throw. */
export const PORT_FAULTS = {
  /** Of TrustPublisher.publish: nothing was stored, because somebody else was first or the server was updating. */
  conflict: ['NOTARY_CONFLICT'],
  /** Of TrustPublisher.publish: nothing was stored, and it would be the same again. */
  publishRefusal: [
    'NOTARY_UPDATE_INVALID',
    'NOTARY_UNAUTHORIZED',
    'NOTARY_NOT_CONFIGURED',
    'NOTARY_REDIRECTED',
    'NET_TLS',
    'CHALLENGE_MALFORMED',
    'CHALLENGE_UNSUPPORTED',
    'TOKEN_REALM_NOT_ALLOWED',
    'TOKEN_REFUSED',
    'CREDENTIALS_OVER_PLAIN_HTTP',
    'CREDENTIALS_UNREADABLE',
    'CREDENTIAL_HELPER_FAILED',
  ],
  /** The other side could not be reached or was not able to answer; the same call may succeed later. */
  outage: [
    'KEY_HOLDER_UNREACHABLE',
    'KEY_HOLDER_BUSY',
    'KEY_HOLDER_SEALED',
    'CUSTODY_UNAVAILABLE',
    'CUSTODY_PIN_INCORRECT',
    'CUSTODY_PIN_LOCKED',
    'CUSTODY_PIN_UNREADABLE',
    'CUSTODY_NOT_INSTALLED',
    'NOTARY_UNAVAILABLE',
    'REGISTRY_UNAVAILABLE',
  ],
  /** Of KeyHolder, where it signs: it cannot use the keys now, and has signed nothing. Each of them is an outage, too. */
  keysAway: [
    'KEY_HOLDER_SEALED',
    'CUSTODY_UNAVAILABLE',
    'CUSTODY_PIN_INCORRECT',
    'CUSTODY_PIN_LOCKED',
    'CUSTODY_PIN_UNREADABLE',
    'CUSTODY_NOT_INSTALLED',
  ],
  /** Of KeyHolder.changeTargets: refused because of one of the changes, so the others should be tried without it. */
  changeRefusal: [
    'LIMIT_TAG',
    'LIMIT_TAG_LOCKED',
    'LIMIT_APPROVALS',
    'LIMIT_ENTRIES',
    'CHANGE_MALFORMED',
    'CHANGE_REFUSED',
    'REQUEST_ALREADY_PUBLISHED',
  ],
  /** Of KeyHolder: what was read back is not what it may accept. */
  observationRefusal: [
    'BASE_NOT_VERIFIED',
    'BASE_OLDER_THAN_KNOWN',
    'BASE_DIFFERS_FROM_KNOWN',
    'BASE_VERSION_NOT_OURS',
    'BASE_VERSION_IMPLAUSIBLE',
    'REPOSITORY_FROZEN',
    'GUN_NOT_MANAGED',
    'GUN_NOT_INITIALIZED',
  ],
} as const satisfies Record<string, readonly string[]>

export function codeOf(error: unknown): string | undefined {
  return error instanceof CodedError ? String(error.code) : undefined
}

export function isFault(kind: keyof typeof PORT_FAULTS, error: unknown): boolean {
  const code = codeOf(error)
  return PORT_FAULTS[kind].some((known) => known === code)
}

export function isOutage(error: unknown): boolean {
  return isFault('outage', error)
}

/** What a request is told. An error without a code is a defect of ours: it is told apart, and its text stays inside. */
export function failureOf(error: unknown): Failure {
  if (error instanceof CodedError) return { code: String(error.code), detail: error.message }
  return { code: 'INTERNAL', detail: 'Something went wrong inside Countersign; the log has the cause.' }
}
