// Takes a submission: permission first, then digests, policy, record, store, acknowledgement. All images or none, unless each is to stand alone
// before its registry.
// Until permission is established for every image, no port that reaches outside is called.
import { createHash } from 'node:crypto'
import { CodedError } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { describeOrigin } from '../domain/origin.ts'
import type { TaggedReference } from '../domain/image-reference.ts'
import type { IdempotencyKey } from '../domain/ports.ts'
import type { Policy } from '../domain/policy.ts'
import type { Decision } from '../domain/decision.ts'
import { failureOf, isOutage } from '../domain/port-faults.ts'
import type { Principal } from '../domain/principal.ts'
import {
  advance,
  type Failure,
  type ImageSubject,
  type RequestImage,
  type SigningRequest,
  type Submitter,
} from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { judgeSubmission, readStanding, recentRequests, type Standing } from './judgement.ts'
import { parseSource, promoted, signedSource } from './promotion.ts'
import { requireSomeLeft } from './pruning.ts'
import type { Explanation, Submission } from './services.ts'
import type { SubmissionBatch } from './submission-batch.ts'
import { checkSubmission } from './submission-checks.ts'
import { recordSubmission } from './submission-record.ts'
import type { SubmissionsUnderWay } from './submissions-under-way.ts'

export interface Submitted {
  readonly request: SigningRequest
  readonly isRepeated: boolean
}

/** Registry look-ups at the same time. */
const MAX_PARALLEL_RESOLVES = 8

/** What submissions share while they are on their way into the store. */
export interface Intake {
  readonly batch: SubmissionBatch
  readonly underWay: SubmissionsUnderWay
}

/**
 * @param as who counts as the submitter, where that is not the identity itself (a request that is submitted again)
 * @throws DomainError, RegistryError, TufError, NotaryError, KeyHolderError, StoreError; then nothing is stored
 */
export async function submit(
  dependencies: ServiceDependencies,
  { batch, underWay }: Intake,
  principal: Principal,
  submission: Submission,
  as: Submitter = submitterOf(principal),
): Promise<Submitted> {
  const images = checkSubmission(dependencies, principal, submission)
  const idempotency = idempotencyOf(principal, submission, images)
  const repeated = idempotency === undefined ? undefined : dependencies.requests.findRepeated(idempotency)
  if (repeated !== undefined) return { request: repeated, isRepeated: true }

  if (submission.pruning !== undefined && submission.mayLeaveNothing !== true)
    await requireSomeLeft(dependencies, images)
  // One policy for all images, whatever is loaded meanwhile.
  const policy = dependencies.policies.current()
  const resolved = await resolveSubjects(dependencies, submission, images)
  const subjects = resolved.flatMap(({ subject, refusal }) => (refusal === undefined ? [subject] : []))
  const standing = await readStanding(dependencies, policy, as, subjects)
  const end = underWay.begin(
    principal.id,
    images.map(({ gun }) => gun),
  )
  try {
    const decisions = judge(dependencies, underWay, policy, { ...as, grants: principal.grants }, submission, {
      subjects,
      standing,
    })
    const request = decided(dependencies, as, submission, resolved, decisions)
    // Record before act. A crash after this line leaves a record of a request that nobody was told of.
    await recordSubmission(dependencies, request)
    return await batch.create(request, idempotency)
  } finally {
    end()
  }
}

/**
 * What would happen to this submission by this identity, and why. Nothing is stored; the way to the decision is the same.
 * @param as the identity that is asked about; its grants are part of the question
 * @throws as `submit`
 */
export async function explain(
  dependencies: ServiceDependencies,
  underWay: SubmissionsUnderWay,
  principal: Principal,
  submission: Submission,
  as: Principal,
): Promise<readonly Explanation[]> {
  const images = checkSubmission(dependencies, principal, submission, as === principal ? 'submit' : 'operator')
  const policy = dependencies.policies.current()
  const resolved = await resolveSubjects(dependencies, submission, images)
  const subjects = resolved.map(({ subject }) => subject)
  const standing = await readStanding(dependencies, policy, as, subjects)
  const end = underWay.begin(
    as.id,
    subjects.map(({ gun }) => gun),
  )
  try {
    const decisions = judge(dependencies, underWay, policy, as, submission, { subjects, standing })
    return subjects.flatMap((subject, index) => {
      const decision = decisions[index]
      return decision === undefined ? [] : [{ subject, decision }]
    })
  } finally {
    end()
  }
}

function judge(
  dependencies: ServiceDependencies,
  underWay: SubmissionsUnderWay,
  policy: Policy,
  principal: Principal & Pick<Submitter, 'actors'>,
  { kind, policy: policyName }: Submission,
  { subjects, standing }: { readonly subjects: readonly ImageSubject[]; readonly standing: Standing },
): readonly Decision[] {
  const recent = recentRequests(dependencies, underWay, principal)
  const at = dependencies.clock.now()
  return judgeSubmission(policy, { kind, principal, policyName, subjects, standing, recent }, at)
}

