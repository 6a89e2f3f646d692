// The life of a repository on our own trust server, week by week, with a clock that jumps: the real services, key holder, trust server over
// TLS and SQLite in this process. People do nothing but root ceremonies, when they are asked.
import {
  findTarget,
  ROOT,
  RepositoryVerifier,
  type RoleName,
  type RootPin,
  sha256Hex,
  TARGETS,
  type TrustedRepository,
} from '@countersign/tuf'
import { ExpiryWatch } from '../../src/app/expiry-watch.ts'
import type { ExpiryAct } from '../../src/domain/expiry-forecast.ts'
import { sha256Of } from '../../src/domain/signed-entry.ts'
import { KeyHolderClient } from '../../src/holder/client.ts'
import { silentLog } from '../../src/log.ts'
import { passwordSource } from '../../src/net/credentials.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import type { RotatedRole } from '../../src/service/services.ts'
import { outcome } from './fakes/held-world.ts'
import { app, ended, everybody, World } from './fakes/world.ts'
import { EVIDENCE, LIMITS } from './key-holder.ts'
import type { Scope } from './scope.ts'
import { signWith, testCertificateKey, type TestKey } from './test-keys.ts'
import { createTestCa } from './tls.ts'
import { ServedTrust } from './trust-server/served-trust.ts'
import { TOKEN } from './trust-server/server.ts'

const DAY_MS = 86_400_000
export const WEEK_MS = 7 * DAY_MS
const TEN_YEARS_MS = 3650 * DAY_MS
const START = new Date('2026-06-01T00:00:00Z')
const WINDOW_MS = 270 * DAY_MS
const TIMEOUTS = { connectMs: 5_000, headersMs: 20_000, totalMs: 60_000 }

/** What a client that was there before remembers. */
interface Memory {
  readonly root: Uint8Array
  readonly highest: ReadonlyMap<RoleName, { readonly version: number; readonly sha256: string }>
}

export class SimulatedYears {
  readonly world: World
  readonly served: ServedTrust
  readonly #watch: ExpiryWatch
  readonly #source: NotaryClient
  #rootKey: TestKey
  #firstRoot: Uint8Array | undefined
  #memory: Memory | undefined
  /** Ceremonies that were held, with their week. */
  readonly ceremonies: number[] = []
  /** Tag -> digest, of everything that was signed. */
  readonly signed = new Map<string, string>()
  week = 0

