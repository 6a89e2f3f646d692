// Plans the move of a repository to another trust server, and takes the root that its keys signed for it as a request. Permission first.
import {
  certificatesEnd,
  encodeBase64,
  SNAPSHOT,
  TIMESTAMP,
  verifyArchive,
  type ArchivedRepository,
  type Gun,
  type PublicKey,
} from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { USUAL_LIFETIMES } from '../domain/lifetimes.ts'
import {
  checkComplete,
  checkFirstRoot,
  checkKeyHolder,
  checkMovingRoot,
  checkServerKeys,
  leftRoles,
  movedRoles,
  moveSubjects,
  raisesFor,
  versionsSeen,
} from '../domain/move.ts'
import { isFault } from '../domain/port-faults.ts'
import type { TrustDestination, TrustSource } from '../domain/ports.ts'
import type { Principal } from '../domain/principal.ts'
import type { Repository } from '../domain/repository.ts'
import { holdsRoot, planNextRoot, verifyRootChange } from '../domain/root-change.ts'
import { moveToOf, nextRootOf } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { custodyOf } from './custody.ts'
import { highestKnown, loadRepository, type LoadedRepository } from './load-repository.ts'
import { signedFile } from './root-change.ts'
import type { MovePlan, MoveRequest } from './services.ts'
import { requireReady } from './submission-checks.ts'
import { storeUpkeep, underWay } from './submit-upkeep.ts'
import type { Submitted } from './submit.ts'

/** A root is some kilobytes. */
const ROOT_MAX_BYTES = 1024 * 1024

/**
 * What a move would do, and the root for it, unsigned. Nothing is published; the new server makes its keys, which wait there.
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, MOVE_*, ROOT_CHANGE_INVALID; TufError, NotaryError, KeyHolderError
 */
export async function planMove(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
  to: string,
): Promise<MovePlan> {
  requireReady(dependencies.repositories, principal, 'operator', gun)
  const destination = destinationOf(dependencies, gun, to)
  const { trusted, custody, repository } = await loadRepository(dependencies, gun)
  const from = placeOf(dependencies, repository)
  if (from === to) throw new DomainError('MOVE_NOT_POSSIBLE', 'The repository stands there already.', { gun, to })
  await requireVacant(destination, gun, to)
  const now = dependencies.clock.now()
  const { archive, takesOlderRoots, raises, keys } = await checkMove(dependencies, { trusted, custody }, to)
  const changes = [
    { role: SNAPSHOT, keys: [keys.snapshot] },
    { role: TIMESTAMP, keys: [keys.timestamp] },
  ]
  const { rootMs } = custody.lifetimes ?? USUAL_LIFETIMES
  const expiresAt = new Date(now.getTime() + rootMs)
  const { root, timestamp } = trusted
  return {
    gun,
    from,
    to,
    current: root.bytes,
    next: planNextRoot(trusted, changes, expiresAt),
    roots: archive.roots.map(({ metadata }) => metadata.version),
    takesOlderRoots,
    moved: movedRoles(archive, now),
    left: leftRoles(archive, now),
    raises,
    oldTimestampExpiresAt: timestamp.metadata.expiresAt,
    oldRootExpiresAt: new Date(Math.min(root.metadata.expiresAt.getTime(), certificatesEnd(root.metadata).getTime())),
  }
}

/**
 * Idempotent while the same move is under way, or done.
 * @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY, MOVE_*, ROOT_CHANGE_INVALID, ROOT_CHANGE_OUTDATED, ROOT_CHANGE_UNDER_WAY;
 * TufError, NotaryError, KeyHolderError, StoreError
 */
export async function submitMove(
  dependencies: ServiceDependencies,
  principal: Principal,
  gun: Gun,
  { to, next, signatures }: MoveRequest,
): Promise<Submitted> {
  requireReady(dependencies.repositories, principal, 'operator', gun)
  const destination = destinationOf(dependencies, gun, to)
  const file = signedFile(gun, next, signatures)
  const running = underWay(dependencies, gun, 'move') ?? underWay(dependencies, gun, 'root')
  if (running !== undefined) {
    const [record] = running.images.map((image) => image.record)
    const asked = record && nextRootOf(record)
    const isSame =
      record !== undefined && moveToOf(record) === to && Buffer.compare(asked ?? Buffer.alloc(0), file) === 0
    if (isSame) return { request: running, isRepeated: true }
    throw new DomainError('ROOT_CHANGE_UNDER_WAY', 'Another change of root is under way. Wait for its end.', {
      gun,
      request: running.id,
    })
  }
  const loaded = await loadRepository(dependencies, gun)
  const isDone = placeOf(dependencies, loaded.repository) === to && holdsRoot(loaded.trusted, file)
  if (!isDone) {
    checkMovingRoot(gun, verifyRootChange(loaded.trusted, file).changes)
    await requireVacant(destination, gun, to, file)
    await checkMove(dependencies, loaded, to, file)
  }
  const subject = { reference: gun, gun, nextRoot: encodeBase64(file), moveTo: to }
  return storeUpkeep(dependencies, principal, subject, 'move', moveSubjects(gun, to))
}

