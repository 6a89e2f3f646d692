// Many signing requests over many repositories while one call in five fails: before its effect or after it, by resets, lost answers,
// VERSION, UPDATING, and restarts of the key holder. Real parts: services, SQLite on disk, HTTP client, key holder behind its socket.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServerResponse } from 'node:http'
import { CodedError, parseGun, RELEASES, type Gun } from '@countersign/tuf'
import { systemClock, systemPause, systemRandom, timeSortedIdentifiers } from '../../src/app/system.ts'
import { grantsPolicy } from '../../src/domain/policy.ts'
import type { KeyHolder, Observer } from '../../src/domain/ports.ts'
import { isFinal, requestStatus, type SigningRequest } from '../../src/domain/signing-request.ts'
import { KeyHolderClient } from '../../src/holder/client.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { ANONYMOUS } from '../../src/net/credentials.ts'
import { IdTokenVerifier } from '../../src/identity/verifier.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { createServices } from '../../src/service/create-services.ts'
import type { ServiceDependencies } from '../../src/service/dependencies.ts'
import { createDatabase } from '../../src/store/database.ts'
import { StoreError } from '../../src/store/errors.ts'
import { SqliteRepositoryStore } from '../../src/store/repositories.ts'
import { SqliteRequestStore } from '../../src/store/requests.ts'
import { SqliteSignedTags } from '../../src/store/signed-tags.ts'
import { SqlitePushedTags } from '../../src/store/pushed-tags.ts'
import { SqliteSeenVersions } from '../../src/store/seen-versions.ts'
import { SqliteTokenStore } from '../../src/store/tokens.ts'
import { Chance, RUN_SEED } from './chance.ts'
import { FakeRegistry } from './fakes/registry.ts'
import { SIGNER } from './fakes/rival.ts'
import { FakeTrustServer } from './fakes/trust-server.ts'
import { everybody } from './fakes/world.ts'
import { TestKeyHolder } from './key-holder.ts'
import { serveNotary } from './notary-server-over-http.ts'
import { faultsOfHistory, publishedHistory, unrecordedVersions } from './published-history.ts'
import { Scope } from './scope.ts'
import type { Heard } from './scripted-server.ts'

export interface SoakOptions {
  readonly signs: number
  readonly repositories: number
  /** Clients of each repository, each with one request at a time. */
  readonly clients: number
  /** Of calls that change something, from 0 to 1; a repository is read in about six calls, each struck at a sixth of it. */
  readonly rate: number
  readonly tell: (line: string) => void
}

export interface SoakResult {
  /** What is wrong; empty where nothing was lost, doubled or left unrecorded. */
  readonly faults: readonly string[]
  /** Versions of the two roles that were published. */
  readonly versions: number
  readonly injected: ReadonlyMap<string, number>
  /** Requests that failed with a code and were asked for again, by code. */
  readonly failed: ReadonlyMap<string, number>
  readonly restarts: number
}

const LIMITS = `
repositories: [{ gun: '*', initialize: true, versionsPerHour: 1000000, entriesPerHour: 1000000, maxEntries: 1000000 }]
recordsPerHour: 1000000
`
/** Calls of the key holder that are struck. */
const HOLDER_CALLS = ['changeTargets', 'observeRepository', 'appendRecord', 'repositoryStatus'] as const
const UPLOAD_FAULTS = ['reset', 'VERSION', 'UPDATING', 'unavailable', 'lost', 'echo'] as const

/** Every kind of fault. Each strikes at its first occasion, and after that by chance: a soak of any length meets them all. */
export const SOAK_FAULTS: readonly string[] = [
  ...['resolve', ...HOLDER_CALLS].flatMap((method) => [`${method} before`, `${method} after`]),
  ...UPLOAD_FAULTS.map((kind) => `upload ${kind}`),
  'save before',
  'read reset',
]

/** One restart of the key holder for so many signs. */
const SIGNS_PER_RESTART = 100
/** Milliseconds. */
const PAUSE = 10

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const scope = new Scope()
  try {
    return await new Soak(scope, options).run()
  } finally {
    await scope.close()
  }
}

