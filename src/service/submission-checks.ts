// What a submission must be before anybody is asked: its fields, its names, and permission for every image.
import type { Gun } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { parseImageReference, requireTag, type TaggedReference } from '../domain/image-reference.ts'
import type { RepositoryStore } from '../domain/ports.ts'
import { type GrantKind, notPermitted, type Principal, requireGrant } from '../domain/principal.ts'
import { MAX_PRUNED } from '../domain/pruning.ts'
import { MAX_DESCRIPTION } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { parseSource } from './promotion.ts'
import type { Submission } from './services.ts'

/** Characters of free text, so that records stay small. */
const MAX_NAME = 255
const MAX_ORIGIN = 1000

/** Names and permission: until they are established for every image, no port that reaches outside is called. */
export function checkSubmission(
  { settings, repositories }: Pick<ServiceDependencies, 'settings' | 'repositories'>,
  principal: Principal,
  submission: Submission,
  grant: GrantKind = 'submit',
): readonly TaggedReference[] {
  checkFields(submission, submission.pruning !== undefined ? MAX_PRUNED : settings.maxImages)
  const { kind, promotedFrom } = submission
  if (promotedFrom !== undefined && kind !== 'sign') {
    throw new DomainError('REQUEST_FIELD_INVALID', 'Only a request to sign is a promotion.', { field: 'promotedFrom' })
  }
  const images = submission.images.map((text) => requireTag(parseImageReference(text)))
  requireDistinct(images)
  for (const { gun } of images) requireReady(repositories, principal, grant, gun)
  if (promotedFrom !== undefined) requireReady(repositories, principal, 'read', parseSource(promotedFrom).gun)
  return images
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
