// What was decided upon is looked at once more, right before it is signed: the digest that the registry serves, the source of a promotion, the
// word of a pruning's plan. Requests may have waited for days.
import { DomainError } from '../domain/errors.ts'
import { parseImageReference } from '../domain/image-reference.ts'
import { isOutage } from '../domain/port-faults.ts'
import type { PendingImage } from '../domain/ports.ts'
import { imageOf, type ImageSubject } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { ImageProgress } from './image-progress.ts'
import { signedSource } from './promotion.ts'
import { isGone } from './pruning.ts'
import { settleEach } from './settle.ts'
import { throughOutages } from './through-outages.ts'

/** Look-ups at the same time. */
const MAX_PARALLEL = 8

type LastSigned = ReadonlyMap<string, { readonly at: Date }>

export class SecondLook {
  readonly #dependencies: ServiceDependencies
  readonly #progress: ImageProgress

  constructor(dependencies: ServiceDependencies, progress: ImageProgress) {
    this.#dependencies = dependencies
    this.#progress = progress
  }

  /** @returns for each image of one repository whether all is as it was; else the reason, as of the methods below */
  look(images: readonly PendingImage[]): ReturnType<typeof settleEach<PendingImage>> {
    const lastSigned = this.#lastSigned(images)
    let outage: Error | undefined
    return settleEach(images, MAX_PARALLEL, async (image) => {
      await this.#resolveAgain(image)
      await this.#verifySourceAgain(image)
      if (outage !== undefined) throw outage
      try {
        await this.#checkPruningAgain(image, lastSigned)
      } catch (error) {
        // Of a registry that does not answer the other thousands are not asked, one after the other.
        if (error instanceof Error && isOutage(error)) outage = error
        throw error
      }
    })
  }

  /** Read once, and only where something is pruned. */
  #lastSigned(images: readonly PendingImage[]): LastSigned {
    const pruned = images.find(({ record }) => imageOf(record)?.pruned !== undefined)
    return pruned === undefined ? new Map() : this.#dependencies.requests.lastSigned(pruned.record.subject.gun)
  }

  async #resolveAgain(image: PendingImage): Promise<void> {
    if (image.kind !== 'sign') return
    const subject = requireImage(image)
    const { sha256, length } = await this.#throughOutages(image, () =>
      this.#dependencies.resolver.resolve(parseImageReference(subject.reference)),
    )
    if (sha256 === subject.sha256 && length === subject.length) return
    throw new DomainError(
      'DIGEST_MISMATCH',
      'The tag was moved in the registry after the request was made. Ask again.',
      {
        image: subject.reference,
        requested: subject.sha256 ?? 'none',
        served: sha256,
      },
    )
  }

  /**
   * Of a pruning: what was gone is gone still, and nobody has had it signed here since, at the same digest or another. The next publication is
   * this one, so nothing is signed between. @throws DomainError TAG_SERVED_AGAIN, TAG_SIGNED_SINCE_PLAN, TAG_NOT_KNOWN_GONE; RegistryError
   */
  async #checkPruningAgain({ record }: PendingImage, lastSigned: LastSigned): Promise<void> {
    const { gun, tag, pruned } = imageOf(record) ?? {}
    if (gun === undefined || tag === undefined || pruned === undefined) return
    const facts = { image: `${gun}:${tag}` }
    const last = lastSigned.get(tag)
    if (last !== undefined && last.at.getTime() > pruned.plannedAt.getTime()) {
      throw new DomainError('TAG_SIGNED_SINCE_PLAN', 'The tag was signed here after the pruning was planned.', facts)
    }
    if (pruned.reason !== 'gone' || (await isGone(this.#dependencies, gun, tag))) return
    throw new DomainError('TAG_SERVED_AGAIN', 'The registry has the tag again.', facts)
  }

  /** Of a promotion: what was signed at the source must be signed there still. @throws as `signedSource` */
  async #verifySourceAgain(image: PendingImage): Promise<void> {
    const source = imageOf(image.record)?.promotedFrom
    if (source === undefined) return
    const { gun, tag, sha256 } = source
    await this.#throughOutages(image, () => signedSource(this.#dependencies, { gun, tag, digest: sha256 }))
  }

  #throughOutages<T>(image: PendingImage, work: () => Promise<T>): Promise<T> {
    return throughOutages(this.#dependencies, this.#progress, [image], work)
  }
}

/** Of a request that is about one. */
export function requireImage({ record }: PendingImage): ImageSubject {
  const image = imageOf(record)
  if (image === undefined) throw new Error('A request for an image names its tag.')
  return image
}
