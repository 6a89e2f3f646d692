// Roles signed again as they are: exactly that, not early, and never for somebody else.
import { parseRoleName, RELEASES, TARGETS, verifyNextVersion } from '@countersign/tuf'
import { expect } from 'chai'
import type { OperationInput } from '../../src/key-holder-protocol/operations.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { NOW } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'

const DAY_MS = 86_400_000
const ROLES = [TARGETS, 'targets/countersign', RELEASES]

describe('renewing roles', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let publications = 0

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
  })
  afterEach(() => scope.close())

  const request = (
    repository: HeldRepository,
    roles: readonly string[] = ROLES,
    publication = `renewal-${++publications}`,
  ): OperationInput<'renew-roles'> => ({
    publication,
    gun: repository.gun,
    roles: [...roles],
    files: [...repository.files().keys()],
    evidence: EVIDENCE,
  })
  const renew = (repository: HeldRepository, roles?: readonly string[], publication?: string) =>
    repository.service.call('renew-roles', request(repository, roles, publication), repository.files())
  const pass = (days: number): void => {
    holder.now = new Date(NOW.getTime() + days * DAY_MS)
  }
  /** The trust server makes a new timestamp, which lives a fortnight. */
  const freshen = ({ builder }: HeldRepository): void => {
    builder.role('timestamp').expiresAt = new Date(holder.now.getTime() + 14 * DAY_MS)
    builder.nextVersions()
  }

  it('signs the next version of each with the same content and three years', async () => {
    const repository = await HeldRepository.initialize(holder)
    await repository.sign([put('1.0'), put('__proto__')])
    await repository.observe()
    pass(31)
    freshen(repository)
    const base = repository.builder.verify({ now: holder.now }, repository.files())
    const { response, attachments } = await renew(repository)
    expect(response.roles.map(({ role, version }) => [role, version])).to.deep.equal([
      [TARGETS, 2],
      ['targets/countersign', 3],
      [RELEASES, 3],
    ])
    for (const [role, bytes] of attachments) {
      const { metadata } = verifyNextVersion(base, parseRoleName(role), bytes, [])
      expect(metadata.expiresAt.getTime() - holder.now.getTime()).to.equal(3 * 365 * DAY_MS)
    }
    repository.publish(attachments)
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0', '__proto__'])
  })

  it('CHANGE_EMPTY: gains less than a month', async () => {
    const repository = await HeldRepository.initialize(holder)
    await expectCodeAsync('CHANGE_EMPTY', () => renew(repository))
    pass(14)
    await expectCodeAsync('CHANGE_EMPTY', () => renew(repository))
  })

  it('ROLE_NOT_SIGNABLE: a role of somebody else, one that nobody delegates to, and the base roles that hold no targets', async () => {
    const repository = await HeldRepository.pin(holder)
    for (const role of [TARGETS, 'targets/nobody', 'root', 'snapshot', 'timestamp']) {
      await expectCodeAsync('ROLE_NOT_SIGNABLE', () => renew(repository, [role]))
    }
  })

  it('CHANGE_MALFORMED: a role that is named twice', async () => {
    const repository = await HeldRepository.initialize(holder)
    await expectCodeAsync('CHANGE_MALFORMED', () => renew(repository, [TARGETS, TARGETS]))
  })

  it('REPOSITORY_FROZEN, and PUBLICATION_REPLAYED for another request under the same name', async () => {
    const repository = await HeldRepository.initialize(holder)
    pass(31)
    freshen(repository)
    const first = await renew(repository, ROLES, 'once')
    expect((await renew(repository, ROLES, 'once')).attachments).to.deep.equal(first.attachments)
    await expectCodeAsync('PUBLICATION_REPLAYED', () => renew(repository, [TARGETS], 'once'))
    await holder.operator.call('freeze', { gun: repository.gun, reason: 'test', evidence: EVIDENCE })
    await expectCodeAsync('REPOSITORY_FROZEN', () => renew(repository))
  })

  for (const step of ['planned', 'committed', 'log-published', 'signed', 'stored'] as const) {
    it(`a crash at the step ${step}: the same request ends with one version`, async () => {
      // The process that crashes lives at NOW; so the repository is made a month before.
      holder.now = new Date(NOW.getTime() - 31 * DAY_MS)
      const repository = await HeldRepository.initialize(holder)
      holder.now = NOW
      const asked = request(repository, ROLES, `crash-at-${step}`)
      await crashAt(holder, step, 1, () => holder.service.call('renew-roles', asked, repository.files()))
      const { response, attachments } = await holder.service.call('renew-roles', asked, repository.files())
      expect(response.roles.map(({ version }) => version)).to.deep.equal([2, 2, 2])
      repository.publish(attachments)
      await repository.observe()
      expect(holder.log().filter(({ kind }) => kind === 'roles-renewal')).to.have.length(1)
    }).timeout(30_000)
  }
})
