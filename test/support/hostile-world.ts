// The services over everything real but the two servers: key holder behind its socket, SQLite, the HTTP clients; trust server and
// registry are the simulators on loopback sockets, and do what a test wants of them.
import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseRoot, publicKeyOf, ROOT, type Gun, type RoleName } from '@countersign/tuf'
import { ANONYMOUS, type CredentialSource } from '../../src/net/credentials.ts'
import type { RemoteOptions } from '../../src/net/authenticated-client.ts'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import { KeyHolderClient } from '../../src/holder/client.ts'
import { unseal } from '../../src/key-holder/sealing.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { RegistryClient } from '../../src/registry/client.ts'
import type { SigningKey } from './fakes/signing-key.ts'
import { app, World } from './fakes/world.ts'
import { LIMITS, TestKeyHolder, type LogEntry } from './key-holder.ts'
import { serveNotary, type NotaryOverHttp } from './notary-server-over-http.ts'
import { serveRegistry, type RegistryOverHttp } from './registry-over-http.ts'
import { Scope } from './scope.ts'

export const REGISTRY_HOST = 'registry.example.com'
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024

export interface HostileWorldOptions {
  readonly limits?: string
  /** Stands between the services and a simulator: its URL -> the URL to use. */
  readonly notaryUrl?: (url: string) => Promise<string>
  readonly registryUrl?: (url: string) => Promise<string>
  readonly timeouts?: Partial<RemoteOptions['timeouts']>
  readonly tokenRealms?: readonly string[]
  readonly credentials?: CredentialSource
  readonly delegations?: boolean
}

export class HostileWorld {
  readonly scope: Scope
  readonly holder: TestKeyHolder
  readonly world: World
  readonly notary: NotaryOverHttp
  readonly registry: RegistryOverHttp

  private constructor(parts: Pick<HostileWorld, 'scope' | 'holder' | 'world' | 'notary' | 'registry'>) {
    this.scope = parts.scope
    this.holder = parts.holder
    this.world = parts.world
    this.notary = parts.notary
    this.registry = parts.registry
  }

  /** With the repository `app`, made by our own initialization, in which `1.0` is signed. */
  static async start(options: HostileWorldOptions = {}): Promise<HostileWorld> {
    const scope = new Scope()
    try {
      return await HostileWorld.#start(scope, options)
    } catch (error) {
      await scope.close()
      throw error
    }
  }

  static async #start(scope: Scope, options: HostileWorldOptions): Promise<HostileWorld> {
    const holder = new TestKeyHolder(scope, options.limits ?? LIMITS)
    const keyHolder = new KeyHolderClient(holder.config.serviceSocket, { timeoutMs: 15_000 })
    scope.add(() => {
      keyHolder.close()
    })
    // The simulators belong to a world, and the world needs clients of them: their addresses are known later.
    const clients: { source?: NotaryClient; resolver?: RegistryClient } = {}
    const late = <T extends object>(client: () => T | undefined): T =>
      new Proxy({} as T, {
        get: (_, name) => {
          const target = client()
          if (target === undefined) throw new Error('The simulators are not up yet.')
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? (value.bind(target) as unknown) : value
        },
      })
    const world = new World({}, undefined, keyHolder, () => {
      const client = late(() => clients.source)
      return { source: client, publisher: client, resolver: late(() => clients.resolver) }
    })
    scope.add(() => {
      world.close()
    })
    await holder.start({ now: () => world.time.now() })
    const notary = await serveNotary(scope, world.server)
    const registry = await serveRegistry(scope, world.registry, REGISTRY_HOST)
    const remote = {
      tls: {},
      timeouts: { connectMs: 5_000, headersMs: 5_000, totalMs: 10_000, ...options.timeouts },
      tokenRealms: options.tokenRealms ?? [],
      credentials: options.credentials ?? ANONYMOUS,
    }
    const notaryUrl = (await options.notaryUrl?.(notary.url)) ?? notary.url
    const registryUrl = (await options.registryUrl?.(registry.url)) ?? registry.url
    clients.source = new NotaryClient({ ...remote, url: notaryUrl })
    const manifests = { host: REGISTRY_HOST, maxManifestBytes: MAX_MANIFEST_BYTES }
    clients.resolver = new RegistryClient({ ...remote, ...manifests, url: registryUrl })
    scope.add(async () => {
      await clients.source?.close()
      await clients.resolver?.close()
    })
    const hostile = new HostileWorld({ scope, holder, world, notary, registry })
    await world.initialize(app, options.delegations ?? true)
    world.registry.pushManifest(app, '1.0', 'one')
    await world.sign(`${app}:1.0`)
    return hostile
  }

  /** The private key of a role, as a thief has it who read the folder and the unlock key. The key holder is restarted. */
  async stealKey(role: RoleName, gun: Gun = app): Promise<SigningKey> {
    await this.holder.stop()
    const unlockKey = readFileSync(this.holder.unlockKeyFile)
    const row = this.holder.database(
      (database) =>
        database
          .prepare('SELECT canonical_key_id AS keyId, sealed FROM keys WHERE gun = ? AND role = ?')
          .get(gun, role) as { keyId: string; sealed: Buffer },
    )
    const der = unseal(row.sealed, unlockKey, { gun, role, keyId: row.keyId })
    await this.startHolder()
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    if (role !== ROOT) return { privateKey, publicKey: publicKeyOf(privateKey) }
    const root = parseRoot(this.world.server.currentFile(gun, ROOT) ?? new Uint8Array()).metadata
    const [keyId] = root.roles.get(ROOT)?.keyIds ?? []
    const publicKey = keyId === undefined ? undefined : root.keys.get(keyId)
    if (publicKey === undefined) throw new Error('A root lists its key.')
    return { privateKey, publicKey }
  }

  /** By the clock of the world. */
  startHolder(): Promise<void> {
    return this.holder.start({ now: () => this.world.time.now() })
  }

  /** Pushes an image and asks for its signature: `published`, or `failed CODE`. */
  async sign(tag: string, content = tag): Promise<string> {
    this.world.registry.pushManifest(app, tag, content)
    return outcomeOf(await this.world.sign(`${app}:${tag}`))
  }

  /** The daemon is started again: whatever it read under a hash before, it asks for once more. */
  forgetFiles(): Promise<void> {
    return this.world.restart()
  }

  /** How many versions of targets roles the key holder recorded before signing them. */
  signatures(gun: Gun = app): number {
    return this.changes(gun).length
  }

  /** How many updates the trust server heard. */
  uploads(gun: Gun = app): number {
    return this.notary.heard.filter(({ method, url }) => method === 'POST' && url === `/v2/${gun}/_trust/tuf/`).length
  }

  changes(gun: Gun = app): readonly LogEntry[] {
    return this.holder.log().filter((entry) => entry.kind === 'targets-change' && entry.gun === gun)
  }

  close(): Promise<void> {
    return this.scope.close()
  }
}

export function outcomeOf({ images }: SigningRequest, position = 0): string {
  const record = images[position]?.record
  return record?.status === 'failed' ? `failed ${record.error.code}` : String(record?.status)
}
