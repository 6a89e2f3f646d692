// Readers with a cache from before: the stock notary client and our own verifier, through rotations of keys, refreshed signatures, restarts,
// and DELETE with a new beginning; at our trust server, and at a real notary-server where it can be brought into the same state.
import {
  parseGun,
  ROOT,
  RepositoryVerifier,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  TufError,
  type KnownVersion,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { expect } from 'chai'
import { EVIDENCE } from '../support/key-holder.ts'
import { NotaryClient, targetsIn } from '../support/peers/notary-client.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { imageOf, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'
import { createTestCa } from '../support/tls.ts'
import { ServedTrust } from '../support/trust-server/served-trust.ts'
import { takeServerKey, takeServerKeys } from '../support/trust-server/server-keys.ts'
import { filesOf, HttpCaller } from '../support/trust-server/server.ts'

const RELEASES = 'targets/releases'
const DAY_MS = 86_400_000

interface Server {
  readonly name: 'ours' | 'original'
  readonly url: string
  readonly caFile: string
  readonly http: HttpCaller
}

describe('readers with a cache', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  let served: ServedTrust
  const servers: Partial<Record<Server['name'], Server>> = {}
  let repositories = 0

  before(async function () {
    requirePeers(this, 'notary-server', 'notary')
    // No renewal in the background: a test asks for each.
    served = await ServedTrust.start(scope, { ca, settings: 'renewal: { every: 1d }' })
    const notary = await startNotaryServer(scope, { ca })
    const tls = { ca: ca.certificatePem }
    const { url, caFile } = served
    servers.ours = { name: 'ours', url, caFile, http: new HttpCaller(served.url, tls) }
    servers.original = { ...notary, name: 'original', http: new HttpCaller(notary.url, tls) }
  })
  after(() => scope.close())

  /** A repository, and two readers that have seen it. */
  async function seen(name: Server['name']): Promise<Repository> {
    const server = servers[name]
    if (server === undefined) throw new Error('not started')
    const repository = new Repository(scope, server, `registry.example.com/caches/r${++repositories}`)
    await repository.publish()
    for (const tag of ['v1', 'v2']) await repository.put(tag)
    await repository.expectRead('v1', 'v2')
    return repository
  }

  for (const name of ['ours', 'original'] as const) {
    describe(`at ${name === 'ours' ? 'our trust server' : 'notary-server'}`, () => {
      for (const role of [SNAPSHOT, TIMESTAMP]) {
        it(`follow a rotation of the ${role} key, and what is published after it`, async () => {
          const repository = await seen(name)
          const before = repository.verified
          await repository.rotate(role)
          await repository.expectRead('v1', 'v2')
          expect(repository.verified.root.metadata.version).to.equal(2)
          expect(repository.verified.snapshot.metadata.version).to.equal(before.snapshot.metadata.version + 1)
          expect(repository.verified.timestamp.metadata.version).to.equal(before.timestamp.metadata.version + 1)
          await repository.put('v3')
          await repository.expectRead('v1', 'v2', 'v3')
        })
      }

      it('walk several rotations that they slept through', async () => {
        const repository = await seen(name)
        for (const role of [SNAPSHOT, TIMESTAMP, SNAPSHOT]) await repository.rotate(role)
        repository.builder.nextRoot((root) => (root.keys = [repository.builder.rootKey('second')]))
        repository.builder.role(TARGETS).keys = [testKey('second targets')]
        repository.builder.nextVersions(TARGETS)
        await repository.post(ROOT, TARGETS)
        await repository.expectRead('v1', 'v2')
        expect(repository.verified.root.metadata.version).to.equal(5)
      })

      it('go on with what they have where the repository is deleted', async () => {
        const repository = await seen(name)
        await repository.delete()
        const { status, text } = await repository.list()
        expect(status).to.equal(0)
        expect(text).to.include('using cached timestamp')
        expect(await repository.refusal()).to.equal('FILE_MISSING')
      })

      it('are told of a new beginning with another root', async () => {
        const repository = await seen(name)
        await repository.delete()
        const successor = new Repository(scope, repository.server, repository.gun)
        successor.builder.role(ROOT).keys = [successor.builder.rootKey('somebody else')]
        // Files that were published before do not come back, whoever signed them.
        for (const role of [TARGETS, RELEASES]) successor.builder.role(role).keys = [testKey('somebody else')]
        if (name === 'ours') {
          // Nobody begins again without an operator.
          await successor.takeKeys()
          expect(await successor.tryPost(ROOT, TARGETS, RELEASES)).to.include({ status: 400, name: 'ErrBadRoot' })
          expect((await repository.list()).status).to.equal(0)
          await permit(repository.gun, 'start-again')
        }
        await successor.publish()
        const { status, text } = await repository.list()
        expect(status).to.equal(1)
        expect(text).to.include('could not rotate trust to a new trusted root')
        expect(await repository.refusal()).to.equal('VERSION_FORKED')
        // Who has no cache, or removes it, begins again too.
        await successor.expectRead()
        await repository.reader.must(['delete', repository.gun])
        expect((await repository.list()).status).to.equal(0)
      })
    })
  }

  async function permit(gun: string, versions: 'go-on' | 'start-again'): Promise<void> {
    await served.holder.operator.call('permit-recreation', { gun, versions, reason: 'a test', evidence: EVIDENCE })
  }

  describe('where a deleted repository begins again with the next root', () => {
    async function recreated(name: Server['name']): Promise<Repository> {
      const repository = await seen(name)
      await repository.delete()
      await repository.takeKeys()
      repository.builder.nextRoot()
      await repository.takeKeys()
      repository.builder.nextVersions(TARGETS, RELEASES)
      await repository.post(ROOT, TARGETS, RELEASES)
      return repository
    }

    it('follow it at our trust server (row D14)', async () => {
      const repository = await recreated('ours')
      await repository.expectRead('v1', 'v2')
      await repository.put('v3')
      await repository.expectRead('v1', 'v2', 'v3')
    })

    it('take it for an attack at notary-server (row D14)', async () => {
      const repository = await recreated('original')
      const { status, text } = await repository.list()
      expect(status).to.equal(1)
      expect(text).to.include('is lower than current version')
      expect(await repository.refusal()).to.equal('VERSION_ROLLED_BACK')
    })
  })

  describe('at our trust server alone', () => {
    afterEach(() => (served.ahead = 0))

    it('follow a timestamp that was signed again because it ended', async () => {
      served.ahead = -13.9 * DAY_MS
      const repository = await seen('ours')
      const before = repository.verified
      served.ahead = DAY_MS
      await repository.expectRead('v1', 'v2')
      expect(repository.verified.timestamp.metadata.version).to.equal(before.timestamp.metadata.version + 1)
      expect(repository.verified.snapshot.sha256).to.equal(before.snapshot.sha256)
    })

    it('follow a snapshot that was signed again because it ends soon', async () => {
      const repository = await seen('ours')
      const before = repository.verified
      served.ahead = 1000 * DAY_MS
      await repository.expectRead('v1', 'v2')
      expect(repository.verified.timestamp.metadata.version).to.equal(before.timestamp.metadata.version + 1)
      expect(repository.verified.snapshot.metadata.version).to.equal(before.snapshot.metadata.version + 1)
      served.ahead = 0
      await repository.put('v3')
      await repository.expectRead('v1', 'v2', 'v3')
    })

    it('notice nothing of a restart of both processes', async () => {
      const repository = await seen('ours')
      const before = repository.verified
      await served.stop()
      await served.holder.stop()
      const { status, text } = await repository.list()
      expect(status, 'cached').to.equal(0)
      expect(text).to.include('using cached timestamp')
      await served.startHolder()
      await served.start()
      await repository.expectRead('v1', 'v2')
      expect(repository.verified.timestamp.sha256).to.equal(before.timestamp.sha256)
      await repository.rotate(TIMESTAMP)
      await repository.put('v3')
      await repository.expectRead('v1', 'v2', 'v3')
    })

    it('cannot tell a permitted beginning with higher versions from a stolen name, and are told so', async () => {
      const repository = await seen('ours')
      await repository.delete()
      await permit(repository.gun, 'go-on')
      const { builder } = repository
      builder.nextRoot()
      builder.role(ROOT).signers = builder.role(ROOT).keys = [builder.rootKey('somebody else')]
      await repository.takeKeys()
      builder.nextVersions(TARGETS, RELEASES)
      await repository.post(ROOT, TARGETS, RELEASES)
      expect((await repository.list()).text).to.include('could not rotate trust to a new trusted root')
      expect(await repository.refusal()).to.equal('SIGNATURE_BELOW_THRESHOLD')
    })
  })
})

