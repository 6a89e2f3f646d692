// Asks registries what the tags stand for that were signed here, one after the other, and tells of those that stand for something else by
// now. A digest in a header is a hint: before anything is told, the image is fetched and hashed, and compared with what is published.
import type { Gun } from '@countersign/tuf'
import { type DriftChange, type DriftCounts, driftFacts, driftNews, type SignedTag } from '../domain/drift.ts'
import { parseImageReference } from '../domain/image-reference.ts'
import { codeOf, failureOf, isOutage } from '../domain/port-faults.ts'
import type { SignedTags } from '../domain/ports.ts'
import { notPermitted, requireGrant, type Principal } from '../domain/principal.ts'
import { signedDigest } from '../domain/signed-entry.ts'
import type { DriftSettings, ServiceDependencies } from './dependencies.ts'
import { loadRepository } from './load-repository.ts'
import type { DriftReport, DriftService } from './services.ts'

/** What does not answer is left alone for this long. */
const OUTAGE_MS = 15 * 60_000
/** What refuses us, for this part of the time between two questions: thousands of such tags must not take the turns of the others. */
const REFUSED_SHARE = 1 / 4
/** Tags in one answer. */
const MAX_LISTED = 1000

export class DriftWatch implements DriftService {
  readonly #dependencies: ServiceDependencies
  readonly #tags: SignedTags
  readonly #settings: DriftSettings

  constructor(dependencies: ServiceDependencies) {
    this.#dependencies = dependencies
    this.#tags = dependencies.signedTags
    this.#settings = dependencies.settings.drift
  }

  list(principal: Principal, gun: Gun): DriftReport {
    requireGrant(principal, 'read', gun)
    if (this.#dependencies.repositories.find(gun) === undefined) throw notPermitted('read', gun)
    const tags = this.#tags.drifted(gun, MAX_LISTED)
    const counts = this.#tags.counts(gun)
    return { gun, ...counts, tags, hasMore: counts.moved + counts.gone > tags.length }
  }

  counts(): DriftCounts {
    return this.#tags.counts()
  }

  async look(): Promise<DriftChange | undefined> {
    const { everyMs } = this.#settings
    if (everyMs === 0) return undefined
    const now = this.#dependencies.clock.now()
    const tag = this.#tags.next(new Date(now.getTime() - everyMs))
    if (tag === undefined) return undefined
    try {
      return await (tag.sha256 === undefined ? this.#end(tag) : this.#check(tag))
    } catch (error) {
      const { code } = failureOf(error)
      // Of what did not answer nothing is known, and nothing is told.
      const waitMs = isOutage(error) ? OUTAGE_MS : Math.max(OUTAGE_MS, everyMs * REFUSED_SHARE)
      this.#tags.note(tag, { ...tag, trouble: code }, this.#dueIn(waitMs))
      if (codeOf(error) === 'REGISTRY_UNAVAILABLE') {
        this.#tags.postpone(parseImageReference(tag.gun).registry, this.#dueIn(OUTAGE_MS))
      }
      return undefined
    }
  }

  async #check(tag: SignedTag): Promise<DriftChange | undefined> {
    const image = parseImageReference(`${tag.gun}:${tag.tag}`)
    const hint = await this.#dependencies.resolver.probe(image)
    if (hint !== undefined && hint === tag.sha256) return this.#conclude(tag, hint, hint)
    const found = await this.#hashed(tag)
    const { trusted } = await loadRepository(this.#dependencies, tag.gun, { acceptsExpired: true })
    const signed = signedDigest(trusted, tag.tag)
    // Others may have signed it anew, or dropped it.
    if (signed === undefined) return this.#end(tag)
    return this.#conclude(tag, signed, found)
  }

  /** Undefined: the registry has no such tag. */
  async #hashed({ gun, tag }: SignedTag): Promise<string | undefined> {
    try {
      return (await this.#dependencies.resolver.resolve(parseImageReference(`${gun}:${tag}`))).sha256
    } catch (error) {
      if (codeOf(error) === 'IMAGE_NOT_FOUND') return undefined
      throw error
    }
  }

  async #conclude(tag: SignedTag, signed: string, found: string | undefined): Promise<DriftChange | undefined> {
    const now = this.#dependencies.clock.now()
    const state = found === undefined ? 'gone' : found === signed ? 'matches' : 'moved'
    const { gun, since, suspectSince, found: before } = tag
    const kept = { gun, tag: tag.tag, sha256: signed, state: tag.state, since }
    const drifted = state === 'moved' && found !== undefined ? { found } : {}
    if (state === tag.state && drifted.found === before) {
      this.#tags.note(tag, { ...kept, ...drifted, checkedAt: now }, now)
      return undefined
    }
    const suspect = suspectSince ?? now
    const { graceMs } = this.#settings
    if (tag.state === 'matches' && now.getTime() - suspect.getTime() < graceMs) {
      const left = suspect.getTime() + graceMs - now.getTime()
      this.#tags.note(tag, { ...kept, checkedAt: now, suspectSince: suspect }, this.#dueIn(left))
      return undefined
    }
    const change: DriftChange = { gun, tag: tag.tag, state, signed, ...(found !== undefined && { found }) }
    // Recorded first, then remembered together with the event that tells it. A crash between records it twice.
    await this.#dependencies.keyHolder.appendRecord('registry-drift', driftFacts(change))
    this.#tags.note(tag, { ...kept, ...drifted, state, since: now, checkedAt: now }, now, driftNews(change, now))
    return change
  }

  /** The tag is not signed any more. Of one that had drifted that is told. */
  async #end(tag: SignedTag): Promise<DriftChange | undefined> {
    const { gun, state } = tag
    if (state === 'matches') {
      this.#tags.forget(tag)
      return undefined
    }
    const change: DriftChange = { gun, tag: tag.tag, state: 'unsigned' }
    await this.#dependencies.keyHolder.appendRecord('registry-drift', driftFacts(change))
    this.#tags.forget(tag, driftNews(change, this.#dependencies.clock.now()))
    return change
  }

  /** The place in the queue with which a tag is due then. */
  #dueIn(milliseconds: number): Date {
    return new Date(this.#dependencies.clock.now().getTime() - this.#settings.everyMs + milliseconds)
  }
}
