// Where we refuse metadata that Docker's client takes. A closed list: the stock client is the judge of our verification in a test,
// and a refusal that is stricter than its own must stand here. The other way round there is no list, because it never happens.
import type { TufErrorCode } from '@countersign/tuf'

/** Code -> what Docker does with the same metadata (notary v0.7.0, docker/cli v28.2.2). */
export const STRICTER_THAN_DOCKER = {
  JSON_UTF8: 'replaces each bad byte',
  JSON_SURROGATE: 'replaces half characters',
  JSON_DUPLICATE_NAME: 'takes the last of two members with one name',
  JSON_NUMBER: 'reads fractions and exponents that are whole, and rounds beyond 2^53',
  JSON_TOO_LARGE: 'reads up to 100 MiB; we read 32 MiB and a million values',
  JSON_TOO_DEEP: 'has no limit but its stack; ours is 32 levels',
  CANONICAL_CONTROL_CHARACTER: 'signs and verifies control characters raw',
  ENCODING_BASE64: 'passes over line breaks and stray bits',
  METADATA_NAME_CASE: 'takes a name in another case for the name',
  METADATA_MALFORMED:
    'takes a missing member for an empty one, as a delegation without expiry, which it then passes over as expired',
  METADATA_VERSION: 'takes versions beyond 31 bits',
  METADATA_EXPIRES: 'reads more than nine digits of a fraction, and offsets beyond 23:59',
  METADATA_FILE_META: 'takes negative lengths, and digests of any size in targets',
  METADATA_TOO_MANY_SIGNATURES: 'checks any number; we check 128',
  KEY_MALFORMED: 'reads keys of any length; ours end at 128 KiB',
  KEY_PRIVATE_PRESENT: 'passes over a private value in a public key',
  SIGNATURE_KEY_REPEATED: 'counts one key in two certificates twice (trap Q22)',
  GUN_INVALID: 'cannot form such names; the notary client takes any text',
  CERTIFICATE_PEM: 'takes any number of certificates in a bundle; we take ten',
  CERTIFICATE_ALGORITHM:
    'takes certificates signed with algorithms that it does not know, as it does not check self-signatures',
  CERTIFICATE_CHAIN: 'weighs name constraints of a pinned CA; we do not use such a CA',
  FILE_TOO_LONG: 'reads a root of up to 100 MiB; we read 1 MiB',
  REPOSITORY_TOO_LARGE: 'has no limit on all files together; ours is 256 MiB',
  VERSION_ROLLED_BACK: 'misses a role that goes back with a smaller file, or alone (trap Q18)',
  VERSION_FORKED: 'takes another content for a version that it knows',
  VERSION_IMPLAUSIBLE: 'takes the last versions there are, after which no repair is possible',
  ROOT_NOT_CURRENT: 'looks at the hash only, where the snapshot lists the root with another length',
  ROOT_CHAIN_TOO_LONG: 'walks any number of roots',
  DELEGATIONS_TOO_MANY: 'reads any number of delegations',
  SNAPSHOT_ROLE_REMOVED: 'passes over a role that the snapshot names no more',
} as const satisfies Partial<Record<TufErrorCode, string>>
