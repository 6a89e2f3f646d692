// One OCI registry: what it serves under a tag or digest, hashed here. Asks for nothing but manifests, and what their digest is, with a pull scope.
// OCI distribution-spec v1.1, Pulling manifests.
import { createHash } from 'node:crypto'
import * as z from 'zod'
import type { ImageReference } from '../domain/image-reference.ts'
import { type ImageResolver, MANIFEST_UNKNOWN, type ResolvedImage } from '../domain/ports.ts'
import { AuthenticatedClient, type RemoteOptions } from '../net/authenticated-client.ts'
import { isPassing, NetError } from '../net/errors.ts'
import type { HttpResponse } from '../net/http-client.ts'
import { RegistryError } from './errors.ts'
import { ACCEPTED_TYPES, readManifest } from './manifest.ts'

/** OCI distribution-spec v1.1, Error codes. */
const errorBody = z.looseObject({ errors: z.array(z.looseObject({ code: z.string() })).min(1) })

export interface RegistryOptions extends RemoteOptions {
  /** The host as it stands in image references. */
  readonly host: string
  /** The largest manifest that is read, in bytes. */
  readonly maxManifestBytes: number
}

export class RegistryClient implements ImageResolver {
  readonly #client: AuthenticatedClient
  readonly #options: RegistryOptions

  constructor(options: RegistryOptions) {
    this.#options = options
    this.#client = new AuthenticatedClient(options)
  }

  async resolve(image: ImageReference): Promise<ResolvedImage> {
    const asked = image.tag ?? (image.digest === undefined ? undefined : `sha256:${image.digest}`)
    if (asked === undefined) throw new Error('An image is resolved by its tag or digest.')
    const answer = await this.#ask('GET', image, asked)
    if (answer.status !== 200) throw refusal(answer, image)
    const { body } = answer
    const sha256 = createHash('sha256').update(body).digest('hex')
    requireHonest(
      image,
      sha256,
      answer.headers.get('docker-content-digest'),
      image.tag === undefined ? image.digest : undefined,
    )
    const { mediaType, platforms } = readManifest(body, answer.headers.get('content-type') ?? '')
    return { sha256, length: body.byteLength, mediaType, platforms }
  }

  async probe(image: ImageReference): Promise<string | undefined> {
    if (image.tag === undefined) throw new Error('A tag is asked for.')
    const answer = await this.#ask('HEAD', image, image.tag)
    if (answer.status === 404) return undefined
    if (answer.status !== 200) throw refusal(answer, image)
    return /^sha256:([0-9a-f]{64})$/.exec(answer.headers.get('docker-content-digest') ?? '')?.[1]
  }

  async close(): Promise<void> {
    await this.#client.close()
  }

  async #ask(method: 'GET' | 'HEAD', image: ImageReference, asked: string): Promise<HttpResponse> {
    try {
      return await this.#client.request({
        method,
        path: `/v2/${image.repository}/manifests/${asked}`,
        headers: { accept: ACCEPTED_TYPES },
        maxBytes: this.#options.maxManifestBytes,
        scope: `repository:${image.repository}:pull`,
        credentialHost: this.#options.host,
      })
    } catch (cause) {
      throw named(cause, image, this.#options.maxManifestBytes)
    }
  }
}

/** A registry that names another digest than its bytes have is broken or hostile; neither may be signed. */
function requireHonest(
  image: ImageReference,
  sha256: string,
  header: string | undefined,
  asked: string | undefined,
): void {
  const named = header === undefined || !header.startsWith('sha256:') ? undefined : header.slice('sha256:'.length)
  for (const claimed of [named, asked]) {
    if (claimed === undefined || claimed === sha256) continue
    throw new RegistryError(
      'REGISTRY_DIGEST_MISMATCH',
      'The bytes that the registry serves do not have the digest that it names.',
      {
        image: image.text,
        claimed: claimed.slice(0, 64),
        computed: sha256,
      },
    )
  }
}

function named(cause: unknown, image: ImageReference, maxBytes: number): unknown {
  if (!(cause instanceof NetError)) return cause
  if (cause.code === 'NET_TOO_LARGE') {
    return new RegistryError(
      'MANIFEST_TOO_LARGE',
      'The manifest is larger than allowed.',
      { image: image.text, maxBytes },
      { cause },
    )
  }
  if (!isPassing(cause)) return cause
  return new RegistryError(
    'REGISTRY_UNAVAILABLE',
    `The registry cannot be reached: ${cause.message}`,
    { ...cause.facts, failure: cause.code },
    { cause },
  )
}

function refusal({ status, body }: HttpResponse, image: ImageReference): RegistryError {
  const facts = { image: image.text, status }
  if (status === 404) {
    // What stands between may answer 404 as well, and so does a registry that hides what we may not read.
    const named = saysManifestUnknown(body) ? { registryCode: MANIFEST_UNKNOWN } : {}
    return new RegistryError('IMAGE_NOT_FOUND', 'The registry has no such image.', { ...facts, ...named })
  }
  if (status === 401 || status === 403) {
    return new RegistryError('REGISTRY_UNAUTHORIZED', 'The registry does not let us read this image.', facts)
  }
  if (status >= 300 && status < 400) {
    return new RegistryError('REGISTRY_REDIRECTED', 'The registry redirects; redirects are not followed.', facts)
  }
  if (status === 408 || status === 429 || status >= 500) {
    return new RegistryError('REGISTRY_UNAVAILABLE', 'The registry is not able to answer now.', facts)
  }
  return new RegistryError(
    'REGISTRY_RESPONSE_MALFORMED',
    'The registry answers in a way that is not understood.',
    facts,
  )
}

/** The registry itself, and of nothing but this manifest. */
function saysManifestUnknown(body: Uint8Array): boolean {
  try {
    const { errors } = z.parse(errorBody, JSON.parse(Buffer.from(body).toString('utf8')))
    return errors.every(({ code }) => code === MANIFEST_UNKNOWN)
  } catch {
    return false
  }
}