/** The key belongs to what was meant: order and spelling of names count, white space of the HTTP body does not. */
function idempotencyOf(
  principal: Principal,
  { kind, mode, promotedFrom, policy, description, idempotencyKey }: Submission,
  images: readonly TaggedReference[],
): IdempotencyKey | undefined {
  if (idempotencyKey === undefined) return undefined
  // What was not said before there was a choice is left out, so that keys of then still find their requests.
  const meaning = JSON.stringify([
    kind,
    images.map(({ text }) => text),
    policy ?? null,
    description ?? null,
    ...(mode === undefined ? [] : [mode]),
    ...(promotedFrom === undefined ? [] : [{ promotedFrom: parseSource(promotedFrom).text }]),
  ])
  const bodySha256 = createHash('sha256').update(meaning).digest('hex')
  return { principal: principal.id, key: idempotencyKey, bodySha256 }
}

/** An image that was asked for. */
interface Resolved {
  readonly subject: ImageSubject
  /** Why it cannot be signed: by the word of its registry. */
  readonly refusal?: Failure
}

async function resolveSubjects(
  dependencies: ServiceDependencies,
  { kind, mode, promotedFrom, expected, pruning }: Submission,
  images: readonly TaggedReference[],
): Promise<readonly Resolved[]> {
  if (kind === 'unsign') {
    return images.map((image, index) => {
      const pruned = pruning?.[index]
      return { subject: { ...namedSubject(image), ...(pruned !== undefined && { pruned }) } }
    })
  }
  const source = promotedFrom === undefined ? undefined : await signedSource(dependencies, parseSource(promotedFrom))
  const resolve = async (image: TaggedReference): Promise<Resolved> => {
    try {
      const subject = await resolvedSubject(dependencies.resolver, image, expected)
      return { subject: source === undefined ? subject : promoted(subject, source) }
    } catch (error) {
      if (mode !== 'each' || isOutage(error) || !(error instanceof CodedError)) throw error
      const subject = { ...namedSubject(image), ...(source !== undefined && { promotedFrom: source }) }
      return { subject, refusal: failureOf(error) }
    }
  }
  const subjects: Resolved[] = []
  for (let start = 0; start < images.length; start += MAX_PARALLEL_RESOLVES) {
    subjects.push(...(await Promise.all(images.slice(start, start + MAX_PARALLEL_RESOLVES).map(resolve))))
  }
  return subjects
}

function namedSubject({ text, gun, tag, digest }: TaggedReference): ImageSubject {
  return { reference: text, gun, tag, ...(digest === undefined ? {} : { sha256: digest }) }
}

/** The digest is what the registry serves under the tag; one that was named must be equal. */
async function resolvedSubject(
  resolver: ServiceDependencies['resolver'],
  image: TaggedReference,
  expected: string | undefined,
): Promise<ImageSubject> {
  const { sha256, length, mediaType } = await resolver.resolve(image)
  const requested = image.digest ?? expected
  if (requested !== undefined && requested !== sha256) {
    throw new DomainError('DIGEST_MISMATCH', 'The registry serves another digest under this tag than the one named.', {
      image: image.text,
      requested,
      served: sha256,
    })
  }
  return { reference: image.text, gun: image.gun, tag: image.tag, sha256, length, mediaType }
}

/** The request with the policy's decisions in it, one for each image that its registry did not refuse. One denied image denies all. */
function decided(
  { clock, identifiers }: Pick<ServiceDependencies, 'clock' | 'identifiers'>,
  submitter: Submitter,
  { kind, policy, description, origin, resubmits }: Submission,
  resolved: readonly Resolved[],
  decisions: readonly Decision[],
): SigningRequest {
  const at = clock.now()
  const denial = decisions.find(({ outcome }) => outcome === 'deny')
  const waiting = decisions.values()
  const images = resolved.map(({ subject, refusal }) => ({
    record: advance(
      { status: 'submitted', subject, at },
      refusal === undefined
        ? { type: 'decided', decision: joint(waiting.next().value, denial) }
        : { type: 'failed', error: refusal },
      at,
    ),
    revision: 1,
  }))
  const from = origin ?? (submitter.origin && describeOrigin(submitter.origin))
  return {
    id: identifiers.next('request'),
    kind,
    submitter,
    ...(description === undefined ? {} : { description }),
    ...(policy === undefined ? {} : { policy }),
    ...(from === undefined ? {} : { origin: from }),
    ...(resubmits === undefined ? {} : { resubmits }),
    createdAt: at,
    images: waitingForAll(images),
  }
}

/** Images of one request go together: while one waits for approvals, none is signed. */
function waitingForAll(images: readonly RequestImage[]): readonly RequestImage[] {
  if (images.every(({ record }) => record.status !== 'awaiting-approval')) return images
  return images.map(({ record, revision }) => ({
    record: record.status === 'approved' ? { ...record, status: 'awaiting-approval' } : record,
    revision,
  }))
}

/** What is kept of an identity with its request. */
export function submitterOf({ id, name, groups, actor, origin }: Principal): Submitter {
  return {
    id,
    name,
    ...(groups !== undefined && { groups }),
    ...(actor !== undefined && { actors: [actor] }),
    ...(origin !== undefined && { origin }),
  }
}

/** An image that the policy allowed falls with one that it denied; its reasons name both. */
function joint(own: Decision | undefined, denial: Decision | undefined): Decision {
  if (own === undefined) throw new Error('Every image has a decision.')
  if (denial === undefined || own.outcome === 'deny') return own
  return { ...own, outcome: 'deny', reasons: [...own.reasons, ...denial.reasons] }
}
