// The years of a repository, over the real key holder: what we sign is signed again before it expires, and nothing else changes.
import type { RoleName } from '@countersign/tuf'
import { expect } from 'chai'
import { ExpiryWatch } from '../../src/app/expiry-watch.ts'
import type { RenewalSettings } from '../../src/domain/renewal.ts'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import { silentLog } from '../../src/log.ts'
import { createServices } from '../../src/service/create-services.ts'
import { PUBLICATION_STEPS } from '../../src/service/steps.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { AgingRepository, OURS } from '../support/fakes/aging-repository.ts'
import { outcome } from '../support/fakes/held-world.ts'
import { app, ended, everybody, type World } from '../support/fakes/world.ts'
import { living, type TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'

const DAY_MS = 86_400_000
const BEFORE_MS = 270 * DAY_MS

describe('renewal', () => {
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
  const renew = async (): Promise<SigningRequest> =>
    ended(world, (await world.services.requests.renew(everybody, app)).request)
  const watchWith = (renewal: RenewalSettings): ExpiryWatch =>
    new ExpiryWatch({
      services: world.services,
      clock: world.time,
      log: silentLog,
      renewal,
      notices: { noteExpiry: () => undefined },
    })
  const versions = (): number[] => OURS.map((role) => world.server.version(app, role))

  it('gives every role that expires soon three more years, and leaves the entries as they are', async () => {
    pass(3 * 365 - 200)
    expect(OURS.map(daysLeft)).to.deep.equal([200, 200, 200])
    const before = versions()
    const request = await renew()
    expect(outcome(request)).to.equal('published')
    expect(OURS.map(daysLeft)).to.deep.equal([1095, 1095, 1095])
    expect(versions()).to.deep.equal(before.map((version) => version + 1))
    expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
    const record = holder.log().find(({ kind }) => kind === 'roles-renewal')
    expect(JSON.stringify(record)).to.include(request.id)
  })

  it('renews only what needs it: here base targets, while the delegations are signed again and again', async () => {
    pass(2 * 365)
    await world.sign(`${app}:2.0`)
    pass(300)
    expect(outcome(await renew())).to.equal('published')
    expect(OURS.map(daysLeft)).to.deep.equal([1095, 795, 795])
  })

  it('renews unasked only where the settings say so: base targets wait for somebody to ask', async () => {
    const renewal = { targetsMs: 0, delegationsMs: BEFORE_MS, spreadMs: 0 }
    const { dependencies } = world
    const settings = { ...dependencies.settings, renewal }
    world.services = createServices({ ...dependencies, settings })
    pass(3 * 365 - 200)
    await watchWith(renewal).look(new AbortController().signal)
    await world.settled()
    expect(OURS.map(daysLeft)).to.deep.equal([200, 1095, 1095])
    expect(outcome(await renew())).to.equal('published')
    expect(OURS.map(daysLeft)).to.deep.equal([1095, 1095, 1095])
  })

  it('gives the lives that the limits file says, within half of them, and forecasts the same', async () => {
    const own = new Scope()
    try {
      repository = await AgingRepository.start(own, living({ targets: 90, delegations: 40 }))
      ;({ holder, world } = repository)
      const renewal = { targetsMs: BEFORE_MS, delegationsMs: BEFORE_MS, spreadMs: 0 }
      world.services = createServices({
        ...world.dependencies,
        settings: { ...world.dependencies.settings, renewal },
      })
      const look = async (): Promise<readonly number[]> => {
        await watchWith(renewal).look(new AbortController().signal)
        await world.settled()
        return OURS.map(daysLeft)
      }
      expect(OURS.map(daysLeft)).to.deep.equal([90, 40, 40])
      pass(19)
      expect(await look(), 'before the windows').to.deep.equal([71, 21, 21])
      const { acts } = await world.services.repositories.forecast(everybody, app)
      const days = (role: RoleName): readonly number[] =>
        acts
          .filter((act) => act.role === role)
          .map(({ at }) => Math.ceil((at.getTime() - world.time.now().getTime()) / DAY_MS))
      expect(OURS.map((role) => days(role).slice(0, 3))).to.deep.equal([
        [26, 71, 116],
        [1, 21, 41],
        [1, 21, 41],
      ])
      pass(2)
      expect(await look(), 'in that of the delegations').to.deep.equal([69, 40, 40])
      pass(19)
      expect(await look()).to.deep.equal([50, 21, 21])
      pass(6)
      expect(await look(), 'in both').to.deep.equal([90, 40, 40])
      const { warnings } = await world.services.repositories.report(everybody, app)
      expect(warnings.map(({ code }) => code)).to.not.include('ROLE_EXPIRES_SOON')
    } finally {
      await own.close()
    }
  })

  it('an operator who asks while such a renewal runs is not answered with it: base targets are renewed, too', async () => {
    const renewal = { targetsMs: 0, delegationsMs: BEFORE_MS, spreadMs: 0 }
    const { dependencies } = world
    const settings = { ...dependencies.settings, renewal }
    world.services = createServices({ ...dependencies, settings })
    pass(3 * 365 - 200)
    await watchWith(renewal).look(new AbortController().signal)
    const [own] = dependencies.requests.unfinished(app)
    expect(own?.submitter.id, 'it runs still').to.equal('countersign')
    const asked = await world.services.requests.renew(everybody, app)
    expect([asked.isRepeated, asked.request.id === own?.request]).to.deep.equal([false, false])
    const again = await world.services.requests.renew(everybody, app)
    expect([again.isRepeated, again.request.id]).to.deep.equal([true, asked.request.id])
    expect(outcome(await ended(world, asked.request))).to.equal('published')
    expect(OURS.map(daysLeft)).to.deep.equal([1095, 1095, 1095])
  })

  it('RENEWAL_NOT_DUE: nothing expires soon', async () => {
    await expectCodeAsync('RENEWAL_NOT_DUE', () => world.services.requests.renew(everybody, app))
  })

  it('NOT_PERMITTED: without the grant operator', async () => {
    pass(3 * 365 - 200)
    const submitter = { ...everybody, grants: everybody.grants.filter(({ grant }) => grant === 'submit') }
    await expectCodeAsync('NOT_PERMITTED', () => world.services.requests.renew(submitter, app))
  })

  it('asked for twice is one renewal', async () => {
    pass(3 * 365 - 200)
    const first = await world.services.requests.renew(everybody, app)
    const second = await world.services.requests.renew(everybody, app)
    expect([second.request.id, second.isRepeated]).to.deep.equal([first.request.id, true])
    await ended(world, first.request)
  })

  for (const step of PUBLICATION_STEPS) {
    it(`stopped after the step ${step} ends published, once`, async () => {
      pass(3 * 365 - 200)
      const hasStopped = world.stopAt(step)
      const { request } = await world.services.requests.renew(everybody, app)
      await world.settled()
      await world.services.reconciler.run()
      expect(outcome(await ended(world, request))).to.equal('published')
      expect(hasStopped()).to.equal(true)
      for (const role of OURS) expect(daysLeft(role)).to.be.greaterThan(1000)
      expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
    })
  }

  /** Nine years in steps of a quarter, with a signature in each; the root lives ten. */
  async function live(look: () => Promise<void>): Promise<number> {
    for (let quarter = 1; quarter <= 36; quarter++) {
      pass(91)
      await look()
      await world.settled()
      const tag = `q${quarter}`
      world.registry.push(app, tag, 'c')
      if (outcome(await world.sign(`${app}:${tag}`)) !== 'published') return quarter
    }
    return 0
  }

  it('keeps a repository alive for nine years, which dies in the third without it', async () => {
    const watch = watchWith({ targetsMs: BEFORE_MS, delegationsMs: BEFORE_MS, spreadMs: 30 * DAY_MS })
    expect(await live(() => watch.look(new AbortController().signal))).to.equal(0)
    expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
    for (const role of OURS) expect(daysLeft(role)).to.be.greaterThan(BEFORE_MS / DAY_MS - 30 - 91)
  }).timeout(60_000)

  it('without it the same years end after three, so that the test above is known to bite', async () => {
    expect(await live(() => Promise.resolve())).to.equal(13)
  })
})
