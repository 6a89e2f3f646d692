// Takes a submission: permission first, then digests, policy, record, store, acknowledgement. All images or none.
// Until permission is established for every image, no port that reaches outside is called.
import { createHash } from 'node:crypto'
import type { Gun } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import {
  type ImageReference,
  parseImageReference,
  requireTag,
  type TaggedReference,
} from '../domain/image-reference.ts'
import type { IdempotencyKey, RepositoryStore } from '../domain/ports.ts'
import type { Decision } from '../domain/decision.ts'
import { type GrantKind, notPermitted, type Principal, requireGrant } from '../domain/principal.ts'
import {
  advance,
  imageOf,
  type ImageSubject,
  MAX_DESCRIPTION,
  requestStatus,
  type SigningRequest,
} from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { Submission } from './services.ts'
import type { SubmissionBatch } from './submission-batch.ts'

export interface Submitted {
  readonly request: SigningRequest
  readonly isRepeated: boolean
}

/** Registry look-ups at the same time. */
const MAX_PARALLEL_RESOLVES = 8
/** Characters of free text, so that records stay small. */
const MAX_NAME = 255
const MAX_ORIGIN = 1000

/** @throws DomainError, RegistryError, KeyHolderError, StoreError; then nothing is stored */
export async function submit(
  dependencies: ServiceDependencies,
  batch: SubmissionBatch,
  principal: Principal,
  submission: Submission,
): Promise<Submitted> {
  checkFields(submission, dependencies.settings.maxImages)
  const images = submission.images.map((text) => requireTag(parseImageReference(text)))
  requireDistinct(images)
  for (const image of images) requireSubmit(dependencies.repositories, principal, image)
  const idempotency = idempotencyOf(principal, submission, images)
  const repeated = idempotency === undefined ? undefined : dependencies.requests.findRepeated(idempotency)
  if (repeated !== undefined) return { request: repeated, isRepeated: true }

  const subjects = await resolveSubjects(dependencies, submission, images)
  const request = decided(dependencies, principal, submission, subjects)
  // Record before act. A crash after this line leaves a record of a request that nobody was told of.
  await recordSubmission(dependencies, request)
  return batch.create(request, idempotency)
}

function checkFields({ images, description, policy, idempotencyKey, origin }: Submission, maxImages: number): void {
  if (images.length === 0) throw new DomainError('REQUEST_EMPTY', 'Name at least one image.')
  if (images.length > maxImages) {
    throw new DomainError('REQUEST_TOO_LARGE', `Name at most ${maxImages} images in one request.`, {
      images: images.length,
      maxImages,
    })
  }
  const limits = [
    ['description', description, MAX_DESCRIPTION],
    ['policy', policy, MAX_NAME],
    ['idempotencyKey', idempotencyKey, MAX_NAME],
    ['origin', origin, MAX_ORIGIN],
  ] as const
  for (const [field, value, max] of limits) {
    if (value !== undefined && (value.length === 0 || value.length > max)) {
      throw new DomainError('REQUEST_FIELD_INVALID', `The field ${field} takes 1 to ${max} characters.`, { field, max })
    }
  }
}

/** One request cannot ask for two digests of one tag. */
function requireDistinct(images: readonly TaggedReference[]): void {
  const seen = new Set<string>()
  for (const { gun, tag } of images) {
    const name = `${gun}:${tag}`
    if (seen.has(name)) throw new DomainError('REQUEST_IMAGE_REPEATED', 'The same tag is named twice.', { image: name })
    seen.add(name)
  }
}

function requireSubmit(repositories: RepositoryStore, principal: Principal, { gun }: ImageReference): void {
  requireReady(repositories, principal, 'submit', gun)
}

/** Registered, and granted: one refusal for both. @throws DomainError NOT_PERMITTED, REPOSITORY_NOT_READY */
export function requireReady(repositories: RepositoryStore, principal: Principal, grant: GrantKind, gun: Gun): void {
  requireGrant(principal, grant, gun)
  const repository = repositories.find(gun)
  if (repository === undefined) throw notPermitted(grant, gun)
  if (repository.state !== 'ready') {
    throw new DomainError('REPOSITORY_NOT_READY', 'The repository is registered, but not initialized yet.', {
      gun,
      state: repository.state,
    })
  }
}

