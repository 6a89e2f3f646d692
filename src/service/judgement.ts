// Asks the policy about a request, with everything that rules may know of it: at its submission, and again later.
import type { Gun } from '@countersign/tuf'
import type { Decision } from '../domain/decision.ts'
import type { Policy, RecentRequests } from '../domain/policy.ts'
import type { PendingImage } from '../domain/ports.ts'
import type { Principal } from '../domain/principal.ts'
import { isPushIdentity } from '../domain/push-event.ts'
import { guardPushed } from '../domain/push-rules.ts'
import { signedDigest } from '../domain/signed-entry.ts'
import {
  type ImageKind,
  type ImageSubject,
  imageOf,
  type RequestKind,
  type Submitter,
} from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { loadRepository } from './load-repository.ts'
import type { SubmissionsUnderWay } from './submissions-under-way.ts'

type HistoryDependencies = Pick<
  ServiceDependencies,
  'source' | 'keyHolder' | 'repositories' | 'requests' | 'clock' | 'cache'
>

/** An identity as it asks, with whoever asked before. */
type Asking = Principal & Pick<Submitter, 'actors'>

/** By GUN and tag: what the tag stands for. */
export type Standing = ReadonlyMap<string, string>

/** How far back limits count, in milliseconds. */
const RECENT_MS = 3_600_000

/**
 * What the tags stand for, verified from the pinned roots; only of repositories for which the policy asks.
 * @throws DomainError REPOSITORY_NOT_READY, ROOT_PIN_MISMATCH; TufError, NotaryError, KeyHolderError
 */
export async function readStanding(
  dependencies: HistoryDependencies,
  policy: Policy,
  submitter: Pick<Submitter, 'id'>,
  subjects: readonly Pick<ImageSubject, 'gun' | 'tag'>[],
): Promise<Standing> {
  const guns = [...new Set(subjects.map(({ gun }) => gun))].filter((gun) => needsStanding(policy, submitter, gun))
  const loaded = await Promise.all(
    guns.map(async (gun) => [gun, (await loadRepository(dependencies, gun)).trusted] as const),
  )
  const repositories = new Map(loaded)
  const standing = new Map<string, string>()
  for (const { gun, tag } of subjects) {
    const repository = repositories.get(gun)
    const digest = repository && signedDigest(repository, tag)
    if (digest !== undefined) standing.set(nameOf({ gun, tag }), digest)
  }
  return standing
}

/** The decisions on a submission, one per image, all under one policy. */
export function judgeSubmission(
  policy: Policy,
  o: {
    readonly kind: ImageKind
    readonly principal: Asking
    readonly policyName?: string | undefined
    readonly subjects: readonly ImageSubject[]
    readonly standing: Standing
    readonly recent: (gun: Gun) => RecentRequests
  },
  at: Date,
): readonly Decision[] {
  return o.subjects.map((subject) => {
    const standing = o.standing.get(nameOf(subject))
    const decision = policy.evaluate(
      {
        ...subjectFacts(o.kind, subject),
        principal: o.principal,
        ...standingOf(standing),
        ...(o.policyName !== undefined && { policy: o.policyName }),
        ...(policy.readsHistory(subject.gun) && { recent: o.recent(subject.gun) }),
      },
      at,
    )
    return guarded(decision, o.principal, subject, standing)
  })
}

/** Counts images asked for lately: those in the store, and those of submissions that are not stored yet, this one included. */
export function recentRequests(
  { requests, clock }: Pick<ServiceDependencies, 'requests' | 'clock'>,
  underWay: SubmissionsUnderWay,
  principal: Pick<Principal, 'id'>,
): (gun: Gun) => RecentRequests {
  const since = new Date(clock.now().getTime() - RECENT_MS)
  const byIdentity = once(
    () => requests.countImages(since, { submitter: principal.id }) + underWay.byIdentity(principal.id),
  )
  const repositories = new Map<Gun, number>()
  return (gun) => {
    const inRepository = repositories.get(gun) ?? requests.countImages(since, { gun }) + underWay.inRepository(gun)
    repositories.set(gun, inRepository)
    return { byIdentity: byIdentity(), inRepository }
  }
}

function once<T>(work: () => T): () => T {
  let result: { readonly value: T } | undefined
  return () => (result ??= { value: work() }).value
}

/**
 * The decision on a stored image by the rules of now, with what the tag stands for now. Undefined where it is about a repository: such
 * requests have no policy file.
 */
export function judgeAgain(
  policy: Policy,
  { kind, submitter, policy: named, record }: Pick<PendingImage, 'kind' | 'submitter' | 'policy' | 'record'>,
  standing: string | undefined,
  at: Date,
): Decision | undefined {
  const subject = imageOf(record)
  if (subject === undefined || !isImageKind(kind)) return undefined
  const decision = policy.evaluate(
    {
      ...subjectFacts(kind, subject),
      principal: asPrincipal(submitter),
      isStored: true,
      ...(policy.readsHistory(subject.gun) && standingOf(standing)),
      ...(named !== undefined && { policy: named }),
    },
    at,
  )
  return guarded(decision, submitter, subject, standing)
}

/** Whoever asks in the name of an event is held to what the tag stands for under every policy. */
function needsStanding(policy: Policy, submitter: Pick<Submitter, 'id'>, gun: Gun): boolean {
  return policy.readsHistory(gun) || isPushIdentity(submitter.id)
}

function guarded(
  decision: Decision,
  submitter: Pick<Submitter, 'id' | 'actors'>,
  subject: ImageSubject,
  standing: string | undefined,
): Decision {
  return guardPushed(decision, submitter, { subject: nameOf(subject), sha256: subject.sha256, standing })
}

export function nameOf({ gun, tag }: Pick<ImageSubject, 'gun' | 'tag'>): string {
  return `${gun}:${tag}`
}

function subjectFacts(kind: ImageKind, { reference, gun, tag, sha256 }: ImageSubject) {
  return { kind, gun, tag, digestNamed: reference.includes('@'), ...(sha256 !== undefined && { sha256 }) }
}

function standingOf(standing: string | undefined) {
  return standing === undefined ? {} : { standing }
}

/** Grants are judged at submission and not kept. */
function asPrincipal(submitter: Submitter): Principal {
  return { ...submitter, grants: [] }
}

function isImageKind(kind: RequestKind): kind is ImageKind {
  return kind === 'sign' || kind === 'unsign'
}
