// Which trust server holds which repository. The first pattern that matches counts; where none does, no connection is made.
import type { Gun, PublicKey, RoleName } from '@countersign/tuf'
import { matchesPattern, type Pattern } from '../domain/pattern.ts'
import type { TrustDestination, TrustPublisher, TrustServerDirectory, TrustSource } from '../domain/ports.ts'
import type { FeedChange, FeedQuery, FeedSource, TrustFeeds } from '../domain/trust-feed.ts'
import { NotaryError } from './errors.ts'

export interface TrustServer {
  /** As the configuration calls it; by default its URL. */
  readonly name: string
  readonly url: string
  readonly guns: readonly Pattern[]
  readonly client: TrustDestination & FeedSource & { close(): Promise<void> }
}

export class TrustServers implements TrustSource, TrustPublisher, TrustServerDirectory, TrustFeeds {
  readonly #servers: readonly TrustServer[]
  readonly #placeOf: (gun: Gun) => string | undefined

  /** @param placeOf the server to which a repository has moved; undefined where it has not */
  constructor(servers: readonly TrustServer[], placeOf: (gun: Gun) => string | undefined = () => undefined) {
    this.#servers = servers
    this.#placeOf = placeOf
  }

  async read(gun: Gun, fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    return this.#clientOf(gun).read(gun, fileName, maxBytes)
  }

  async publish(gun: Gun, files: ReadonlyMap<RoleName, Uint8Array>): Promise<void> {
    await this.#clientOf(gun).publish(gun, files)
  }

  async changes(gun: Gun, query: FeedQuery): Promise<readonly FeedChange[] | undefined> {
    return this.#clientOf(gun).changes(gun, query)
  }

  serverOf(gun: Gun): string {
    return this.#serverOf(gun).name
  }

  async serverKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    return this.#clientOf(gun).serverKey(gun, role)
  }

  async rotateServerKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    return this.#clientOf(gun).rotateServerKey(gun, role)
  }

  namesFor(gun: Gun): readonly string[] {
    return this.#matching(gun).map(({ name }) => name)
  }

  at(gun: Gun, name: string): TrustDestination | undefined {
    return this.#matching(gun).find(isCalled(name))?.client
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map(({ client }) => client.close()))
  }

  #matching(gun: Gun): readonly TrustServer[] {
    return this.#servers.filter(({ guns }) => guns.some((pattern) => matchesPattern(pattern, gun)))
  }

  #clientOf(gun: Gun): TrustServer['client'] {
    return this.#serverOf(gun).client
  }

  #serverOf(gun: Gun): TrustServer {
    const matching = this.#matching(gun)
    const place = this.#placeOf(gun)
    const server = place === undefined ? matching[0] : matching.find(isCalled(place))
    if (server !== undefined) return server
    const message =
      place === undefined
        ? 'No trust server is configured for this repository.'
        : 'The trust server to which this repository has moved is not in the configuration.'
    throw new NotaryError('NOTARY_NOT_CONFIGURED', message, { gun, ...(place !== undefined && { trustServer: place }) })
  }
}

/** By its name or its address: a server that got a name later is still the one that a repository has moved to. */
function isCalled(name: string): (server: TrustServer) => boolean {
  return (server) => server.name === name || server.url === name
}
