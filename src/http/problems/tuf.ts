// Rows for the codes of the TUF library. Where they reach a client, they speak of a name in the request (422), of a key or
// certificate in it (422), or of metadata that a trust server serves (502).
import type { TufErrorCode } from '@countersign/tuf'
import { refuse, type ProblemRow } from './row.ts'

const METADATA = 'Call an operator: the trust server serves metadata that clients refuse as well.'
const INSIDE = 'Give the requestId to an operator; the log says what happened.'
const OPERATOR = 'Stop and call an operator: what was signed was not published.'
const KEY = 'Export the key again, or create a new one with: countersign root create.'
const CERTIFICATE = 'Create the certificate with: countersign root create.'
const NAME = 'Correct the member that the detail names.'

function metadata(title: string): ProblemRow {
  return refuse(502, title, METADATA)
}

export const TUF_PROBLEMS = {
  JSON_TOO_LARGE: refuse(502, 'A JSON document is too large', METADATA),
  JSON_TOO_DEEP: refuse(502, 'A JSON document is nested too deeply', METADATA),
  JSON_UTF8: refuse(502, 'A JSON document is not valid UTF-8', METADATA),
  JSON_SYNTAX: refuse(502, 'A document is not JSON', METADATA),
  JSON_TRAILING_BYTES: refuse(502, 'Something follows the JSON document', METADATA),
  JSON_DUPLICATE_NAME: refuse(502, 'A JSON object has a name twice', METADATA),
  JSON_NUMBER: refuse(502, 'A JSON number is not a plain whole number', METADATA),
  JSON_SURROGATE: refuse(502, 'A JSON text holds half a character', METADATA),
  ENCODING_HEX: refuse(422, 'A text is not hexadecimal', NAME),
  ENCODING_BASE64: refuse(422, 'A text is not base64', NAME),
  CANONICAL_CONTROL_CHARACTER: metadata('The metadata holds a control character'),
  CANONICAL_SURROGATE: metadata('The metadata holds half a character'),
  CANONICAL_NUMBER: metadata('The metadata holds a number that readers understand differently'),
  CANONICAL_TOO_DEEP: metadata('The metadata is nested too deeply'),
  GUN_INVALID: refuse(422, 'The repository name is not valid', 'Write it as registry/repository, in lower case.'),
  ROLE_NAME_INVALID: refuse(422, 'The role name is not valid', NAME),
  TAG_INVALID: refuse(422, 'The tag is not valid', 'Use up to 128 letters, digits, _ . and -; not . or - first.'),
  DIGEST_INVALID: refuse(
    422,
    'The digest is not valid',
    'Write it as sha256: and 64 hexadecimal digits in lower case.',
  ),
  METADATA_MALFORMED: metadata('The metadata has not the right shape'),
  METADATA_NAME_CASE: metadata('The metadata has names that differ only in case'),
  METADATA_TYPE: metadata('The metadata is of another role'),
  METADATA_VERSION: metadata('The metadata has no valid version'),
  METADATA_EXPIRES: metadata('The metadata has no valid expiry'),
  METADATA_ROLE_MISSING: metadata('The root does not name a role that it must name'),
  METADATA_THRESHOLD: metadata('A role has a threshold that cannot be met'),
  METADATA_KEY_MISSING: metadata('A role names a key that is not in the metadata'),
  METADATA_DELEGATION: metadata('A delegation is not valid'),
  METADATA_FILE_META: metadata('A file entry has no valid hash or length'),
  METADATA_TOO_MANY_SIGNATURES: metadata('The metadata has too many signatures'),
  NORMAL_FORM_UNKNOWN_MEMBER: metadata('The metadata has a member that would be lost'),
  NORMAL_FORM_MISSING_MEMBER: metadata('The metadata lacks a member'),
  NORMAL_FORM_CUSTOM: metadata('The metadata has a custom member that would change'),
  NORMAL_FORM_EXPIRES: metadata('The expiry is not written as Notary writes it'),
  NORMAL_FORM_VALUE: metadata('A value is not written as Notary writes it'),
  NORMAL_FORM_BYTES: metadata('The metadata is not written as Notary writes it'),
  KEY_MALFORMED: refuse(422, 'The public key cannot be read', KEY),
  KEY_PRIVATE_PRESENT: refuse(
    422,
    'A private key stands where a public key belongs',
    'Treat that key as lost: create a new one.',
  ),
  KEY_TYPE_UNSUPPORTED: refuse(422, 'The type of key is not supported', 'Use an ECDSA P-256, Ed25519 or RSA key.'),
  KEY_TOO_WEAK: refuse(422, 'The key is too weak', 'Use an ECDSA P-256 key, Ed25519, or RSA of at least 2048 bits.'),
  KEY_ID_MISMATCH: metadata('A key does not have the ID that it is listed under'),
  SIGNATURE_NONE: metadata('The metadata has no signature'),
  SIGNATURE_BELOW_THRESHOLD: metadata('Too few keys of the role have signed the metadata'),
  SIGNATURE_SELF_CHECK: refuse(
    502,
    'A signature just made does not verify',
    'Call an operator: the key holder or its hardware is faulty.',
  ),
  KEY_FILE_TOO_LARGE: refuse(422, 'The key file is too large', KEY),
  KEY_FILE_MALFORMED: refuse(422, 'The key file cannot be read', KEY),
  KEY_FILE_UNSUPPORTED: refuse(422, 'The format of the key file is not supported', KEY),
  KEY_FILE_PASSPHRASE: refuse(422, 'The passphrase does not open the key file', 'Give the right passphrase.'),
  KEY_FILE_PASSPHRASE_MISSING: refuse(422, 'The key file is encrypted', 'Give its passphrase.'),
  CERTIFICATE_MALFORMED: refuse(422, 'The certificate cannot be read', CERTIFICATE),
  CERTIFICATE_PEM: refuse(422, 'The certificate is not written as Notary writes it', CERTIFICATE),
  CERTIFICATE_BUNDLE: refuse(422, 'There is not exactly one certificate', CERTIFICATE),
  CERTIFICATE_NAME: refuse(422, 'The certificate is for another repository', CERTIFICATE),
  CERTIFICATE_EXPIRED: refuse(422, 'The certificate has expired', CERTIFICATE),
  CERTIFICATE_NOT_YET_VALID: refuse(422, 'The certificate is not valid yet', 'Check the clocks of both machines.'),
  CERTIFICATE_ALGORITHM: refuse(422, 'The certificate has a key or signature that is not supported', CERTIFICATE),
  CERTIFICATE_CHAIN: refuse(
    422,
    'The certificate does not lead to a trusted authority',
    'Check the pinned certificates.',
  ),
  FILE_MISSING: metadata('A metadata file is missing'),
  FILE_TOO_LONG: metadata('A metadata file is longer than its entry says'),
  FILE_HASH_MISMATCH: metadata('A metadata file is not the one that its entry names'),
  REPOSITORY_TOO_LARGE: metadata('The metadata of the repository is too large'),
  VERIFICATION_ORDER: refuse(500, 'The verification was driven in a wrong order', INSIDE),
  SIGNATURE_KEY_REPEATED: metadata('A key has signed the metadata twice'),
  ROLE_EXPIRED: refuse(
    502,
    'The metadata has expired',
    'Call an operator: where its key is here, countersign repo repair signs it again; else its owner must.',
  ),
  VERSION_ROLLED_BACK: metadata('The metadata is older than what was seen before'),
  VERSION_FORKED: metadata('The metadata differs from what was seen at this version'),
  VERSION_IMPLAUSIBLE: metadata('The version of the metadata is implausibly high'),
  ROOT_NOT_PINNED: metadata('The root is not signed by a pinned key'),
  ROOT_NOT_CURRENT: metadata('The root is not the newest one'),
  ROOT_VERSION: metadata('The versions of the roots do not follow one another'),
  ROOT_CHAIN_TOO_LONG: metadata('There are too many roots'),
  DELEGATION_ABSENT: metadata('The delegation is not in the metadata'),
  DELEGATIONS_TOO_MANY: metadata('There are too many delegations'),
  SNAPSHOT_ROLE_REMOVED: metadata('The snapshot no longer names a role that it named'),
  ROLE_NOT_DELEGATED: refuse(
    409,
    'The role is not delegated',
    'Whoever holds the targets key must add the delegation.',
  ),
  ROLE_UNUSABLE: refuse(502, 'The metadata of the role cannot be used', METADATA),
  ROLE_NOT_PUBLISHED: refuse(409, 'The role has no file yet', 'Sign a tag in it first.'),
  KEY_NOT_LISTED: refuse(409, 'No role lists the key', 'Read the status of the repository.'),
  TARGET_OUTSIDE_PATHS: refuse(
    409,
    'The role may not sign this tag',
    'Whoever holds the targets key must widen its paths.',
  ),
  CHANGES_CONFLICT: refuse(422, 'Two changes contradict one another', 'Name each tag once.'),
  NEXT_VERSION_DIFFERS: refuse(502, 'The signed version is not exactly the declared change', OPERATOR),
} as const satisfies Record<TufErrorCode, ProblemRow>
