// Steps 8 and 9 of a move: what the old server has is published at the new one, under the next root, and read back from there.
import { parseRoot, ROOT, sha256Hex, type Gun, type TrustedRepository } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { checkComplete, MAX_RAISES, raisesMissing, rolesToMove, versionsSeen } from '../domain/move.ts'
import type { RepositoryCustody, TrustDestination } from '../domain/ports.ts'
import type { Publication } from '../domain/publication.ts'
import { custodyOf } from './custody.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { highestKnown, verifyPublished } from './load-repository.ts'
import { destinationOf, readArchive } from './move.ts'

const FILE_MAX_BYTES = 1024 * 1024

export class MoveSteps {
  readonly #dependencies: ServiceDependencies

  constructor(dependencies: ServiceDependencies) {
    this.#dependencies = dependencies
  }

  /**
   * Everything, in this order: the older roots, which nobody sees until there is a newest one; then one update with the next root and all
   * targets roles. A crash between the two leaves nothing that is served, and both may be sent again.
   * @throws DomainError PUBLICATION_CONFLICT where the old server has another root by now, MOVE_NOT_POSSIBLE; NotaryError, TufError
   */
  async publish(publication: Publication, to: string): Promise<void> {
    const { gun, files, base } = publication
    const destination = destinationOf(this.#dependencies, gun, to)
    const archive = await readArchive(this.#dependencies.source, gun)
    if (!base.some(({ role, sha256 }) => role === ROOT && sha256 === archive.root.sha256)) {
      throw new DomainError('PUBLICATION_CONFLICT', 'The old server has another root by now.', { gun })
    }
    const roots = files.filter(({ role }) => role === ROOT).map(({ role, bytes }) => [role, bytes] as const)
    const now = this.#dependencies.clock.now()
    checkComplete(archive, highestKnown(this.#dependencies, gun, await custodyOf(this.#dependencies, gun)), now)
    const targets = rolesToMove(archive, now)
    const takesOlderRoots = (await destination.rootVersions(gun)) !== undefined
    const bring = async (): Promise<void> => {
      await destination.bringOlderRoots(
        gun,
        archive.roots.map(({ bytes }) => bytes),
      )
    }
    if (takesOlderRoots) await bring()
    await destination.publish(gun, new Map([...roots, ...targets]))
    // Somebody else with access may have put a shorter chain in their place before the publication: what is missing is added.
    if (takesOlderRoots) await bring()
  }

  /**
   * What the new server shows: `undefined` before the publication. A notary-server begins with version 1 of snapshot and timestamp, which
   * clients with a cache refuse: it is sent updates without files until its versions are above the old ones. No client has been pointed at
   * it yet.
   * @throws DomainError MOVE_DESTINATION_OCCUPIED; NotaryError, TufError, KeyHolderError
   */
  async look(publication: Publication, to: string): Promise<TrustedRepository | undefined> {
    const { gun, files } = publication
    const destination = destinationOf(this.#dependencies, gun, to)
    const root = await destination.read(gun, 'root.json', FILE_MAX_BYTES)
    if (root === undefined) return undefined
    const ours = files.find(({ role }) => role === ROOT)
    if (ours?.sha256 !== sha256Hex(root) && parseRoot(root).metadata.version <= (ours?.version ?? 0)) {
      throw new DomainError('MOVE_DESTINATION_OCCUPIED', 'The new server has another repository of this name.', {
        gun,
        to,
      })
    }
    const custody = await custodyOf(this.#dependencies, gun)
    // Above a root that is not the one of this move there is nothing to raise: the verification below says what it is.
    const isOurs = ours?.sha256 === sha256Hex(root)
    if (isOurs && (await destination.rootVersions(gun)) === undefined) await raiseVersions(destination, gun, custody)
    const pin = this.#dependencies.repositories.find(gun)?.root?.bytes ?? root
    return verifyPublished({ ...this.#dependencies, source: destination }, gun, pin, custody)
  }

  /** From here on it is the one that is asked. */
  settle(gun: Gun, to: string): void {
    const { repositories } = this.#dependencies
    const repository = repositories.find(gun)
    if (repository !== undefined && repository.trustServer !== to)
      repositories.update({ ...repository, trustServer: to })
  }
}

/** Trap N4 of Notary, put to use: an update without files signs snapshot and timestamp again, each with the next version. */
async function raiseVersions(destination: TrustDestination, gun: Gun, custody: RepositoryCustody): Promise<void> {
  const seen = versionsSeen(custody)
  for (let sent = 0; sent <= MAX_RAISES;) {
    const [snapshot, timestamp] = await Promise.all(
      ['snapshot.json', 'timestamp.json'].map((name) => destination.read(gun, name, FILE_MAX_BYTES)),
    )
    if (snapshot === undefined || timestamp === undefined) return
    const missing = raisesMissing(seen, snapshot, timestamp)
    if (missing === 0) return
    for (let one = 0; one < missing; one++, sent++) await destination.publish(gun, new Map())
  }
}
