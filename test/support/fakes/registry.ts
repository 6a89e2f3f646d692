// A registry in memory: references to manifests, and a count of how often it was asked. registry-over-http.ts gives it a socket.
import { createHash } from 'node:crypto'
import { CodedError } from '@countersign/tuf'
import type { ImageReference } from '../../../src/domain/image-reference.ts'
import { type ImageResolver, MANIFEST_UNKNOWN, type ResolvedImage } from '../../../src/domain/ports.ts'
import { MANIFEST_TYPES } from '../../../src/registry/manifest.ts'

export class FakeRegistryError extends CodedError<'IMAGE_NOT_FOUND' | 'REGISTRY_UNAVAILABLE'> {}

/** A manifest as it is sent. */
export interface StoredManifest {
  readonly bytes: Uint8Array
  readonly mediaType: string
}

export class FakeRegistry implements ImageResolver {
  readonly asked: string[] = []
  readonly probed: string[] = []
  /** False: probes fail as in an outage. */
  isReachable = true
  /** False: a 404 as of a proxy, or of a repository that is not there. */
  saysManifestUnknown = true
  readonly #images = new Map<string, ResolvedImage>()
  /** By `gun:tag` and `gun@sha256:hex`. */
  readonly #manifests = new Map<string, StoredManifest>()

  /** Pushes an image without bytes, for tests that never ask for them: the digest is made of the letter. */
  push(gun: string, tag: string, letter: string, length = 1000): string {
    const sha256 = letter.repeat(64)
    this.#images.set(`${gun}:${tag}`, {
      sha256,
      length,
      mediaType: MANIFEST_TYPES.ociIndex,
      platforms: ['linux/amd64'],
    })
    return sha256
  }

  /** Pushes a manifest with a layer of this content, or these very bytes, and returns its digest. */
  pushManifest(gun: string, tag: string, content: string | Uint8Array, mediaType: string = MANIFEST_TYPES.ociManifest) {
    const bytes = typeof content === 'string' ? Buffer.from(manifestOf(content, mediaType)) : content
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    this.#manifests.set(`${gun}:${tag}`, { bytes, mediaType }).set(`${gun}@sha256:${sha256}`, { bytes, mediaType })
    this.#images.set(`${gun}:${tag}`, { sha256, length: bytes.byteLength, mediaType, platforms: [] })
    return sha256
  }

  /** `reference` is `:tag` or `@sha256:hex`. */
  manifest(gun: string, reference: string): StoredManifest | undefined {
    return this.#manifests.get(gun + reference)
  }

  /** Nothing is asked for by what is gone. */
  remove(gun: string, tag: string): void {
    this.#images.delete(`${gun}:${tag}`)
    this.#manifests.delete(`${gun}:${tag}`)
  }

  probe({ gun, tag }: ImageReference): Promise<string | undefined> {
    this.probed.push(`${gun}:${tag ?? ''}`)
    if (!this.isReachable) return Promise.reject(new FakeRegistryError('REGISTRY_UNAVAILABLE', 'away'))
    return Promise.resolve(this.#images.get(`${gun}:${tag ?? ''}`)?.sha256)
  }

  #notFound(): FakeRegistryError {
    const facts = this.saysManifestUnknown ? { registryCode: MANIFEST_UNKNOWN } : {}
    return new FakeRegistryError('IMAGE_NOT_FOUND', 'No such image.', facts)
  }

  resolve({ gun, tag, text }: ImageReference): Promise<ResolvedImage> {
    this.asked.push(text)
    const image = this.#images.get(`${gun}:${tag ?? ''}`)
    if (image === undefined) return Promise.reject(this.#notFound())
    return Promise.resolve(image)
  }
}

function manifestOf(content: string, mediaType: string): string {
  const descriptor = (type: string, text: string) => ({
    mediaType: type,
    digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
    size: Buffer.byteLength(text),
  })
  return JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: descriptor('application/vnd.oci.image.config.v1+json', '{}'),
    layers: [descriptor('application/vnd.oci.image.layer.v1.tar', content)],
  })
}
