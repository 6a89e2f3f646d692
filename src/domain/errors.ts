// The codes with which the domain and the services refuse. Codes are API: never reused, listed in docs/errors.md.
import { CodedError } from '@countersign/tuf'

export const DOMAIN_ERROR_CODES = [
  // what was asked
  'IMAGE_REFERENCE_INVALID',
  'IMAGE_TAG_MISSING',
  'IMAGE_DIGEST_UNSUPPORTED',
  'REQUEST_EMPTY',
  'REQUEST_TOO_LARGE',
  'REQUEST_IMAGE_REPEATED',
  'REQUEST_FIELD_INVALID',
  'REQUEST_NOT_FOUND',
  'CURSOR_INVALID',
  'IDEMPOTENCY_KEY_REUSED',
  // who may ask
  'NOT_PERMITTED',
  'POLICY_DENIED',
  'APPROVAL_NOT_ASKED',
  'APPROVAL_OUTDATED',
  'APPROVAL_SIGNATURE_MISSING',
  'APPROVAL_SIGNATURE_INVALID',
  'APPROVER_UNKNOWN',
  'APPROVER_NOT_LISTED',
  'APPROVER_IS_SUBMITTER',
  'APPROVER_NOT_LINKED',
  'WITHDRAWAL_NOT_PERMITTED',
  'WITHDRAWAL_TOO_LATE',
  'RESUBMISSION_NOT_POSSIBLE',
  'GRANT_INVALID',
  'GRANT_ESCALATION',
  'TOKEN_NOT_FOUND',
  'TOKEN_NAME_INVALID',
  // what the registry and the repository say
  'DIGEST_MISMATCH',
  'GUN_ALREADY_PUBLISHED',
  'REPOSITORY_ALREADY_REGISTERED',
  'REPOSITORY_NOT_READY',
  'REPOSITORY_HAS_REQUESTS',
  'REPOSITORY_NOT_PUBLISHED',
  'ROOT_PIN_MISMATCH',
  'ROOT_SIGNATURES_NOT_EXPECTED',
  'SNAPSHOT_KEY_HELD_BY_CLIENT',
  'SIGNING_ROLE_UNAVAILABLE',
  'UNSIGN_INCOMPLETE',
  'TAG_NOT_SIGNED',
  'ROTATION_NOT_STAGED',
  'RENEWAL_NOT_DUE',
  'ROOT_CHANGE_INVALID',
  'ROOT_CHANGE_UNDER_WAY',
  'ROOT_CHANGE_OUTDATED',
  // webhooks: what was asked for, and how an attempt ended
  'WEBHOOK_NOT_FOUND',
  'WEBHOOK_DELIVERY_NOT_FOUND',
  'WEBHOOK_REFUSED',
  'WEBHOOK_REDIRECTED',
  'WEBHOOK_GONE',
  'WEBHOOK_SECRET_UNUSABLE',
  // how publication ended
  'SIGNED_ROLES_UNEXPECTED',
  'PUBLICATION_CONFLICT',
  'PUBLICATION_NOT_PROVEN',
  'TRANSITION_INVALID',
  // the store's promises
  'RECORD_CHANGED',
  'RECORD_EXISTS',
] as const

export type DomainErrorCode = (typeof DOMAIN_ERROR_CODES)[number]

/** A refusal by the rules of the domain. The message says what to do next; the code is what programs read. */
export class DomainError extends CodedError<DomainErrorCode> {}
