// Somebody is out of reach, or the clock is wrong: requests wait and say why, or fail with a code; nothing is signed in vain.
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { codeOf } from '../../src/domain/port-faults.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { NotaryError } from '../../src/notary/errors.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { app, ended, everybody, World } from '../support/fakes/world.ts'

const YEAR_MS = 365 * 86_400_000

describe('outages', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    // The check of the snapshot key is made again.
    await world.restart()
    world.registry.push(app, '1.0', 'a')
  })
  afterEach(() => {
    expect(world.observer.troubles).to.deep.equal([])
    world.close()
  })

  const waitingCode = (id: string): string | undefined =>
    world.services.requests.find(everybody, id).images[0]?.waiting?.code

  const only = (): string => world.services.requests.list(everybody, {}).requests[0]?.id ?? ''

  /** The daemon's clock; that of the servers stays right. */
  function shiftClock(milliseconds: number): void {
    const now = (): Date => new Date(world.time.now().getTime() + milliseconds)
    Object.assign(world.dependencies.clock, { now })
  }

  const OUTAGES: readonly (readonly [method: string, error: () => Error])[] = [
    ['source.read', () => new NotaryError('NOTARY_UNAVAILABLE', 'down')],
    ['publisher.serverKey', () => new NotaryError('NOTARY_UNAVAILABLE', 'down')],
    ['keyHolder.changeTargets', () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'down')],
  ]
  for (const [method, error] of OUTAGES) {
    it(`${method}: whoever asks is told at the first failure why the request waits`, async () => {
      world.faults.plan({ method, call: 1, moment: 'before', error })
      const waits: (string | undefined)[] = []
      const wait = world.time.wait.bind(world.time)
      world.time.wait = async (milliseconds) => {
        waits.push(waitingCode(only()))
        await wait(milliseconds)
      }
      expect((await world.sign(`${app}:1.0`)).images[0]?.record.status).to.equal('published')
      expect(waits).to.deep.equal([codeOf(error())])
    })

    it(`${method}: whoever asks is told why the request waits, until it moves`, async () => {
      world.faults.plan({ method, call: 'every', moment: 'before', error })
      const request = await world.sign(`${app}:1.0`)
      expect(waitingCode(request.id)).to.equal(codeOf(error()))
      world.faults.plan(undefined)
      const done = await ended(world, request)
      expect(done.images[0]?.record.status).to.equal('published')
      expect(done.images[0]).not.to.have.property('waiting')
    })
  }

  it('the registry, before the request: it is refused, and nothing is stored', async () => {
    const error = (): Error => new RegistryError('REGISTRY_UNAVAILABLE', 'down')
    world.faults.plan({ method: 'resolver.resolve', call: 'every', moment: 'before', error })
    const refused = await world.sign(`${app}:1.0`).catch((thrown: unknown) => thrown)
    expect(refused).to.have.property('code', 'REGISTRY_UNAVAILABLE')
    expect(world.services.requests.list(everybody, {}).requests).to.deep.equal([])
  })

  it('the registry, after the request: it waits, says so, and is published', async () => {
    const resolve = world.registry.resolve.bind(world.registry)
    world.registry.resolve = (image) => {
      const isFirst = world.registry.asked.length === 0
      return isFirst ? resolve(image) : Promise.reject(new RegistryError('REGISTRY_UNAVAILABLE', 'down'))
    }
    const request = await world.sign(`${app}:1.0`)
    expect(waitingCode(request.id)).to.equal('REGISTRY_UNAVAILABLE')
    expect(world.keyHolder.highestSigned(app, RELEASES)).to.equal(0)
    world.registry.resolve = resolve
    expect((await ended(world, request)).images[0]?.record.status).to.equal('published')
  })

  it('a clock five years ahead: everything published has expired for us, and nothing is signed', async () => {
    expect((await world.sign(`${app}:1.0`)).images[0]?.record.status).to.equal('published')
    const signed = world.keyHolder.highestSigned(app, RELEASES)
    shiftClock(5 * YEAR_MS)
    world.registry.push(app, '2.0', 'b')
    const record = (await world.sign(`${app}:2.0`)).images[0]?.record
    expect(record?.status === 'failed' && record.error.code).to.equal('ROLE_EXPIRED')
    expect(world.keyHolder.highestSigned(app, RELEASES)).to.equal(signed)
  })

  it('a clock five years behind: the root certificate is not valid yet, and nothing is signed', async () => {
    shiftClock(-5 * YEAR_MS)
    const record = (await world.sign(`${app}:1.0`)).images[0]?.record
    expect(record?.status === 'failed' && record.error.code).to.equal('CERTIFICATE_NOT_YET_VALID')
    expect(world.keyHolder.highestSigned(app, RELEASES)).to.equal(0)
  })
})
