// New files of a served repository: verify, work out the next snapshot and timestamp, record, write the log ahead, sign, store, answer.
// In this order, and only so. The cost follows the files of the update; of the others only digests and keys are known here.
import {
  acceptUpdate,
  EMPTY_STATE,
  isTargetsRole,
  parseGun,
  parseRoleName,
  ROOT,
  ServedTree,
  sha256Hex,
  SNAPSHOT,
  snapshotOf,
  TIMESTAMP,
  UpdateRefusal,
  type AcceptedUpdate,
  type Gun,
  type RoleName,
  type ServedState,
  VERSIONS_LEFT_TO_OTHERS,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { Attachments } from '../key-holder-protocol/operations.ts'
import { commitAhead, type Answer, type AuditRecord, type Call, type Holder } from './holder.ts'
import { checkServed, lifetimeOf } from './limits.ts'
import { chunkRecord } from './record-chunks.ts'
import { refuseFrozen, type PinnedRoot } from './repositories.ts'
import { finishPair, highestVersion, nextIssue, recordPayload, type ServedPair } from './served-pair.ts'
import type { Issue, ServedRepository } from './served-repositories.ts'
import { allServerKeys, displacedKeys, noteListedKeys } from './server-keys.ts'

/** See the operation's description in the protocol. @throws KeyHolderError */
export async function serveUpdate(
  holder: Holder,
  { request, attachments, socket }: Call<'serve-update'>,
): Promise<Answer<'serve-update'>> {
  // 1. Everything that needs no verification. A crash leaves nothing.
  const gun = parseGun(request.gun)
  const limits = checkServed(holder.limits, gun)
  const managed = holder.repositories.find(gun)
  if (managed !== undefined) refuseFrozen(managed)
  const served = holder.served.find(gun)
  const updateDigest = digestOf(attachments)
  if (served?.updateDigest === updateDigest) return answerOf(await finishPair(holder, served), true)
  holder.step('checked')

  // 2. The files, from the accepted root and against all that we know. A crash leaves nothing.
  const pinned = served === undefined ? managed?.pinnedRoot : undefined
  const before = stateBefore(served, pinned, attachments)
  const accepted = accept(holder, gun, served, before, attachments)
  if (pinned !== undefined) checkContinues(holder, gun, pinned, accepted)
  const { root, next, clientSnapshot } = accepted

  // 3. The next snapshot and timestamp, worked out here. A crash leaves nothing.
  const cameFrom = pinned !== undefined && pinned.version < root.metadata.version ? pinned.version : undefined
  const issue = (role: RoleName, last: Issue | undefined): Issue => {
    const next = nextIssue(holder, gun, role, last, lifetimeOf(limits, role))
    return cameFrom === undefined ? next : { ...next, version: next.version + VERSIONS_LEFT_TO_OTHERS }
  }
  const timestamp = issue(TIMESTAMP, served?.timestamp)
  const snapshot: Issue =
    clientSnapshot === undefined
      ? issue(SNAPSHOT, served?.snapshot)
      : { ...clientSnapshot.metadata, issuedAt: holder.now() }
  const unsigned = clientSnapshot === undefined ? snapshotOf(next, snapshot.version, snapshot.expiresAt) : undefined
  const after: ServedRepository = {
    gun,
    state: { root: root.bytes, roles: next.roles },
    isDeleted: false,
    updateDigest,
    snapshot,
    timestamp,
    ...(clientSnapshot !== undefined && { clientSnapshot: clientSnapshot.bytes }),
  }
  holder.step('planned')

  // 4. State, exact bytes and record in one transaction; 5. the record ahead of the log's files. A crash after the transaction leaves a
  //    pair that the same request finishes, and so does every later operation on this repository.
  const record: AuditRecord = {
    kind: unsigned === undefined ? 'timestamp-signed' : 'snapshot-signed',
    by: socket,
    gun,
    cause: 'update',
    snapshot:
      unsigned === undefined
        ? { version: snapshot.version, sha256: clientSnapshot?.sha256 }
        : { version: snapshot.version, payloadSha256: sha256Hex(unsigned.message) },
    timestamp: { version: timestamp.version, expiresAt: timestamp.expiresAt.toISOString() },
    ...(accepted.orphaned.length > 0 && { orphaned: accepted.orphaned.length }),
    ...(served?.permitted !== undefined && { permitted: served.permitted }),
    ...(cameFrom !== undefined && { follows: cameFrom }),
    evidence: request.evidence,
  }
  const roles = [...accepted.changed].map(([role, { version, sha256 }]) => ({ role, version, sha256 }))
  const displaced = displacedKeys(holder, gun, root)
  const replaced = displaced.map(({ role, publicKey: { canonicalKeyId } }): AuditRecord => {
    return { kind: 'key-replaced', by: 'key-holder', gun, role, canonicalKeyId }
  })
  commitAhead(holder, [...replaced, ...chunkRecord(record, 'roles', roles)], () => {
    holder.served.save(after, before)
    noteListedKeys(holder, gun, root, displaced)
    if (served !== undefined) dropSuperseded(holder, served)
    if (unsigned !== undefined) recordPayload(holder, gun, root, unsigned)
  })

  // 6. Sign the snapshot and store it with the timestamp's bytes; 7. sign the timestamp and store it. A crash leaves what is left of
  //    this to the next operation on the repository.
  return answerOf(await finishPair(holder, after, 'ahead'), false)
}

function answerOf({ response, attachments }: ServedPair, repeated: boolean): Answer<'serve-update'> {
  return { response: { ...response, repeated }, attachments }
}

/** Lets go of the bytes of the pair that was the newest; call inside the transaction that makes another one the newest. */
export function dropSuperseded(
  holder: Holder,
  { gun, snapshot, timestamp }: ServedRepository,
  roles: readonly RoleName[] = [SNAPSHOT, TIMESTAMP],
): void {
  if (roles.includes(SNAPSHOT)) holder.payloads.dropBytes(gun, SNAPSHOT, snapshot.version)
  if (roles.includes(TIMESTAMP)) holder.payloads.dropBytes(gun, TIMESTAMP, timestamp.version)
}

/**
 * What the update builds upon. A repository that is managed here and was never served comes from another server: its first root here
 * is the pinned one, or the next one, signed by the keys of the pinned one. A deleted repository goes on from its old root, unless an operator permitted otherwise.
 * @throws KeyHolderError SERVED_REPOSITORY_DELETED
 */
function stateBefore(
  served: ServedRepository | undefined,
  pinned: PinnedRoot | undefined,
  files: Attachments,
): ServedState {
  // Whatever was never served here begins with a root: one that follows from the pin, where there is a pin.
  if (served === undefined)
    return pinned === undefined || !files.has(ROOT) ? EMPTY_STATE : { root: pinned.bytes, roles: new Map() }
  if (served.isDeleted && !files.has(ROOT)) {
    throw new KeyHolderError('SERVED_REPOSITORY_DELETED', 'The repository was deleted; it begins again with a root.', {
      gun: served.gun,
    })
  }
  if (served.permitted === 'start-again') return EMPTY_STATE
  return served.permitted === 'go-on' ? { roles: served.state.roles } : served.state
}

/** @throws UpdateRefusal; KeyHolderError SERVED_RECREATION_REFUSED */
function accept(
  holder: Holder,
  gun: Gun,
  served: ServedRepository | undefined,
  before: ServedState,
  attachments: Attachments,
): AcceptedUpdate {
  const files = new Map([...attachments].map(([name, bytes]) => [parseRoleName(name), bytes]))
  if (files.has(TIMESTAMP)) {
    // acceptUpdate would ignore it: an update of nothing, as often as anybody likes.
    throw new KeyHolderError('OPERATION_MALFORMED', 'Nobody but the server signs a timestamp.', { gun })
  }
  const lastRootVersion = before.roles.get(ROOT)?.version
  const rules = {
    gun,
    now: holder.now(),
    serverKeys: allServerKeys(holder, gun),
    cache: holder.cache,
    ...(lastRootVersion !== undefined && { lastRootVersion }),
  }
  let accepted: AcceptedUpdate
  try {
    accepted = acceptUpdate(before, files, rules)
  } catch (cause) {
    const isStranger = cause instanceof UpdateRefusal && cause.facts['signers'] === 'previous'
    if (served?.isDeleted !== true || !isStranger) throw cause
    throw new KeyHolderError('SERVED_RECREATION_REFUSED', 'The old root did not sign the new one.', cause.facts, {
      cause,
    })
  }
  checkPermittedRoot(served, accepted)
  checkClientSnapshot(highestVersion(holder, gun, SNAPSHOT, served?.snapshot), accepted)
  if (served?.isDeleted === true) checkNothingVanishes([...before.roles.keys()], accepted)
  checkNotPast(holder, gun, accepted)
  return accepted
}

/**
 * Where versions started again, a file of the life before has good signatures perhaps, and a higher version.
 * @throws UpdateRefusal UPDATE_VERSION
 */
function checkNotPast(holder: Holder, gun: Gun, { changed }: AcceptedUpdate): void {
  for (const [role, { version, sha256 }] of changed) {
    if (!holder.served.isPast(gun, sha256)) continue
    throw new UpdateRefusal('UPDATE_VERSION', 'This file was published before the repository was deleted.', {
      role,
      version,
      reason: 'VERSION_ROLLED_BACK',
    })
  }
}

/** A permission may name the new root's certificates, so that nobody else is quicker. @throws KeyHolderError SERVED_RECREATION_REFUSED */
function checkPermittedRoot(served: ServedRepository | undefined, { root }: AcceptedUpdate): void {
  const permitted = served?.permittedRoots
  if (served?.isDeleted !== true || permitted === undefined) return
  const keyIds = root.metadata.roles.get(ROOT)?.keyIds ?? []
  if (keyIds.every((keyId) => permitted.includes(keyId))) return
  throw new KeyHolderError('SERVED_RECREATION_REFUSED', 'The new root lists a certificate that was not permitted.', {
    gun: served.gun,
  })
}

/**
 * Whoever has the repository from another server in a cache sees no role go back, and no version with two contents.
 * Every role that was seen and is delegated still has to come, too.
 * @throws UpdateRefusal UPDATE_VERSION, UPDATE_NO_TARGETS
 */
function checkContinues(holder: Holder, gun: Gun, pinned: PinnedRoot, accepted: AcceptedUpdate): void {
  const { changed } = accepted
  const seen = holder.versions.ofGun(gun).filter(({ highestSeen }) => highestSeen !== undefined)
  checkNothingVanishes(
    seen.map(({ role }) => role),
    accepted,
  )
  for (const [role, { version, sha256 }] of changed) {
    const seen = role === ROOT ? pinned : holder.versions.ofRole(gun, role).highestSeen
    if (seen === undefined || version > seen.version) continue
    if (version === seen.version && sha256 === seen.sha256) continue
    throw new UpdateRefusal(
      'UPDATE_VERSION',
      'The repository was seen elsewhere with a later version, or another content.',
      {
        role,
        version,
        highest: seen.version,
        reason: 'VERSION_ROLLED_BACK',
      },
    )
  }
}

/** Versions of the snapshot rise whoever holds its key. @throws UpdateRefusal UPDATE_VERSION */
function checkClientSnapshot(highest: number, { clientSnapshot }: AcceptedUpdate): void {
  const version = clientSnapshot?.metadata.version
  if (version === undefined || version > highest) return
  throw new UpdateRefusal('UPDATE_VERSION', 'The snapshot is not above the last one.', {
    role: SNAPSHOT,
    version,
    highest,
    reason: 'VERSION_ROLLED_BACK',
  })
}

/**
 * A repository that begins again and goes on with its versions is the old one to whoever has it in a cache: what is delegated and
 * was published must be there. Its files went with the deletion, so they must come with the update.
 * @throws UpdateRefusal UPDATE_NO_TARGETS
 */
function checkNothingVanishes(before: readonly RoleName[], { root, next }: AcceptedUpdate): void {
  const tree = new ServedTree(root, next.roles)
  for (const name of before) {
    if (!isTargetsRole(name) || next.roles.get(name)?.isListed === true || tree.authority(name) === undefined) continue
    throw new UpdateRefusal('UPDATE_NO_TARGETS', 'A delegated role that was published before is missing.', {
      role: name,
      reason: 'SNAPSHOT_ROLE_REMOVED',
    })
  }
}

/** SHA-256 over the lines `<sha256 of file> <role>` in the byte order of roles. */
function digestOf(files: Attachments): string {
  const names = [...files.keys()].sort()
  return sha256Hex(
    Buffer.from(names.map((name) => `${sha256Hex(files.get(name) ?? Buffer.alloc(0))} ${name}\n`).join('')),
  )
}
