// Everything that a run needs: a registry, a Notary server with TLS, the key holder and the daemon as built, all on loopback.
import { chmodSync, mkdirSync } from 'node:fs'
import { Countersign } from '../test/support/countersign.ts'
import { startDockerRegistry, type DockerRegistry } from '../test/support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../test/support/peers/images.ts'
import { startNotaryServer, type NotaryServer } from '../test/support/peers/notary-server.ts'
import type { Scope } from '../test/support/scope.ts'
import { createTestCa } from '../test/support/tls.ts'
import { Api } from './api.ts'
import { startEmbedded, type Embedded } from './embedded.ts'
import { residentMiB } from './memory.ts'

/** So wide that no limit is what is measured. */
const MANY = 1_000_000
const LIMITS = {
  repositories: [
    { gun: '*', initialize: true, serve: true, maxEntries: MANY, versionsPerHour: MANY, entriesPerHour: MANY },
  ],
  recordsPerHour: MANY,
  keysPerHour: MANY,
  pendingRepositories: MANY,
}

export interface Memory {
  readonly daemonMiB: number
  readonly keyHolderMiB: number
}

export class Stage {
  readonly scope: Scope
  readonly registry: DockerRegistry
  readonly notary: NotaryServer
  readonly countersign: Countersign
  readonly images: ImageMaker
  readonly api: Api
  readonly #nodeOptions: readonly string[]
  #embedded: Promise<Embedded> | undefined

  private constructor(
    scope: Scope,
    parts: { registry: DockerRegistry; notary: NotaryServer; countersign: Countersign; images: ImageMaker },
    nodeOptions: readonly string[],
  ) {
    this.#nodeOptions = nodeOptions
    this.scope = scope
    this.registry = parts.registry
    this.notary = parts.notary
    this.countersign = parts.countersign
    this.images = parts.images
    this.api = new Api(parts.countersign)
    scope.add(() => this.api.close())
  }

  /** @param profileFolder where both processes write a CPU profile when they end */
  static async start(scope: Scope, profileFolder?: string): Promise<Stage> {
    const notary = await startNotaryServer(scope, { ca: createTestCa('Countersign bench authority') })
    const registry = await startDockerRegistry(scope, { isTuned: true })
    const nodeOptions = profileFolder === undefined ? [] : profiling(profileFolder)
    const countersign = await Countersign.start(scope, {
      notary,
      registry,
      limits: LIMITS,
      // As an operator runs it.
      config: { log: { level: 'info' } },
      nodeOptions,
    })
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    return new Stage(scope, { registry, notary, countersign, images }, nodeOptions)
  }

  /** The embedded trust server with its own key holder and daemon; started by whoever needs it first. */
  embedded(): Promise<Embedded> {
    const { scope, registry, notary } = this
    const options = { ca: notary.ca, registry, limits: LIMITS, nodeOptions: this.#nodeOptions }
    return (this.#embedded ??= startEmbedded(scope, options))
  }

  gun(name: string): string {
    return `${this.registry.host}/${name}`
  }

  /** One small image under many tags. */
  async pushTags(name: string, tags: readonly string[]): Promise<PushedImage[]> {
    const image = await this.images.pushManifest(name, 'first')
    const pushed: PushedImage[] = []
    for (const tag of tags) pushed.push(await this.images.tag(image, tag))
    return pushed
  }

  memory(): Memory {
    const { daemon, keyHolder } = this.countersign
    return { daemonMiB: residentMiB(daemon.pid), keyHolderMiB: residentMiB(keyHolder.pid) }
  }
}

function profiling(folder: string): string[] {
  mkdirSync(folder, { recursive: true })
  // Both processes may run as users of their own.
  chmodSync(folder, 0o777)
  return ['--cpu-prof', '--cpu-prof-dir', folder]
}
