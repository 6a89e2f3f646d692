// Registered repositories as the outer layers see them: initialize, adopt, list, report. Work on one GUN is serial.
import { CodedError, type Gun, METADATA_LIMITS, parseTufKeyId, RELEASES, sha256Hex, TARGETS } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { type ExpiryForecast, forecastExpiry } from '../domain/expiry-forecast.ts'
import { expiryOutlook } from '../domain/expiry-outlook.ts'
import { renewalFor } from '../domain/renewal.ts'
import { rolesOfKey } from '../domain/key-rotation.ts'
import { failureOf } from '../domain/port-faults.ts'
import type { RepositoryCustody } from '../domain/ports.ts'
import { isGranted, notPermitted, type Principal, requireGrant } from '../domain/principal.ts'
import type { Repository } from '../domain/repository.ts'
import { custodyWarnings, driftWarnings, repositoryWarnings, roleReports } from '../domain/repository-warnings.ts'
import { custodyOf } from './custody.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { GunQueue } from './gun-queue.ts'
import { completeInitialization, initialize, readRoot } from './initialize.ts'
import { loadRepository, verifyPublished } from './load-repository.ts'
import type {
  Initialization,
  InitializationRequest,
  RepositoryReport,
  RepositoryService,
  RootSignature,
} from './services.ts'
import type { SnapshotKeyCheck } from './snapshot-key.ts'

export class Repositories implements RepositoryService {
  readonly #dependencies: ServiceDependencies
  readonly #queue: GunQueue
  readonly #snapshotKey: SnapshotKeyCheck

  constructor(dependencies: ServiceDependencies, queue: GunQueue, snapshotKey: SnapshotKeyCheck) {
    this.#dependencies = dependencies
    this.#queue = queue
    this.#snapshotKey = snapshotKey
  }

  async initialize(principal: Principal, request: InitializationRequest): Promise<Initialization> {
    requireGrant(principal, 'operator', request.gun)
    return this.#queue.run(request.gun, () => initialize(this.#dependencies, request, principal.id))
  }

