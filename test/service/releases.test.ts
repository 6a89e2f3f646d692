// Requests for many images, of which a registry refuses some: all or none, or each for itself.
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { requestStatus, type SigningRequest } from '../../src/domain/signing-request.ts'
import { approvalDigest } from '../../src/domain/approval-digest.ts'
import type { Submission } from '../../src/service/services.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { FakeRegistryError } from '../support/fakes/registry.ts'
import { app, ended, everybody, World } from '../support/fakes/world.ts'
import { identity, PEOPLE, policyOf, PROJECT } from '../support/policies.ts'

const api = parseGun('registry.example.com/team/api')
const five = [`${app}:1`, `${app}:2`, `${app}:missing`, `${api}:1`, `${api}:2`]

describe('a release of many images', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    await world.initialize(api)
    for (const gun of [app, api]) for (const tag of ['1', '2']) world.registry.push(gun, tag, tag)
  })
  afterEach(() => {
    world.close()
  })
  const submit = async (more: Partial<Submission> = {}): Promise<SigningRequest> =>
    (await world.services.requests.submit(everybody, { kind: 'sign', images: five, ...more })).request
  const statuses = ({ images }: SigningRequest): readonly string[] => images.map(({ record }) => record.status)
  const codes = ({ images }: SigningRequest): readonly string[] =>
    images.flatMap(({ record }) => (record.status === 'failed' ? [record.error.code] : []))

  it('all or none: one that is missing, and nothing is stored or signed', async () => {
    await expectCodeAsync('IMAGE_NOT_FOUND', () => submit())
    expect(world.dependencies.requests.unfinished()).to.deep.equal([])
    expect(await world.found('1')).to.equal(undefined)
  })

  it('each: four are signed, the fifth has its code, and the whole is partial', async () => {
    const request = await ended(world, await submit({ mode: 'each' }))
    expect(statuses(request)).to.deep.equal(['published', 'published', 'failed', 'published', 'published'])
    expect(codes(request)).to.deep.equal(['IMAGE_NOT_FOUND'])
    expect(requestStatus(request.images)).to.equal('partial')
    expect((await world.found('2'))?.sha256).to.equal('2'.repeat(64))
    expect(await world.found('missing')).to.equal(undefined)
    // One publication for each repository: nothing is atomic across several.
    expect(world.observer.publications.map(({ gun, changes }) => [gun, changes])).to.have.deep.members([
      [app, 2],
      [api, 2],
    ])
    const told = world.observer.changes.filter(({ position }) => position === 2)
    expect(told).to.deep.equal([
      {
        request: request.id,
        position: 2,
        kind: 'sign',
        gun: app,
        from: undefined,
        to: 'failed',
        code: 'IMAGE_NOT_FOUND',
      },
    ])
    const [record] = world.keyHolder.records.filter(({ facts }) => facts['tag'] === 'missing')
    expect(record).to.deep.include({ kind: 'request-submitted' })
    expect(record?.facts).to.deep.include({ code: 'IMAGE_NOT_FOUND' })
  })

  it('each: goes on where it stopped, at the digests that were asked for', async () => {
    const { id } = await ended(world, await submit({ mode: 'each' }))
    await expectCodeAsync('IMAGE_NOT_FOUND', () => world.services.requests.resubmit(everybody, id, {}))
    world.registry.push(app, 'missing', 'c')
    const again = await world.services.requests.resubmit(everybody, id, {})
    const request = await ended(world, again.request)
    expect(requestStatus(request.images)).to.equal('published')
    expect(request.images.map(({ record }) => record.status === 'published' && record.unchanged)).to.deep.equal(
      five.map((image) => !image.endsWith('missing')),
    )
    // A tag that moved meanwhile is no more what was asked for: it fails alone.
    world.registry.push(app, '2', 'd')
    const third = await ended(world, (await world.services.requests.resubmit(everybody, id, { mode: 'each' })).request)
    expect(codes(third)).to.deep.equal(['DIGEST_MISMATCH'])
  })

  it('each: a digest that is not the one in the registry fails alone', async () => {
    const request = await ended(
      world,
      await submit({ mode: 'each', images: [`${app}:1@sha256:${'f'.repeat(64)}`, `${app}:2`] }),
    )
    expect(statuses(request)).to.deep.equal(['failed', 'published'])
    expect(codes(request)).to.deep.equal(['DIGEST_MISMATCH'])
  })

  it('each: none of them is there, and the request has failed', async () => {
    const request = await submit({ mode: 'each', images: [`${app}:x`, `${app}:y`] })
    expect(requestStatus(request.images)).to.equal('failed')
    expect(codes(request)).to.deep.equal(['IMAGE_NOT_FOUND', 'IMAGE_NOT_FOUND'])
  })

  it('each: of a registry that does not answer nothing is known, so nothing is stored', async () => {
    world.dependencies.resolver.resolve = () => Promise.reject(new FakeRegistryError('REGISTRY_UNAVAILABLE', 'away'))
    await expectCodeAsync('REGISTRY_UNAVAILABLE', () => submit({ mode: 'each' }))
    expect(world.dependencies.requests.unfinished()).to.deep.equal([])
  })

  it('the mode belongs to what an idempotency key stands for', async () => {
    const images = [`${app}:1`]
    await submit({ images, idempotencyKey: 'k' })
    await expectCodeAsync('IDEMPOTENCY_KEY_REUSED', () => submit({ images, idempotencyKey: 'k', mode: 'each' }))
    const first = await submit({ idempotencyKey: 'each', mode: 'each' })
    expect((await submit({ idempotencyKey: 'each', mode: 'each' })).id).to.equal(first.id)
    await world.settled()
  })

  describe('where people have to approve', () => {
    const bot = identity('token_bot', { groups: ['bots'] })
    const people = [identity('token_ann'), identity('token_bob')]
    const images = ['v1', 'v2', 'v9'].map((tag) => `${app}:${tag}`)

    beforeEach(() => {
      world.policy = policyOf({ 'people.yaml': PEOPLE, 'team.yaml': PROJECT })
      world.registry.push(app, 'v1', 'a')
      world.registry.push(app, 'v2', 'b')
    })
    const ask = async (): Promise<string> => {
      const digests = [`@sha256:${'a'.repeat(64)}`, `@sha256:${'b'.repeat(64)}`, '']
      const named = images.map((image, index) => image + (digests[index] ?? ''))
      const submission = { kind: 'sign', images: named, mode: 'each' } as const
      return (await world.services.requests.submit(bot, submission)).request.id
    }
    const find = (id: string): SigningRequest => world.services.requests.find(everybody, id)

    it('they approve what there is, once for all of it', async () => {
      const id = await ask()
      expect(statuses(find(id))).to.deep.equal(['awaiting-approval', 'awaiting-approval', 'failed'])
      for (const person of people) {
        await world.services.requests.approve(person, id, { digest: approvalDigest(find(id)) })
      }
      const request = await ended(world, find(id))
      expect(statuses(request)).to.deep.equal(['published', 'published', 'failed'])
      expect(requestStatus(request.images)).to.equal('partial')
    })

    it('one denial ends all of it', async () => {
      const id = await ask()
      await world.services.requests.deny(people[0]!, id, { reason: 'no' })
      expect(statuses(find(id))).to.deep.equal(['denied', 'denied', 'failed'])
    })
  })
})
