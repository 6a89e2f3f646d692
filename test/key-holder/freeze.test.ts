// A repository stops being signed when an operator says so, or when a version turns up that only we could have made and did not.
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'

describe('freezing', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder)
  })
  afterEach(() => scope.close())

  it('stops signing until an operator says so, also after a restart', async () => {
    const { gun } = repository
    const frozen = await holder.operator.call('freeze', { gun, reason: 'audit', evidence: EVIDENCE })
    expect(frozen.response).to.include({ state: 'frozen', frozenBecause: 'audit' })
    await expectCodeAsync('REPOSITORY_FROZEN', () => repository.change([put('1.0')]))
    await holder.stop()
    await holder.start()
    await expectCodeAsync('REPOSITORY_FROZEN', () =>
      holder.service.call('change-targets', repository.request([put('1.0')]), repository.files()),
    )
    const thawed = await holder.operator.call('unfreeze', { gun, reason: 'all well', evidence: EVIDENCE })
    expect(thawed.response.state).to.equal('ready')
    const { response } = await holder.service.call(
      'change-targets',
      repository.request([put('1.0')]),
      repository.files(),
    )
    expect(response.roles).to.have.length(2)
    expect(
      holder
        .log()
        .filter(({ kind }) => kind.startsWith('repository-'))
        .map(({ kind, by }) => [kind, by]),
    ).to.deep.equal([
      ['repository-initialized', 'service'],
      ['repository-frozen', 'operator'],
      ['repository-unfrozen', 'operator'],
    ])
  })

  it('gives out no bytes of an earlier publication meanwhile', async () => {
    const files = repository.files()
    await repository.change([put('1.0')], { files, publication: 'before' })
    await holder.operator.call('freeze', { gun: repository.gun, reason: 'audit', evidence: EVIDENCE })
    await expectCodeAsync('REPOSITORY_FROZEN', () => repository.change([put('1.0')], { files, publication: 'before' }))
  })

  /** As a thief of the key would: a version with our signature that our records do not know. */
  async function forgetOwnVersion(): Promise<void> {
    await repository.sign([put('stolen')])
    await holder.stop()
    holder.database((database) => {
      database.prepare(`DELETE FROM signed_payloads WHERE version = 2 AND role = 'targets/releases'`).run()
    })
    await holder.start()
  }

  for (const operation of ['change-targets', 'observe-repository'] as const) {
    it(`happens by itself when ${operation} brings a version of ours that we did not sign`, async () => {
      await forgetOwnVersion()
      const files = repository.files()
      const act = () =>
        operation === 'change-targets'
          ? holder.service.call(operation, repository.request([put('1.0')], { files }), files)
          : holder.service.call(operation, { gun: repository.gun, files: [...files.keys()] }, files)
      const error = await expectCodeAsync('BASE_VERSION_NOT_OURS', act)
      expect(error.facts).to.include({ role: RELEASES, version: 2 })
      const { response } = await holder.service.call('repository-status', { gun: repository.gun })
      expect(response.state).to.equal('frozen')
      expect(holder.log().find(({ kind }) => kind === 'repository-frozen')).to.include({
        by: 'key-holder',
        role: RELEASES,
      })
      await expectCodeAsync('REPOSITORY_FROZEN', () =>
        holder.service.call('change-targets', repository.request([put('1.0')], { files }), files),
      )
      await holder.operator.call('unfreeze', { gun: repository.gun, reason: 'restored backup', evidence: EVIDENCE })
      const { response: signed } = await holder.service.call(
        'change-targets',
        repository.request([put('1.0')], { files }),
        files,
      )
      expect(signed.roles.map(({ version }) => version)).to.deep.equal([3, 3])
    })
  }

  it('does not happen for a version of a rival who holds a key of the role', async () => {
    const shared = await HeldRepository.pin(holder, new RepositoryBuilder('registry.example.com/team/shared'))
    await shared.sign([put('ours')])
    const releases = shared.builder.role(RELEASES)
    delete releases.mangle
    shared.builder.put(RELEASES, 'ours', 'ours').put(RELEASES, 'alices', 'image')
    shared.builder.nextVersions(RELEASES)
    await shared.observe()
    await shared.sign([put('more')])
    expect(shared.tags(RELEASES)).to.deep.equal(['alices', 'more', 'ours'])
  })

  it('happens in a role of others, too, for a version with a signature by our key that we did not make', async () => {
    const shared = await HeldRepository.pin(holder, new RepositoryBuilder('registry.example.com/team/shared'))
    await shared.sign([put('ours')])
    await holder.stop()
    holder.database((database) => {
      database.prepare(`DELETE FROM signed_payloads WHERE role = 'targets/releases'`).run()
    })
    await holder.start()
    const error = await expectCodeAsync('BASE_VERSION_NOT_OURS', () => shared.observe())
    expect(error.facts).to.include({ role: RELEASES })
    await holder.operator.call('unfreeze', { gun: shared.gun, reason: 'it was us', evidence: EVIDENCE })
    await shared.sign([put('more')])
  })

  it('does not hide a root that moved on along its chain', async () => {
    const shared = await HeldRepository.pin(holder, new RepositoryBuilder('registry.example.com/team/rotated'))
    await shared.observe()
    const root = shared.builder.role('root')
    delete root.mangle
    const pinned = shared.files().get('root.json')!
    root.mangle = () => pinned
    shared.builder.nextRoot((next) => {
      next.keys = [shared.builder.rootKey('second')]
    })
    shared.builder.nextVersions()
    await shared.observe()
    const { response } = await holder.service.call('repository-status', { gun: shared.gun })
    expect(response.pinnedRoot).to.include({ version: 2 })
    expect(response.pinnedRoot?.certificateKeyIds).to.deep.equal([shared.builder.rootKey('second').publicKey.tufKeyId])
    expect(holder.log().filter(({ kind }) => kind === 'root-advanced')).to.have.length(1)
    await shared.sign([put('after')])
    expect(shared.tags('targets/countersign')).to.deep.equal(['after'])
  })
})
