// A registry in memory: references to digests, and a count of how often it was asked.
import { CodedError } from '@countersign/tuf'
import type { ImageReference } from '../../../src/domain/image-reference.ts'
import type { ImageResolver, ResolvedImage } from '../../../src/domain/ports.ts'

export class FakeRegistryError extends CodedError<'IMAGE_NOT_FOUND'> {}

export class FakeRegistry implements ImageResolver {
  readonly asked: string[] = []
  readonly #images = new Map<string, ResolvedImage>()

  /** Pushes an image: the digest is made of the letter. */
  push(gun: string, tag: string, letter: string, length = 1000): string {
    const sha256 = letter.repeat(64)
    this.#images.set(`${gun}:${tag}`, {
      sha256,
      length,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      platforms: ['linux/amd64'],
    })
    return sha256
  }

  resolve({ gun, tag, text }: ImageReference): Promise<ResolvedImage> {
    this.asked.push(text)
    const image = this.#images.get(`${gun}:${tag ?? ''}`)
    if (image === undefined) return Promise.reject(new FakeRegistryError('IMAGE_NOT_FOUND', 'No such image.'))
    return Promise.resolve(image)
  }
}
