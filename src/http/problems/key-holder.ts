// Rows for the codes of the key holder.
import type { KeyHolderErrorCode } from '../../key-holder-protocol/errors.ts'
import { refuse, retry, type ProblemRow } from './row.ts'

const VERSIONS = 'Check that daemon and key holder are of the same version.'
const OPERATOR = 'Call an operator: nothing is signed until this is repaired.'
const BASE = 'Call an operator: the published metadata must be examined before anything is signed on top of it.'
const UPDATE = 'Read what is published, make the files again, and publish them again.'
const LIMITS = "An operator must change the key holder's limits file, if this is meant to be allowed."

export const KEY_HOLDER_PROBLEMS = {
  FRAME_MALFORMED: refuse(502, 'The key holder was not understood', VERSIONS),
  FRAME_TOO_LARGE: refuse(502, 'The metadata is too large for the key holder', 'Remove old tags from the repository.'),
  OPERATION_UNKNOWN: refuse(502, 'The key holder does not know the operation', VERSIONS),
  OPERATION_NOT_ON_THIS_SOCKET: refuse(502, 'The operation is for the operator socket only', VERSIONS),
  OPERATION_MALFORMED: refuse(502, 'The key holder did not understand the operation', VERSIONS),
  KEY_HOLDER_UNREACHABLE: retry(
    503,
    'The key holder cannot be reached',
    'Send the request again; an operator may have to start it.',
  ),
  KEY_HOLDER_BUSY: retry(503, 'The key holder has too much to do', 'Send the request again in a few seconds.'),
  KEY_HOLDER_SEALED: retry(503, 'The key holder is sealed', 'An operator must unseal it; then send the request again.'),
  KEY_HOLDER_INTERNAL: refuse(502, 'The key holder failed inside', 'Call an operator: its log says what happened.'),
  KEY_HOLDER_CONFIG_INVALID: refuse(503, 'The configuration of the key holder is not valid', OPERATOR),
  KEY_HOLDER_FOLDER_EXPOSED: refuse(503, "Others can reach the key holder's folder", OPERATOR),
  KEY_HOLDER_ALREADY_RUNNING: refuse(503, 'Another key holder uses the same folder', OPERATOR),
  KEY_HOLDER_STATE_MISSING: refuse(503, 'The state of the key holder is missing', OPERATOR),
  KEY_HOLDER_STATE_DAMAGED: refuse(503, 'The state of the key holder is damaged', OPERATOR),
  UNLOCK_KEY_UNREADABLE: refuse(503, 'The unlock key cannot be read', OPERATOR),
  UNLOCK_KEY_EXPOSED: refuse(503, 'Others can read the unlock key', OPERATOR),
  GUN_NOT_MANAGED: refuse(409, 'The key holder has no keys for this repository', 'Initialise or adopt the repository.'),
  GUN_ALREADY_MANAGED: refuse(
    409,
    'The key holder has keys for this repository already',
    'Read the status of the repository.',
  ),
  GUN_NOT_INITIALIZED: refuse(409, 'The repository waits for its root signature', 'Send the root signatures first.'),
  KEY_NOT_FOUND: refuse(409, 'The key holder has no such key', 'Read the status of the repository.'),
  KEY_NOT_STAGED: refuse(
    409,
    'No key waits to replace another one',
    'An operator starts a rotation with: countersign key rotate.',
  ),
  KEY_NOT_REPLACEABLE: refuse(409, 'The key cannot be replaced this way', 'Read the detail; ask an operator.'),
  KEY_IN_USE: refuse(409, 'The key is still in use', 'Replace it first with: countersign key rotate.'),
  KEY_FILE_DAMAGED: refuse(
    502,
    'A sealed key is damaged',
    `${OPERATOR} Restore the key holder's folder from a backup.`,
  ),
  UNLOCK_KEY_WRONG: refuse(503, 'The unlock key does not open the keys', OPERATOR),
  UNLOCK_KEY_NEXT_NOT_CONFIGURED: refuse(
    409,
    'The key holder knows no next unlock key',
    'Name one in its configuration (unlock.nextKeyFile), and start it again.',
  ),
  UNLOCK_KEY_NEXT_IS_CURRENT: refuse(
    409,
    'The keys are sealed under the next unlock key already',
    'After a rewrap all is done. For another one put a new key into the file.',
  ),
  ROOT_SIGNATURE_INVALID: refuse(
    422,
    'The signature over the root is not valid',
    'Sign exactly the bytes of rootSigned with the root key.',
  ),
  ROOT_CHANGE_REFUSED: refuse(
    422,
    'The key holder does not accept the next root',
    'Read the detail; begin again with: countersign root export.',
  ),
  ROOT_KEY_NOT_PROVEN: refuse(
    422,
    'The root key is removed only for whoever has it',
    'Export it first with: countersign root take-offline.',
  ),
  ROOT_CERTIFICATE_INVALID: refuse(
    422,
    'The root certificate cannot be used',
    'Create it with: countersign root create.',
  ),
  BASE_NOT_VERIFIED: refuse(502, 'The published metadata does not verify', BASE),
  BASE_OLDER_THAN_KNOWN: refuse(502, 'The published metadata is older than what was seen before', BASE),
  BASE_DIFFERS_FROM_KNOWN: refuse(502, 'The published metadata differs from what was seen at this version', BASE),
  BASE_VERSION_NOT_OURS: refuse(
    502,
    'A version stands there that only our keys can sign and that we did not sign',
    BASE,
  ),
  BASE_VERSION_IMPLAUSIBLE: refuse(502, 'The published version is implausibly high', BASE),
  ROLE_NOT_SIGNABLE: refuse(409, 'The role cannot be signed with our key', 'Read the status of the repository.'),
  CHANGE_EMPTY: refuse(409, 'The change changes nothing', 'Nothing needs to be done.'),
  CHANGE_MALFORMED: refuse(502, 'The declared change was not understood', VERSIONS),
  CHANGE_REFUSED: refuse(409, 'The change is refused', 'Read the detail; ask an operator.'),
  REQUEST_ALREADY_PUBLISHED: refuse(
    409,
    'The request was published before',
    'The daemon was restored from a backup and has forgotten it. Send a new request if this is still wanted.',
  ),
  PUBLICATION_REPLAYED: refuse(502, 'The publication was signed before with other content', OPERATOR),
  SERVED_REPOSITORY_NOT_ALLOWED: refuse(403, 'The limits allow no trust server for this repository', LIMITS),
  SERVED_REPOSITORY_UNKNOWN: refuse(404, 'Nothing was published for this repository', 'Publish a first root.'),
  SERVED_REPOSITORY_DELETED: refuse(
    409,
    'The repository was deleted',
    'Publish a root that the old root signed, or ask an operator to permit a new beginning.',
  ),
  SERVED_RECREATION_REFUSED: refuse(
    409,
    'The old root did not sign the new one',
    "Sign the next root with the old root's keys, or ask an operator to permit a new beginning.",
  ),
  SERVER_KEY_MISSING: refuse(409, 'The key of this role is not here', 'Whoever holds it must sign the role.'),
  UPDATE_NO_ROOT: refuse(400, 'Nothing was published yet, and the update has no root', UPDATE),
  UPDATE_BAD_ROOT: refuse(400, 'The root of the update is not valid', UPDATE),
  UPDATE_BAD_TARGETS: refuse(400, 'A targets file of the update is not valid', UPDATE),
  UPDATE_PARENT_UNUSABLE: refuse(
    400,
    'A role that delegates to an updated one is not valid',
    'Publish that role again, signed with its present keys.',
  ),
  UPDATE_ORPHANS_TARGETS: refuse(
    400,
    'The new root would leave targets without valid signatures',
    'Publish targets, signed with its new keys, in the same update.',
  ),
  UPDATE_NO_TARGETS: refuse(400, 'The update lacks targets', UPDATE),
  UPDATE_BAD_SNAPSHOT: refuse(400, 'The snapshot of the update is not valid', UPDATE),
  UPDATE_NO_SNAPSHOT: refuse(400, 'The update lacks the snapshot, whose key the client holds', UPDATE),
  UPDATE_NO_TIMESTAMP_KEY: refuse(
    400,
    "The root does not list the trust server's timestamp key",
    'Ask the trust server for its key, and list it in the root.',
  ),
  UPDATE_VERSION: refuse(409, 'A version of the update is not above the last one', UPDATE),
  LIMIT_GUN: refuse(403, 'The limits allow no signature for this repository', LIMITS),
  LIMIT_TAG: refuse(403, 'The limits allow no signature for this tag', LIMITS),
  LIMIT_APPROVALS: refuse(
    403,
    'The key holder asks for more approvals, signed by keys that it knows',
    `Ask again, and have as many people sign their approval (request approve --key). ${LIMITS}`,
  ),
  LIMIT_TAG_LOCKED: refuse(403, 'The tag is locked: it keeps the digest that it has', `Use a new tag. ${LIMITS}`),
  LIMIT_ENTRIES: retry(429, 'The repository has changed too many entries', `Wait, or remove old tags. ${LIMITS}`),
  LIMIT_VERSIONS: retry(
    429,
    'The repository has had too many versions in an hour',
    `Send the request again later. ${LIMITS}`,
  ),
  LIMIT_INITIALIZE: refuse(403, 'The limits do not allow to initialise this repository', LIMITS),
  LIMIT_RECORDS: retry(429, 'Too many records in an hour', `Send the request again later. ${LIMITS}`),
  LIMIT_SERVER_KEYS: retry(429, 'Too many new server keys', `Send the request again later. ${LIMITS}`),
  LIMITS_FILE_INVALID: refuse(503, 'The limits file cannot be read', OPERATOR),
  REPOSITORY_FROZEN: refuse(409, 'The repository is frozen', 'An operator must look into it and unfreeze it.'),
  AUDIT_LOG_UNWRITABLE: refuse(503, 'The audit log cannot be written, so nothing is signed', OPERATOR),
  AUDIT_LOG_DAMAGED: refuse(503, 'The audit log is damaged, so nothing is signed', OPERATOR),
  AUDIT_LOG_UNREADABLE: refuse(
    503,
    'A file of the audit log cannot be read, so nothing is signed',
    'Check its mode, its owner and the disk.',
  ),
  RECORD_NOT_FOUND: refuse(
    409,
    'The audit log has no such record',
    'If the key holder was restored from a backup, the record may be in the copy of the log that was kept elsewhere.',
  ),
  STATE_UNWRITABLE: refuse(503, 'The state of the key holder cannot be written, so nothing is signed', OPERATOR),
} as const satisfies Record<KeyHolderErrorCode, ProblemRow>
