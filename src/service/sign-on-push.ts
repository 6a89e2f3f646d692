// Sign on push. An event only says where to look: the tag is resolved with our own credentials at the registry of the configuration, and a
// signing request goes the ordinary way through the policy. What is signed already is never moved.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Gun } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { parseImageReference } from '../domain/image-reference.ts'
import { codeOf, failureOf, isOutage } from '../domain/port-faults.ts'
import type { DueTag, PushedTags } from '../domain/ports.ts'
import { notPermitted, requireGrant, type Principal } from '../domain/principal.ts'
import {
  isSwitchedOn,
  type PushClaim,
  type PushCounts,
  pushedImage,
  type PushedTag,
  pusher,
  pushIdentity,
  type PushOutcome,
  type PushSource,
  unsignedFacts,
  unsignedNews,
} from '../domain/push-event.ts'
import { signedDigest } from '../domain/signed-entry.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { loadRepository } from './load-repository.ts'
import { Rate } from './rate.ts'
import type { PushReceipt, PushService, RequestService, UnsignedReport } from './services.ts'

/** What does not answer is left alone for this long. */
const OUTAGE_MS = 60_000
/** What refuses us, for this long. */
const REFUSED_MS = 15 * 60_000
/** Somebody pushes again at this moment: the next look finds what they pushed. */
const MOVING_MS = 1_000
/** How often a tag that stays unsigned is looked at: it may be gone by then, or signed by somebody else. */
const AGAIN_MS = 3_600_000
/** Tags in one answer. */
const MAX_LISTED = 1000
/** Tags that are told of in one go. */
const MAX_TOLD = 100

const NONE_LEFT_OUT = { others: 0, malformed: 0 }

/** What a look at a tag came to. */
interface Settled {
  readonly outcome: PushOutcome
  readonly request?: string
  readonly code?: string
}

export class SignOnPush implements PushService {
  readonly #dependencies: ServiceDependencies
  readonly #tags: PushedTags
  readonly #submit: RequestService['submit']
  readonly #sources: ReadonlyMap<string, PushSource>
  readonly #rates = new Map<string, Rate>()
  readonly #underWay = new Set<string>()

  constructor(dependencies: ServiceDependencies, requests: Pick<RequestService, 'submit'>) {
    this.#dependencies = dependencies
    this.#tags = dependencies.pushedTags
    this.#submit = (principal, submission) => requests.submit(principal, submission)
    this.#sources = new Map(dependencies.settings.signOnPush.sources.map((source) => [source.name, source]))
  }

  identify(name: string, secret: string): PushSource | undefined {
    const source = this.#sources.get(name)
    const secrets = source === undefined ? [] : this.#dependencies.pushSecrets(source.name)
    const given = hashOf(secret)
    // All of them are compared, and each in time that does not depend on how much of it is right.
    const fitting = secrets.filter((one) => timingSafeEqual(hashOf(one), given))
    return fitting.length > 0 ? source : undefined
  }

  accept(source: PushSource, claims: readonly PushClaim[], { others, malformed } = NONE_LEFT_OUT): PushReceipt {
    const { clock, repositories, settings, observer } = this.#dependencies
    const now = clock.now()
    const rate = this.#rates.get(source.name) ?? new Rate(source.eventsPerMinute, now.getTime())
    this.#rates.set(source.name, rate)
    if (!rate.take(now.getTime())) {
      throw new DomainError('PUSH_RATE_EXCEEDED', 'This source sends more events than it may.', {
        source: source.name,
        perMinute: source.eventsPerMinute,
      })
    }
    const images = claims.flatMap((claim) => pushedImage(source, claim) ?? [])
    const managed = images.filter(({ gun }) => repositories.find(gun)?.state === 'ready')
    // Durable before it is acknowledged: the registry forgets the event then.
    if (managed.length > 0) this.#tags.add(managed, source.name, now, settings.signOnPush.queue)
    const accepted = managed.length
    const ignored = claims.length - accepted + others
    observer.pushesHeard({ source: source.name, accepted, ignored, malformed })
    return { accepted, ignored: ignored + malformed }
  }

