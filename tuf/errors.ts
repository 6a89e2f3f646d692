// The base of every error with a stable code, and the codes of this library.
// Codes are API: never reused, listed in docs/errors.md. Facts carry no secrets.

/** Facts of an error: names, versions, digests, limits. Never key bytes, tokens or passphrases. */
export type ErrorFacts = Readonly<Record<string, string | number>>

/** An error whose `code` is stable and may be asserted on; `message` is prose and may change. */
export class CodedError<C extends string> extends Error {
  readonly code: C
  readonly facts: ErrorFacts

  constructor(code: C, message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.facts = facts
  }
}

/** Every code of this library. One per line; grouped by the file that throws it. */
export const TUF_ERROR_CODES = [
  // json.ts
  'JSON_TOO_LARGE',
  'JSON_TOO_DEEP',
  'JSON_UTF8',
  'JSON_SYNTAX',
  'JSON_TRAILING_BYTES',
  'JSON_DUPLICATE_NAME',
  'JSON_NUMBER',
  'JSON_SURROGATE',
  // encoding.ts
  'ENCODING_HEX',
  'ENCODING_BASE64',
  // canonical.ts
  'CANONICAL_CONTROL_CHARACTER',
  'CANONICAL_SURROGATE',
  'CANONICAL_NUMBER',
  'CANONICAL_TOO_DEEP',
  // gun.ts, role.ts, digest.ts
  'GUN_INVALID',
  'ROLE_NAME_INVALID',
  'TAG_INVALID',
  'DIGEST_INVALID',
  // members.ts, signed.ts and the models
  'METADATA_MALFORMED',
  'METADATA_NAME_CASE',
  'METADATA_TYPE',
  'METADATA_VERSION',
  'METADATA_EXPIRES',
  'METADATA_ROLE_MISSING',
  'METADATA_THRESHOLD',
  'METADATA_KEY_MISSING',
  'METADATA_DELEGATION',
  'METADATA_FILE_META',
  'METADATA_TOO_MANY_SIGNATURES',
  // normal-form.ts
  'NORMAL_FORM_UNKNOWN_MEMBER',
  'NORMAL_FORM_MISSING_MEMBER',
  'NORMAL_FORM_CUSTOM',
  'NORMAL_FORM_EXPIRES',
  'NORMAL_FORM_VALUE',
  'NORMAL_FORM_BYTES',
  // key.ts, signature.ts
  'KEY_MALFORMED',
  'KEY_PRIVATE_PRESENT',
  'KEY_TYPE_UNSUPPORTED',
  'KEY_TOO_WEAK',
  'KEY_ID_MISMATCH',
  'SIGNATURE_NONE',
  'SIGNATURE_BELOW_THRESHOLD',
  'SIGNATURE_SELF_CHECK',
  // private-key-file.ts
  'KEY_FILE_TOO_LARGE',
  'KEY_FILE_MALFORMED',
  'KEY_FILE_UNSUPPORTED',
  'KEY_FILE_PASSPHRASE',
  'KEY_FILE_PASSPHRASE_MISSING',
  // x509.ts
  'CERTIFICATE_MALFORMED',
  'CERTIFICATE_PEM',
  'CERTIFICATE_BUNDLE',
  'CERTIFICATE_NAME',
  'CERTIFICATE_EXPIRED',
  'CERTIFICATE_NOT_YET_VALID',
  'CERTIFICATE_ALGORITHM',
  'CERTIFICATE_CHAIN',
  // file-request.ts, verifier.ts
  'FILE_MISSING',
  'FILE_TOO_LONG',
  'FILE_HASH_MISMATCH',
  'REPOSITORY_TOO_LARGE',
  'VERIFICATION_ORDER',
  // threshold.ts
  'SIGNATURE_KEY_REPEATED',
  // freshness.ts
  'ROLE_EXPIRED',
  'VERSION_ROLLED_BACK',
  'VERSION_FORKED',
  'VERSION_IMPLAUSIBLE',
  // root-pin.ts, root-chain.ts, trusted.ts
  'ROOT_NOT_PINNED',
  'ROOT_NOT_CURRENT',
  'ROOT_VERSION',
  'ROOT_CHAIN_TOO_LONG',
  // delegations.ts
  'DELEGATION_ABSENT',
  'DELEGATIONS_TOO_MANY',
  'SNAPSHOT_ROLE_REMOVED',
  // edit.ts, next-version.ts
  'ROLE_NOT_DELEGATED',
  'ROLE_UNUSABLE',
  'ROLE_NOT_PUBLISHED',
  'KEY_NOT_LISTED',
  'TARGET_OUTSIDE_PATHS',
  'CHANGES_CONFLICT',
  'NEXT_VERSION_DIFFERS',
] as const

export type TufErrorCode = (typeof TUF_ERROR_CODES)[number]

/** An error of this library: something received or asked for is not what the rules allow. */
export class TufError extends CodedError<TufErrorCode> {}
