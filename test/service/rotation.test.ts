// A rotation as the services see it, over the real key holder: staged by an operator, asked for through the API, published once.
import { parseRoleName, parseTargets, RELEASES, sha256Hex, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import { PUBLICATION_STEPS } from '../../src/service/steps.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { outcome, startHeldWorld } from '../support/fakes/held-world.ts'
import { app, ended, everybody, type World } from '../support/fakes/world.ts'
import { EVIDENCE, type TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { isOfPublication, Weather, WEATHER_RATE } from '../support/weather.ts'

const SIGNER = parseRoleName('targets/countersign')

describe('a rotation', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let world: World

  beforeEach(async () => {
    scope = new Scope()
    ;({ holder, world } = await startHeldWorld(scope))
    await world.initialize(app)
    world.faults.weather = new Weather('rotation', WEATHER_RATE, isOfPublication)
    world.registry.push(app, '1.0', 'a')
    world.registry.push(app, '2.0', 'b')
    await world.sign(`${app}:1.0`)
  })
  afterEach(async () => {
    expect(world.observer.troubles).to.deep.equal([])
    await scope.close()
  })

  const stage = async (): Promise<{ to: string; from: string }> => {
    const { response } = await holder.operator.call('stage-key', {
      gun: app,
      role: SIGNER,
      reason: 'yearly',
      evidence: EVIDENCE,
    })
    return { to: response.canonicalKeyId, from: response.replaces }
  }
  const rotate = async (): Promise<SigningRequest> =>
    ended(world, (await world.services.requests.rotate(everybody, app)).request)
  const listed = (): string[] => {
    const bytes = world.server.currentFile(app, TARGETS)!
    return [...parseTargets(bytes, TARGETS).metadata.delegations.keys.values()].map((key) => key.canonicalKeyId)
  }

  it('is published once, with every tag still there, and the next signature is by the new key', async () => {
    const { from, to } = await stage()
    expect(listed()).to.deep.equal([from])
    const request = await rotate()
    expect(outcome(request)).to.equal('published')
    expect(request.images[0]?.record).to.deep.include({ unchanged: false })
    expect(listed()).to.deep.equal([to])
    expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
    const { custody, warnings } = await world.services.repositories.report(everybody, app)
    expect(custody.keys.filter(({ role }) => role === SIGNER).map(({ state }) => state)).to.deep.equal([
      'replaced',
      'active',
    ])
    expect(warnings.map(({ code }) => code)).to.deep.equal(['ROOT_KEY_ONLINE'])
    const record = holder.log().find(({ kind }) => kind === 'keys-replacement')
    expect(JSON.stringify(record)).to.include(request.id).and.include(everybody.id)
  })

  it('goes on beside signatures that are asked for at the same time', async () => {
    await stage()
    const requests = await Promise.all([
      world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:2.0`] }),
      world.services.requests.rotate(everybody, app),
      world.services.requests.submit(everybody, { kind: 'unsign', images: [`${app}:1.0`] }),
    ])
    for (const { request } of requests) expect(outcome(await ended(world, request))).to.equal('published')
    expect((await world.found('2.0'))?.sha256).to.equal('b'.repeat(64))
    expect(await world.found('1.0')).to.equal(undefined)
  })

  it('asked for twice is one rotation', async () => {
    // A lost answer would burn a version: one more than is counted here.
    world.faults.weather = undefined
    await stage()
    const first = await world.services.requests.rotate(everybody, app)
    const second = await world.services.requests.rotate(everybody, app)
    expect([second.request.id, second.isRepeated]).to.deep.equal([first.request.id, true])
    await ended(world, first.request)
    expect(world.server.version(app, TARGETS)).to.equal(2)
  })

  it('waits while the key holder is away, and goes on when it is back', async () => {
    world.faults.plan(undefined)
    await stage()
    const { request } = await world.services.requests.rotate(everybody, app)
    await holder.stop()
    await world.settled()
    await holder.start()
    expect(outcome(await ended(world, request))).to.equal('published')
  })

  it('SIGNATURE_BELOW_THRESHOLD: files that clients would not take are not sent', async () => {
    world.faults.weather = undefined
    await stage()
    const { keyHolder } = world.dependencies
    const replaceKeys = keyHolder.replaceKeys.bind(keyHolder)
    keyHolder.replaceKeys = async (asked) =>
      (await replaceKeys(asked)).map((file) => {
        if (file.role !== RELEASES) return file
        const text = Buffer.from(file.bytes).toString()
        const bytes = Buffer.from(text.replace(/"sig":"(.)/, (_all, first) => `"sig":"${first === 'A' ? 'B' : 'A'}`))
        return { ...file, bytes, sha256: sha256Hex(bytes) }
      })
    expect(outcome(await rotate())).to.equal('failed SIGNATURE_BELOW_THRESHOLD')
    expect([TARGETS, RELEASES].map((role) => world.server.version(app, role))).to.deep.equal([1, 2])
  })

  it('ROTATION_NOT_STAGED: no operator has staged a key', async () => {
    await expectCodeAsync('ROTATION_NOT_STAGED', () => world.services.requests.rotate(everybody, app))
  })

  it('NOT_PERMITTED: without the grant operator', async () => {
    await stage()
    const submitter = { ...everybody, grants: everybody.grants.filter(({ grant }) => grant === 'submit') }
    await expectCodeAsync('NOT_PERMITTED', () => world.services.requests.rotate(submitter, app))
  })

  it('a frozen repository is not rotated, and the request says so', async () => {
    await stage()
    await holder.operator.call('freeze', { gun: app, reason: 'test', evidence: EVIDENCE })
    expect(outcome(await rotate())).to.equal('failed REPOSITORY_FROZEN')
    await holder.operator.call('unfreeze', { gun: app, reason: 'test', evidence: EVIDENCE })
    expect(outcome(await rotate())).to.equal('published')
  })

  for (const step of PUBLICATION_STEPS) {
    it(`stopped after the step ${step} ends published, once`, async () => {
      // A lost answer leads past some steps.
      world.faults.weather = undefined
      await stage()
      const hasStopped = world.stopAt(step)
      const { request } = await world.services.requests.rotate(everybody, app)
      await world.settled()
      world.observer.troubles.length = 0
      await world.services.reconciler.run()
      const done = await ended(world, request)
      expect(hasStopped()).to.equal(true)
      expect(outcome(done)).to.equal('published')
      expect(listed()).to.have.length(1)
      expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
      expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
      expect(world.server.version(app, RELEASES)).to.be.at.least(3)
    })
  }
})
