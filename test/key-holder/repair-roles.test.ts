// What has expired is signed again with imported keys: exactly that, and nothing that has not expired.
import { parseGun, parseRoleName, RELEASES, ROOT, TARGETS, verifyNextVersion } from '@countersign/tuf'
import { expect } from 'chai'
import { transferKey } from '../../src/cli/key-import/transfer.ts'
import type { OperationInput } from '../../src/key-holder-protocol/operations.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'

const YESTERDAY = new Date(NOW.getTime() - 86_400_000)

describe('repairing roles', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: HeldRepository
  let publications = 0

  /** Of somebody else, with what has expired; the keys of targets and alice are imported. */
  async function expiredIn(...names: string[]): Promise<void> {
    const builder = RepositoryBuilder.withSigner('alice')
    builder.put(RELEASES, '1.0', '1.0').put('targets/alice', '1.0', '1.0')
    builder.delegate('targets/bob', { keys: [testKey('bob')] })
    for (const name of names) builder.role(name).expiresAt = YESTERDAY
    repository = new HeldRepository(holder, builder)
    for (const [role, name] of [
      [TARGETS, 'targets'],
      ['targets/alice', 'alice'],
    ] as const) {
      await transferKey(holder.operator, {
        gun: parseGun(builder.gun),
        role: parseRoleName(role),
        privateKey: testKey(name).privateKey,
        severalRoles: false,
        files: new Map(),
      })
    }
    const files = repository.files()
    const certificateKeyIds = builder.role(ROOT).keys.map(({ publicKey }) => publicKey.tufKeyId as string)
    const asked = { gun: builder.gun, certificateKeyIds, files: [...files.keys()], evidence: EVIDENCE }
    await holder.operator.call('pin-repository', asked, files)
  }

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
  })
  afterEach(() => scope.close())

  const request = (
    roles: readonly string[],
    publication = `repair-${++publications}`,
  ): OperationInput<'repair-roles'> => ({
    publication,
    gun: repository.gun,
    roles: [...roles],
    files: [...repository.files().keys()],
    evidence: EVIDENCE,
  })
  const repair = (roles: readonly string[], publication?: string) =>
    holder.service.call('repair-roles', request(roles, publication), repository.files())

  for (const [name, roles] of [
    ['targets', [TARGETS]],
    ['delegations', ['targets/alice', RELEASES]],
    ['both', [TARGETS, 'targets/alice', RELEASES]],
  ] as const) {
    it(`${name}: the next versions, with the same content and three years`, async () => {
      await expiredIn(...roles)
      const base = repository.builder.verify({ acceptsExpired: true }, repository.files())
      const { response, attachments } = await repair(roles)
      expect(response.roles.map(({ role, version }) => [role, version])).to.deep.equal(roles.map((role) => [role, 2]))
      for (const [role, bytes] of attachments) {
        const { metadata } = verifyNextVersion(base, parseRoleName(role), bytes, [])
        expect(metadata.expiresAt.getTime() - NOW.getTime()).to.equal(3 * 365 * 86_400_000)
      }
      repository.publish(attachments)
      expect([...repository.builder.verify({}, repository.files()).unusable.keys()]).to.deep.equal([])
      expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
      await repository.observe()
      await repository.sign([put('2.0')], ['targets/alice', RELEASES])
      const [record] = holder.log().filter(({ kind }) => kind === 'roles-repair')
      expect(record?.['expired']).to.deep.equal(roles.map((role) => ({ role, expiredAt: YESTERDAY.toISOString() })))
    })
  }

  it('CHANGE_EMPTY: a role that has not expired; ROLE_NOT_SIGNABLE: one whose key is elsewhere', async () => {
    await expiredIn(RELEASES, 'targets/bob')
    await expectCodeAsync('CHANGE_EMPTY', () => repair([TARGETS]))
    await expectCodeAsync('CHANGE_EMPTY', () => repair([RELEASES, 'targets/alice']))
    await expectCodeAsync('ROLE_NOT_SIGNABLE', () => repair(['targets/bob']))
    await expectCodeAsync('ROLE_NOT_SIGNABLE', () => repair(['snapshot']))
  })

  it('nothing else is built upon what has expired', async () => {
    await expiredIn(TARGETS)
    await expectCodeAsync('BASE_NOT_VERIFIED', () => repository.change([put('2.0')], { roles: [RELEASES] }))
    const asked = request([TARGETS])
    await expectCodeAsync('BASE_NOT_VERIFIED', () => holder.service.call('renew-roles', asked, repository.files()))
    await expectCodeAsync('BASE_NOT_VERIFIED', () =>
      holder.service.call(
        'replace-keys',
        { publication: 'p', gun: asked.gun, files: asked.files, evidence: EVIDENCE },
        repository.files(),
      ),
    )
  })

  it('BASE_NOT_VERIFIED, BASE_OLDER_THAN_KNOWN: an expired root or timestamp, and an expired version from before', async () => {
    await expiredIn(TARGETS)
    const before = repository.files()
    repository.publish((await repair([TARGETS])).attachments)
    await repository.observe()
    const replayed = { ...request([TARGETS]), files: [...before.keys()] }
    await expectCodeAsync('BASE_OLDER_THAN_KNOWN', () => holder.service.call('repair-roles', replayed, before))
    repository.builder.role('timestamp').expiresAt = YESTERDAY
    repository.builder.nextVersions()
    await expectCodeAsync('BASE_NOT_VERIFIED', () => repair([TARGETS]))
  })

  it('REPOSITORY_FROZEN, and PUBLICATION_REPLAYED for another request under the same name', async () => {
    await expiredIn(TARGETS, RELEASES)
    const first = await repair([TARGETS], 'once')
    expect((await repair([TARGETS], 'once')).attachments).to.deep.equal(first.attachments)
    await expectCodeAsync('PUBLICATION_REPLAYED', () => repair([RELEASES], 'once'))
    await holder.operator.call('freeze', { gun: repository.gun, reason: 'test', evidence: EVIDENCE })
    await expectCodeAsync('REPOSITORY_FROZEN', () => repair([TARGETS]))
  })

  for (const step of ['committed', 'signed'] as const) {
    it(`a crash at the step ${step}: the same request ends with one version`, async () => {
      await expiredIn(TARGETS)
      const asked = request([TARGETS], `crash-at-${step}`)
      await crashAt(holder, step, 1, () => holder.service.call('repair-roles', asked, repository.files()))
      const { response } = await holder.service.call('repair-roles', asked, repository.files())
      expect(response.roles.map(({ version }) => version)).to.deep.equal([2])
      expect(holder.log().filter(({ kind }) => kind === 'roles-repair')).to.have.length(1)
    }).timeout(30_000)
  }
})
