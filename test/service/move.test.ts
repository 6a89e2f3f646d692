// The move of a repository as the services see it, over the real key holder: planned, signed elsewhere, published at the new server once.
import { parseRoot, parseTimestamp, RELEASES, ROOT, TARGETS, TIMESTAMP, verifyFiles } from '@countersign/tuf'
import { expect } from 'chai'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import type { MoveRequest } from '../../src/service/services.ts'
import { PUBLICATION_STEPS } from '../../src/service/steps.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { outcome, startHeldWorld } from '../support/fakes/held-world.ts'
import { app, ended, everybody, type World } from '../support/fakes/world.ts'
import type { TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { signWith, testCertificateKey, type TestKey } from '../support/test-keys.ts'
import { isOfPublication, Weather, WEATHER_RATE } from '../support/weather.ts'

const rootKey = testCertificateKey('root', { commonName: app })
const pemOf = ({ publicKey }: TestKey): string => Buffer.from(publicKey.publicValue, 'base64').toString()

describe('the move of a repository, as a request', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let world: World

  beforeEach(async () => {
    scope = new Scope()
    ;({ holder, world } = await startHeldWorld(scope))
    const { repositories } = world.services
    const begun = await repositories.initialize(everybody, {
      gun: app,
      root: { kind: 'offline', certificatePem: pemOf(rootKey) },
      delegations: true,
    })
    await repositories.addRootSignatures(everybody, app, signed(begun.rootSigned!))
    world.registry.push(app, '1.0', 'a')
    world.registry.push(app, '2.0', 'b')
    await world.sign(`${app}:1.0`)
    world.otherServer.takesOlderRoots = true
  })
  afterEach(async () => {
    expect(world.observer.troubles).to.deep.equal([])
    await scope.close()
  })

  const signed = (message: Uint8Array, key = rootKey): MoveRequest['signatures'] => {
    const { keyId, method, signature } = signWith(key, message)
    return [{ keyId, method, signature: Buffer.from(signature).toString('base64') }]
  }
  const plan = (to = 'new') => world.services.requests.planMove(everybody, app, to)
  const signedPlan = async (to = 'new'): Promise<MoveRequest> => {
    const { next } = await plan(to)
    return { to, next, signatures: signed(next) }
  }
  const move = async (request: MoveRequest): Promise<SigningRequest> =>
    ended(world, (await world.services.requests.move(everybody, app, request)).request)
  const rotateRoot = async (): Promise<void> => {
    const { next } = await world.services.requests.planRootChange(everybody, app, {
      rootCertificates: [],
      rotate: ['timestamp'],
    })
    const { request } = await world.services.requests.changeRoot(everybody, app, { next, signatures: signed(next) })
    expect(outcome(await ended(world, request))).to.equal('published')
  }
  const timestampVersion = (server: World['server']): number =>
    parseTimestamp(server.currentFile(app, TIMESTAMP)!).metadata.version
  /** A client that has the old server in its cache comes to the new one. */
  const follow = (firstRoot: Uint8Array) => {
    const files = world.otherServer.state().get(app)?.files ?? new Map<string, Uint8Array>()
    return verifyFiles(files, { gun: app, pin: { kind: 'root', bytes: firstRoot }, now: world.time.now() })
  }

  it('says what changes before it starts, and changes nothing', async () => {
    await rotateRoot()
    const before = world.server.published.length
    const found = await plan()
    expect(found).to.deep.include({ from: 'old', to: 'new', roots: [1, 2], takesOlderRoots: true, left: [], raises: 0 })
    expect(found.moved.map(({ role }) => role).sort()).to.deep.equal([TARGETS, 'targets/countersign', RELEASES].sort())
    const now = world.time.now().getTime()
    expect(found.oldTimestampExpiresAt.getTime()).to.be.greaterThan(now)
    expect(found.oldRootExpiresAt.getTime()).to.be.greaterThan(now)
    expect(world.server.published.length).to.equal(before)
    expect(world.otherServer.currentFile(app, ROOT)).to.equal(undefined)
  })

  it('goes along with every root and role; clients follow from the first root, and signatures go on there', async () => {
    await rotateRoot()
    const first = world.server.file(app, '1.root.json')!
    const old = world.server.published.length
    world.faults.weather = new Weather('move', WEATHER_RATE, isOfPublication)
    const request = await move(await signedPlan())
    expect(outcome(request)).to.equal('published')
    expect(request.kind).to.equal('move')
    const { root, targets, timestamp, rootChain } = follow(first)
    expect(root.metadata.version).to.equal(3)
    expect(rootChain).to.have.length(3)
    expect(targets.bytes).to.deep.equal(world.server.currentFile(app, TARGETS))
    expect(timestamp.metadata.version).to.be.greaterThan(timestampVersion(world.server))
    expect(world.services.repositories.list(everybody)[0]?.trustServer).to.equal('new')
    world.faults.weather = undefined
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
    // Nothing came to the old server, and nothing was taken away there.
    expect(world.server.published.length).to.equal(old)
    expect(parseRoot(world.server.currentFile(app, ROOT)!).metadata.version).to.equal(2)
    expect(JSON.stringify(holder.log().findLast(({ kind }) => kind === 'root-change'))).to.include(request.id)
    expect((await world.services.repositories.report(everybody, app)).trouble).to.equal(undefined)
  })

  it('to a notary-server: versions are raised above those of the old one', async () => {
    world.otherServer.takesOlderRoots = false
    const found = await plan()
    expect(found.takesOlderRoots).to.equal(false)
    expect(found.raises).to.be.greaterThan(60)
    const first = world.server.file(app, '1.root.json')!
    expect(outcome(await move(await signedPlan()))).to.equal('published')
    expect(timestampVersion(world.otherServer)).to.be.greaterThan(timestampVersion(world.server) + 60)
    expect(follow(first).root.metadata.version).to.equal(2)
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
  })

  it('to a notary-server that goes away while versions are raised: it goes on when the server is back', async () => {
    world.otherServer.takesOlderRoots = false
    const publish = world.otherServer.publish.bind(world.otherServer)
    let calls = 0
    world.otherServer.publish = (gun, files) => {
      if (++calls === 10) world.otherServer.isReadable = false
      return world.otherServer.isReadable ? publish(gun, files) : Promise.reject(new Error('away'))
    }
    const request = await signedPlan()
    const { request: stored } = await world.services.requests.move(everybody, app, request)
    await world.settled()
    world.observer.troubles.length = 0
    expect(world.services.repositories.list(everybody)[0]?.trustServer).to.equal(undefined)
    world.otherServer.isReadable = true
    await world.restart()
    expect(outcome(await ended(world, stored))).to.equal('published')
    expect(timestampVersion(world.otherServer)).to.be.greaterThan(timestampVersion(world.server) + 60)
  })

  it('asked for twice is one move, while it is under way and when it is done', async () => {
    const request = await signedPlan()
    const first = await world.services.requests.move(everybody, app, request)
    const second = await world.services.requests.move(everybody, app, request)
    expect([second.request.id, second.isRepeated]).to.deep.equal([first.request.id, true])
    expect(outcome(await ended(world, first.request))).to.equal('published')
    expect((await move(request)).images[0]?.record).to.deep.include({ status: 'published', unchanged: true })
    expect(world.otherServer.published).to.have.length(1)
  })

  it('fails, and leaves the repository free, where the old server stops verifying before anything was published', async () => {
    world.onStep = (step) => {
      if (step === 'bytes-saved') world.server.serve(app, 'timestamp.json', Buffer.from('{}'))
    }
    const request = await signedPlan()
    expect(outcome(await move(request))).to.match(/^failed METADATA_/)
    world.onStep = () => undefined
    world.server.serveTruth()
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
    expect(outcome(await move(request))).to.equal('published')
  })

  it('takes along what was signed between plan and move', async () => {
    const request = await signedPlan()
    await world.sign(`${app}:2.0`)
    expect(outcome(await move(request))).to.equal('published')
    expect(world.otherServer.version(app, RELEASES)).to.equal(world.server.version(app, RELEASES))
  })

  describe('refuses', () => {
    it('NOT_PERMITTED: without the grant operator', async () => {
      const request = await signedPlan()
      const submitter = { ...everybody, grants: everybody.grants.filter(({ grant }) => grant === 'submit') }
      const { requests } = world.services
      await expectCodeAsync('NOT_PERMITTED', () => requests.planMove(submitter, app, 'new'))
      await expectCodeAsync('NOT_PERMITTED', () => requests.move(submitter, app, request))
    })

    it('MOVE_DESTINATION_UNKNOWN: a server that the configuration does not name', async () => {
      await expectCodeAsync('MOVE_DESTINATION_UNKNOWN', () => plan('elsewhere'))
      const request = await signedPlan()
      await expectCodeAsync('MOVE_DESTINATION_UNKNOWN', () => move({ ...request, to: 'elsewhere' }))
    })

    it('MOVE_NOT_POSSIBLE: where it stands already; a root above version 2 at a notary-server', async () => {
      await expectCodeAsync('MOVE_NOT_POSSIBLE', () => plan('old'))
      world.otherServer.takesOlderRoots = false
      await rotateRoot()
      await expectCodeAsync('MOVE_NOT_POSSIBLE', () => plan())
    })

    it('MOVE_NOT_POSSIBLE: a trust server with another key holder, and one that had the repository', async () => {
      const request = await signedPlan()
      world.otherServer.sharesKeyHolder = false
      await expectCodeAsync('MOVE_NOT_POSSIBLE', () => plan())
      await expectCodeAsync('MOVE_NOT_POSSIBLE', () => move(request))
      world.otherServer.sharesKeyHolder = true
      world.otherServer.hadAnother = true
      await expectCodeAsync('MOVE_NOT_POSSIBLE', () => plan())
      await expectCodeAsync('MOVE_NOT_POSSIBLE', () => move(request))
    })

    it('MOVE_INVALID: keys that the new server does not sign with', async () => {
      const request = await signedPlan()
      world.otherServer.loseKey(app, TIMESTAMP)
      await expectCodeAsync('MOVE_INVALID', () => move(request))
    })

    it('MOVE_DESTINATION_OCCUPIED: another repository of that name at the new server', async () => {
      const request = await signedPlan()
      world.otherServer.restore(world.server.state())
      await expectCodeAsync('MOVE_DESTINATION_OCCUPIED', () => plan())
      await expectCodeAsync('MOVE_DESTINATION_OCCUPIED', () => move(request))
    })

    it('MOVE_INVALID: a root that does something else', async () => {
      const { next } = await world.services.requests.planRootChange(everybody, app, {
        rootCertificates: [],
        rotate: ['snapshot'],
      })
      await expectCodeAsync('MOVE_INVALID', () => move({ to: 'new', next, signatures: signed(next) }))
    })

    it('ROOT_CHANGE_INVALID, ROOT_CHANGE_OUTDATED: a signature of somebody else, a root made for an older one', async () => {
      const request = await signedPlan()
      const thief = testCertificateKey('thief', { commonName: app })
      await expectCodeAsync('ROOT_CHANGE_INVALID', () => move({ ...request, signatures: signed(request.next, thief) }))
      await rotateRoot()
      await expectCodeAsync('ROOT_CHANGE_OUTDATED', () => move(request))
    })

    it('ROOT_CHANGE_UNDER_WAY: beside another change of root', async () => {
      const request = await signedPlan()
      const { requests } = world.services
      const { next } = await requests.planRootChange(everybody, app, { rootCertificates: [], rotate: [] })
      const change = { next, signatures: signed(next) }
      const { request: first } = await requests.move(everybody, app, request)
      await expectCodeAsync('ROOT_CHANGE_UNDER_WAY', () => requests.changeRoot(everybody, app, change))
      await expectCodeAsync('ROOT_CHANGE_UNDER_WAY', () => requests.move(everybody, app, { ...request, to: 'old' }))
      expect(outcome(await ended(world, first))).to.equal('published')
    })
  })

  for (const takesOlderRoots of [true, false]) {
    for (const step of PUBLICATION_STEPS) {
      const where = takesOlderRoots ? 'ours' : 'a notary-server'
      it(`to ${where}, stopped after the step ${step}, ends moved, once`, async () => {
        world.otherServer.takesOlderRoots = takesOlderRoots
        const request = await signedPlan()
        let isLeft = true
        world.onStep = (passed) => {
          if (passed !== step || !isLeft) return
          isLeft = false
          // As a crash would, this leaves what is stored and nothing else.
          throw new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'stopped by the test')
        }
        const { request: stored } = await world.services.requests.move(everybody, app, request)
        await world.settled()
        world.observer.troubles.length = 0
        await world.restart()
        await world.services.reconciler.run()
        expect(isLeft).to.equal(false)
        expect(outcome(await ended(world, stored))).to.equal('published')
        expect(world.otherServer.version(app, ROOT)).to.equal(2)
        expect(world.services.repositories.list(everybody)[0]?.trustServer).to.equal('new')
        expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
        expect(world.server.version(app, ROOT)).to.equal(1)
      })
    }
  }
})