/** The key belongs to what was meant: order and spelling of names count, white space of the HTTP body does not. */
function idempotencyOf(
  principal: Principal,
  { kind, policy, description, idempotencyKey }: Submission,
  images: readonly TaggedReference[],
): IdempotencyKey | undefined {
  if (idempotencyKey === undefined) return undefined
  const meaning = JSON.stringify([kind, images.map(({ text }) => text), policy ?? null, description ?? null])
  const bodySha256 = createHash('sha256').update(meaning).digest('hex')
  return { principal: principal.id, key: idempotencyKey, bodySha256 }
}

async function resolveSubjects(
  { resolver }: Pick<ServiceDependencies, 'resolver'>,
  { kind }: Submission,
  images: readonly TaggedReference[],
): Promise<readonly ImageSubject[]> {
  if (kind === 'unsign') return images.map(namedSubject)
  const subjects: ImageSubject[] = []
  for (let start = 0; start < images.length; start += MAX_PARALLEL_RESOLVES) {
    const some = images.slice(start, start + MAX_PARALLEL_RESOLVES)
    subjects.push(...(await Promise.all(some.map((image) => resolvedSubject(resolver, image)))))
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
): Promise<ImageSubject> {
  const { sha256, length, mediaType } = await resolver.resolve(image)
  if (image.digest !== undefined && image.digest !== sha256) {
    throw new DomainError('DIGEST_MISMATCH', 'The registry serves another digest under this tag than the one named.', {
      image: image.text,
      requested: image.digest,
      served: sha256,
    })
  }
  return { reference: image.text, gun: image.gun, tag: image.tag, sha256, length, mediaType }
}

/** The request with the policy's decisions in it. One denied image denies all. */
function decided(
  { clock, identifiers, policy: policyPort }: Pick<ServiceDependencies, 'clock' | 'identifiers' | 'policy'>,
  principal: Principal,
  { kind, policy, description, origin, images: texts }: Submission,
  subjects: readonly ImageSubject[],
): SigningRequest {
  const at = clock.now()
  const decisions = subjects.map(({ gun, tag, sha256 }, index) =>
    policyPort.evaluate(
      {
        kind,
        principal,
        gun,
        tag,
        ...(sha256 === undefined ? {} : { sha256 }),
        digestNamed: texts[index]?.includes('@') === true,
        ...(policy === undefined ? {} : { policy }),
      },
      at,
    ),
  )
  const denial = decisions.find(({ outcome }) => outcome === 'deny')
  const images = subjects.map((subject, index) => ({
    record: advance(
      { status: 'submitted', subject, at },
      { type: 'decided', decision: joint(decisions[index], denial) },
      at,
    ),
    revision: 1,
  }))
  return {
    id: identifiers.next('request'),
    kind,
    submitter: { id: principal.id, name: principal.name },
    ...(description === undefined ? {} : { description }),
    ...(policy === undefined ? {} : { policy }),
    ...(origin === undefined ? {} : { origin }),
    createdAt: at,
    images,
  }
}

/** An image that the policy allowed falls with one that it denied; its reasons name both. */
function joint(own: Decision | undefined, denial: Decision | undefined): Decision {
  if (own === undefined) throw new Error('Every image has a decision.')
  if (denial === undefined || own.outcome === 'deny') return own
  return { ...own, outcome: 'deny', reasons: [...own.reasons, ...denial.reasons] }
}

/** One record for each image: the auditor asks by tag. @throws KeyHolderError */
export async function recordSubmission({ keyHolder }: ServiceDependencies, request: SigningRequest): Promise<void> {
  const isDenied = requestStatus(request.images) === 'denied'
  for (const { record } of request.images) {
    const { gun } = record.subject
    const { tag, sha256 } = imageOf(record) ?? {}
    const decision = 'decision' in record ? record.decision : undefined
    await keyHolder.appendRecord(isDenied ? 'request-denied' : 'request-submitted', {
      request: request.id,
      kind: request.kind,
      principal: request.submitter.id,
      gun,
      ...(tag === undefined ? {} : { tag }),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(decision === undefined ? {} : { policyDigest: decision.policyDigest }),
      ...(request.description === undefined ? {} : { description: request.description }),
      ...(request.origin === undefined ? {} : { origin: request.origin }),
    })
  }
}
