// Small real images, pushed over the registry's own HTTP API: no engine and no base image needed. Every byte is chosen here, so that
// digest and length are known before the registry is asked.
import { createHash, randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { Agent, request } from 'undici'
import type { RegistryAddress } from '../countersign.ts'
import type { Credentials } from './docker-registry.ts'
import { tarOf } from './tar.ts'

export const MEDIA_TYPES = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const

export interface PushedImage {
  /** host:port/name:tag */
  readonly reference: string
  /** host:port/name */
  readonly gun: string
  readonly tag: string
  readonly bytes: Uint8Array
  readonly mediaType: string
  /** 64 hex digits */
  readonly sha256: string
  readonly length: number
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

type Flavour = 'oci' | 'docker'

export class ImageMaker {
  readonly #registry: RegistryAddress
  readonly #dispatcher: Agent
  readonly #authorization: string | undefined

  /** @param authorization the header that the registry asks for */
  constructor(registry: RegistryAddress, authorization?: string) {
    this.#registry = registry
    this.#dispatcher = new Agent(registry.ca === undefined ? {} : { connect: { ca: registry.ca.certificatePem } })
    this.#authorization = authorization
  }

  async close(): Promise<void> {
    await this.#dispatcher.close()
  }

  /** One image for one platform. A new content each time, unless `content` is given. */
  async pushManifest(name: string, tag: string, o: { flavour?: Flavour; content?: string } = {}): Promise<PushedImage> {
    const { bytes, mediaType } = await this.#manifest(name, o.flavour ?? 'oci', 'amd64', o.content)
    return this.putManifest(name, tag, bytes, mediaType)
  }

  /** Several platforms under one tag: an OCI index, or Docker's schema 2 list. */
  async pushIndex(
    name: string,
    tag: string,
    o: { flavour?: Flavour; architectures?: string[] } = {},
  ): Promise<PushedImage> {
    const { flavour = 'oci', architectures = ['amd64', 'arm64'] } = o
    const manifests = []
    for (const architecture of architectures) {
      const { bytes, mediaType } = await this.#manifest(name, flavour, architecture)
      const sha256 = hashOf(bytes)
      await this.putManifest(name, `sha256:${sha256}`, bytes, mediaType)
      manifests.push({ ...descriptor(bytes, mediaType), platform: { architecture, os: 'linux' } })
    }
    const mediaType = flavour === 'oci' ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.dockerList
    return this.putManifest(name, tag, encode({ schemaVersion: 2, mediaType, manifests }), mediaType)
  }

  /** Any bytes as a manifest: for what a registry accepts and Countersign must refuse. */
  async putManifest(name: string, tag: string, bytes: Uint8Array, mediaType: string): Promise<PushedImage> {
    await this.#send('PUT', `/v2/${name}/manifests/${tag}`, bytes, mediaType, [201])
    const gun = `${this.#registry.host}/${name}`
    const sha256 = hashOf(bytes)
    return { reference: `${gun}:${tag}`, gun, tag, bytes, mediaType, sha256, length: bytes.byteLength }
  }

  /** Deletes the manifest, and with it its tags. */
  async remove(image: PushedImage): Promise<void> {
    const name = image.gun.slice(this.#registry.host.length + 1)
    await this.#send('DELETE', `/v2/${name}/manifests/sha256:${image.sha256}`, new Uint8Array(), undefined, [202])
  }

  /** Lets another tag name the same bytes. */
  async tag(image: PushedImage, tag: string): Promise<PushedImage> {
    return this.putManifest(image.gun.slice(this.#registry.host.length + 1), tag, image.bytes, image.mediaType)
  }

  async #manifest(
    name: string,
    flavour: Flavour,
    architecture: string,
    content = randomBytes(16).toString('hex'),
  ): Promise<{ bytes: Uint8Array; mediaType: string }> {
    const tar = tarOf([{ name: 'hello.txt', content: Buffer.from(`${content} ${architecture}\n`) }])
    const layer = gzipSync(tar)
    const config = encode({
      architecture,
      os: 'linux',
      config: { Cmd: ['/hello.txt'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${hashOf(tar)}`] },
      history: [{ created: '2026-01-01T00:00:00Z', created_by: 'made by hand' }],
    })
    await this.#pushBlob(name, layer)
    await this.#pushBlob(name, config)
    const oci = flavour === 'oci'
    const mediaType = oci ? MEDIA_TYPES.ociManifest : MEDIA_TYPES.dockerManifest
    const bytes = encode({
      schemaVersion: 2,
      mediaType,
      config: descriptor(config, oci ? MEDIA_TYPES.ociConfig : MEDIA_TYPES.dockerConfig),
      layers: [descriptor(layer, oci ? MEDIA_TYPES.ociLayer : MEDIA_TYPES.dockerLayer)],
    })
    return { bytes, mediaType }
  }

  async #pushBlob(name: string, bytes: Uint8Array): Promise<void> {
    const location = await this.#send('POST', `/v2/${name}/blobs/uploads/`, new Uint8Array(), undefined, [202])
    const target = new URL(location ?? '', this.#registry.url)
    target.searchParams.set('digest', `sha256:${hashOf(bytes)}`)
    await this.#send('PUT', target.pathname + target.search, bytes, 'application/octet-stream', [201])
  }

  async #send(
    method: 'POST' | 'PUT' | 'DELETE',
    path: string,
    body: Uint8Array,
    contentType: string | undefined,
    expected: readonly number[],
  ): Promise<string | undefined> {
    const answer = await request(new URL(path, this.#registry.url), {
      method,
      body,
      dispatcher: this.#dispatcher,
      headers: {
        ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
        ...(contentType === undefined ? {} : { 'content-type': contentType }),
      },
    })
    const text = await answer.body.text()
    if (!expected.includes(answer.statusCode)) {
      throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`)
    }
    const { location } = answer.headers
    return typeof location === 'string' ? location : undefined
  }
}

export function basicAuthorization({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function encode(value: unknown): Uint8Array {
  // With line breaks, as some tools write it: the digest must be of these bytes and of no others.
  return Buffer.from(JSON.stringify(value, undefined, 2))
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function descriptor(bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: `sha256:${hashOf(bytes)}`, size: bytes.byteLength }
}
