// Looks at what is published, and tells of every version that somebody else made. Where it needed a key of ours the key holder freezes
// the repository when it is shown such a version: it knows what it signed.
import {
  describeChange,
  type Gun,
  isSignedWith,
  METADATA_LIMITS,
  parseTargets,
  type RoleName,
  ROOT,
  sha256Hex,
  TARGETS,
  targetsOf,
  TIMESTAMP,
  type TrustedRepository,
} from '@countersign/tuf'
import { type ForeignVersion, foreignFacts, foreignNews } from '../domain/foreign-version.ts'
import { codeOf } from '../domain/port-faults.ts'
import type { RepositoryCustody, SeenVersions } from '../domain/ports.ts'
import type { RoleVersion } from '../domain/signing-request.ts'
import { custodyOf } from './custody.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { roleVersions } from './form-intent.ts'
import { loadRepository } from './load-repository.ts'
import type { Progress } from './progress.ts'
import type { ForeignWatch } from './services.ts'

export class PublishedWatch implements ForeignWatch {
  readonly #dependencies: ServiceDependencies
  readonly #progress: Progress
  readonly #seen: SeenVersions
  /** SHA-256 of the timestamp at the last look that found nothing more to do: without a new one there is nothing new. */
  readonly #timestamps = new Map<Gun, string>()

  constructor(dependencies: ServiceDependencies, progress: Progress, seen: SeenVersions) {
    this.#dependencies = dependencies
    this.#progress = progress
    this.#seen = seen
  }

  async look(gun: Gun): Promise<readonly ForeignVersion[]> {
    const timestamp = await this.#dependencies.source.read(gun, `${TIMESTAMP}.json`, METADATA_LIMITS.maxBytes)
    const sha256 = timestamp === undefined ? undefined : sha256Hex(timestamp)
    if (sha256 !== undefined && this.#timestamps.get(gun) === sha256) return []
    const found = await this.#compare(gun)
    if (sha256 !== undefined) this.#timestamps.set(gun, sha256)
    return found
  }

  /** A crash before the last step tells and records the same versions once more; none is passed over. */
  async #compare(gun: Gun): Promise<readonly ForeignVersion[]> {
    const { keyHolder, clock } = this.#dependencies
    // What has expired is watched as well: whoever has a key may sign it again.
    const { trusted, custody: earlier } = await loadRepository(this.#dependencies, gun, { acceptsExpired: true })
    const current = roleVersions(trusted, [ROOT, TARGETS, ...trusted.delegations.keys()])
    const before = this.#seen.seen(gun)
    const news = current.filter((role) => !before.some((one) => isSameVersion(one, role)))
    if (news.length === 0) return []
    // First the key holder, which freezes where a key of ours was needed.
    const isFrozen = await this.#show(gun, trusted)
    // Read again: what we published since the first reading is no work of others. It also tells others of a freeze at once.
    const custody = await custodyOf(this.#dependencies, gun)
    const signed = [...earlier.roles, ...custody.roles]
    // At the first look everything is taken as it is.
    const others = before.length === 0 ? [] : news.filter((role) => !this.#isOurs(gun, signed, role))
    const held = new Set(custody.keys.map(({ canonicalKeyId }) => canonicalKeyId))
    const found: ForeignVersion[] = []
    for (const { role, version, sha256 } of others) {
      const former = before.find((one) => one.role === role)
      const change = await this.#changeOf(gun, trusted, role, former)
      const from = former === undefined ? {} : { from: former.version }
      found.push({
        gun,
        role,
        version,
        sha256,
        ...from,
        change,
        isFrozen: isFrozen && isSignedWith(trusted, role, held),
      })
    }
    // Recorded first, then remembered together with the events that tell it.
    for (const one of found) await keyHolder.appendRecord('foreign-version', foreignFacts(one))
    this.#seen.noteSeen(
      gun,
      current,
      found.map((one) => foreignNews(one, clock.now())),
    )
    for (const one of found) this.#progress.foreignVersion(one)
    return found
  }

  /** Whether signing is frozen because of what is published now. @throws KeyHolderError */
  async #show(gun: Gun, { files }: TrustedRepository): Promise<boolean> {
    try {
      await this.#dependencies.keyHolder.observeRepository(gun, files)
      return false
    } catch (error) {
      if (codeOf(error) !== 'BASE_VERSION_NOT_OURS') throw error
      return true
    }
  }

  #isOurs(gun: Gun, signed: RepositoryCustody['roles'], { role, sha256 }: RoleVersion): boolean {
    const isSigned = signed.some((one) => one.role === role && one.highestSigned?.sha256 === sha256)
    return isSigned || this.#dependencies.requests.proven(gun).some((one) => one.role === role && one.sha256 === sha256)
  }

  /** Trust servers keep earlier versions under their number; what has another content than it had then is no ground to compare with. */
  async #changeOf(
    gun: Gun,
    trusted: TrustedRepository,
    role: RoleName,
    former: RoleVersion | undefined,
  ): Promise<ForeignVersion['change']> {
    const next = role === ROOT ? undefined : targetsOf(trusted, role)
    if (next === undefined) return undefined
    if (former === undefined) return describeChange(undefined, next.metadata)
    const bytes = await this.#dependencies.source.read(gun, `${former.version}.${role}.json`, METADATA_LIMITS.maxBytes)
    if (bytes === undefined || sha256Hex(bytes) !== former.sha256) return undefined
    return describeChange(parseTargets(bytes, role).metadata, next.metadata)
  }
}

function isSameVersion(one: RoleVersion, other: RoleVersion): boolean {
  return one.role === other.role && one.sha256 === other.sha256
}
