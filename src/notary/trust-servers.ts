// Which trust server holds which repository. The first pattern that matches counts; where none does, no connection is made.
import type { Gun, PublicKey, RoleName } from '@countersign/tuf'
import { matchesPattern, type Pattern } from '../domain/pattern.ts'
import type { TrustPublisher, TrustSource } from '../domain/ports.ts'
import { NotaryError } from './errors.ts'

export interface TrustServer {
  readonly guns: readonly Pattern[]
  readonly client: TrustSource & TrustPublisher & { close(): Promise<void> }
}

export class TrustServers implements TrustSource, TrustPublisher {
  readonly #servers: readonly TrustServer[]

  constructor(servers: readonly TrustServer[]) {
    this.#servers = servers
  }

  async read(gun: Gun, fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    return this.#clientOf(gun).read(gun, fileName, maxBytes)
  }

  async publish(gun: Gun, files: ReadonlyMap<RoleName, Uint8Array>): Promise<void> {
    await this.#clientOf(gun).publish(gun, files)
  }

  async serverKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    return this.#clientOf(gun).serverKey(gun, role)
  }

  async rotateServerKey(gun: Gun, role: RoleName): Promise<PublicKey> {
    return this.#clientOf(gun).rotateServerKey(gun, role)
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map(({ client }) => client.close()))
  }

  #clientOf(gun: Gun): TrustServer['client'] {
    const server = this.#servers.find(({ guns }) => guns.some((pattern) => matchesPattern(pattern, gun)))
    if (server === undefined) {
      throw new NotaryError('NOTARY_NOT_CONFIGURED', 'No trust server is configured for this repository.', { gun })
    }
    return server.client
  }
}