  async addRootSignatures(
    principal: Principal,
    gun: Gun,
    signatures: readonly RootSignature[],
  ): Promise<Initialization> {
    requireGrant(principal, 'operator', gun)
    return this.#queue.run(gun, () => {
      const repository = this.#dependencies.repositories.find(gun)
      if (repository === undefined) throw notPermitted('operator', gun)
      return completeInitialization(this.#dependencies, repository, signatures)
    })
  }

  async adopt(principal: Principal, gun: Gun): Promise<RepositoryReport> {
    requireGrant(principal, 'operator', gun)
    await this.#queue.run(gun, () => this.#adopt(principal, gun))
    return this.#report(gun)
  }

  async remove(principal: Principal, gun: Gun): Promise<void> {
    requireGrant(principal, 'operator', gun)
    await this.#queue.run(gun, async () => {
      const { keyHolder, repositories, requests } = this.#dependencies
      const repository = repositories.find(gun)
      if (repository === undefined) throw notPermitted('operator', gun)
      const unfinished = requests.unfinished(gun).length
      if (unfinished > 0) {
        const message = 'Requests for this repository are not finished.'
        throw new DomainError('REPOSITORY_HAS_REQUESTS', message, { gun, images: unfinished })
      }
      await keyHolder.appendRecord('repository-removed', { gun, by: principal.id })
      repositories.remove(repository)
    })
  }

  list(principal: Principal): readonly Repository[] {
    return this.#dependencies.repositories.list().filter(({ gun }) => isGranted(principal, 'read', gun))
  }

  async report(principal: Principal, gun: Gun): Promise<RepositoryReport> {
    requireGrant(principal, 'read', gun)
    return this.#report(gun)
  }

  async forecast(principal: Principal, gun: Gun): Promise<ExpiryForecast> {
    requireGrant(principal, 'read', gun)
    const { repositories, clock, settings } = this.#dependencies
    if (repositories.find(gun) === undefined) throw notPermitted('read', gun)
    const { trusted, custody } = await loadRepository(this.#dependencies, gun)
    const isSnapshotKeyOnServer = await this.#snapshotKey.isHeldByServer(trusted)
    const outlook = expiryOutlook(trusted, custody, isSnapshotKeyOnServer)
    return forecastExpiry(gun, outlook, renewalFor(settings.renewal, custody), clock.now())
  }

  async #report(gun: Gun): Promise<RepositoryReport> {
    const { keyHolder, repositories, signedTags, clock, settings } = this.#dependencies
    const repository = repositories.find(gun)
    if (repository === undefined) throw notPermitted('read', gun)
    const custody = await custodyOf(this.#dependencies, gun)
    const ofCustody = [
      ...custodyWarnings(custody, (await keyHolder.status()).uid === settings.uid),
      ...driftWarnings(signedTags.counts(gun), signedTags.drifted(gun, 3)),
    ]
    try {
      const { trusted } = await loadRepository(this.#dependencies, gun)
      const isSnapshotKeyOnServer = await this.#snapshotKey.isHeldByServer(trusted)
      const outlook = expiryOutlook(trusted, custody, isSnapshotKeyOnServer)
      const warnings = [...ofCustody, ...repositoryWarnings(trusted, outlook, custody, clock.now())]
      const ids = custody.keys.map(({ canonicalKeyId }) => parseTufKeyId(canonicalKeyId))
      const keyRoles = new Map(ids.map((id) => [id, rolesOfKey(trusted, id)]))
      return { repository, custody, keyRoles, roles: roleReports(trusted), warnings, outlook }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      const trouble = failureOf(error)
      return { repository, custody, keyRoles: new Map(), roles: [], warnings: ofCustody, outlook: [], trouble }
    }
  }

  /** Takes the root that the key holder has pinned, never the one that the server happens to serve. */
  async #adopt(principal: Principal, gun: Gun): Promise<void> {
    const { keyHolder, repositories, clock } = this.#dependencies
    const existing = repositories.find(gun)
    if (existing?.state === 'ready') return
    if (existing !== undefined) {
      throw new DomainError('REPOSITORY_ALREADY_REGISTERED', 'The repository is being initialized here.', { gun })
    }
    const custody = await keyHolder.repositoryStatus(gun)
    const root = await this.#pinnedRoot(gun, custody)
    // Signs nothing; what has expired is repaired afterwards, or told by the report.
    const trusted = await verifyPublished(this.#dependencies, gun, root.bytes, custody, { acceptsExpired: true })
    await keyHolder.observeRepository(gun, trusted.files)
    repositories.create({
      gun,
      state: 'ready',
      rootKind: 'adopted',
      signer: signerOf(custody),
      keyType: 'ecdsa',
      root,
      rootKeyIds: custody.pinnedRoot?.certificateKeyIds ?? [],
      createdAt: clock.now(),
      createdBy: principal.id,
      revision: 1,
    })
  }

  async #pinnedRoot(
    gun: Gun,
    { pinnedRoot }: RepositoryCustody,
  ): Promise<{ readonly sha256: string; readonly bytes: Uint8Array }> {
    if (pinnedRoot === undefined) {
      throw new DomainError('REPOSITORY_NOT_READY', 'The key holder has no pinned root for this repository.', { gun })
    }
    const { source } = this.#dependencies
    const { version, sha256 } = pinnedRoot
    const numbered = await source.read(gun, `${version}.root.json`, METADATA_LIMITS.maxBytes)
    const bytes = numbered ?? (await readRoot(source, gun))
    if (bytes === undefined) {
      throw new DomainError('REPOSITORY_NOT_PUBLISHED', 'The trust server has no metadata for this repository.', {
        gun,
      })
    }
    if (sha256Hex(bytes) !== sha256) {
      throw new DomainError('ROOT_PIN_MISMATCH', 'The trust server serves another root than the one that is pinned.', {
        gun,
        pinned: sha256,
        served: sha256Hex(bytes),
      })
    }
    return { sha256, bytes }
  }
}

/** The delegation that our key was made for. */
function signerOf({ keys }: RepositoryCustody): string | null {
  const role = keys.map((key) => key.role).find((name) => name.startsWith(`${TARGETS}/`) && name !== RELEASES)
  return role === undefined ? null : role.slice(TARGETS.length + 1)
}