/** A repository of test keys at one server, a stock client and a verifier that remember what they saw. */
class Repository {
  readonly server: Server
  readonly gun: string
  readonly builder: RepositoryBuilder
  readonly reader: NotaryClient
  readonly #highest = new Map<RoleName, KnownVersion>()
  #verified: TrustedRepository | undefined

  constructor(scope: Scope, server: Server, gun: string) {
    this.server = server
    this.gun = gun
    this.builder = new RepositoryBuilder(gun).delegate(RELEASES)
    this.reader = new NotaryClient(scope, { notary: server })
  }

  get verified(): TrustedRepository {
    if (this.#verified === undefined) throw new Error('nothing was read yet')
    return this.#verified
  }

  async takeKeys(): Promise<void> {
    await takeServerKeys(this.server.http, this.builder)
  }

  async rotate(role: RoleName): Promise<void> {
    this.builder.nextRoot()
    await takeServerKey(this.server.http, this.builder, role, 'POST')
    await this.post(ROOT)
  }

  async publish(): Promise<void> {
    await this.takeKeys()
    await this.post(ROOT, TARGETS, RELEASES)
  }

  async put(tag: string): Promise<void> {
    this.builder.put(RELEASES, tag, tag).nextVersions(RELEASES)
    await this.post(RELEASES)
  }

  async delete(): Promise<void> {
    const { status } = await this.server.http.call({ method: 'DELETE', path: `/v2/${this.gun}/_trust/tuf/` })
    expect(status).to.equal(200)
  }

  async post(...roles: readonly string[]): Promise<void> {
    const { status, words, code } = await this.tryPost(...roles)
    expect(status, words ?? code).to.equal(200)
  }

  tryPost(...roles: readonly string[]): ReturnType<HttpCaller['post']> {
    return this.server.http.post(this.gun, filesOf(this.builder, ...roles))
  }

  list(): ReturnType<NotaryClient['run']> {
    return this.reader.run(['list', this.gun])
  }

  /** Both readers find these tags, and nothing is wrong. */
  async expectRead(...tags: readonly string[]): Promise<void> {
    const { status, stdout, stderr } = await this.list()
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' })
    expect(targetsIn(stdout).map(({ name, sha256 }) => [name, sha256])).to.have.deep.members(
      tags.map((tag) => [tag, imageOf(tag).sha256]),
    )
    const verified = await this.#verify()
    expect([...(verified.delegations.get(RELEASES as RoleName)?.metadata.targets.keys() ?? [])]).to.have.members([
      ...tags,
    ])
    this.#remember(verified)
  }

  /** Why the verifier refuses what is served. */
  async refusal(): Promise<string | undefined> {
    try {
      await this.#verify()
      return undefined
    } catch (error) {
      if (error instanceof TufError) return error.code
      throw error
    }
  }

  async #verify(): Promise<TrustedRepository> {
    const bytes = this.#verified?.root.bytes ?? this.builder.firstRoot()
    const verifier = new RepositoryVerifier({
      gun: parseGun(this.gun),
      now: new Date(),
      pin: { kind: 'root', bytes },
      highest: this.#highest,
    })
    for (let next = verifier.next(); next !== undefined; next = verifier.next()) {
      const { status, body } = await this.server.http.get(this.gun, next.fileName)
      verifier.accept(status === 200 ? body : undefined)
    }
    return verifier.result()
  }

  #remember(verified: TrustedRepository): void {
    this.#verified = verified
    const files = [
      [ROOT, verified.root],
      [TIMESTAMP, verified.timestamp],
      [SNAPSHOT, verified.snapshot],
      [TARGETS, verified.targets],
      ...verified.delegations,
    ] as const
    for (const [role, { metadata, sha256 }] of files) this.#highest.set(role, { version: metadata.version, sha256 })
  }
}
