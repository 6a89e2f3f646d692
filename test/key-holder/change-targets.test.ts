import { RELEASES, sha256Hex, TARGETS, verifyNextVersion, parseRoleName } from '@countersign/tuf'
import { expect } from 'chai'
import { expectCodeAsync } from '../support/expect-code.ts'
import { drop, HeldRepository, LIMITS, put, TestKeyHolder } from '../support/key-holder.ts'
import { NOW } from '../support/repository-builder.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { SoftHsm } from '../support/softhsm.ts'

for (const custody of ['sealed', 'in a PKCS#11 token'] as const)
  describe(`changing targets, with keys ${custody}`, () => {
    const shared = new Scope()
    let hsm: SoftHsm | undefined
    let scope: Scope
    let holder: TestKeyHolder

    before(function () {
      if (custody === 'sealed') return
      requirePeers(this, 'softhsm')
      hsm = SoftHsm.make(shared)
    })
    after(() => shared.close())
    beforeEach(async () => {
      scope = new Scope()
      holder = await TestKeyHolder.start(scope, LIMITS, {}, hsm)
    })
    afterEach(() => scope.close())

    it('puts a tag into both delegations, and a client verifies it', async () => {
      const repository = await HeldRepository.initialize(holder)
      await repository.sign([put('1.0')])
      expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
      expect(repository.tags('targets/countersign')).to.deep.equal(['1.0'])
      expect(repository.tags(TARGETS)).to.deep.equal([])
    })

    it('signs exactly the declared difference, with the next version and three years', async () => {
      const repository = await HeldRepository.initialize(holder)
      await repository.sign([put('1.0'), put('__proto__'), put('10'), put('9')])
      const base = repository.builder.verify({ now: holder.now }, repository.files())
      const { roles, files } = await repository.change([put('1.0', 'another'), drop('9'), put('latest')])
      expect(roles.map(({ role, version }) => [role, version])).to.deep.equal([
        ['targets/countersign', 3],
        ['targets/releases', 3],
      ])
      for (const { role, sha256 } of roles) {
        const bytes = files.get(role)!
        expect(sha256Hex(bytes)).to.equal(sha256)
        const changes = [put('1.0', 'another'), drop('9'), put('latest')].map(({ tag, ...rest }) => ({
          ...rest,
          name: tag,
        }))
        const next = verifyNextVersion(base, parseRoleName(role), bytes, changes as never)
        expect([...next.metadata.targets.keys()].sort()).to.deep.equal(['1.0', '10', '__proto__', 'latest'])
        expect(next.metadata.expiresAt.getTime() - NOW.getTime()).to.equal(3 * 365 * 86_400_000)
      }
    })

    it('leaves out roles in which nothing changes, and refuses to change nothing', async () => {
      const repository = await HeldRepository.initialize(holder)
      repository.publish((await repository.change([put('1.0')], { roles: ['targets/countersign'] })).files)
      const { roles } = await repository.change([put('1.0')])
      expect(roles.map(({ role }) => role)).to.deep.equal(['targets/releases'])
      await expectCodeAsync('CHANGE_EMPTY', () => repository.change([put('1.0')], { roles: ['targets/countersign'] }))
      await expectCodeAsync('CHANGE_EMPTY', () => repository.change([drop('2.0')]))
    })

    it('writes base targets where there are no delegations', async () => {
      const repository = await HeldRepository.initialize(holder, 'registry.example.com/team/plain', null)
      await repository.sign([put('1.0')], [TARGETS])
      expect(repository.tags(TARGETS)).to.deep.equal(['1.0'])
      await repository.sign([drop('1.0')], [TARGETS])
      expect(repository.tags(TARGETS)).to.deep.equal([])
    })

    it('keeps what another signer made', async () => {
      const repository = await HeldRepository.pin(holder)
      repository.builder.put(RELEASES, 'alices', 'an image of Alice')
      await repository.sign([put('ours')])
      expect(repository.tags(RELEASES)).to.deep.equal(['alices', 'ours'])
      expect(repository.tags('targets/countersign')).to.deep.equal(['ours'])
    })

    it('burns a version that was signed and never published', async () => {
      const repository = await HeldRepository.initialize(holder)
      const lost = await repository.change([put('1.0')])
      const next = await repository.change([put('1.1')])
      expect(lost.roles.map(({ version }) => version)).to.deep.equal([2, 2])
      expect(next.roles.map(({ version }) => version)).to.deep.equal([3, 3])
    })

    it('does nothing twice for one request that was found published, and again what was not', async () => {
      const repository = await HeldRepository.initialize(holder)
      const evidence = { request: 'req-yesterday', principal: 'bot' }
      const asked = [{ ...put('1.0'), evidence }]
      // Signed, and lost on the way; then signed again and published, and undone.
      await repository.change(asked)
      await repository.sign(asked)
      await repository.sign([drop('1.0')])
      await holder.stop()
      await holder.start()
      await expectCodeAsync('REQUEST_ALREADY_PUBLISHED', () => repository.change(asked))
      await expectCodeAsync('REQUEST_ALREADY_PUBLISHED', () => repository.change([put('2.0'), ...asked]))
      expect((await repository.change([{ ...put('2.0'), evidence }])).roles).to.have.length(2)
      const today = { request: 'req-today', principal: 'bot' }
      expect((await repository.change([{ ...put('1.0'), evidence: today }])).roles).to.have.length(2)
    })

    it('gives the same bytes again for the same publication, also after a restart', async () => {
      const repository = await HeldRepository.initialize(holder)
      const files = repository.files()
      const first = await repository.change([put('1.0')], { files, publication: 'p' })
      const again = await repository.change([put('1.0')], { files, publication: 'p' })
      await holder.stop()
      await holder.start()
      const { attachments } = await holder.service.call(
        'change-targets',
        repository.request([put('1.0')], { files, publication: 'p' }),
        files,
      )
      for (const { role } of first.roles) {
        expect(Buffer.from(again.files.get(role)!)).to.deep.equal(Buffer.from(first.files.get(role)!))
        expect(Buffer.from(attachments.get(role)!)).to.deep.equal(Buffer.from(first.files.get(role)!))
      }
    })

    it('works on many repositories and requests at once', async () => {
      const repositories = await Promise.all(
        ['a', 'b', 'c'].map((name) => HeldRepository.initialize(holder, `registry.example.com/team/${name}`)),
      )
      const changes = repositories.flatMap((repository) => [1, 2, 3].map((n) => repository.change([put(`tag-${n}`)])))
      const versions = (await Promise.all(changes)).map(({ roles }) => roles.map(({ version }) => version))
      expect(versions.flat().sort()).to.deep.equal([2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4])
    })

    it('records who asked for what, in parts where it is long', async () => {
      const repository = await HeldRepository.initialize(holder)
      const origin = 'x'.repeat(1000)
      const changes = Array.from({ length: 100 }, (_, index) => {
        const change = put(`tag-${index}`)
        return { ...change, evidence: { ...change.evidence, origin } }
      })
      await repository.sign(changes)
      const records = holder.log().filter(({ kind }) => kind === 'targets-change')
      expect(records.length).to.be.greaterThan(1)
      expect(records.map(({ part }) => part)).to.deep.equal(records.map((_, index) => index + 1))
      expect(records.flatMap((record) => record['changes'])).to.deep.equal(changes.map((change) => ({ ...change })))
    })
  })
