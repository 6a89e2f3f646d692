// What the key holder does for a trust server: keys, updates, refreshes, deletion and what comes after it, as clients see it.
import { RELEASES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type Received, type SnapshotMetadata } from '@countersign/tuf'
import { expect } from 'chai'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, LIMITS, put, living, TestKeyHolder } from '../support/key-holder.ts'
import { NOW, sha256Of } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { remembered, SERVED_GUN, ServedRepository } from '../support/served-repository.ts'
import { testKey } from '../support/test-keys.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

describe('serving', () => {
  let scope: Scope
  let holder: TestKeyHolder

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
  })
  afterEach(() => scope.close())

  function later(ms: number): void {
    holder.now = new Date(holder.now.getTime() + ms)
  }

  describe('keys of the server', () => {
    const request = { gun: SERVED_GUN, role: 'snapshot', rotate: false, evidence: EVIDENCE } as const
    const ask = async (rotate = false) => (await holder.trustServer.call('server-key', { ...request, rotate })).response

    it('stay the same until a root lists them, and from then on', async () => {
      const first = await ask()
      expect(first.listed).to.equal(false)
      expect(first.key.keytype).to.equal('ecdsa')
      expect((await ask()).keyId).to.equal(first.keyId)
      expect((await ask(true)).keyId).to.equal(first.keyId)
      await ServedRepository.create(holder)
      expect(await ask()).to.deep.equal({ ...first, listed: true })
    })

    it('rotate to one that waits; the old one is given out until a root lists the new one', async () => {
      const repository = await ServedRepository.create(holder)
      const old = await ask()
      const next = await ask(true)
      expect(next.keyId).to.not.equal(old.keyId)
      expect((await ask(true)).keyId).to.equal(next.keyId)
      expect((await ask()).keyId).to.equal(old.keyId)
      repository.builder.nextRoot()
      await repository.takeKeys([SNAPSHOT], true)
      await repository.update(ROOT)
      expect(await ask()).to.deep.equal({ ...next, listed: true })
      expect((await ask(true)).keyId).to.not.equal(next.keyId)
    })

    it('that a root no longer lists are replaced, sign nothing any more, and can be retired', async () => {
      const repository = await ServedRepository.create(holder)
      const retire = (canonicalKeyId: string) =>
        holder.operator.call('retire-key', { gun: SERVED_GUN, canonicalKeyId, reason: 'replaced', evidence: EVIDENCE })
      const [old] = repository.builder.role(SNAPSHOT).keys
      const { canonicalKeyId } = old!.publicKey
      await expectCodeAsync('GUN_NOT_MANAGED', () => retire(canonicalKeyId))
      await HeldRepository.initialize(holder, SERVED_GUN)
      await expectCodeAsync('KEY_IN_USE', () => retire(canonicalKeyId))
      await ask(true)
      await expectCodeAsync('KEY_IN_USE', () => retire(canonicalKeyId))
      repository.builder.nextRoot()
      await repository.takeKeys([SNAPSHOT], true)
      await repository.update(ROOT)
      const records = await holder.wholeLog()
      expect(records.filter(({ kind }) => kind === 'key-replaced')).to.have.length(1)
      expect(records.find(({ kind }) => kind === 'key-replaced')).to.include({ role: SNAPSHOT, canonicalKeyId })
      // Back to the old key: nobody can be made to sign with it.
      repository.builder.nextRoot()
      const [next] = repository.builder.role(SNAPSHOT).keys
      repository.builder.role(SNAPSHOT).keys = [old!]
      await expectCodeAsync('UPDATE_NO_SNAPSHOT', () => repository.update(ROOT))
      await retire(canonicalKeyId)
      await expectCodeAsync('UPDATE_NO_SNAPSHOT', () => repository.update(ROOT))
      await expectCodeAsync('KEY_IN_USE', () => retire(next!.publicKey.canonicalKeyId))
      const retired = (await holder.wholeLog()).filter(({ kind }) => kind === 'key-retired')
      expect(retired).to.have.length(1)
      expect(retired[0]).to.include({ role: SNAPSHOT, canonicalKeyId })
    })

    it('are recorded, and made only where repositories may be served', async () => {
      const { keyId } = await ask()
      expect(holder.log().at(-1)).to.include({ kind: 'server-key-created', by: 'trust-server', tufKeyId: keyId })
      const closed = { ...request, gun: 'registry.example.com/narrow/app' }
      await expectCodeAsync('SERVED_REPOSITORY_NOT_ALLOWED', () => holder.trustServer.call('server-key', closed))
      const unknown = { ...request, gun: 'other.example.com/app' }
      await expectCodeAsync('SERVED_REPOSITORY_NOT_ALLOWED', () => holder.trustServer.call('server-key', unknown))
    })

    it('are capped, by the hour and by repositories without a root', async () => {
      const gun = (name: string) => ({ ...request, gun: `registry.example.com/team/${name}` })
      await holder.stop()
      holder.writeLimits(`${LIMITS}\npendingRepositories: 2`)
      await holder.start()
      await holder.trustServer.call('server-key', gun('a'))
      await holder.trustServer.call('server-key', gun('b'))
      await holder.trustServer.call('server-key', { ...gun('b'), role: 'timestamp' })
      await expectCodeAsync('LIMIT_SERVER_KEYS', () => holder.trustServer.call('server-key', gun('c')))
      await holder.stop()
      holder.writeLimits(LIMITS.replace('keysPerHour: 1000', 'keysPerHour: 3'))
      await holder.start()
      await expectCodeAsync('LIMIT_SERVER_KEYS', () => holder.trustServer.call('server-key', gun('c')))
      // The daemon's own allowance is untouched.
      await HeldRepository.initialize(holder, 'registry.example.com/team/daemon')
      later(HOUR_MS)
      await holder.trustServer.call('server-key', gun('c'))
    })
  })

  describe('an update', () => {
    it('becomes a repository that clients verify, and goes into the record', async () => {
      const repository = await ServedRepository.create(holder)
      const trusted = repository.verify()
      expect([...trusted.delegations.keys()]).to.deep.equal(['targets/releases', 'targets/alice'])
      expect(trusted.snapshot.metadata.expiresAt.getTime()).to.equal(NOW.getTime() + 3 * 365 * DAY_MS)
      expect(trusted.timestamp.metadata.expiresAt.getTime()).to.equal(NOW.getTime() + 14 * DAY_MS)
      const record = (await holder.wholeLog()).at(-1)
      expect(record).to.include({ kind: 'snapshot-signed', by: 'trust-server', gun: SERVED_GUN, cause: 'update' })
      expect(record?.['evidence']).to.deep.equal(EVIDENCE)
      expect(record?.['snapshot']).to.deep.equal({ version: 1, payloadSha256: sha256Of(trusted.snapshot.message) })
      expect(record?.['roles']).to.deep.include({ role: 'targets', version: 1, sha256: trusted.targets.sha256 })
    })

    it('raises snapshot and timestamp by one, and keeps every other entry', async () => {
      const repository = await ServedRepository.create(holder)
      const client = remembered(repository.verify())
      repository.builder.put('targets/releases', '1.0', 'image').role('targets/releases').version = 7
      const pair = await repository.update('targets/releases')
      expect([pair.snapshot.version, pair.timestamp.version]).to.deep.equal([2, 2])
      expect(repository.listed()).to.deep.equal(['root', 'targets', 'targets/alice', 'targets/releases'])
      expect(repository.verify(client).delegations.get(RELEASES)?.metadata.version).to.equal(7)
    })

    it('gets the same bytes when it is asked for again, until the next one', async () => {
      const repository = await ServedRepository.create(holder)
      repository.builder.nextVersions('targets/alice')
      const files = repository.files('targets/alice')
      const first = await repository.send(files)
      await holder.stop()
      await holder.start()
      expect(await repository.send(files)).to.deep.equal({ ...first, repeated: true })
      expect(repository.history).to.have.length(4)
      later(DAY_MS)
      await repository.refresh('timestamp')
      expect((await repository.send(files)).timestamp.version).to.equal(3)
      repository.builder.nextVersions('targets/alice')
      await repository.update('targets/alice')
      await expectCodeAsync('UPDATE_VERSION', () => repository.send(files))
    })

    it('lets a key be rotated, for snapshot and timestamp alike', async () => {
      const repository = await ServedRepository.create(holder)
      const before = repository.verify()
      repository.builder.nextRoot()
      await repository.takeKeys([SNAPSHOT, TIMESTAMP], true)
      await repository.update(ROOT)
      const after = repository.verify(remembered(before), before.root.bytes)
      expect([after.snapshot.metadata.version, after.timestamp.metadata.version]).to.deep.equal([2, 2])
    })

    it('lets the snapshot key go to the client and come back', async () => {
      const repository = await ServedRepository.create(holder)
      let client = repository.verify()
      const { builder } = repository
      builder.nextRoot()
      builder.role(SNAPSHOT).keys = [testKey('client snapshot')]
      await expectCodeAsync('UPDATE_NO_SNAPSHOT', () => repository.update(ROOT))
      builder.role(SNAPSHOT).version = 1
      await expectCodeAsync('UPDATE_VERSION', () => repository.update(ROOT, SNAPSHOT))
      builder.role(SNAPSHOT).version = 9
      const pair = await repository.update(ROOT, SNAPSHOT)
      expect(pair).to.include({ snapshotHeldBy: 'client' })
      expect((await holder.wholeLog()).at(-1)).to.include({ kind: 'timestamp-signed', cause: 'update' })
      client = repository.verify(remembered(client), client.root.bytes)
      expect(repository.versions()).to.deep.equal([9, 2])
      await expectCodeAsync('SERVER_KEY_MISSING', () => repository.refresh('snapshot'))
      later(DAY_MS)
      expect((await repository.refresh('timestamp')).refreshed).to.equal(true)
      builder.nextRoot()
      await repository.takeKeys([SNAPSHOT], true)
      await repository.update(ROOT)
      repository.verify(remembered(client), client.root.bytes)
      expect(repository.versions()).to.deep.equal([10, 4])
    })

    it('reports delegations that lost their keys, and refuses uploads below them', async () => {
      const repository = await ServedRepository.create(holder)
      const client = remembered(repository.verify())
      repository.builder.role('targets/releases').keys = [testKey('another')]
      repository.builder.nextVersions(TARGETS)
      expect((await repository.update(TARGETS)).unverified).to.deep.equal(['targets/releases'])
      expect(repository.verify(client).unusable.get(RELEASES)).to.equal('SIGNATURE_BELOW_THRESHOLD')
      expect((await repository.refresh('timestamp')).unverified).to.deep.equal(['targets/releases'])
      repository.builder.nextVersions('targets/releases')
      expect((await repository.update('targets/releases')).unverified).to.deep.equal([])
    })

    it('leaves the daemon its roles, and goes above every snapshot that the daemon has seen', async () => {
      const repository = await ServedRepository.create(holder)
      const daemon = await HeldRepository.initialize(holder, SERVED_GUN)
      await daemon.sign([put('1.0')])
      repository.builder.nextVersions('targets/alice')
      await repository.update('targets/alice')
      // The daemon has seen version 2 on another server.
      expect(repository.versions()).to.deep.equal([3, 3])
      const { response } = await holder.operator.call('repository-status', { gun: SERVED_GUN })
      expect(response.roles.find(({ role }) => role === 'targets/countersign')?.highestSigned?.version).to.equal(2)
    })

    it('is refused while the repository is frozen; what is published is refreshed on', async () => {
      const repository = await ServedRepository.create(holder)
      await HeldRepository.initialize(holder, SERVED_GUN)
      await holder.operator.call('freeze', { gun: SERVED_GUN, reason: 'stolen key', evidence: EVIDENCE })
      repository.builder.nextVersions('targets/alice')
      await expectCodeAsync('REPOSITORY_FROZEN', () => repository.update('targets/alice'))
      later(DAY_MS)
      expect((await repository.refresh('timestamp')).refreshed).to.equal(true)
    })
  })

  describe('a refresh', () => {
    it('gives the newest again within the hour, and then the next version', async () => {
      const repository = await ServedRepository.create(holder)
      const client = remembered(repository.verify())
      later(HOUR_MS - 1)
      expect(await repository.refresh('timestamp')).to.deep.include({ refreshed: false })
      expect(repository.versions()).to.deep.equal([1, 1])
      later(1)
      expect((await repository.refresh('timestamp')).refreshed).to.equal(true)
      expect(repository.versions()).to.deep.equal([1, 2])
      expect((await repository.refresh('snapshot')).refreshed).to.equal(true)
      expect(repository.versions()).to.deep.equal([2, 3])
      const { snapshot } = repository.verify(client)
      expect(without(snapshot)).to.deep.equal(without(repository.verify().snapshot))
      const log = await holder.wholeLog()
      expect(log.map(({ kind, cause }) => [kind, cause]).slice(-2)).to.deep.equal([
        ['timestamp-signed', 'refresh'],
        ['snapshot-signed', 'refresh'],
      ])
    })

    it('gives the lives that the limits file says, and so does an update', async () => {
      await holder.stop()
      holder.writeLimits(living({ snapshot: 30, timestamp: 2 }))
      await holder.start()
      const repository = await ServedRepository.create(holder)
      const lives = (): number[] => {
        const { snapshot, timestamp } = repository.verify()
        return [snapshot, timestamp].map(
          ({ metadata }) => (metadata.expiresAt.getTime() - holder.now.getTime()) / DAY_MS,
        )
      }
      expect(lives()).to.deep.equal([30, 2])
      later(DAY_MS)
      await repository.refresh('timestamp')
      expect(lives()).to.deep.equal([29, 2])
      later(DAY_MS)
      await repository.refresh('snapshot')
      expect(lives()).to.deep.equal([30, 2])
    })

    it('works after everything expired, and while the clock is back again', async () => {
      const repository = await ServedRepository.create(holder)
      later(4 * 365 * DAY_MS)
      expect((await repository.refresh('snapshot')).refreshed).to.equal(true)
      holder.now = NOW
      expect((await repository.refresh('timestamp')).refreshed).to.equal(false)
    })

    it('needs a published repository', async () => {
      const repository = new ServedRepository(holder)
      await expectCodeAsync('SERVED_REPOSITORY_UNKNOWN', () => repository.refresh('timestamp'))
      const published = await ServedRepository.create(holder)
      await published.delete()
      await expectCodeAsync('SERVED_REPOSITORY_DELETED', () => published.refresh('timestamp'))
    })
  })

  describe('the state', () => {
    const state = async () => holder.trustServer.call('serve-state', { gun: SERVED_GUN })

    it('is unknown, published, deleted', async () => {
      expect((await state()).response).to.deep.equal({ state: 'unknown', roles: [] })
      const repository = await ServedRepository.create(holder)
      const { response, attachments } = await state()
      expect(response).to.include({ state: 'published' })
      expect(response.current?.timestamp.version).to.equal(1)
      expect(attachments.get('timestamp')).to.deep.equal(repository.published.get('timestamp.json'))
      expect(attachments.get('snapshot')).to.deep.equal(repository.published.get('snapshot.json'))
      const sent = repository.files('root', 'targets', 'targets/alice', 'targets/releases')
      const lines = [...sent].map(([role, bytes]) => `${sha256Of(bytes)} ${role}\n`).join('')
      expect(response.update).to.equal(sha256Of(Buffer.from(lines)))
      await repository.delete()
      const deleted = (await state()).response
      expect(deleted.state).to.equal('deleted')
      expect(deleted.roles.map(({ role, listed }) => `${role} ${listed}`)).to.deep.equal([
        'root false',
        'targets false',
        'targets/alice false',
        'targets/releases false',
      ])
    })
  })

  describe('a deletion', () => {
    it('leaves versions, root and keys; the next root of the old keys goes on, with what was delegated', async () => {
      const repository = await ServedRepository.create(holder)
      const client = repository.verify()
      await repository.delete()
      repository.published.clear()
      const { builder } = repository
      await expectCodeAsync('SERVED_REPOSITORY_DELETED', () => repository.update(TARGETS))
      await expectCodeAsync('UPDATE_VERSION', () => repository.update(ROOT, TARGETS))
      builder.nextRoot().nextVersions(TARGETS)
      const error = await expectCodeAsync('UPDATE_NO_TARGETS', () => repository.update(ROOT, TARGETS))
      expect(error.facts).to.include({ role: 'targets/alice', reason: 'SNAPSHOT_ROLE_REMOVED' })
      builder.nextVersions('targets/alice', 'targets/releases')
      await repository.update(ROOT, TARGETS, 'targets/alice', 'targets/releases')
      repository.published.set('2.root.json', repository.files(ROOT).get(ROOT) ?? Buffer.alloc(0))
      repository.verify(remembered(client), client.root.bytes)
      expect(repository.versions()).to.deep.equal([2, 2])
    })

    it('is nothing where nothing is published', async () => {
      const request = { gun: SERVED_GUN, evidence: EVIDENCE }
      expect((await holder.trustServer.call('serve-delete', request)).response).to.deep.equal({ deleted: false })
      const repository = await ServedRepository.create(holder)
      expect((await holder.trustServer.call('serve-delete', request)).response).to.deep.equal({ deleted: true })
      expect(holder.log().at(-1)).to.include({ kind: 'served-repository-deleted', root: 1, snapshot: 1, timestamp: 1 })
      await repository.delete()
      expect(holder.log().filter(({ kind }) => kind === 'served-repository-deleted')).to.have.length(1)
    })

    const permit = async (versions: 'go-on' | 'start-again') =>
      holder.operator.call('permit-recreation', { gun: SERVED_GUN, versions, reason: 'lost keys', evidence: EVIDENCE })

    /** Another owner with the same name for everything. */
    async function successor(): Promise<ServedRepository> {
      const repository = new ServedRepository(holder)
      repository.builder.role(ROOT).keys = [repository.builder.rootKey('another root')]
      repository.builder.put(TARGETS, 'another', 'image')
      await repository.takeKeys()
      return repository
    }

    it('ends with another root only where an operator permits it, once; snapshot and timestamp go on', async () => {
      await expectCodeAsync('SERVED_REPOSITORY_UNKNOWN', () => permit('go-on'))
      const old = await ServedRepository.create(holder)
      await expectCodeAsync('CHANGE_REFUSED', () => permit('start-again'))
      await old.delete()
      const next = await successor()
      next.builder.role(ROOT).version = 2
      await expectCodeAsync('SERVED_RECREATION_REFUSED', () => next.update(ROOT, TARGETS))
      next.builder.role(ROOT).version = 1
      await expectCodeAsync('SERVED_RECREATION_REFUSED', () => next.update(ROOT, TARGETS))
      await permit('start-again')
      expect(holder.log().at(-1)).to.include({ kind: 'recreation-permitted', by: 'operator', versions: 'start-again' })
      await next.update(ROOT, TARGETS)
      expect(next.versions()).to.deep.equal([2, 2])
      next.verify()
      await next.delete()
      await expectCodeAsync('UPDATE_VERSION', () => next.update(ROOT, TARGETS))
    })

    it('ends only with the root whose certificate the permission names', async () => {
      const old = await ServedRepository.create(holder)
      await old.delete()
      const thief = await successor()
      const owner = await successor()
      owner.builder.role(ROOT).keys = [owner.builder.rootKey('the next owner')]
      const [certificate] = owner.builder.role(ROOT).keys
      const permit = { gun: SERVED_GUN, versions: 'start-again', reason: 'lost keys', evidence: EVIDENCE } as const
      const certificateKeyIds = [certificate?.publicKey.tufKeyId ?? '']
      await holder.operator.call('permit-recreation', { ...permit, certificateKeyIds })
      expect(holder.log().at(-1)).to.deep.include({ kind: 'recreation-permitted', certificateKeyIds })
      await expectCodeAsync('SERVED_RECREATION_REFUSED', () => thief.update(ROOT, TARGETS))
      // Not beside another one either.
      owner.builder.role(ROOT).keys = [...owner.builder.role(ROOT).keys, owner.builder.rootKey('a guest')]
      await expectCodeAsync('SERVED_RECREATION_REFUSED', () => owner.update(ROOT, TARGETS))
      owner.builder.role(ROOT).keys.pop()
      await owner.update(ROOT, TARGETS)
      owner.verify()
    })

    it('takes nothing from before where versions start again, whoever signed it', async () => {
      const served = await ServedRepository.create(holder)
      served.builder.nextVersions(TARGETS, RELEASES)
      await served.update(TARGETS, RELEASES)
      served.builder.nextRoot().nextVersions(TARGETS)
      await served.update(ROOT, TARGETS)
      const old = served.files(ROOT, TARGETS, RELEASES, 'targets/alice')
      await served.delete()
      await permit('start-again')
      // The same owner with the same keys, for whom everything begins with version 1.
      served.startAgain()
      await served.takeKeys()
      const all = [ROOT, TARGETS, RELEASES, 'targets/alice']
      for (const role of all) {
        const source = served.builder.role(role)
        source.expiresAt = new Date(source.expiresAt.getTime() + 1000)
      }
      await served.update(...all)
      for (const [role, bytes] of old) {
        const { facts } = await expectCodeAsync('UPDATE_VERSION', () => served.send(new Map([[role, bytes]])))
        expect(facts).to.include({ role, reason: 'VERSION_ROLLED_BACK' })
      }
      served.builder.nextVersions(TARGETS)
      await served.update(TARGETS)
      served.verify()
    })

    it('goes on with the versions under a new root where the operator says so', async () => {
      const old = await ServedRepository.create(holder)
      await old.delete()
      const next = await successor()
      await permit('go-on')
      await expectCodeAsync('UPDATE_VERSION', () => next.update(ROOT, TARGETS))
      next.builder.role(ROOT).version = 2
      next.builder.nextVersions(TARGETS)
      next.builder.roles.delete(RELEASES)
      await expectCodeAsync('UPDATE_NO_TARGETS', () => next.update(ROOT, TARGETS))
      next.builder.nextVersions('targets/alice')
      await next.update(ROOT, TARGETS, 'targets/alice')
      expect(next.versions()).to.deep.equal([2, 2])
      next.verify()
    })
  })
})

function without({ metadata }: Received<SnapshotMetadata>): unknown {
  return [...metadata.meta]
}
