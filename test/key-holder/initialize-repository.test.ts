import { sign } from 'node:crypto'
import { parseRoot, parseTargets, parseRoleName, RELEASES, ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, initialization, put, TestKeyHolder } from '../support/key-holder.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import type { TestKey } from '../support/test-keys.ts'

const GUN = 'registry.example.com/team/new'
const YEAR_MS = 365 * 86_400_000

function offline(gun: string, key: TestKey) {
  const certificatePem = Buffer.from(key.publicKey.publicValue, 'base64').toString()
  return { ...initialization(gun), root: { kind: 'offline', certificatePem } as const }
}

function signature(key: TestKey, message: Uint8Array) {
  const bytes = sign('sha256', message, { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
  return { keyId: key.publicKey.tufKeyId as string, method: 'ecdsa', signature: bytes.toString('base64') }
}

describe('initializing a repository', () => {
  let scope: Scope
  let holder: TestKeyHolder

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
  })
  afterEach(() => scope.close())

  it('makes root, targets and both delegations, which a client verifies', async () => {
    const repository = await HeldRepository.initialize(holder, GUN)
    const trusted = repository.builder.verify({}, repository.files())
    expect(trusted.root.metadata.expiresAt.getTime() - NOW.getTime()).to.equal(10 * YEAR_MS)
    expect(trusted.targets.metadata.expiresAt.getTime() - NOW.getTime()).to.equal(3 * YEAR_MS)
    expect(trusted.targets.metadata.targets.size).to.equal(0)
    const { roles } = trusted.targets.metadata.delegations
    expect(roles.map(({ name, paths, threshold }) => ({ name, paths, threshold }))).to.deep.equal([
      { name: 'targets/countersign', paths: [''], threshold: 1 },
      { name: 'targets/releases', paths: [''], threshold: 1 },
    ])
    expect(roles[0]?.keyIds).to.deep.equal(roles[1]?.keyIds)
    expect([...trusted.delegations.keys()]).to.deep.equal(['targets/countersign', RELEASES])
  })

  it('gives each repository keys of its own', async () => {
    const guns = [GUN, `${GUN}-2`]
    for (const gun of guns) await holder.service.call('initialize-repository', initialization(gun))
    const ids = await Promise.all(
      guns.map(async (gun) => (await holder.service.call('repository-status', { gun })).response.keys),
    )
    expect(
      ids
        .flat()
        .map(({ role }) => role)
        .sort(),
    ).to.deep.equal(['root', 'root', 'targets', 'targets', 'targets/countersign', 'targets/countersign'])
    expect(new Set(ids.flat().map(({ canonicalKeyId }) => canonicalKeyId)).size).to.equal(6)
  })

  it('gives the same files again for the same input, also to another request and after a restart', async () => {
    const first = await holder.service.call('initialize-repository', initialization(GUN))
    await holder.stop()
    await holder.start()
    const request = { ...initialization(GUN), evidence: { request: 'req-2', principal: 'somebody' } }
    const second = await holder.service.call('initialize-repository', request)
    expect(second.response).to.deep.equal(first.response)
    expect([...second.attachments].map(([name, bytes]) => [name, Buffer.from(bytes).toString()])).to.deep.equal(
      [...first.attachments].map(([name, bytes]) => [name, Buffer.from(bytes).toString()]),
    )
  })

  for (const keyType of ['ecdsa', 'ed25519', 'rsa'] as const) {
    it(`makes ${keyType} keys that sign`, async () => {
      const { attachments } = await holder.service.call('initialize-repository', { ...initialization(GUN), keyType })
      const root = parseRoot(attachments.get('root')!).metadata
      const targetsKeyId = root.roles.get(TARGETS)!.keyIds[0]!
      expect(root.keys.get(targetsKeyId)!.keyType).to.equal(keyType)
      expect(root.keys.get(root.roles.get(ROOT)!.keyIds[0]!)!.keyType).to.equal('ecdsa-x509')
      const targets = parseTargets(attachments.get('targets')!, parseRoleName('targets'))
      expect(targets.signatures.map(({ keyId }) => keyId)).to.deep.equal([targetsKeyId])
    }).timeout(20_000)
  }

  describe('with an offline root', () => {
    const rootKey = new RepositoryBuilder(GUN).rootKey('offline')

    it('hands out exactly the bytes to be signed, and signs nothing before they are', async () => {
      const { response, attachments } = await holder.service.call('initialize-repository', offline(GUN, rootKey))
      expect(response).to.deep.equal({
        state: 'awaiting-root-signature',
        rootKeyIds: [rootKey.publicKey.tufKeyId],
        files: ['root.signed'],
      })
      expect([...attachments.keys()]).to.deep.equal(['root.signed'])
      const { response: status } = await holder.service.call('repository-status', { gun: GUN })
      expect(status).to.include({ state: 'awaiting-root-signature', rootCustody: 'offline' })
      expect(status.pinnedRoot).to.equal(undefined)
      await expectCodeAsync('GUN_NOT_INITIALIZED', () =>
        new HeldRepository(holder, new RepositoryBuilder(GUN)).change([put('1.0')]),
      )
      await holder.stop()
      const signed = holder.database((db) =>
        db.prepare('SELECT count(*) AS n FROM signed_payloads WHERE file IS NOT NULL').get(),
      )
      expect(signed).to.deep.equal({ n: 0 })
    })

    it('pins the root when its signature comes, and signs the rest', async () => {
      const { attachments } = await holder.service.call('initialize-repository', offline(GUN, rootKey))
      const signatures = [signature(rootKey, attachments.get('root.signed')!)]
      const done = await holder.service.call('complete-initialization', { gun: GUN, signatures, evidence: EVIDENCE })
      expect(done.response.files).to.deep.equal(['root', 'targets', 'targets/countersign', 'targets/releases'])
      const repository = new HeldRepository(holder, new RepositoryBuilder(GUN))
      repository.builder.delegate('targets/countersign').delegate(RELEASES)
      repository.publish(done.attachments)
      await repository.sign([put('1.0')])
      expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
      const again = await holder.service.call('complete-initialization', { gun: GUN, signatures, evidence: EVIDENCE })
      expect(Buffer.from(again.attachments.get('targets')!)).to.deep.equal(
        Buffer.from(done.attachments.get('targets')!),
      )
      const { response } = await holder.service.call('repository-status', { gun: GUN })
      expect(response.keys.map(({ role }) => role)).to.not.include('root')
    })

    it('signs nothing while the repository is frozen', async () => {
      const { attachments } = await holder.service.call('initialize-repository', offline(GUN, rootKey))
      await holder.operator.call('freeze', { gun: GUN, reason: 'wait', evidence: EVIDENCE })
      await expectCodeAsync('REPOSITORY_FROZEN', () =>
        holder.service.call('initialize-repository', offline(GUN, rootKey)),
      )
      const signatures = [signature(rootKey, attachments.get('root.signed')!)]
      const request = { gun: GUN, signatures, evidence: EVIDENCE }
      await expectCodeAsync('REPOSITORY_FROZEN', () => holder.service.call('complete-initialization', request))
      await holder.operator.call('unfreeze', { gun: GUN, reason: 'go on', evidence: EVIDENCE })
      const { response } = await holder.service.call('complete-initialization', request)
      expect(response.state).to.equal('ready')
    })

    it('takes no signature of another key, over other bytes, or in another form', async () => {
      const { attachments } = await holder.service.call('initialize-repository', offline(GUN, rootKey))
      const message = attachments.get('root.signed')!
      const good = signature(rootKey, message)
      const other = new RepositoryBuilder(GUN).rootKey('other')
      for (const wrong of [
        { ...signature(other, message), keyId: good.keyId },
        signature(other, message),
        signature(rootKey, Buffer.concat([message, Buffer.from(' ')])),
        { ...good, method: 'rsapss' },
        { ...good, signature: 'not base64!' },
        { ...good, signature: Buffer.alloc(64).toString('base64') },
      ]) {
        const request = { gun: GUN, signatures: [wrong], evidence: EVIDENCE }
        await expectCodeAsync('ROOT_SIGNATURE_INVALID', () => holder.service.call('complete-initialization', request))
        await expectCodeAsync('ROOT_SIGNATURE_INVALID', () =>
          holder.service.call('complete-initialization', { ...request, signatures: [good, wrong] }),
        )
      }
      const { response } = await holder.service.call('repository-status', { gun: GUN })
      expect(response.state).to.equal('awaiting-root-signature')
    })
  })

  it('creates a delegation key once', async () => {
    const request = { gun: 'registry.example.com/team/foreign', role: 'targets/countersign', evidence: EVIDENCE }
    const first = await holder.service.call('create-delegation-key', request)
    const again = await holder.service.call('create-delegation-key', request)
    expect(again.response).to.deep.equal(first.response)
    expect(first.response.pem).to.match(/^-----BEGIN PUBLIC KEY-----\n/)
    const exported = await holder.service.call('export-public-key', { gun: request.gun, role: request.role })
    expect(exported.response).to.deep.equal(first.response)
  })

  it('makes no more keys within an hour than the limits file allows', async () => {
    await holder.stop()
    holder.writeLimits('repositories: [{ gun: "*", initialize: true }]\nkeysPerHour: 4')
    await holder.start()
    const key = (n: number) =>
      holder.service.call('create-delegation-key', { gun: GUN, role: `targets/s${n}`, evidence: EVIDENCE })
    await key(1)
    await key(2)
    await expectCodeAsync('LIMIT_INITIALIZE', () => holder.service.call('initialize-repository', initialization(GUN)))
    await key(3)
    await key(4)
    await expectCodeAsync('LIMIT_INITIALIZE', () => key(5))
    holder.now = new Date(NOW.getTime() + 3_600_000)
    await key(6)
  })
})