class Soak {
  readonly #scope: Scope
  readonly #o: SoakOptions
  readonly #chance = Chance.named('soak')
  readonly #injected = new Map<string, number>()
  /** Kinds of faults that are still owed. */
  readonly #due = new Set(SOAK_FAULTS)
  readonly #failed = new Map<string, number>()
  readonly #server = new FakeTrustServer(systemClock)
  readonly #registry = new FakeRegistry()
  readonly #holder: TestKeyHolder
  readonly #faults: string[] = []
  #isStruck = false
  #done = 0
  #restarts = 0

  constructor(scope: Scope, options: SoakOptions) {
    this.#scope = scope
    this.#o = options
    this.#holder = new TestKeyHolder(scope, LIMITS)
  }

  async run(): Promise<SoakResult> {
    const { signs, repositories, clients, tell } = this.#o
    tell(`soak: ${signs} signs over ${repositories} repositories, seed ${RUN_SEED} (COUNTERSIGN_TEST_SEED)`)
    await this.#startHolder()
    const dependencies = await this.#dependencies()
    const services = createServices(dependencies)
    const guns = Array.from({ length: repositories }, (_, index) => parseGun(`registry.example.com/soak/app-${index}`))
    for (const gun of guns) {
      await services.repositories.initialize(everybody, { gun, root: { kind: 'online' }, delegations: true })
    }
    this.#isStruck = true
    const stopping = new AbortController()
    // As the daemon does, only more often: what an outage left is taken up again.
    const reconciling = (async () => {
      while (!stopping.signal.aborted) {
        void services.reconciler.run()
        await delay(PAUSE)
      }
    })()
    const restarting = this.#restartNowAndThen(stopping.signal)
    const expected = new Map(guns.map((gun) => [gun, new Map<string, string>()]))
    const perGun = Math.ceil(signs / repositories)
    const signing = Promise.all(
      guns.map(async (gun) => {
        let next = 0
        const client = async (): Promise<void> => {
          while (next < perGun) {
            const tag = `t${next++}`
            const content = `${gun}:${tag}`
            expected.get(gun)?.set(tag, this.#registry.pushManifest(gun, tag, content))
            await this.#signUntilPublished(services, gun, tag)
          }
        }
        await Promise.all(Array.from({ length: clients }, client))
      }),
    )
    // Restarts end only where one fails; nothing would be signed any more.
    await Promise.race([signing, restarting])
    this.#isStruck = false
    stopping.abort()
    await Promise.all([reconciling, restarting])
    await services.reconciler.run()
    const versions = await this.#check(dependencies, expected)
    return {
      faults: this.#faults,
      versions,
      injected: this.#injected,
      failed: this.#failed,
      restarts: this.#restarts,
    }
  }

  /** As a pipeline does: the same submission until it is taken, then until its end; after a failure a new one. */
  async #signUntilPublished(services: ReturnType<typeof createServices>, gun: Gun, tag: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const request = await this.#submit(services, gun, tag, `${gun}:${tag} ${attempt}`)
      const ended = await this.#ended(services, request.id)
      const record = ended.images[0]?.record
      if (record?.status === 'published') break
      const code = record?.status === 'failed' ? record.error.code : String(record?.status)
      this.#failed.set(code, (this.#failed.get(code) ?? 0) + 1)
      if (await this.#isPublished(gun, tag)) this.#faults.push(`${gun}:${tag} was told as failed, and is published`)
    }
    this.#done += 1
    const { signs, tell } = this.#o
    if (this.#done % Math.ceil(signs / 20) === 0) {
      const struck = [...this.#injected.values()].reduce((sum, count) => sum + count, 0)
      tell(`soak: ${this.#done} of ${signs} published, ${struck} faults, ${this.#restarts} restarts`)
    }
  }

  async #submit(
    services: ReturnType<typeof createServices>,
    gun: Gun,
    tag: string,
    idempotencyKey: string,
  ): Promise<SigningRequest> {
    for (;;) {
      try {
        const submission = { kind: 'sign', images: [`${gun}:${tag}`], idempotencyKey } as const
        return (await services.requests.submit(everybody, submission)).request
      } catch (error) {
        if (!(error instanceof CodedError)) throw error
        await delay(PAUSE)
      }
    }
  }

