// The services over the real key holder and its socket; trust server and registry are fakes.
import { parseRoleName, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { outcome, startHeldWorld } from '../support/fakes/held-world.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { app, ended, everybody, type World } from '../support/fakes/world.ts'
import type { TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { isOfPublication, Weather, WEATHER_RATE } from '../support/weather.ts'

describe('the services over the real key holder', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let world: World

  beforeEach(async () => {
    scope = new Scope()
    ;({ holder, world } = await startHeldWorld(scope))
    await world.initialize(app)
    world.faults.weather = new Weather('real key holder', WEATHER_RATE, isOfPublication)
    for (const [tag, letter] of [
      ['1.0', 'a'],
      ['2.0', 'b'],
      ['v1', 'c'],
    ] as const) {
      world.registry.push(app, tag, letter)
    }
  })
  afterEach(async () => {
    expect(world.observer.troubles).to.deep.equal([])
    await scope.close()
  })

  it('sign, sign again, move and unsign', async () => {
    expect(outcome(await world.sign(`${app}:1.0`, `${app}:2.0`))).to.equal('published')
    expect((await world.sign(`${app}:1.0`)).images[0]?.record).to.deep.include({ status: 'published', unchanged: true })
    world.registry.push(app, '1.0', 'd')
    expect(outcome(await world.sign(`${app}:1.0`))).to.equal('published')
    expect(await world.found('1.0')).to.deep.equal({ role: 'targets/releases', sha256: 'd'.repeat(64) })
    expect(outcome(await world.unsign(`${app}:1.0`))).to.equal('published')
    expect(await world.found('1.0')).to.equal(undefined)
    expect((await world.found('2.0'))?.sha256).to.equal('b'.repeat(64))
  })

  it('leave evidence of the request in the audit log', async () => {
    const request = await world.sign(`${app}:1.0`)
    const change = holder.log().find(({ kind }) => kind === 'targets-change')
    expect(JSON.stringify(change)).to.include(request.id).and.include(everybody.id).and.include('allow by policy ')
  })

  it('meet its limits: a locked tag moves once and never again, and takes nobody with it', async () => {
    expect(outcome(await world.sign(`${app}:v1`))).to.equal('published')
    world.registry.push(app, 'v1', 'd')
    const request = await world.sign(`${app}:v1`, `${app}:2.0`)
    expect([outcome(request, 0), outcome(request, 1)]).to.deep.equal(['failed LIMIT_TAG_LOCKED', 'published'])
    expect((await world.found('v1'))?.sha256).to.equal('c'.repeat(64))
  })

  it('wait while it is away, and go on when it is back', async () => {
    world.faults.plan(undefined)
    const { request } = await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:1.0`] })
    await holder.stop()
    await world.settled()
    await holder.start()
    expect(outcome(await ended(world, request))).to.equal('published')
    // 2, or above where a signed version was abandoned and burnt; but never without the tag, and never twice.
    expect(world.server.version(app, RELEASES)).to.be.at.least(2)
    expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
  })

  it('wait while it is sealed, and go on when it is not any more', async () => {
    world.faults.plan(undefined)
    const { request } = await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:1.0`] })
    const evidence = { request: 'seal', principal: 'operator' }
    await holder.operator.call('seal', { reason: 'test', evidence })
    await world.settled()
    const again = { kind: 'sign', images: [`${app}:2.0`] } as const
    await expectCodeAsync('KEY_HOLDER_SEALED', () => world.services.requests.submit(everybody, again))
    await holder.operator.call('unseal', { with: 'configuration', files: [], evidence })
    expect(outcome(await ended(world, request))).to.equal('published')
    expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
  })

  it('report its custody', async () => {
    await world.sign(`${app}:1.0`)
    const report = await world.services.repositories.report(everybody, app)
    expect(report).to.not.have.property('trouble')
    expect(report.custody.keys.every((key) => !('gun' in key))).to.equal(true)
    expect(report.warnings.map(({ code }) => code)).to.include('ROOT_KEY_ONLINE')
    const signer = parseRoleName('targets/countersign')
    expect(report.roles.find(({ role }) => role === signer)).to.deep.include({
      version: world.server.version(app, signer),
      entries: 1,
    })
  })

  it('build nothing upon a repository that was rolled back', async () => {
    await world.sign(`${app}:1.0`)
    world.server.rollBack(app)
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('failed VERSION_ROLLED_BACK')
  })
})
