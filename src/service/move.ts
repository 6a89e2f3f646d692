// Plans the move of a repository to another trust server, and takes the root that its keys signed for it as a request. Permission first.
import {
  certificatesEnd,
  encodeBase64,
  ROOT_LIFETIME_MS,
  SNAPSHOT,
  TIMESTAMP,
  verifyArchive,
  type ArchivedRepository,
  type Gun,
} from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import {
  checkFirstRoot,
  checkMovingRoot,
  leftRoles,
  MAX_RAISES,
  movedRoles,
  moveSubjects,
  VERSIONS_LEFT_TO_OTHERS,
  versionsSeen,
} from '../domain/move.ts'
import type { TrustDestination, TrustSource } from '../domain/ports.ts'
import type { Principal } from '../domain/principal.ts'
import type { Repository } from '../domain/repository.ts'
import { holdsRoot, planNextRoot, verifyRootChange } from '../domain/root-change.ts'
import { moveToOf, nextRootOf } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { loadRepository } from './load-repository.ts'
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
  const archive = await readArchive(dependencies.source, gun)
  const takesOlderRoots = (await destination.rootVersions(gun)) !== undefined
  checkFirstRoot(gun, trusted.root.metadata.version, takesOlderRoots)
  const seen = versionsSeen(custody)
  const raises = takesOlderRoots ? 0 : Math.max(seen.snapshot, seen.timestamp) + VERSIONS_LEFT_TO_OTHERS
  if (raises > MAX_RAISES) {
    const facts = { gun, updates: raises, limit: MAX_RAISES }
    throw new DomainError('MOVE_NOT_POSSIBLE', 'Its versions are too high to be reached at a notary-server.', facts)
  }
  const changes = [
    { role: SNAPSHOT, keys: [await destination.serverKey(gun, SNAPSHOT)] },
    { role: TIMESTAMP, keys: [await destination.serverKey(gun, TIMESTAMP)] },
  ]
  const expiresAt = new Date(now.getTime() + ROOT_LIFETIME_MS)
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
  const { trusted, repository } = await loadRepository(dependencies, gun)
  const isDone = placeOf(dependencies, repository) === to && holdsRoot(trusted, file)
  if (!isDone) {
    checkMovingRoot(gun, verifyRootChange(trusted, file).changes)
    await requireVacant(destination, gun, to)
  }
  const subject = { reference: gun, gun, nextRoot: encodeBase64(file), moveTo: to }
  return storeUpkeep(dependencies, principal, subject, 'move', moveSubjects(gun, to))
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

/** @throws DomainError MOVE_DESTINATION_OCCUPIED; NotaryError */
async function requireVacant(destination: TrustDestination, gun: Gun, to: string): Promise<void> {
  if ((await destination.read(gun, 'root.json', ROOT_MAX_BYTES)) === undefined) return
  throw new DomainError('MOVE_DESTINATION_OCCUPIED', 'The new server has a repository of this name already.', {
    gun,
    to,
  })
}
