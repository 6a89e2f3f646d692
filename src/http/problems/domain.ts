// Rows for the codes of the domain and the services.
import type { DomainErrorCode } from '../../domain/errors.ts'
import { refuse, retry, type ProblemRow } from './row.ts'

export const DOMAIN_PROBLEMS = {
  IMAGE_REFERENCE_INVALID: refuse(
    422,
    'The image reference is not valid',
    'Write it as registry/repository:tag@sha256:digest.',
  ),
  IMAGE_TAG_MISSING: refuse(422, 'The image reference has no tag', 'Name the tag; latest is never assumed.'),
  IMAGE_DIGEST_UNSUPPORTED: refuse(422, 'The digest is not SHA-256', 'Name the image by its sha256 digest.'),
  REQUEST_EMPTY: refuse(422, 'The request names no image', 'Name at least one image.'),
  REQUEST_TOO_LARGE: refuse(422, 'The request names too many images', 'Split it into several requests.'),
  REQUEST_IMAGE_REPEATED: refuse(422, 'The request names an image twice', 'Name each tag once.'),
  REQUEST_FIELD_INVALID: refuse(
    422,
    'A member of the request is not valid',
    'Correct the member that the detail names.',
  ),
  REQUEST_NOT_FOUND: refuse(
    404,
    'There is no such signing request',
    'Check the id; list the requests that you may see.',
  ),
  RECEIPT_NOT_AVAILABLE: refuse(
    409,
    'There is no receipt of this image',
    'Wait until the image is published; where nothing was signed, ask the request that signed it first.',
  ),
  CURSOR_INVALID: refuse(400, 'The cursor is not valid', 'Start the list again without a cursor.'),
  IDEMPOTENCY_KEY_REUSED: refuse(
    422,
    'The idempotency key was used for another request',
    'Use a new key for a new request; the same key only with the same body.',
  ),
  NOT_PERMITTED: refuse(
    403,
    'The repository is not registered or the grant is missing',
    'Ask an operator to register the repository, or an administrator for a token with the grant.',
  ),
  POLICY_DENIED: refuse(
    403,
    'The signing policy does not allow this',
    'Read the reasons in the detail; ask an operator.',
  ),
  APPROVAL_NOT_ASKED: refuse(
    409,
    'Nothing in this request waits for approvals',
    'Read the request: it went on, or has ended.',
  ),
  APPROVAL_OUTDATED: refuse(
    409,
    'The request is not what was looked at',
    'Read the request again, and approve what it says now: a tag or the rules have changed.',
  ),
  APPROVAL_SIGNATURE_MISSING: refuse(
    422,
    'The signing policy asks for signed approvals',
    'Approve with your own key: countersign request approve --key FILE.',
  ),
  APPROVAL_SIGNATURE_INVALID: refuse(
    422,
    'The signature of the approval is not good',
    'Use the key that people.yaml names for you (approvalKey), and approve what the request says now.',
  ),
  APPROVER_UNKNOWN: refuse(
    403,
    'The identity belongs to nobody in the list of people',
    'Ask an operator to list it under your name in people.yaml.',
  ),
  APPROVER_NOT_LISTED: refuse(
    403,
    'The signing policy does not name this person among its approvers',
    'Ask one of the approvers that the request names.',
  ),
  APPROVER_IS_SUBMITTER: refuse(
    403,
    'Nobody approves their own request, or that of a run that they started',
    'Ask another approver.',
  ),
  APPROVER_NOT_LINKED: refuse(
    403,
    'The approver cannot be told from the person who started the run',
    "List the approver's identity at the provider of the run in people.yaml, or ask another approver.",
  ),
  WITHDRAWAL_NOT_PERMITTED: refuse(
    403,
    'The request is not yours to withdraw',
    'Ask its submitter, or an operator of all its repositories.',
  ),
  WITHDRAWAL_TOO_LATE: refuse(
    409,
    'Nothing of the request can be withdrawn any more',
    'Where it was published, ask for the tag to be unsigned.',
  ),
  RESUBMISSION_NOT_POSSIBLE: refuse(409, 'Only requests for images are submitted again', 'Ask for the change anew.'),
  GRANT_INVALID: refuse(
    422,
    'A grant is not valid',
    'Use admin, operator, submit or read with patterns over repositories.',
  ),
  GRANT_ESCALATION: refuse(403, 'Nobody can give what they do not have', 'Ask an administrator with wider patterns.'),
  TOKEN_NOT_FOUND: refuse(404, 'There is no such token', 'List the tokens; it may have been revoked already.'),
  TOKEN_NAME_INVALID: refuse(422, 'The name of the token is not valid', 'Use a short name of printable characters.'),
  TOKEN_NOT_ROTATABLE: refuse(
    409,
    'The token can get no other secret',
    'Make a new token; one that was exchanged is exchanged anew by its workload.',
  ),
  DIGEST_MISMATCH: refuse(
    409,
    'The registry serves another digest under this tag',
    'Find out who pushed the tag since; then ask for the digest that is meant.',
  ),
  PROMOTION_SOURCE_NOT_SIGNED: refuse(
    409,
    'The source of the promotion is not signed',
    'Sign it at the source, or find out who took it out of the signed ones.',
  ),
  PROMOTION_SOURCE_MOVED: refuse(
    409,
    'Another digest is signed at the source',
    'Find out what was signed there since; then ask for the promotion that is meant.',
  ),
  PROMOTION_SOURCE_FROZEN: refuse(
    409,
    'Nothing is promoted from a repository that is frozen',
    'An operator must look into the source, and unfreeze it.',
  ),
  PROMOTION_DESTINATION_DIFFERS: refuse(
    409,
    'The destination serves another digest than is signed at the source',
    'Copy the image by its digest, with all its platforms; then ask again.',
  ),
  TAG_NOT_KNOWN_GONE: refuse(
    409,
    'The registry has not said itself that it has no such tag',
    'Find out who answers 404 in its place: a proxy, a wrong path, a repository that is not there, or one that may not be read.',
  ),
  PRUNING_LEAVES_NOTHING: refuse(
    409,
    'No signed tag would be left',
    'Make sure that the registry has told the truth; then say that all may go.',
  ),
  TAG_SERVED_AGAIN: refuse(
    409,
    'The registry has the tag again that was gone when the pruning was planned',
    'It stays signed. Make a new plan, or unsign the tag by its name.',
  ),
  TAG_SIGNED_SINCE_PLAN: refuse(
    409,
    'The tag was signed here after the pruning was planned',
    'It stays signed. Make a new plan, or unsign the tag by its name.',
  ),
  GUN_ALREADY_PUBLISHED: refuse(
    409,
    'The trust server already holds metadata of this repository',
    'Adopt the repository in place of initialising it.',
  ),
  REPOSITORY_ALREADY_REGISTERED: refuse(409, 'The repository is registered already', 'Read its status.'),
  REPOSITORY_HAS_REQUESTS: retry(
    409,
    'Requests for this repository are not finished',
    'Wait until they are, or see what they wait for; then remove the repository.',
  ),
  REPOSITORY_NOT_READY: refuse(
    409,
    'The repository is not ready for this',
    'Read its status and finish its initialisation.',
  ),
  REPOSITORY_NOT_PUBLISHED: refuse(
    404,
    'The trust server holds no metadata of this repository',
    'Initialise the repository first.',
  ),
  ROOT_PIN_MISMATCH: refuse(
    409,
    'The published root is not the pinned root',
    'Do not go on: an operator must find out who published the other root.',
  ),
  ROOT_SIGNATURES_NOT_EXPECTED: refuse(409, 'The repository waits for no root signature', 'Read its status.'),
  SNAPSHOT_KEY_HELD_BY_CLIENT: refuse(
    409,
    'The trust server does not hold the snapshot key',
    'Rotate the snapshot key to the trust server: notary key rotate GUN snapshot -r.',
  ),
  SIGNING_ROLE_UNAVAILABLE: refuse(
    409,
    'No role of this repository can be signed with our keys',
    'An operator must add the delegation of this service to the repository.',
  ),
  UNSIGN_INCOMPLETE: refuse(
    409,
    'The tag stands in a role that we cannot sign',
    'Whoever holds the key of that role must remove the tag there.',
  ),
  ROTATION_NOT_STAGED: refuse(
    409,
    'No key waits to replace another one',
    'Start a rotation on the key holder with: countersign key rotate.',
  ),
  REPAIR_NOT_NEEDED: refuse(409, 'Nothing has expired that could be repaired', 'Nothing needs to be done.'),
  REPAIR_NOT_POSSIBLE: refuse(
    409,
    'What has expired cannot be signed again here',
    'Import the keys that the detail names: countersign key import.',
  ),
  RENEWAL_NOT_DUE: refuse(409, 'No role that is signed here expires soon', 'Nothing needs to be done.'),
  ROOT_CHANGE_INVALID: refuse(
    422,
    'This root cannot follow the published one',
    'Read the detail; begin again with: countersign root export.',
  ),
  ROOT_CHANGE_UNDER_WAY: refuse(
    409,
    'Another change of root is under way for this repository',
    'Wait for its end, then begin again with: countersign root export.',
  ),
  ROOT_CHANGE_OUTDATED: refuse(
    409,
    'The root was changed since this change was made',
    'Begin again with: countersign root export.',
  ),
  MOVE_NOT_POSSIBLE: refuse(
    409,
    'The repository cannot move there',
    'Read the detail; docs/operations/moving-a-repository.md has the ways.',
  ),
  MOVE_INVALID: refuse(
    422,
    'This root does not move the repository',
    'Make one with: countersign repo move, and sign that one.',
  ),
  MOVE_DESTINATION_UNKNOWN: refuse(
    422,
    'There is no such trust server for this repository',
    'Name one of trustServers whose guns match, or embedded where embeddedTrustServer.guns does.',
  ),
  MOVE_DESTINATION_OCCUPIED: refuse(
    409,
    'The new server has a repository of this name already',
    'Look at what it is. A notary-server can delete it; a trust server of Countersign takes no repository back.',
  ),
  WEBHOOK_NOT_FOUND: refuse(
    404,
    'There is no such webhook endpoint',
    'List them with: countersign webhook list. Endpoints are named in the configuration.',
  ),
  WEBHOOK_DELIVERY_NOT_FOUND: refuse(
    404,
    'There is no such delivery',
    'List them with: countersign webhook deliveries NAME. Old events are forgotten.',
  ),
  WEBHOOK_REFUSED: retry(
    502,
    'The receiver of a webhook did not accept the event',
    'Read its status and its log; the event is sent again.',
  ),
  WEBHOOK_REDIRECTED: refuse(
    502,
    'The receiver of a webhook answered with a redirect',
    'Redirects are not followed: name the final address in the configuration.',
  ),
  WEBHOOK_GONE: refuse(
    502,
    'The receiver of a webhook wants no more events',
    'When it takes events again: countersign webhook enable NAME.',
  ),
  WEBHOOK_SECRET_UNUSABLE: refuse(
    502,
    'The secret of a webhook cannot be read',
    'Look at the file that the configuration names: whsec_ and base64, mode 0600.',
  ),
  PUSH_QUEUE_FULL: retry(
    503,
    'More pushed tags wait to be looked at than may wait',
    'Send the event again later. Where this lasts, look why tags are not looked at: countersign repo unsigned.',
  ),
  PUSH_RATE_EXCEEDED: retry(
    429,
    'This source sends more events than it may',
    'Send the event again later. Have the registry send pushes only, or raise signOnPush.sources[].eventsPerMinute.',
  ),
  TAG_NOT_SIGNED: refuse(404, 'The tag is not signed', 'Check the tag; nothing needs to be done to unsign it.'),
  SIGNED_ROLES_UNEXPECTED: refuse(
    502,
    'The key holder signed something other than was asked',
    'Stop and call an operator: the signed metadata was not published.',
  ),
  PUBLICATION_CONFLICT: retry(
    409,
    'Others published to the repository at the same time',
    'Send the request again; nothing of it was published.',
  ),
  PUBLICATION_NOT_PROVEN: retry(
    502,
    'The publication could not be read back and verified',
    'Read the request again later; the server goes on trying to find out.',
  ),
  TRANSITION_INVALID: refuse(409, 'The request is in no state for this', 'Read the request; it may be finished.'),
  RECORD_CHANGED: retry(409, 'The record was changed at the same time', 'Read it again and repeat the request.'),
  RECORD_EXISTS: refuse(409, 'The record exists already', 'Read the existing one.'),
} as const satisfies Record<DomainErrorCode, ProblemRow>
