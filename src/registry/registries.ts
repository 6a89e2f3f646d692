// Which registry is which host. Where any is configured, a host that is not is never connected to.
import type { ImageReference } from '../domain/image-reference.ts'
import type { ImageResolver, ResolvedImage } from '../domain/ports.ts'
import { isLoopbackHost } from '../net/loopback.ts'
import { RegistryError } from './errors.ts'

export interface Registry {
  /** As it stands in image references: `registry.example.com:5000`, `docker.io`. */
  readonly host: string
  readonly client: ImageResolver & { close(): Promise<void> }
}

export class Registries implements ImageResolver {
  readonly #clients: Map<string, Registry['client']>
  readonly #connect: ((host: string) => Registry['client'] | undefined) | undefined

  /** @param connect makes a client for a host that is not in the list; without it such a host is refused */
  constructor(registries: readonly Registry[], connect?: (host: string) => Registry['client'] | undefined) {
    this.#clients = new Map(registries.map(({ host, client }) => [host, client]))
    this.#connect = connect
  }

  async resolve(image: ImageReference): Promise<ResolvedImage> {
    return this.#clientOf(image.registry).resolve(image)
  }

  async probe(image: ImageReference): Promise<string | undefined> {
    return this.#clientOf(image.registry).probe(image)
  }

  #clientOf(host: string): Registry['client'] {
    const client = this.#clients.get(host) ?? this.#connect?.(host)
    if (client === undefined) {
      throw new RegistryError('REGISTRY_NOT_CONFIGURED', 'This registry is not configured.', { registry: host })
    }
    this.#clients.set(host, client)
    return client
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()))
  }
}

/** Docker Hub's registry and token realm; every other registry is where its name says. */
export function wellKnownRegistry(host: string): { readonly url: string; readonly tokenRealms: readonly string[] } {
  return host === 'docker.io'
    ? { url: 'https://registry-1.docker.io', tokenRealms: ['https://auth.docker.io/token'] }
    : { url: `https://${host}`, tokenRealms: [] }
}

/** A registry on this machine speaks plain HTTP, as Docker expects of one that nobody configured. */
export function unconfiguredRegistryUrl(host: string): string {
  const { hostname } = new URL(`http://${host}`)
  return isLoopbackHost(hostname) ? `http://${host}` : wellKnownRegistry(host).url
}