  private constructor(world: World, served: ServedTrust, source: NotaryClient) {
    this.world = world
    this.served = served
    this.#source = source
    this.#rootKey = this.#newRootKey('first')
    this.#watch = new ExpiryWatch({
      services: world.services,
      clock: world.time,
      log: silentLog,
      renewal: { targetsMs: WINDOW_MS, delegationsMs: WINDOW_MS, spreadMs: 30 * DAY_MS },
      notices: { noteExpiry: () => undefined },
    })
  }

  static async begin(scope: Scope): Promise<SimulatedYears> {
    // Clients under the simulated clock look at it as well; this process does under its own.
    const validity = { notBefore: new Date(START.getTime() - DAY_MS), notAfter: new Date('2045-01-01T00:00:00Z') }
    const ca = createTestCa('years', validity)
    let clock = (): Date => START
    const served = await ServedTrust.start(scope, { ca, limits: LIMITS, now: () => clock() })
    const holder = new KeyHolderClient(served.holder.config.serviceSocket, { timeoutMs: 30_000 })
    scope.add(() => {
      holder.close()
    })
    const credentials = passwordSource(
      () => 'daemon',
      () => TOKEN,
    )
    const tls = { caPem: ca.certificatePem }
    const client = new NotaryClient({ url: served.url, tls, timeouts: TIMEOUTS, tokenRealms: [], credentials })
    scope.add(() => client.close())
    const world = new World({}, undefined, holder, () => ({ source: client, publisher: client }))
    scope.add(() => {
      world.close()
    })
    world.time.advance(START.getTime() - world.time.now().getTime())
    clock = () => world.time.now()
    const years = new SimulatedYears(world, served, client)
    await years.#initialize()
    return years
  }

  get now(): Date {
    return this.world.time.now()
  }

  get years(): number {
    return (this.now.getTime() - START.getTime()) / (365 * DAY_MS)
  }

  /** @param isAutopilot whether the daemon looks at expiries @returns how the week's signature ended */
  async live(isAutopilot: boolean, isHoliday = false): Promise<string> {
    this.week++
    this.world.time.advance(WEEK_MS)
    if (isAutopilot) {
      await this.#watch.look(new AbortController().signal)
      await this.world.settled()
    }
    if (isHoliday) return 'published'
    const tag = `week-${this.week}`
    const sha256 = this.world.registry.pushManifest(app, tag, tag)
    const end = outcome(await this.world.sign(`${app}:${tag}`))
    if (end === 'published') this.signed.set(tag, sha256)
    return end
  }

  /** What people are asked for by now. */
  async asked(): Promise<readonly ExpiryAct[]> {
    const { acts } = await this.world.services.repositories.forecast(everybody, app)
    return acts.filter(({ kind, at }) => kind === 'person' && at <= this.now)
  }

  /** With the root key, and another one in its place where asked. */
  async holdCeremony(o: { readonly rotate: readonly RotatedRole[]; readonly hasNewRootKey: boolean }): Promise<string> {
    if (o.rotate.includes('targets')) {
      await this.served.holder.operator.call('stage-key', {
        gun: app,
        role: TARGETS,
        reason: 'ceremony',
        evidence: EVIDENCE,
      })
    }
    const former = this.#rootKey
    if (o.hasNewRootKey) this.#rootKey = this.#newRootKey(`of week ${this.week}`)
    const { requests } = this.world.services
    const rootCertificates = o.hasNewRootKey ? [pemOf(this.#rootKey)] : []
    const { next } = await requests.planRootChange(everybody, app, { rootCertificates, rotate: o.rotate })
    const signatures = signaturesOf(next, o.hasNewRootKey ? [former, this.#rootKey] : [former])
    const { request } = await requests.changeRoot(everybody, app, { next, signatures })
    this.ceremonies.push(this.week)
    return outcome(await ended(this.world, request))
  }

  /**
   * As clients would, at this moment: one that was here a quarter ago, one that comes for the first time with the pin of today, and one that
   * slept since the first day, as long as its root certificate is valid. @throws TufError, Error where a tag is not as it was signed
   */
  async verify(): Promise<void> {
    const tofu = await this.#verifyAs({ kind: 'certificates', tufKeyIds: [this.#rootKey.publicKey.tufKeyId] })
    const back = await this.#verifyAs({ kind: 'root', bytes: this.#memory?.root ?? this.#first }, this.#memory?.highest)
    if (this.years < 9.9) await this.#verifyAs({ kind: 'root', bytes: this.#first })
    if (tofu.root.sha256 !== back.root.sha256) throw new Error('Two clients see two roots.')
    this.#memory = { root: back.root.bytes, highest: versionsOf(back) }
  }

  get #first(): Uint8Array {
    if (this.#firstRoot === undefined) throw new Error('Nothing is published.')
    return this.#firstRoot
  }

  async #verifyAs(pin: RootPin, highest: Memory['highest'] = new Map()): Promise<TrustedRepository> {
    const verifier = new RepositoryVerifier({ gun: app, pin, now: this.now, highest })
    for (let asked = verifier.next(); asked !== undefined; asked = verifier.next()) {
      verifier.accept(await this.#source.read(app, asked.fileName, asked.maxBytes))
    }
    const trusted = verifier.result()
    for (const [tag, sha256] of this.signed) {
      const found = findTarget(trusted, tag)
      if (found === undefined || sha256Of(found.meta) !== sha256) throw new Error(`${tag} is not as it was signed.`)
    }
    return trusted
  }

  async #initialize(): Promise<void> {
    const { repositories } = this.world.services
    const root = { kind: 'offline', certificatePem: pemOf(this.#rootKey) } as const
    const { rootSigned } = await repositories.initialize(everybody, { gun: app, root, delegations: true })
    if (rootSigned === undefined) throw new Error('The root is not to be signed.')
    await repositories.addRootSignatures(everybody, app, signaturesOf(rootSigned, [this.#rootKey]))
    this.#firstRoot = this.world.trustedRoot(app)
  }

  #newRootKey(name: string): TestKey {
    const now = this.now.getTime()
    const validity = { notBefore: new Date(now - DAY_MS), notAfter: new Date(now + TEN_YEARS_MS) }
    return testCertificateKey(`years ${name}`, { commonName: app, ...validity })
  }
}

function pemOf({ publicKey }: TestKey): string {
  return Buffer.from(publicKey.publicValue, 'base64').toString()
}

function signaturesOf(message: Uint8Array, keys: readonly TestKey[]) {
  return keys.map((key) => {
    const { keyId, method, signature } = signWith(key, message)
    return { keyId, method, signature: Buffer.from(signature).toString('base64') }
  })
}

function versionsOf({ root, timestamp, snapshot, targets, delegations }: TrustedRepository): Memory['highest'] {
  const files = [[ROOT, root], ['timestamp', timestamp], ['snapshot', snapshot], [TARGETS, targets], ...delegations]
  return new Map(
    (files as [RoleName, typeof root][]).map(([role, { metadata, bytes }]) => [
      role,
      { version: metadata.version, sha256: sha256Hex(bytes) },
    ]),
  )
}
