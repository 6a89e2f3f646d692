// Which registry is which host. A host that is not configured is never connected to.
import type { ImageReference } from '../domain/image-reference.ts'
import type { ImageResolver, ResolvedImage } from '../domain/ports.ts'
import { RegistryError } from './errors.ts'

export interface Registry {
  /** As it stands in image references: `registry.example.com:5000`, `docker.io`. */
  readonly host: string
  readonly client: ImageResolver & { close(): Promise<void> }
}

export class Registries implements ImageResolver {
  readonly #clients: ReadonlyMap<string, Registry['client']>

  constructor(registries: readonly Registry[]) {
    this.#clients = new Map(registries.map(({ host, client }) => [host, client]))
  }

  async resolve(image: ImageReference): Promise<ResolvedImage> {
    const client = this.#clients.get(image.registry)
    if (client === undefined) {
      throw new RegistryError('REGISTRY_NOT_CONFIGURED', 'This registry is not configured.', {
        registry: image.registry,
      })
    }
    return client.resolve(image)
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
