// The services over fakes and a real SQLite database in memory; can be restarted on what is durable.
import { findTarget, type Gun, parseGun } from '@countersign/tuf'
import { parsePattern } from '../../../src/domain/pattern.ts'
import { grantsPolicy, type Policy } from '../../../src/domain/policy.ts'
import type { KeyHolder, Observer } from '../../../src/domain/ports.ts'
import { GRANT_KINDS, type GrantKind, type Principal } from '../../../src/domain/principal.ts'
import { sha256Of } from '../../../src/domain/signed-entry.ts'
import type { SigningRequest } from '../../../src/domain/signing-request.ts'
import { IdTokenVerifier } from '../../../src/identity/verifier.ts'
import { KeyHolderError } from '../../../src/key-holder-protocol/errors.ts'
import { TrustServers } from '../../../src/notary/trust-servers.ts'
import { createServices } from '../../../src/service/create-services.ts'
import type { ServiceDependencies, ServiceSettings } from '../../../src/service/dependencies.ts'
import type { Services } from '../../../src/service/services.ts'
import type { PublicationStep } from '../../../src/service/steps.ts'
import { createDatabase } from '../../../src/store/database.ts'
import { SqliteRepositoryStore } from '../../../src/store/repositories.ts'
import { SqliteRequestStore } from '../../../src/store/requests.ts'
import { SqlitePushedTags } from '../../../src/store/pushed-tags.ts'
import { SqliteSeenVersions } from '../../../src/store/seen-versions.ts'
import { SqliteSignedTags } from '../../../src/store/signed-tags.ts'
import { SqliteTokenStore } from '../../../src/store/tokens.ts'
import { Faults } from './faults.ts'
import { FakeKeyHolder } from './key-holder.ts'
import { load } from './rival.ts'
import { FakeRegistry } from './registry.ts'
import { CountingIdentifiers, CountingRandom, ManualTime } from './time.ts'
import { FakeTrustServer } from './trust-server.ts'

export const app = parseGun('registry.example.com/team/app')

export class RecordingObserver implements Observer {
  readonly changes: Parameters<Observer['requestChanged']>[0][] = []
  readonly publications: Parameters<Observer['publicationFinished']>[0][] = []
  readonly conflicts: Parameters<Observer['publicationConflict']>[0][] = []
  readonly troubles: unknown[] = []
  readonly foreign: Parameters<Observer['foreignVersion']>[0][] = []
  readonly exchanges: Parameters<Observer['tokenExchanged']>[0][] = []
  readonly refusals: Parameters<Observer['exchangeRefused']>[0][] = []

  requestChanged(event: Parameters<Observer['requestChanged']>[0]): void {
    this.changes.push(event)
  }
  publicationFinished(event: Parameters<Observer['publicationFinished']>[0]): void {
    this.publications.push(event)
  }
  publicationConflict(event: Parameters<Observer['publicationConflict']>[0]): void {
    this.conflicts.push(event)
  }
  repositoryTroubled({ error }: Parameters<Observer['repositoryTroubled']>[0]): void {
    this.troubles.push(error)
  }
  tokenExchanged(event: Parameters<Observer['tokenExchanged']>[0]): void {
    this.exchanges.push(event)
  }
  foreignVersion(event: Parameters<Observer['foreignVersion']>[0]): void {
    this.foreign.push(event)
  }
  readonly heard: Parameters<Observer['pushesHeard']>[0][] = []
  readonly settled: Parameters<Observer['pushSettled']>[0][] = []
  pushesHeard(event: Parameters<Observer['pushesHeard']>[0]): void {
    this.heard.push(event)
  }
  pushSettled(event: Parameters<Observer['pushSettled']>[0]): void {
    this.settled.push(event)
  }
  exchangeRefused(event: Parameters<Observer['exchangeRefused']>[0]): void {
    this.refusals.push(event)
  }
}

export class World {
  readonly time = new ManualTime()
  readonly faults = new Faults()
  readonly observer = new RecordingObserver()
  readonly registry = new FakeRegistry()
  readonly server = new FakeTrustServer(this.time)
  /** Another one, for repositories that move. */
  readonly otherServer = new FakeTrustServer(this.time)
  readonly keyHolder = new FakeKeyHolder(this.time)
  readonly database = createDatabase(':memory:')
  readonly dependencies: ServiceDependencies
  services: Services
  /** The policy in force; tests load another one. */
  policy: Policy

  /**
   * @param realKeyHolder stands in for the fake one
   * @param remotes stand in for trust server and registry in memory, as clients of the same two over HTTP
   */
  /** What tests do when a step of a publication is done. */
  onStep: (step: PublicationStep) => void = () => undefined

