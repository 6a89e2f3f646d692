// A request once more, under another policy: the same images at the same digests, and where they came from.
import { DomainError } from '../domain/errors.ts'
import type { Principal } from '../domain/principal.ts'
import { type ImageSubject, imageOf, type SigningRequest, type Submitter } from '../domain/signing-request.ts'
import type { Resubmission, Submission } from './services.ts'
import { submitterOf } from './submit.ts'

/** @throws DomainError RESUBMISSION_NOT_POSSIBLE of a request about a repository */
export function resubmission(
  principal: Principal,
  request: SigningRequest,
  { mode, policy, description = request.description }: Resubmission,
): { readonly submission: Submission; readonly submitter: Submitter } {
  const { kind, images } = request
  if (kind !== 'sign' && kind !== 'unsign') {
    throw new DomainError('RESUBMISSION_NOT_POSSIBLE', 'Only requests for images are submitted again.', {
      request: request.id,
      kind,
    })
  }
  const subjects = images.flatMap(({ record }) => imageOf(record) ?? [])
  const source = subjects.find(({ promotedFrom }) => promotedFrom !== undefined)?.promotedFrom
  const pruning = subjects.flatMap(({ pruned }) => pruned ?? [])
  return {
    submission: {
      kind,
      images: subjects.map(pinned),
      ...(mode !== undefined && { mode }),
      ...(source !== undefined && { promotedFrom: pinned(source) }),
      // A pruning is looked at again as the first time.
      ...(pruning.length > 0 && pruning.length === subjects.length && { pruning }),
      ...(policy !== undefined && { policy }),
      ...(description !== undefined && { description }),
      resubmits: request.id,
    },
    submitter: resubmitter(principal, request.submitter),
  }
}

function pinned({ gun, tag, sha256 }: Pick<ImageSubject, 'gun' | 'tag' | 'sha256'>): string {
  return `${gun}:${tag}${sha256 === undefined ? '' : `@sha256:${sha256}`}`
}

/** The origin stays with the images. Whoever asked first is the person behind it, who approves nothing of it either. */
function resubmitter(principal: Principal, { id, actors = [id], origin }: Submitter): Submitter {
  const { name, groups, actors: own = [] } = submitterOf(principal)
  const behind = [...new Set([...own, ...actors])].filter((actor) => actor !== principal.id)
  return {
    id: principal.id,
    name,
    ...(groups !== undefined && { groups }),
    ...(behind.length > 0 && { actors: behind }),
    ...(origin !== undefined && { origin }),
  }
}