  list(principal: Principal, gun: Gun): UnsignedReport {
    requireGrant(principal, 'read', gun)
    if (this.#dependencies.repositories.find(gun) === undefined) throw notPermitted('read', gun)
    const tags = this.#tags.list(gun, MAX_LISTED)
    const counts = this.#tags.counts(gun)
    return { gun, ...counts, tags, hasMore: counts.unsigned > tags.length }
  }

  counts(): PushCounts {
    return this.#tags.counts()
  }

  async look(limit: number): Promise<number> {
    const due = this.#tags.due(this.#dependencies.clock.now(), limit + this.#underWay.size)
    const free = due.filter((tag) => !this.#underWay.has(nameOf(tag))).slice(0, limit)
    await Promise.all(free.map((tag) => this.#lookAt(tag)))
    return free.length
  }

  async tellOverdue(): Promise<readonly PushedTag[]> {
    const { clock, keyHolder, settings } = this.#dependencies
    const now = clock.now()
    const overdue = this.#tags.overdue(new Date(now.getTime() - settings.signOnPush.alertAfterMs), MAX_TOLD)
    for (const tag of overdue) {
      // Recorded first, then remembered together with the event that tells it. A crash between records it twice.
      await keyHolder.appendRecord('push-unsigned', unsignedFacts(tag, 'unsigned'))
      this.#tags.noteTold(tag, now, unsignedNews(tag, 'unsigned', now))
    }
    return overdue
  }

  async #lookAt(tag: DueTag): Promise<void> {
    const name = nameOf(tag)
    this.#underWay.add(name)
    const told = { source: tag.source, gun: tag.gun, tag: tag.tag }
    try {
      const settled = await this.#settle(tag)
      if (settled.outcome === 'known' && tag.claims.length === 0) return
      this.#dependencies.observer.pushSettled({ ...told, ...settled })
    } catch (error) {
      const { code } = failureOf(error)
      this.#tags.defer(tag, code, this.#in(waitAfter(error)))
      if (codeOf(error) === 'REGISTRY_UNAVAILABLE') {
        this.#tags.postpone(parseImageReference(tag.gun).registry, code, this.#in(OUTAGE_MS))
      }
      this.#dependencies.observer.pushSettled({ ...told, outcome: 'troubled', code })
    } finally {
      this.#underWay.delete(name)
    }
  }

  /** Each step can be repeated: a crash before the tag is noted or forgotten leads to the same look again, and to the same request. */
  async #settle(tag: DueTag): Promise<Settled> {
    const { repositories, requests } = this.#dependencies
    const meant = [...this.#sources.values()].filter((source) => isSwitchedOn(source, tag.gun, tag.tag))
    if (meant.length === 0 || repositories.find(tag.gun)?.state !== 'ready') return this.#end(tag, 'ignored')
    const { trusted, custody } = await loadRepository(this.#dependencies, tag.gun, { acceptsExpired: true })
    const signed = signedDigest(trusted, tag.tag)
    if (signed !== undefined) return this.#signedAlready(tag, signed)
    const served = await this.#served(tag)
    if (served === undefined) return this.#end(tag, 'gone')
    // A request would fail, and there is one for each digest: it is made when the freeze has ended.
    if (custody.state === 'frozen') return this.#wait(tag, 'REPOSITORY_FROZEN')
    if (served === tag.sha256 && tag.request !== undefined) return this.#found(tag, 'known', served, tag.request)
    // In the name of a source that told of it, and is switched on now: the first in the configuration.
    const teller = (sha256: string): PushSource | undefined =>
      meant.find(({ name }) => tag.claims.some((claim) => claim.source === name && claim.sha256 === sha256))
    const naming = teller(served)
    const source = naming ?? teller('')
    // Somebody pushed again since; that push has an event of its own, on its way or before this one.
    if (source === undefined) return this.#found(tag, 'outdated', served)
    const asked = requests.findAsked(tag.gun, tag.tag, served)
    if (asked !== undefined) return this.#found(tag, 'known', served, asked)
    const { request } = await this.#submit(pusher(source), submissionFor(source, tag, served, naming !== undefined))
    return this.#found(tag, 'requested', served, request.id)
  }

  /** Undefined: the registry has no such tag. */
  async #served({ gun, tag }: DueTag): Promise<string | undefined> {
    try {
      return (await this.#dependencies.resolver.resolve(parseImageReference(`${gun}:${tag}`))).sha256
    } catch (error) {
      if (codeOf(error) === 'IMAGE_NOT_FOUND') return undefined
      throw error
    }
  }

  /** Whether it stands in the registry for what is signed is another question, and that of the watch for drift. */
  #signedAlready(tag: DueTag, signed: string): Settled {
    const isOther = tag.claims.some(({ sha256 }) => sha256 !== signed)
    if (isOther) this.#dependencies.signedTags.hurry(tag.gun, tag.tag)
    return this.#end(tag, isOther ? 'moved' : 'signed')
  }

  #found(tag: DueTag, outcome: PushOutcome, sha256: string, request?: string): Settled {
    this.#tags.note(tag, { sha256, ...(request !== undefined && { request }) }, this.#in(AGAIN_MS))
    return { outcome, ...(request !== undefined && { request }) }
  }

  #wait(tag: DueTag, code: string): Settled {
    this.#tags.defer(tag, code, this.#in(REFUSED_MS))
    return { outcome: 'troubled', code }
  }

  #end(tag: DueTag, outcome: PushOutcome): Settled {
    const state = outcome === 'gone' || outcome === 'ignored' ? 'gone' : 'signed'
    const news = tag.toldAt === undefined ? undefined : unsignedNews(tag, state, this.#dependencies.clock.now())
    this.#tags.forget(tag, news)
    return { outcome }
  }

  #in(milliseconds: number): Date {
    return new Date(this.#dependencies.clock.now().getTime() + milliseconds)
  }
}

/**
 * Where no event named the digest, the request names none either, and is for this one all the same. There is one for each repository, tag and
 * digest, whenever and however often events come, and whoever sends them: also after it was denied, has failed, or its signature was taken back.
 * Only a person asks again then. The key is for a crash before the tag is noted.
 */
function submissionFor(source: PushSource, { gun, tag }: DueTag, served: string, isNamed: boolean) {
  const { policy } = source
  const image = isNamed ? `${gun}:${tag}@sha256:${served}` : `${gun}:${tag}`
  const meaning = JSON.stringify([gun, tag, served, isNamed, policy ?? null])
  return {
    kind: 'sign' as const,
    images: [image],
    expected: served,
    description: `Pushed, says ${source.registry}.`,
    origin: `event of ${pushIdentity(source)} (${source.kind})`,
    idempotencyKey: `push-${createHash('sha256').update(meaning).digest('hex')}`,
    ...(policy !== undefined && { policy }),
  }
}

function waitAfter(error: unknown): number {
  if (codeOf(error) === 'DIGEST_MISMATCH') return MOVING_MS
  return isOutage(error) ? OUTAGE_MS : REFUSED_MS
}

function nameOf({ gun, tag }: Pick<PushedTag, 'gun' | 'tag'>): string {
  return `${gun}:${tag}`
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