  constructor(
    settings: Partial<ServiceSettings> = {},
    policy: Policy = grantsPolicy,
    realKeyHolder?: KeyHolder,
    remotes: (
      world: World,
    ) => Partial<Pick<ServiceDependencies, 'source' | 'publisher' | 'resolver' | 'verifier'>> = () => ({}),
  ) {
    this.policy = policy
    const { faults, database } = this
    const anywhere = [parsePattern('*')]
    const trustServers = new TrustServers(
      [
        { name: 'old', url: 'https://old.test', guns: anywhere, client: this.server },
        { name: 'new', url: 'https://new.test', guns: anywhere, client: this.otherServer },
      ],
      (gun) => new SqliteRepositoryStore(database).find(gun)?.trustServer,
    )
    const { source = trustServers, publisher = trustServers, resolver = this.registry, verifier } = remotes(this)
    this.dependencies = {
      source: faults.wrap('source', source),
      publisher: faults.wrap('publisher', publisher),
      trustServers,
      feeds: faults.wrap('feeds', trustServers),
      resolver: faults.wrap('resolver', resolver),
      keyHolder: faults.wrap<KeyHolder>('keyHolder', realKeyHolder ?? this.keyHolder),
      requests: faults.wrap('requests', new SqliteRequestStore(database)),
      repositories: faults.wrap('repositories', new SqliteRepositoryStore(database)),
      tokens: faults.wrap('tokens', new SqliteTokenStore(database)),
      verifier: verifier ?? new IdTokenVerifier([], this.time),
      policies: { current: () => this.policy },
      // An object of its own: a test may shift the daemon's clock and leave that of the servers right.
      clock: { now: () => this.time.now() },
      identifiers: new CountingIdentifiers(),
      pause: this.time,
      random: new CountingRandom(),
      observer: this.observer,
      seen: faults.wrap('seen', new SqliteSeenVersions(database)),
      signedTags: new SqliteSignedTags(database),
      pushedTags: faults.wrap('pushedTags', new SqlitePushedTags(database)),
      pushSecrets: () => [],
      onStep: (step) => {
        this.onStep(step)
      },
      settings: {
        signerName: 'countersign',
        attempts: 4,
        backoffMs: 100,
        patienceMs: 900_000,
        contentionMs: 60_000,
        renewal: { targetsMs: 270 * 86_400_000, delegationsMs: 270 * 86_400_000, spreadMs: 0 },
        drift: { everyMs: 86_400_000, graceMs: 600_000 },
        signOnPush: { sources: [], queue: 1000, alertAfterMs: 600_000 },
        maxImages: 20,
        ...settings,
      },
    }
    this.services = createServices(this.dependencies)
  }

  /** A repository made by our own initialization. */
  static async withRepository(
    options: { gun?: Gun; delegations?: boolean; settings?: Partial<ServiceSettings>; policy?: Policy } = {},
  ): Promise<World> {
    const world = new World(options.settings, options.policy)
    await world.initialize(options.gun ?? app, options.delegations ?? true)
    return world
  }

  async initialize(gun: Gun, delegations = true): Promise<void> {
    await this.services.repositories.initialize(everybody, { gun, root: { kind: 'online' }, delegations })
  }

  /** Submits, and waits until nothing is under way. */
  async sign(...images: string[]): Promise<SigningRequest> {
    return this.#submit('sign', images)
  }

  async unsign(...images: string[]): Promise<SigningRequest> {
    return this.#submit('unsign', images)
  }

  /** Resolves when the services have done what they can. */
  async settled(): Promise<void> {
    await this.services.reconciler.run()
  }

  /**
   * The next publication stops once when this step is done: as a crash would, that leaves what is stored and nothing else.
   * @returns whether it has stopped
   */
  stopAt(step: PublicationStep): () => boolean {
    let hasStopped = false
    this.onStep = (passed) => {
      if (passed !== step || hasStopped) return
      hasStopped = true
      throw new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'stopped by the test')
    }
    return () => hasStopped
  }

  /** What a stock client finds for the tag. */
  async found(tag: string, gun: Gun = app): Promise<{ role: string; sha256: string | undefined } | undefined> {
    const hit = findTarget(await load(this, gun), tag)
    return hit && { role: hit.role, sha256: sha256Of(hit.meta) }
  }

  async #submit(kind: 'sign' | 'unsign', images: readonly string[]): Promise<SigningRequest> {
    const { request } = await this.services.requests.submit(everybody, { kind, images })
    return ended(this, request)
  }

  /** As after a crash: what was in memory is gone. The dead process is let run into its last wall first. */
  async restart(): Promise<void> {
    await this.services.reconciler.stop()
    this.faults.plan(undefined)
    this.services = createServices(this.dependencies)
  }

  /** The root that the daemon trusts, read past the faults. */
  trustedRoot(gun: Gun): Uint8Array {
    const root = new SqliteRepositoryStore(this.database).find(gun)?.root
    if (root === undefined) throw new Error('No trusted root.')
    return root.bytes
  }

  /** As if the daemon had never heard of its repositories. */
  forgetRegistrations(): void {
    this.database.sqlite.exec('DELETE FROM first_files; DELETE FROM repositories')
  }

  close(): void {
    this.database.close()
  }
}

export function principal(id: string, ...grants: readonly [GrantKind, string][]): Principal {
  return {
    id,
    name: id,
    grants: grants.map(([grant, pattern]) => ({ grant, repositories: [parsePattern(pattern)] })),
  }
}

export const everybody = principal('token-all', ...GRANT_KINDS.map((kind): [GrantKind, string] => [kind, '*']))

/** Waits for the end of a request, with no limit that a test could reach. */
export async function ended(world: World, request: SigningRequest): Promise<SigningRequest> {
  await world.settled()
  return world.services.requests.find(everybody, request.id)
}
