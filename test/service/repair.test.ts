// A repository that has expired, over the real key holder: repaired by a request like every other, and by nothing else.
import { TARGETS, type RoleName } from '@countersign/tuf'
import { expect } from 'chai'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { AgingRepository, OURS } from '../support/fakes/aging-repository.ts'
import { outcome } from '../support/fakes/held-world.ts'
import { app, ended, everybody, type World } from '../support/fakes/world.ts'
import type { TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'

describe('repair', () => {
  let scope: Scope
  let repository: AgingRepository
  let holder: TestKeyHolder
  let world: World

  beforeEach(async () => {
    scope = new Scope()
    repository = await AgingRepository.start(scope)
    ;({ holder, world } = repository)
  })
  afterEach(() => scope.close())

  const pass = (days: number): void => {
    repository.pass(days)
  }
  const daysLeft = (role: RoleName): number => repository.daysLeft(role)
  const repair = async (): Promise<SigningRequest> =>
    ended(world, (await world.services.requests.repair(everybody, app)).request)
  const plan = async () =>
    (await world.services.requests.planRepair(everybody, app)).map(({ role, canRepair }) => [role, canRepair])

  it('gives everything that has expired three more years, and tags are found and signed again', async () => {
    pass(3 * 365 + 100)
    expect(outcome(await world.sign(`${app}:2.0`).catch(() => ({ images: [] }) as never))).to.not.equal('published')
    expect((await world.services.repositories.report(everybody, app)).trouble?.code).to.equal('ROLE_EXPIRED')
    await expectCodeAsync('ROLE_EXPIRED', () => world.services.requests.renew(everybody, app))
    expect(await plan()).to.have.deep.members(OURS.map((role) => [role, true]))
    const request = await repair()
    expect(outcome(request)).to.equal('published')
    expect(OURS.map(daysLeft)).to.deep.equal([1095, 1095, 1095])
    expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
    const record = holder.log().find(({ kind }) => kind === 'roles-repair')
    expect(JSON.stringify(record)).to.include(request.id)
    expect(await plan()).to.deep.equal([])
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
  })

  it('repairs only what has expired: here base targets, while the delegations were signed again and again', async () => {
    pass(2 * 365)
    await world.sign(`${app}:2.0`)
    pass(400)
    expect(await plan()).to.deep.equal([[TARGETS, true]])
    expect(outcome(await repair())).to.equal('published')
    expect(OURS.map(daysLeft)).to.deep.equal([1095, 695, 695])
  })

  it('a repository that has expired can be adopted, and is repaired afterwards', async () => {
    pass(3 * 365 + 100)
    world.forgetRegistrations()
    const { repository, trouble } = await world.services.repositories.adopt(everybody, app)
    expect([repository.state, trouble?.code]).to.deep.equal(['ready', 'ROLE_EXPIRED'])
    expect(outcome(await repair())).to.equal('published')
    expect(await world.services.repositories.report(everybody, app)).to.not.have.property('trouble')
  })

  it('REPAIR_NOT_NEEDED: nothing has expired; NOT_PERMITTED: without the grant operator', async () => {
    await expectCodeAsync('REPAIR_NOT_NEEDED', () => world.services.requests.repair(everybody, app))
    pass(3 * 365 + 100)
    const submitter = { ...everybody, grants: everybody.grants.filter(({ grant }) => grant === 'submit') }
    await expectCodeAsync('NOT_PERMITTED', () => world.services.requests.repair(submitter, app))
    await expectCodeAsync('NOT_PERMITTED', () => world.services.requests.planRepair(submitter, app))
  })

  it('REPAIR_NOT_POSSIBLE: the key of targets is not here, and the detail names it', async () => {
    pass(3 * 365 + 100)
    const [targets] = (await world.services.requests.planRepair(everybody, app)).filter(({ role }) => role === TARGETS)
    await holder.stop()
    holder.database((database) => {
      database.prepare(`UPDATE keys SET state = 'replaced' WHERE role = 'targets'`).run()
    })
    await holder.start()
    const error = await expectCodeAsync('REPAIR_NOT_POSSIBLE', () => world.services.requests.repair(everybody, app))
    expect(error.message).to.include(targets?.keys[0]).and.include('root key')
  })

  it('asked for twice is one repair', async () => {
    pass(3 * 365 + 100)
    const first = await world.services.requests.repair(everybody, app)
    const second = await world.services.requests.repair(everybody, app)
    expect([second.request.id, second.isRepeated]).to.deep.equal([first.request.id, true])
    await ended(world, first.request)
  })

  // The others stand where a renewal has them (renewal.test.ts).
  for (const step of ['intent-saved', 'bytes-saved', 'published', 'read-back'] as const) {
    it(`stopped after the step ${step} ends published, once`, async () => {
      pass(3 * 365 + 100)
      const hasStopped = world.stopAt(step)
      const { request } = await world.services.requests.repair(everybody, app)
      await world.settled()
      await world.services.reconciler.run()
      expect(outcome(await ended(world, request))).to.equal('published')
      expect(hasStopped()).to.equal(true)
      for (const role of OURS) expect(daysLeft(role)).to.be.greaterThan(1000)
      expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
    })
  }
})
