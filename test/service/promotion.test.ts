// What is signed for one tag is signed for another, as long as both sides stand as they were looked at.
import { parseGun, parseRoleName, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import { approvalDigest } from '../../src/domain/approval-digest.ts'
import { type Principal } from '../../src/domain/principal.ts'
import { imageOf, type SigningRequest } from '../../src/domain/signing-request.ts'
import { NotaryError } from '../../src/notary/errors.ts'
import type { Submission } from '../../src/service/services.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { outcome } from '../support/fakes/held-world.ts'
import { app, ended, everybody, principal, World } from '../support/fakes/world.ts'
import { identity, PEOPLE, policyOf, PROJECT } from '../support/policies.ts'

const staging = parseGun('staging.example.com/team/app')
const source = `${staging}:rc1`
const target = `${app}:v1`
const [a, b] = ['a'.repeat(64), 'b'.repeat(64)]

describe('a promotion', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    await world.initialize(staging)
    world.registry.push(staging, 'rc1', 'a')
    world.registry.push(app, 'v1', 'a')
    await world.sign(source)
    world.faults.plan(undefined)
  })
  afterEach(async () => {
    await world.settled()
    world.close()
  })
  const submit = async (more: Partial<Submission> = {}, who: Principal = everybody): Promise<SigningRequest> => {
    const submission = { kind: 'sign', images: [target], promotedFrom: source, ...more } as const
    return (await world.services.requests.submit(who, submission)).request
  }
  const outside = (): string[] =>
    world.faults.calls.filter((call) => /^(source|publisher|resolver|keyHolder)\./.test(call))

  it('signs at the destination what is signed at the source, and keeps where it came from', async () => {
    world.registry.asked.length = 0
    const request = await ended(world, await submit())
    expect(outcome(request)).to.equal('published')
    expect((await world.found('v1'))?.sha256).to.equal(a)
    const evidence = { gun: staging, tag: 'rc1', sha256: a, role: 'targets/releases', version: 1 }
    expect(imageOf(request.images[0]!.record)?.promotedFrom).to.deep.equal(evidence)
    const record = world.keyHolder.records.findLast(({ kind }) => kind === 'request-submitted')
    expect(record?.facts).to.deep.include({
      tag: 'v1',
      promotedFrom: `${source}@sha256:${a}`,
      promotedFromRole: 'targets/releases',
      promotedFromVersion: 1,
    })
    // Nothing of the source's registry is needed.
    expect(world.registry.asked.every((image) => image.startsWith(app))).to.equal(true)
  })

  it('to several tags is one request; each with its own result where that is asked', async () => {
    world.registry.push(app, 'v2', 'b')
    const images = [target, `${app}:v2`, `${app}:v3`]
    await expectCodeAsync('PROMOTION_DESTINATION_DIFFERS', () => submit({ images }))
    const request = await ended(world, await submit({ images, mode: 'each' }))
    expect(images.map((_image, position) => outcome(request, position))).to.deep.equal([
      'published',
      'failed PROMOTION_DESTINATION_DIFFERS',
      'failed IMAGE_NOT_FOUND',
    ])
    world.registry.push(app, 'v2', 'a')
    const again = await world.services.requests.resubmit(everybody, request.id, { mode: 'each' })
    expect(outcome(await ended(world, again.request), 1)).to.equal('published')
    expect(imageOf(again.request.images[1]!.record)?.promotedFrom?.gun).to.equal(staging)
  })

  describe('is refused, and nothing is stored', () => {
    const refused = async (code: string, more: Partial<Submission> = {}, who?: Principal): Promise<void> => {
      await expectCodeAsync(code, () => submit(more, who))
      expect(world.dependencies.requests.unfinished()).to.deep.equal([])
    }

    it('without read on the source, or where that is not registered: nobody is asked', async () => {
      await refused('NOT_PERMITTED', {}, principal('bot', ['submit', 'registry.example.com/*']))
      await refused('NOT_PERMITTED', { promotedFrom: 'elsewhere.example.com/team/app:1' })
      expect(outside()).to.deep.equal([])
    })

    it('of what is to be unsigned, or from no tag', async () => {
      await refused('REQUEST_FIELD_INVALID', { kind: 'unsign' })
      await refused('IMAGE_TAG_MISSING', { promotedFrom: staging })
    })

    it('where the source is not signed, or at another digest than the one named', async () => {
      await refused('PROMOTION_SOURCE_NOT_SIGNED', { promotedFrom: `${staging}:rc2` })
      await refused('PROMOTION_SOURCE_MOVED', { promotedFrom: `${source}@sha256:${b}` })
    })

    it('where the destination serves another digest', async () => {
      world.registry.push(app, 'v1', 'b')
      await refused('PROMOTION_DESTINATION_DIFFERS')
    })

    it('where the source does not verify: it was rolled back', async () => {
      world.registry.push(staging, 'rc2', 'b')
      await world.sign(`${staging}:rc2`)
      world.server.rollBack(staging)
      await refused('VERSION_ROLLED_BACK')
    })

    it('where the source is frozen, or was disowned', async () => {
      const { keyHolder } = world.dependencies
      const status = keyHolder.repositoryStatus.bind(keyHolder)
      for (const trouble of [{ state: 'frozen' as const }, { disowned: [parseRoleName('targets/releases')] }]) {
        keyHolder.repositoryStatus = async (gun) => ({ ...(await status(gun)), ...(gun === staging && trouble) })
        await refused('PROMOTION_SOURCE_FROZEN')
      }
      keyHolder.repositoryStatus = status
    })
  })

  it('the source belongs to what an idempotency key stands for', async () => {
    await submit({ idempotencyKey: 'k' })
    await expectCodeAsync('IDEMPOTENCY_KEY_REUSED', () =>
      submit({ idempotencyKey: 'k', promotedFrom: `${staging}:rc2` }),
    )
  })

  describe('that waited for approvals', () => {
    const bot = { ...identity('token_bot', { groups: ['bots'] }), grants: everybody.grants }
    const people = [identity('token_ann'), identity('token_bob')]
    let id: string

    beforeEach(async () => {
      world.policy = policyOf({ 'people.yaml': PEOPLE, 'team.yaml': PROJECT })
      id = (await submit({}, bot)).id
      expect(outcome(find())).to.equal('awaiting-approval')
    })
    const find = (): SigningRequest => world.services.requests.find(everybody, id)
    const approved = async (): Promise<string> => {
      for (const person of people) {
        await world.services.requests.approve(person, id, { digest: approvalDigest(find()) })
      }
      return outcome(await ended(world, find()))
    }

    it('goes on where both sides stand as they were', async () => {
      expect(await approved()).to.equal('published')
    })

    it('what is approved has the source in it', () => {
      const other = find().images.map((image) => {
        const subject = imageOf(image.record)
        const promotedFrom = subject?.promotedFrom && { ...subject.promotedFrom, tag: parseTag('rc2') }
        return {
          ...image,
          record: { ...image.record, subject: { ...subject!, ...(promotedFrom && { promotedFrom }) } },
        }
      })
      expect(approvalDigest({ ...find(), images: other })).not.to.equal(approvalDigest(find()))
    })

    it('ends where the destination has moved: DIGEST_MISMATCH', async () => {
      world.registry.push(app, 'v1', 'b')
      expect(await approved()).to.equal('failed DIGEST_MISMATCH')
      expect(await world.found('v1')).to.equal(undefined)
    })

    it('ends where the source was signed anew: PROMOTION_SOURCE_MOVED', async () => {
      const { policy } = world
      world.policy = (await World.withRepository()).policy
      world.registry.push(staging, 'rc1', 'b')
      await world.sign(source)
      world.policy = policy
      expect(await approved()).to.equal('failed PROMOTION_SOURCE_MOVED')
    })

    it('ends where the source was unsigned: PROMOTION_SOURCE_NOT_SIGNED', async () => {
      const { policy } = world
      world.policy = (await World.withRepository()).policy
      await world.unsign(source)
      world.policy = policy
      expect(await approved()).to.equal('failed PROMOTION_SOURCE_NOT_SIGNED')
    })

    it('waits while the trust server of the source is away, and goes on', async () => {
      for (const person of people) {
        const last = person === people[1]
        if (last) {
          const { source: server } = world.dependencies
          const read = server.read.bind(server)
          let failures = 8
          server.read = (gun, file, max) => {
            if (gun !== staging || failures-- <= 0) return read(gun, file, max)
            return Promise.reject(new NotaryError('NOTARY_UNAVAILABLE', 'away'))
          }
        }
        await world.services.requests.approve(person, id, { digest: approvalDigest(find()) })
      }
      await world.settled()
      expect(outcome(find())).to.equal('approved')
      for (let round = 0; round < 3 && outcome(find()) === 'approved'; round++) await world.settled()
      expect(outcome(find())).to.equal('published')
    })
  })
})