export interface CheckedMove {
  readonly archive: ArchivedRepository
  readonly takesOlderRoots: boolean
  readonly raises: number
  readonly keys: { readonly snapshot: PublicKey; readonly timestamp: PublicKey }
}

/**
 * All that would strand the repository once its root is published: in the plan, when the root is brought, and before it is signed into a
 * publication. The new server keeps the older roots from here on; nobody sees them.
 * @param next the signed root, where there is one
 * @throws DomainError MOVE_NOT_POSSIBLE, MOVE_INVALID, MOVE_DESTINATION_UNKNOWN, ROOT_CHANGE_OUTDATED; TufError, NotaryError
 */
export async function checkMove(
  dependencies: ServiceDependencies,
  { trusted, custody }: Pick<LoadedRepository, 'trusted' | 'custody'>,
  to: string,
  next?: Uint8Array,
): Promise<CheckedMove> {
  const { gun } = trusted
  const destination = destinationOf(dependencies, gun, to)
  const takesOlderRoots = (await destination.rootVersions(gun)) !== undefined
  checkFirstRoot(gun, trusted.root.metadata.version, takesOlderRoots)
  const raises = takesOlderRoots ? 0 : raisesFor(gun, versionsSeen(custody))
  const archive = await readArchive(dependencies.source, gun)
  if (archive.root.sha256 !== trusted.root.sha256) {
    throw new DomainError('ROOT_CHANGE_OUTDATED', 'The old server has another root by now.', { gun })
  }
  checkComplete(archive, highestKnown(dependencies, gun, custody), dependencies.clock.now())
  const keys = {
    snapshot: await destination.serverKey(gun, SNAPSHOT),
    timestamp: await destination.serverKey(gun, TIMESTAMP),
  }
  const ids = { snapshot: keys.snapshot.tufKeyId, timestamp: keys.timestamp.tufKeyId }
  // A notary-server with keys in its own store tells another one each time, until a root names one of them: only ours can be compared with.
  if (next !== undefined && takesOlderRoots) checkServerKeys(gun, next, ids)
  if (takesOlderRoots) {
    // Making the keys may have told the key holder's record: it is asked afterwards.
    checkKeyHolder(gun, await custodyOf(dependencies, gun), Object.values(ids))
    await bringOlderRoots(destination, archive)
  }
  return { archive, takesOlderRoots, raises, keys }
}

/** @throws DomainError MOVE_NOT_POSSIBLE where the new server had a repository of this name; NotaryError */
async function bringOlderRoots(destination: TrustDestination, { gun, roots }: ArchivedRepository): Promise<void> {
  try {
    await destination.bringOlderRoots(
      gun,
      roots.map(({ bytes }) => bytes),
    )
  } catch (error) {
    if (!isFault('conflict', error)) throw error
    throw new DomainError(
      'MOVE_NOT_POSSIBLE',
      'The new server had a repository of this name before, and a trust server of Countersign takes none back, deleted or not.',
      { gun },
      { cause: error },
    )
  }
}

/** @throws DomainError MOVE_DESTINATION_UNKNOWN */
export function destinationOf(
  { trustServers }: Pick<ServiceDependencies, 'trustServers'>,
  gun: Gun,
  to: string,
): TrustDestination {
  const destination = trustServers.at(gun, to)
  if (destination !== undefined) return destination
  const known = trustServers.namesFor(gun).join(', ')
  throw new DomainError(
    'MOVE_DESTINATION_UNKNOWN',
    `No trust server of this name may have the repository. Those that may: ${known === '' ? 'none' : known}.`,
    { gun, to },
  )
}

/** Everything that the old server has of a repository, verified but for the clock. @throws TufError, NotaryError */
export function readArchive(source: TrustSource, gun: Gun): Promise<ArchivedRepository> {
  return verifyArchive({ gun, pin: { kind: 'tofu' } }, ({ fileName, maxBytes }) => source.read(gun, fileName, maxBytes))
}

function placeOf(
  { trustServers }: Pick<ServiceDependencies, 'trustServers'>,
  { gun, trustServer }: Repository,
): string {
  return trustServer ?? trustServers.namesFor(gun)[0] ?? ''
}

/**
 * @param ours the root that may stand there already: published by a request whose answer was lost
 * @throws DomainError MOVE_DESTINATION_OCCUPIED; NotaryError
 */
export async function requireVacant(
  destination: TrustDestination,
  gun: Gun,
  to: string,
  ours?: Uint8Array,
): Promise<void> {
  const root = await destination.read(gun, 'root.json', ROOT_MAX_BYTES)
  if (root === undefined || (ours !== undefined && Buffer.compare(root, ours) === 0)) return
  throw new DomainError('MOVE_DESTINATION_OCCUPIED', 'The new server has a repository of this name already.', {
    gun,
    to,
  })
}
