// The owner of repositories: signs targets that both servers get byte for byte, under a root for each of them.
import { parseRoleName, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type RoleName } from '@countersign/tuf'
import { RepositoryBuilder } from '../test/support/repository-builder.ts'
import { testKey, type TestKey } from '../test/support/test-keys.ts'
import type { TrustServerClient } from './trust-server-client.ts'

export class Owner {
  readonly gun: string
  readonly #builder: RepositoryBuilder

  /** With `takeover`: one who goes on, at this version, where another one began. */
  constructor(gun: string, tags: readonly string[], takeover?: { readonly key: TestKey; readonly version: number }) {
    this.gun = gun
    this.#builder = new RepositoryBuilder(gun)
    if (takeover !== undefined) {
      this.#builder.role(TARGETS).keys = [takeover.key]
      this.#builder.role(TARGETS).version = takeover.version
    }
    for (const tag of tags) this.#builder.put(TARGETS, tag, tag)
  }

  /** Targets as they are now. */
  targets(): Uint8Array {
    return fileOf(this.#builder, TARGETS)
  }

  /** Targets of the next version, with one tag more. */
  nextTargets(tag: string): Uint8Array {
    this.#builder.put(TARGETS, tag, tag).role(TARGETS).version++
    return this.targets()
  }

  /** The first publication at this server. */
  async create(server: TrustServerClient, targets: Uint8Array): Promise<void> {
    const builder = new RepositoryBuilder(this.gun)
    const { privateKey } = testKey('nobody')
    for (const role of ['snapshot', 'timestamp'] as const) {
      const publicKey = await server.serverKey(this.gun, role)
      builder.role(role === 'snapshot' ? SNAPSHOT : TIMESTAMP).keys = [{ publicKey, privateKey }]
    }
    await server.publish(
      this.gun,
      new Map([
        [ROOT, fileOf(builder, ROOT)],
        [TARGETS, targets],
      ]),
    )
  }
}

function fileOf(builder: RepositoryBuilder, role: RoleName): Uint8Array {
  const bytes = builder.files().get(`${parseRoleName(role)}.json`)
  if (bytes === undefined) throw new Error(`There is no ${role}.`)
  return bytes
}
