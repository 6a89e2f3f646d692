// Looks at what is published, and tells of every version that somebody else made. Where it needed a key of ours the key holder freezes
// the repository when it is shown such a version: it knows what it signed.
import {
  CodedError,
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
import { roleVersions } from '../domain/role-versions.ts'
import type { RoleVersion } from '../domain/signing-request.ts'
import type { FeedChange } from '../domain/trust-feed.ts'
import { custodyOf } from './custody.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { loadRepository } from './load-repository.ts'
import type { Progress } from './progress.ts'
import { newestChange, readFeed } from './read-feed.ts'
import type { ForeignWatch } from './services.ts'
import { loadSuperseded } from './superseded-state.ts'

/** Superseded states that are looked at one by one: the newest. */
const MAX_SUPERSEDED = 32
/** Where there is no feed for us, it is asked for again after this. */
const FEED_AGAIN_AFTER_MS = 3_600_000

/** Versions of roles: seen before, new in this state, and seen after it. */
interface Sighting {
  readonly before: readonly RoleVersion[]
  readonly news: readonly RoleVersion[]
  readonly after: readonly RoleVersion[]
  readonly isSuperseded: boolean
}

export class PublishedWatch implements ForeignWatch {
  readonly #dependencies: ServiceDependencies
  readonly #progress: Progress
  readonly #seen: SeenVersions
  /** SHA-256 of the timestamp at the last look that found nothing more to do: without a new one there is nothing new. */
  readonly #timestamps = new Map<Gun, string>()
  /** Until when the repository's own feed is not asked for again, in milliseconds of the clock. */
  readonly #withoutFeed = new Map<Gun, number>()

  constructor(dependencies: ServiceDependencies, progress: Progress, seen: SeenVersions) {
    this.#dependencies = dependencies
    this.#progress = progress
    this.#seen = seen
  }

  async look(gun: Gun, told?: readonly FeedChange[]): Promise<readonly ForeignVersion[]> {
    const timestamp = await this.#dependencies.source.read(gun, `${TIMESTAMP}.json`, METADATA_LIMITS.maxBytes)
    const sha256 = timestamp === undefined ? undefined : sha256Hex(timestamp)
    if (sha256 !== undefined && this.#timestamps.get(gun) === sha256) return []
    const own = told === undefined ? await this.#ownFeed(gun) : undefined
    const changes = told ?? own?.changes ?? []
    const found: ForeignVersion[] = []
    let fault: CodedError<string> | undefined
    for (const one of supersededBy(sha256, changes)) {
      try {
        found.push(...(await this.#compareSuperseded(gun, one)))
      } catch (error) {
        if (!(error instanceof CodedError)) throw error
        fault ??= error
      }
    }
    // Whatever a server does not show of the past, or says of it: the present is looked at.
    found.push(...(await this.#compare(gun)))
    own?.done()
    if (sha256 !== undefined) this.#timestamps.set(gun, sha256)
    if (fault !== undefined) throw fault
    return found
  }

  /** What the repository's own feed says since it was read last; nothing where it cannot be read. It is a help and no more. */
  async #ownFeed(
    gun: Gun,
  ): Promise<{ readonly changes: readonly FeedChange[]; readonly done: () => void } | undefined> {
    const { feeds, clock } = this.#dependencies
    if ((this.#withoutFeed.get(gun) ?? 0) > clock.now().getTime()) return undefined
    try {
      const server = feeds.serverOf(gun)
      const position = this.#seen.position(server, gun)
      const reading = position === undefined ? undefined : await readFeed(feeds, gun, 'repository', position)
      const isRead = reading?.kind === 'read'
      // Begun with what comes next, and once more where there was too much.
      const next = isRead
        ? reading.position
        : reading?.kind === 'none'
          ? undefined
          : await newestChange(feeds, gun, 'repository')
      if (next === undefined) {
        this.#withoutFeed.set(gun, clock.now().getTime() + FEED_AGAIN_AFTER_MS)
        return undefined
      }
      const done = (): void => {
        if (next !== position) this.#seen.notePosition(server, gun, next)
      }
      return { changes: isRead ? reading.changes : [], done }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      return undefined
    }
  }

  /** What was published and superseded between two looks. Root is always the newest one, and belongs to the present state. */
  async #compareSuperseded(gun: Gun, timestamp: string): Promise<readonly ForeignVersion[]> {
    const before = this.#seen.seen(gun)
    if (before.length === 0) return []
    const custody = await custodyOf(this.#dependencies, gun)
    const trusted = await loadSuperseded(this.#dependencies, gun, timestamp)
    if (trusted === undefined) return []
    const then = roleVersions(trusted, [TARGETS, ...trusted.delegations.keys()])
    const news = then.filter(({ role, version }) => version > (before.find((one) => one.role === role)?.version ?? 0))
    const others = before.filter(({ role }) => !news.some((one) => one.role === role))
    return this.#tell(trusted, custody, { before, news, after: [...others, ...news], isSuperseded: true })
  }

  async #compare(gun: Gun): Promise<readonly ForeignVersion[]> {
    // What has expired is watched as well: whoever has a key may sign it again.
    const { trusted, custody } = await loadRepository(this.#dependencies, gun, { acceptsExpired: true })
    const current = roleVersions(trusted, [ROOT, TARGETS, ...trusted.delegations.keys()])
    const before = this.#seen.seen(gun)
    const news = current.filter((role) => !before.some((one) => isSameVersion(one, role)))
    return this.#tell(trusted, custody, { before, news, after: current, isSuperseded: false })
  }

  /**
   * Records and tells those of the news that others made. A crash before the last step tells and records the same versions once more;
   * none is passed over.
   */
  async #tell(
    trusted: TrustedRepository,
    earlier: RepositoryCustody,
    { before, news, after, isSuperseded }: Sighting,
  ): Promise<readonly ForeignVersion[]> {
    if (news.length === 0) return []
    const { gun } = trusted
    const { keyHolder, clock } = this.#dependencies
    // First the key holder, which freezes where a key of ours was needed.
    const isFrozen = await this.#show(gun, trusted, isSuperseded)
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
      after,
      found.map((one) => foreignNews(one, clock.now())),
    )
    for (const one of found) this.#progress.foreignVersion(one)
    return found
  }

  /** Whether signing is frozen because of what is, or was, published. @throws KeyHolderError */
  async #show(gun: Gun, { files }: TrustedRepository, isSuperseded: boolean): Promise<boolean> {
    try {
      await this.#dependencies.keyHolder.observeRepository(gun, files)
      return false
    } catch (error) {
      const code = codeOf(error)
      if (code === 'BASE_VERSION_NOT_OURS') return true
      // A superseded state below one that it has seen: what was built upon it was verified then.
      if (code === 'BASE_OLDER_THAN_KNOWN' && isSuperseded) return false
      throw error
    }
  }

  #isOurs(gun: Gun, signed: RepositoryCustody['roles'], version: RoleVersion): boolean {
    const { role, sha256 } = version
    if (this.#dependencies.requests.hasSigned(gun, version)) return true
    const isSigned = signed.some((one) => one.role === role && one.highestSigned?.sha256 === sha256)
    return isSigned
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

/** The timestamps between the last look and the present one, oldest first. */
function supersededBy(present: string | undefined, changes: readonly FeedChange[]): readonly string[] {
  const timestamps = changes.flatMap(({ timestamp }) => timestamp ?? [])
  return [...new Set(timestamps)].filter((one) => one !== present).slice(-MAX_SUPERSEDED)
}

function isSameVersion(one: RoleVersion, other: RoleVersion): boolean {
  return one.role === other.role && one.sha256 === other.sha256
}
