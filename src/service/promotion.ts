// What a promotion stands on: the signature of its source, verified from the root that is pinned here, and looked at again before the
// destination is signed. No image is fetched from the source's registry, and none is copied.
import { findTarget, targetsOf } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import { parseImageReference, requireTag, type TaggedReference } from '../domain/image-reference.ts'
import { sha256Of } from '../domain/signed-entry.ts'
import type { ImageSubject, PromotionSource } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { loadRepository } from './load-repository.ts'

/** @throws DomainError IMAGE_REFERENCE_INVALID, IMAGE_TAG_MISSING, IMAGE_DIGEST_UNSUPPORTED */
export function parseSource(text: string): TaggedReference {
  return requireTag(parseImageReference(text))
}

/**
 * What is signed for the source now. The key holder sees what was read, so that a version which a stolen key has made is found out here, too.
 * @throws DomainError PROMOTION_SOURCE_*, REPOSITORY_NOT_READY, ROOT_PIN_MISMATCH; TufError, NotaryError, KeyHolderError
 */
export async function signedSource(
  dependencies: ServiceDependencies,
  { gun, tag, digest }: Pick<TaggedReference, 'gun' | 'tag' | 'digest'>,
): Promise<PromotionSource> {
  const { trusted, custody } = await loadRepository(dependencies, gun)
  await dependencies.keyHolder.observeRepository(gun, trusted.files)
  const source = { gun, tag }
  if (custody.state === 'frozen' || (custody.disowned ?? []).length > 0) {
    throw new DomainError(
      'PROMOTION_SOURCE_FROZEN',
      'The source is frozen, or what is published there was disowned: nothing is promoted from it.',
      source,
    )
  }
  const found = findTarget(trusted, tag)
  const sha256 = found && sha256Of(found.meta)
  const version = found && targetsOf(trusted, found.role)?.metadata.version
  if (found === undefined || sha256 === undefined || version === undefined) {
    throw new DomainError('PROMOTION_SOURCE_NOT_SIGNED', 'The tag is not signed at the source.', source)
  }
  if (digest !== undefined && digest !== sha256) {
    throw new DomainError(
      'PROMOTION_SOURCE_MOVED',
      'Another digest is signed at the source than the one that is meant.',
      {
        ...source,
        requested: digest,
        signed: sha256,
      },
    )
  }
  return { gun, tag, sha256, role: found.role, version }
}

/** The destination, which has to serve what is signed at the source. @throws DomainError PROMOTION_DESTINATION_DIFFERS */
export function promoted(subject: ImageSubject, source: PromotionSource): ImageSubject {
  const { gun, tag, sha256 } = subject
  if (sha256 !== source.sha256) {
    throw new DomainError(
      'PROMOTION_DESTINATION_DIFFERS',
      'The registry of the destination serves another digest than is signed at the source.',
      { image: `${gun}:${tag}`, signed: source.sha256, served: sha256 ?? 'none' },
    )
  }
  // The signature of the source names the digest, as a submitter would.
  return { ...subject, reference: `${gun}:${tag}@sha256:${sha256}`, promotedFrom: source }
}
