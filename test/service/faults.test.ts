// Every call of every port fails once, before its effect and after it: as an error, and as the death of the process. Afterwards
// the promises are checked: published once and proven, or not published and said so.
import { CodedError, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { imageOf, isFinal, requestStatus, type SigningRequest } from '../../src/domain/signing-request.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { NotaryError } from '../../src/notary/errors.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { StoreError } from '../../src/store/errors.ts'
import { Crash, type Moment } from '../support/fakes/faults.ts'
import { app, everybody, World } from '../support/fakes/world.ts'

const SUBMISSION = { kind: 'sign', images: [`${app}:1.0`], idempotencyKey: 'key-1' } as const
const SHA256 = 'a'.repeat(64)

/** What the adapters throw when the other side does not answer. */
function errorOf(method: string): () => Error {
  const [port = ''] = method.split('.')
  if (method === 'publisher.publish') return () => new NotaryError('NOTARY_ANSWER_LOST', 'lost')
  const errors: Readonly<Record<string, () => Error>> = {
    source: () => new NotaryError('NOTARY_UNAVAILABLE', 'out of reach'),
    publisher: () => new NotaryError('NOTARY_UNAVAILABLE', 'out of reach'),
    resolver: () => new RegistryError('REGISTRY_UNAVAILABLE', 'out of reach'),
    keyHolder: () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'out of reach'),
  }
  return errors[port] ?? (() => new StoreError('STORE_UNWRITABLE', 'the disk is full'))
}

async function prepared(): Promise<World> {
  const world = await World.withRepository()
  world.registry.push(app, '0.9', 'e')
  await world.sign(`${app}:0.9`)
  world.registry.push(app, '1.0', 'a')
  world.faults.plan(undefined)
  return world
}

/** Submits, and lets the services work until they stop. */
async function attempt(world: World): Promise<SigningRequest | undefined> {
  try {
    const { request } = await world.services.requests.submit(everybody, SUBMISSION)
    await world.settled()
    return request
  } catch (error) {
    if (error instanceof Crash || error instanceof CodedError) return undefined
    throw error
  }
}

async function finish(world: World): Promise<void> {
  for (let round = 0; round < 3; round++) await world.services.reconciler.run()
}

async function checkPromises(world: World, acknowledged: SigningRequest | undefined): Promise<void> {
  const stored = world.dependencies.requests.list({ limit: 10, isVisible: () => true }).requests
  const request = stored.find(({ images }) => imageOf(images[0]!.record)?.tag === '1.0')
  if (acknowledged !== undefined) expect(request?.id, 'what was acknowledged is durable').to.equal(acknowledged.id)
  const found = await world.found('1.0')
  const record = request?.images[0]?.record
  expect(record === undefined || isFinal(record.status), 'nothing is left in between').to.equal(true)
  expect(found?.sha256).to.equal(record?.status === 'published' ? SHA256 : undefined)
  expect((await world.found('0.9'))?.sha256, 'other entries stand').to.equal('e'.repeat(64))
  // Initialization, 0.9, and at most one more.
  const publications = world.server.published.length
  expect(publications, 'published once').to.equal(record?.status === 'published' ? 3 : 2)
  if (record?.status === 'published') {
    expect(record.roles.find(({ role }) => role === RELEASES)?.version).to.equal(world.server.version(app, RELEASES))
  }
}

/** The calls of an undisturbed run, each with its count. */
async function callsOfCleanRun(): Promise<[method: string, call: number][]> {
  const world = await prepared()
  const request = await attempt(world)
  const made = [...world.faults.calls]
  expect(request && requestStatus(world.services.requests.find(everybody, request.id).images)).to.equal('published')
  const seen = new Map<string, number>()
  const calls = made.map((method): [string, number] => {
    const count = (seen.get(method) ?? 0) + 1
    seen.set(method, count)
    return [method, count]
  })
  world.close()
  return calls
}

describe('faults', () => {
  let calls: [method: string, call: number][] = []
  before(async () => {
    calls = await callsOfCleanRun()
  })

  it('has every port in the run', () => {
    const ports = new Set(calls.map(([method]) => method.split('.')[0]))
    expect([...ports].sort()).to.deep.equal([
      'keyHolder',
      'publisher',
      'repositories',
      'requests',
      'resolver',
      'source',
    ])
    for (const method of [
      'keyHolder.changeTargets',
      'keyHolder.observeRepository',
      'publisher.publish',
      'requests.save',
    ]) {
      expect(calls.map(([name]) => name)).to.include(method)
    }
  })

  for (const moment of ['before', 'after'] as const satisfies readonly Moment[]) {
    it(`a call that fails ${moment} its effect`, async function () {
      this.timeout(120_000)
      for (const [method, call] of calls) {
        const world = await prepared()
        world.faults.plan({ method, call, moment, error: errorOf(method) })
        const acknowledged = await attempt(world)
        expect(world.faults.happened, `${method} ${call}`).to.equal(true)
        world.faults.plan(undefined)
        await finish(world)
        await checkPromises(world, acknowledged).catch((error: unknown) => {
          throw new Error(`${moment} ${method} ${call}`, { cause: error })
        })
        world.close()
      }
    })

    it(`a process that dies ${moment} the effect of a call`, async function () {
      this.timeout(120_000)
      for (const [method, call] of calls) {
        const world = await prepared()
        world.faults.plan({ method, call, moment, error: () => new Crash(method) })
        const acknowledged = await attempt(world)
        await world.restart()
        await finish(world)
        await checkPromises(world, acknowledged).catch((error: unknown) => {
          throw new Error(`${moment} ${method} ${call}`, { cause: error })
        })
        // Whoever did not hear the acknowledgement asks again with the same key, and gets the same request.
        const again = await attempt(world)
        await finish(world)
        expect(again && requestStatus(world.services.requests.find(everybody, again.id).images)).to.equal('published')
        await checkPromises(world, again)
        world.close()
      }
    })
  }

  // Signing tries every call; these are those with an effect that removal has of its own.
  for (const method of [
    'keyHolder.changeTargets',
    'publisher.publish',
    'keyHolder.observeRepository',
    'requests.save',
  ]) {
    for (const moment of ['before', 'after'] as const satisfies readonly Moment[]) {
      for (const [how, error] of [
        ['fails', errorOf(method)],
        ['dies', () => new Crash(method)],
      ] as const) {
        it(`${method}, which ${how} ${moment} its effect, while a tag is removed`, async () => {
          const world = await prepared()
          await world.sign(`${app}:1.0`)
          const published = world.server.published.length
          world.faults.plan({ method, call: 1, moment, error })
          const unsigning = { kind: 'unsign', images: [`${app}:0.9`], idempotencyKey: 'key-2' } as const
          const submit = () => world.services.requests.submit(everybody, unsigning)
          await submit().catch(() => undefined)
          await world.settled().catch(() => undefined)
          expect(world.faults.happened).to.equal(true)
          await world.restart()
          const { request } = await submit()
          await finish(world)
          expect(requestStatus(world.services.requests.find(everybody, request.id).images)).to.equal('published')
          expect(await world.found('0.9')).to.equal(undefined)
          expect((await world.found('1.0'))?.sha256, 'other entries stand').to.equal(SHA256)
          expect(world.server.published.length, 'published once').to.equal(published + 1)
          world.close()
        })
      }
    }
  }
})