  async #ended(services: ReturnType<typeof createServices>, id: string): Promise<SigningRequest> {
    for (;;) {
      const request = await services.requests.waitFor(everybody, id, 60_000)
      if (isFinal(requestStatus(request.images))) return request
    }
  }

  async #isPublished(gun: Gun, tag: string): Promise<boolean> {
    const history = await publishedHistory(this.#server, gun, RELEASES)
    return history.some(({ put }) => put.has(tag))
  }

  async #check(
    { requests }: ServiceDependencies,
    expected: ReadonlyMap<Gun, ReadonlyMap<string, string>>,
  ): Promise<number> {
    if (requests.unfinished().length > 0) this.#faults.push(`${requests.unfinished().length} images are unfinished`)
    // Verifies the whole log.
    const log = this.#holder.log()
    let versions = 0
    for (const [gun, tags] of expected) {
      for (const role of [RELEASES, SIGNER]) {
        const history = await publishedHistory(this.#server, gun, role)
        versions += history.length
        this.#faults.push(...faultsOfHistory(history, tags).map((fault) => `${gun}: ${fault}`))
        const unrecorded = unrecordedVersions(history, gun, log)
        this.#faults.push(...unrecorded.map(({ version }) => `${gun}: ${role} ${version} is not recorded`))
      }
    }
    return versions
  }

  async #restartNowAndThen(stopping: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      await delay(PAUSE)
      if (this.#done < (this.#restarts + 1) * SIGNS_PER_RESTART) continue
      this.#restarts += 1
      await this.#holder.stop()
      await this.#startHolder()
    }
  }

  #startHolder(): Promise<void> {
    return this.#holder.start({ now: () => new Date() })
  }

  async #dependencies(): Promise<ServiceDependencies> {
    const notary = await serveNotary(this.#scope, this.#server)
    notary.interfere = (heard, response) => this.#strikeHttp(heard, response)
    const timeouts = { connectMs: 10_000, headersMs: 10_000, totalMs: 20_000 }
    const client = new NotaryClient({ url: notary.url, tls: {}, timeouts, tokenRealms: [], credentials: ANONYMOUS })
    this.#scope.add(() => client.close())
    const keyHolder = new KeyHolderClient(this.#holder.config.serviceSocket, { timeoutMs: 30_000 })
    this.#scope.add(() => {
      keyHolder.close()
    })
    const database = createDatabase(join(this.#scope.folder('soak'), 'countersign.db'))
    this.#scope.add(() => {
      database.close()
    })
    const stopping = new AbortController()
    this.#scope.add(() => {
      stopping.abort()
    })
    const unreachable = (): Error => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'struck')
    return {
      source: client,
      trustServers: { namesFor: () => [], at: () => undefined },
      feeds: { serverOf: () => 'fake', changes: () => Promise.resolve(undefined) },
      publisher: client,
      resolver: this.#struck(this.#registry, ['resolve'], () => new RegistryError('REGISTRY_UNAVAILABLE', 'struck')),
      keyHolder: this.#struck<KeyHolder>(keyHolder, HOLDER_CALLS, unreachable),
      requests: this.#struckBefore(new SqliteRequestStore(database)),
      repositories: new SqliteRepositoryStore(database),
      tokens: new SqliteTokenStore(database),
      seen: new SqliteSeenVersions(database),
      signedTags: new SqliteSignedTags(database),
      pushedTags: new SqlitePushedTags(database),
      pushSecrets: () => [],
      verifier: new IdTokenVerifier([], systemClock),
      policies: { current: () => grantsPolicy },
      clock: systemClock,
      identifiers: timeSortedIdentifiers(systemClock, systemRandom),
      pause: systemPause(stopping.signal),
      random: systemRandom,
      observer: this.#observer(),
      settings: {
        signerName: 'countersign',
        attempts: 5,
        backoffMs: PAUSE,
        patienceMs: 3_600_000,
        renewal: { targetsMs: 0, delegationsMs: 0, spreadMs: 0 },
        contentionMs: 3_600_000,
        drift: { everyMs: 0, graceMs: 0 },
        signOnPush: { sources: [], queue: 1000, alertAfterMs: 600_000 },
        maxImages: 20,
      },
    }
  }

  /** An error without a code would be a defect of ours. */
  #observer(): Observer {
    return {
      requestChanged: () => undefined,
      publicationFinished: () => undefined,
      publicationConflict: () => undefined,
      foreignVersion: () => undefined,
      tokenExchanged: () => undefined,
      exchangeRefused: () => undefined,
      pushesHeard: () => undefined,
      pushSettled: () => undefined,
      repositoryTroubled: ({ gun, error }) => {
        if (!(error instanceof CodedError)) this.#faults.push(`${gun}: ${String(error)}`)
      },
    }
  }

  #happens(name: string, rate: number): boolean {
    if (!this.#isStruck || !(this.#due.delete(name) || this.#chance.happens(rate))) return false
    this.#injected.set(name, (this.#injected.get(name) ?? 0) + 1)
    return true
  }

  /** One that is still owed, or any. */
  #kind<K extends string>(call: string, kinds: readonly K[]): K {
    return kinds.find((kind) => this.#due.has(`${call} ${kind}`)) ?? this.#chance.pick(kinds)
  }

  /** Calls of these methods fail before their effect or after it. */
  #struck<T extends object>(port: T, methods: readonly (keyof T & string)[], error: () => Error): T {
    return new Proxy(port, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target)
        if (typeof value !== 'function') return value
        return async (...parameters: unknown[]) => {
          const method = methods.find((concerned) => concerned === property)
          if (method === undefined) return value.apply(target, parameters) as unknown
          const moment = this.#kind(method, ['before', 'after'])
          if (!this.#happens(`${method} ${moment}`, this.#o.rate)) return value.apply(target, parameters) as unknown
          if (moment === 'after') await value.apply(target, parameters)
          throw error()
        }
      },
    })
  }

  /** A transaction of SQLite that fails has not happened. Rarer than the rest: each request is saved five times. */
  #struckBefore(store: SqliteRequestStore): SqliteRequestStore {
    return new Proxy(store, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target)
        if (typeof value !== 'function') return value
        return (...parameters: unknown[]) => {
          if (property === 'save' && this.#happens('save before', this.#o.rate / 5)) {
            throw new StoreError('STORE_UNWRITABLE', 'struck')
          }
          return value.apply(target, parameters) as unknown
        }
      },
    })
  }

  /** True: answered here. */
  #strikeHttp({ method }: Heard, response: ServerResponse): boolean {
    const { rate } = this.#o
    if (method !== 'POST') {
      if (!this.#happens('read reset', rate / 6)) return false
      response.destroy()
      return true
    }
    const kind = this.#kind('upload', UPLOAD_FAULTS)
    if (!this.#happens(`upload ${kind}`, rate)) return false
    if (kind === 'lost' || kind === 'echo') {
      // The server acts; its answer is lost, or is that to a second copy of the request.
      const end = response.end.bind(response) as (body: string) => ServerResponse
      response.writeHead = () => response
      response.end = () => {
        if (kind === 'lost') return response.destroy()
        return end(errorDocument('VERSION'))
      }
      if (kind === 'echo') response.statusCode = 400
      return false
    }
    if (kind === 'reset') response.destroy()
    else {
      const status = { VERSION: 400, UPDATING: 500, unavailable: 503 }[kind]
      response.statusCode = status
      response.end(kind === 'unavailable' ? '' : errorDocument(kind))
    }
    return true
  }
}

function errorDocument(code: string): string {
  return JSON.stringify({ errors: [{ code, message: code, ...(code === 'VERSION' ? { detail: {} } : {}) }] })
}
