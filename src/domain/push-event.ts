// What registries tell of pushes, and what is kept of it until the tag is signed. An event is a reason to look and evidence of nothing. Pure.
import type { Gun, TargetName } from '@countersign/tuf'
import { DomainError } from './errors.ts'
import { parseImageReference } from './image-reference.ts'
import { matchesGlob, matchesPattern, type Pattern } from './pattern.ts'
import type { Principal } from './principal.ts'
import type { RequestStatus } from './signing-request.ts'
import type { WebhookNews } from './webhook-event.ts'

/** Whose events a source sends. */
export const PUSH_SOURCE_KINDS = ['distribution', 'harbor', 'azure', 'docker-hub'] as const
export type PushSourceKind = (typeof PUSH_SOURCE_KINDS)[number]

/** A registry that tells of pushes, as the configuration names it. */
export interface PushSource {
  readonly name: string
  readonly kind: PushSourceKind
  /** The host as it stands in image references. What an event says of hosts is not looked at. */
  readonly registry: string
  /** Where sign on push is switched on. */
  readonly repositories: readonly { readonly gun: Pattern; readonly tags: readonly string[] }[]
  /** The signing policy that is asked for; the default one of the project where there is none. */
  readonly policy?: string
  readonly eventsPerMinute: number
}

/** What an event says: that a tag was pushed, and with which digest, where it names one (64 hex digits). */
export interface PushClaim {
  readonly repository: string
  readonly tag: string
  readonly sha256?: string
}

/** A claim about a tag for which sign on push is switched on. */
export interface PushedImage {
  readonly gun: Gun
  readonly tag: TargetName
  readonly sha256?: string
}

/** Which digest a source named for a tag; '' stands for an event that named none. */
export interface ToldDigest {
  readonly sha256: string
  readonly source: string
}

/** A tag that was pushed and is not signed, as far as is known. */
export interface PushedTag {
  readonly gun: Gun
  readonly tag: TargetName
  /** The source that told of it first. */
  readonly source: string
  /** When that was. */
  readonly since: Date
  /** What events said since it was looked at last. Empty: it was looked at. */
  readonly claims: readonly ToldDigest[]
  /** What the registry served when it was looked at last, 64 hex digits. */
  readonly sha256?: string
  /** The request that was made for that digest. */
  readonly request?: string
  readonly status?: RequestStatus
  /** The code with which the last look failed: it is looked at again. */
  readonly trouble?: string
  /** When it was told that it has been unsigned for too long. */
  readonly toldAt?: Date
}

/** How a look at a tag ended. */
export type PushOutcome =
  /** A signing request was made. */
  | 'requested'
  /** One had been made for this digest before. */
  | 'known'
  /** It is signed with this digest. */
  | 'signed'
  /** It is signed with another digest, and stays so: the watch for drift looks at it next. */
  | 'moved'
  /** The registry serves a digest that no event named. */
  | 'outdated'
  /** The registry has no such tag. */
  | 'gone'
  /** Sign on push is not switched on for it any more, or its repository is not managed. */
  | 'ignored'
  /** It could not be looked at, and is looked at again. */
  | 'troubled'

export interface PushCounts {
  /** Tags that were pushed and are not signed, as far as is known. */
  readonly unsigned: number
  /** Those of them that have not been looked at. */
  readonly waiting: number
  /** Since when the oldest of them is known. */
  readonly oldest?: Date
}

const IDENTITY = /^push:[a-z0-9][a-z0-9-]{0,31}$/

/** Whoever sent an event: the secret proves which registry it was configured in, and nobody's name. */
export function pushIdentity(source: Pick<PushSource, 'name'>): string {
  return `push:${source.name}`
}

/** No other identity has this form: issuers make three parts, certificates and tokens begin otherwise. */
export function isPushIdentity(id: string): boolean {
  return IDENTITY.test(id)
}

/** In whose name a request is made: it may ask for signatures where the source is switched on, and nothing else. */
export function pusher(source: PushSource): Principal {
  const repositories = source.repositories.map(({ gun }) => gun)
  return { id: pushIdentity(source), name: source.name, grants: [{ grant: 'submit', repositories }] }
}

/** Undefined where the claim names nothing that can be signed, or nothing for which the source is switched on. */
export function pushedImage(source: PushSource, { repository, tag, sha256 }: PushClaim): PushedImage | undefined {
  const image = referenceOf(`${source.registry}/${repository}:${tag}`)
  // A claim must not lead elsewhere by what it holds besides a name: a digest, another tag, a host.
  if (image?.tag === undefined || image.digest !== undefined) return undefined
  if (image.registry !== source.registry || image.tag !== tag) return undefined
  if (!isSwitchedOn(source, image.gun, image.tag)) return undefined
  return { gun: image.gun, tag: image.tag, ...(sha256 !== undefined && { sha256 }) }
}

export function isSwitchedOn({ repositories }: PushSource, gun: Gun, tag: TargetName): boolean {
  return repositories.some(
    (one) => matchesPattern(one.gun, gun) && one.tags.some((pattern) => matchesGlob(pattern, tag)),
  )
}

function referenceOf(text: string) {
  try {
    return parseImageReference(text)
  } catch (error) {
    if (error instanceof DomainError) return undefined
    throw error
  }
}

/** As the audit log keeps it, and as others are told. `unsigned`: for longer than it should; the others end that. */
export function unsignedFacts(
  { gun, tag, source, since, sha256, request }: PushedTag,
  state: 'unsigned' | 'signed' | 'gone',
): Readonly<Record<string, string>> {
  return {
    gun,
    tag,
    state,
    source,
    since: since.toISOString(),
    ...(sha256 !== undefined && { found: sha256 }),
    ...(request !== undefined && { request }),
  }
}

export function unsignedNews(tag: PushedTag, state: 'unsigned' | 'signed' | 'gone', at: Date): WebhookNews {
  const data = unsignedFacts(tag, state)
  return { type: 'repository.unsigned', at, subject: `${tag.gun}:${tag.tag}`, guns: [tag.gun], data }
}
