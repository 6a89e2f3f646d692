// After a theft an operator lets signing go on without what the thief put: a rotation or a renewal brings back what we signed last.
import { editTargets, parseRoleName, parseTag, RELEASES, TARGETS, type RoleName } from '@countersign/tuf'
import { expect } from 'chai'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import { PUBLICATION_STEPS } from '../../src/service/steps.ts'
import { outcome } from '../support/fakes/held-world.ts'
import { load } from '../support/fakes/rival.ts'
import { signFile, type SigningKey } from '../support/fakes/signing-key.ts'
import { app, ended, everybody } from '../support/fakes/world.ts'
import { HostileWorld } from '../support/hostile-world.ts'
import { EVIDENCE } from '../support/key-holder.ts'

const SIGNER = parseRoleName('targets/countersign')

describe('a disowned version', () => {
  let hostile: HostileWorld
  let key: SigningKey
  beforeEach(async () => {
    hostile = await HostileWorld.start()
    expect(await hostile.sign('2.0')).to.equal('published')
    await hostile.world.services.foreignWatch.look(app)
    key = await hostile.stealKey(SIGNER)
    await publishStolen(RELEASES)
    await hostile.world.services.foreignWatch.look(app)
  })
  afterEach(() => hostile.close())

  /** `evil` comes, `1.0` is another image, `2.0` goes. */
  async function publishStolen(role: RoleName): Promise<void> {
    const { world } = hostile
    const next = { version: world.server.version(app, role) + 1, expiresAt: new Date('2029-01-01T00:00:00Z') }
    const put = (tag: string) => ({ kind: 'put', name: parseTag(tag), sha256: 'e'.repeat(64), length: 9 }) as const
    const changes = [put('evil'), put('1.0'), { kind: 'drop', name: parseTag('2.0') } as const]
    const unsigned = editTargets(await load(world, app), role, changes, next)
    if (unsigned === undefined) throw new Error('The thief changes nothing.')
    await world.server.publish(app, new Map([[role, signFile(unsigned, [key])]]))
  }
  const unfreeze = (foreign: 'accept' | 'drop') =>
    hostile.holder.operator.call('unfreeze', { gun: app, reason: 'theft', evidence: EVIDENCE, foreign })
  const tags = async (): Promise<Record<string, string>> => {
    const { world } = hostile
    const found = await Promise.all(
      ['1.0', '2.0', 'evil'].map(
        async (tag) => [tag, (await world.found(tag))?.sha256?.slice(0, 4) ?? 'none'] as const,
      ),
    )
    return Object.fromEntries(found)
  }
  const ask = async (kind: 'renew' | 'rotate'): Promise<SigningRequest> => {
    const { world } = hostile
    return ended(world, (await world.services.requests[kind](everybody, app)).request)
  }
  const stage = () =>
    hostile.holder.operator.call('stage-key', { gun: app, role: SIGNER, reason: 'theft', evidence: EVIDENCE })

  for (const kind of ['renew', 'rotate'] as const) {
    it(`is not carried on by ${kind}: what we signed last comes again, and nothing else`, async () => {
      const thief = await tags()
      expect(thief).to.deep.equal({ '1.0': 'eeee', '2.0': 'none', evil: 'eeee' })
      const before = hostile.world.server.version(app, RELEASES)
      await unfreeze('drop')
      if (kind === 'rotate') await stage()
      expect(outcome(await ask(kind))).to.equal('published')
      const after = await tags()
      expect(after['evil']).to.equal('none')
      expect([after['1.0'], after['2.0']]).not.to.include('eeee').and.not.to.include('none')
      expect(hostile.world.server.version(app, RELEASES)).to.equal(before + 1)
      expect(await hostile.sign('3.0')).to.equal('published')
      expect((await tags())['evil']).to.equal('none')
      const unfrozen = hostile.holder.log().find(({ kind: one }) => one === 'repository-unfrozen')
      expect(unfrozen).to.include({ foreign: 'drop' })
      expect(JSON.stringify(hostile.holder.log())).to.include(`"restoredVersion":${before - 1}`)
    })
  }

  it('BASE_VERSION_DISOWNED: nothing is signed on top of it', async () => {
    await unfreeze('drop')
    expect(await hostile.sign('3.0')).to.equal('failed BASE_VERSION_DISOWNED')
    const { disowned } = await hostile.world.dependencies.keyHolder.repositoryStatus(app)
    expect(disowned).to.deep.equal([RELEASES])
  })

  it('is carried on where the operator accepted it', async () => {
    await unfreeze('accept')
    await stage()
    expect(outcome(await ask('rotate'))).to.equal('published')
    expect((await tags())['evil']).to.equal('eeee')
  })

  it('a thief who publishes again freezes again, and the next decision is about that version', async () => {
    await unfreeze('drop')
    await publishAgain()
    expect((await hostile.world.services.foreignWatch.look(app)).map(({ isFrozen }) => isFrozen)).to.deep.equal([true])
    await unfreeze('drop')
    await stage()
    expect(outcome(await ask('rotate'))).to.equal('published')
    expect((await tags())['evil']).to.equal('none')
  })

  async function publishAgain(): Promise<void> {
    const { world } = hostile
    const next = { version: world.server.version(app, RELEASES) + 1, expiresAt: new Date('2029-01-01T00:00:00Z') }
    const more = { kind: 'put', name: parseTag('more'), sha256: 'e'.repeat(64), length: 9 } as const
    const unsigned = editTargets(await load(world, app), RELEASES, [more], next)
    if (unsigned === undefined) throw new Error('The thief changes nothing.')
    await world.server.publish(app, new Map([[RELEASES, signFile(unsigned, [key])]]))
  }

  it('SIGNED_ROLES_UNEXPECTED: the daemon takes back only what it published itself', async () => {
    await unfreeze('drop')
    const { world } = hostile
    const { requests } = world.dependencies
    const proven = requests.proven.bind(requests)
    requests.proven = (gun) => proven(gun).filter(({ role }) => role !== RELEASES)
    expect(outcome(await ask('renew'))).to.equal('failed SIGNED_ROLES_UNEXPECTED')
    expect(world.server.version(app, TARGETS)).to.equal(1)
  })

  for (const step of PUBLICATION_STEPS.slice(3)) {
    it(`a rotation that stops after the step ${step} ends without it all the same`, async () => {
      await unfreeze('drop')
      await stage()
      const hasStopped = hostile.world.stopAt(step)
      const { request } = await hostile.world.services.requests.rotate(everybody, app)
      await hostile.world.settled()
      expect(outcome(await ended(hostile.world, request))).to.equal('published')
      expect(hasStopped()).to.equal(true)
      expect((await tags())['evil']).to.equal('none')
    })
  }
})
