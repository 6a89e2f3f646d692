// Reads a repository from its trust server and verifies it as a client would, from the root that is pinned. Decides nothing
// about trust itself: RepositoryVerifier says which file comes next, and whether what came is good.
import { type Gun, RepositoryVerifier, type RoleName, sha256Hex, type TrustedRepository } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { codeOf } from '../domain/port-faults.ts'
import type { HighestVersion, RepositoryCustody } from '../domain/ports.ts'
import type { Repository } from '../domain/repository.ts'
import type { RequestKind } from '../domain/signing-request.ts'
import { custodyOf } from './custody.ts'
import type { ServiceDependencies } from './dependencies.ts'

export interface LoadedRepository {
  readonly trusted: TrustedRepository
  readonly custody: RepositoryCustody
  readonly repository: Repository
}

/** What may have expired; nothing, where nothing is said. */
interface Expiry {
  /** Targets and delegations. */
  readonly acceptsExpired?: boolean
  /** Root, for the root that follows it. */
  readonly acceptsExpiredRoot?: boolean
}

type LoadDependencies = Pick<
  ServiceDependencies,
  'source' | 'keyHolder' | 'repositories' | 'requests' | 'clock' | 'cache' | 'freezes'
>

/** A repair ends the expiry of targets and delegations; a next root that of root, whatever else has expired. Until then it stands there. */
export function expiryFor(kind: RequestKind | undefined): Expiry {
  return { acceptsExpired: kind === 'repair' || kind === 'root', acceptsExpiredRoot: kind === 'root' }
}

/**
 * Loads a registered repository. The pin is the daemon's own copy of the root, and the key holder's pin must be that root or one
 * that follows from it; and nothing is accepted below what either remembers. Two memories, so that neither alone, restored from a
 * backup, can be led to another root or back. What may have expired is said for a repair or a change of root.
 * @throws DomainError REPOSITORY_NOT_READY, ROOT_PIN_MISMATCH; TufError; NotaryError; KeyHolderError
 */
export async function loadRepository(
  dependencies: LoadDependencies,
  gun: Gun,
  o: Expiry = {},
): Promise<LoadedRepository> {
  const repository = dependencies.repositories.find(gun)
  if (repository?.root === undefined) {
    throw new DomainError(
      'REPOSITORY_NOT_READY',
      'The repository has no trusted root yet. Finish its initialization.',
      { gun },
    )
  }
  const custody = await custodyOf(dependencies, gun)
  const highest = [...highestKnown(dependencies, gun, custody)]
  const known = { roles: highest.map(([role, highestSeen]) => ({ role, highestSeen })) }
  const trusted = await verifyPublished(dependencies, gun, repository.root.bytes, known, o)
  return { trusted, custody, repository: followPin(dependencies, repository, custody, trusted) }
}

/** The highest version of each role that the key holder has seen, or that was proven here. */
export function highestKnown(
  { requests }: Pick<LoadDependencies, 'requests'>,
  gun: Gun,
  custody: Pick<RepositoryCustody, 'roles'>,
): ReadonlyMap<RoleName, HighestVersion> {
  const proven = requests.proven(gun).map(({ role, version, sha256 }) => ({ role, highestSeen: { version, sha256 } }))
  return highestOf([...custody.roles, ...proven])
}

function highestOf(roles: RepositoryCustody['roles']): ReadonlyMap<RoleName, HighestVersion> {
  const highest = new Map<RoleName, HighestVersion>()
  for (const { role, highestSeen } of roles) {
    if (highestSeen !== undefined && highestSeen.version > (highest.get(role)?.version ?? 0))
      highest.set(role, highestSeen)
  }
  return highest
}

/** Drives the verifier over the trust server, which may not go below the highest version given for a role. */
export async function verifyPublished(
  { source, clock, cache }: Pick<LoadDependencies, 'source' | 'clock' | 'cache'>,
  gun: Gun,
  root: Uint8Array,
  known: Pick<RepositoryCustody, 'roles'>,
  o: Expiry = {},
): Promise<TrustedRepository> {
  const verifier = new RepositoryVerifier({
    gun,
    pin: { kind: 'root', bytes: root },
    now: clock.now(),
    highest: highestOf(known.roles),
    ...o,
    ...(cache !== undefined && { cache }),
  })
  for (let request = verifier.next(); request !== undefined; request = verifier.next()) {
    verifier.accept(await source.read(gun, request.fileName, request.maxBytes))
  }
  return verifier.result()
}

/**
 * Compares our root with the key holder's pin. Where the pin has moved to a later root of the verified chain, our copy follows,
 * so that the chain to be walked stays short; where its root key went offline, our word for it does.
 */
function followPin(
  { repositories }: Pick<LoadDependencies, 'repositories'>,
  repository: Repository,
  { pinnedRoot, rootCustody }: RepositoryCustody,
  { rootChain }: TrustedRepository,
): Repository {
  const { gun, root } = repository
  const rootKind = repository.rootKind === 'online' && rootCustody === 'offline' ? 'offline' : repository.rootKind
  if (pinnedRoot !== undefined && pinnedRoot.sha256 === root?.sha256 && rootKind === repository.rootKind)
    return repository
  const pinned = rootChain.find((bytes) => sha256Hex(bytes) === pinnedRoot?.sha256)
  if (pinned === undefined) {
    throw new DomainError(
      'ROOT_PIN_MISMATCH',
      'The key holder has pinned another root than the daemon. An operator must decide.',
      {
        gun,
        daemon: root?.sha256 ?? 'none',
        keyHolder: pinnedRoot?.sha256 ?? 'none',
      },
    )
  }
  try {
    return repositories.update({ ...repository, rootKind, root: { sha256: sha256Hex(pinned), bytes: pinned } })
  } catch (error) {
    // Another load moved it at the same moment; the next one looks again.
    if (codeOf(error) === 'RECORD_CHANGED') return repository
    throw error
  }
}
