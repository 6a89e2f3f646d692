import {
  CodedError,
  encodeBase64,
  parseGun,
  parseTag,
  RELEASES,
  signMessage,
  TARGETS,
  TIMESTAMP,
} from '@countersign/tuf'
import { expect } from 'chai'
import { createServices } from '../../src/service/create-services.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { NotaryError } from '../../src/notary/errors.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { FAKE_UID } from '../support/fakes/key-holder.ts'
import { Crash, type Moment } from '../support/fakes/faults.ts'
import { publishTargets, replaceOurKeys } from '../support/fakes/rival.ts'
import { newRootKey } from '../support/fakes/signing-key.ts'
import { app, everybody, principal, World } from '../support/fakes/world.ts'

const ONLINE = { gun: app, root: { kind: 'online' }, delegations: true } as const
const OUTSIDE = /^(source|publisher|resolver|keyHolder)\./

describe('initializing a repository', () => {
  let world: World
  beforeEach(() => {
    world = new World()
  })
  afterEach(() => {
    world.close()
  })

  it('publishes root and targets in one update, proves them, and is ready', async () => {
    const result = await world.services.repositories.initialize(everybody, ONLINE)
    expect(result).to.deep.include({ gun: app, state: 'ready' })
    expect(result.rootKeyIds).to.have.length(1)
    expect(world.server.published.map(({ roles }) => [...roles].sort())).to.deep.equal([['root', 'targets']])
    const repository = world.dependencies.repositories.find(app)
    expect(repository).to.deep.include({ state: 'ready', signer: 'countersign', rootKind: 'online' })
    expect(repository).to.not.have.property('firstFiles')
  })

  it('needs the grant operator, and asks nobody without it', async () => {
    for (const who of [principal('x'), principal('x', ['submit', '*'], ['read', '*'], ['admin', '*'])]) {
      await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.initialize(who, ONLINE))
    }
    expect(world.faults.calls.filter((call) => OUTSIDE.test(call))).to.deep.equal([])
  })

  it('is the same when it is asked again', async () => {
    const first = await world.services.repositories.initialize(everybody, ONLINE)
    expect(await world.services.repositories.initialize(everybody, ONLINE)).to.deep.equal(first)
    expect(world.server.published).to.have.length(1)
  })

  it('refuses other settings for the same GUN', async () => {
    await world.services.repositories.initialize(everybody, ONLINE)
    await expectCodeAsync('REPOSITORY_ALREADY_REGISTERED', () =>
      world.services.repositories.initialize(everybody, { ...ONLINE, delegations: false }),
    )
  })

  it('takes other settings while the key holder has given nothing', async () => {
    world.faults.plan({
      method: 'keyHolder.initializeRepository',
      call: 1,
      moment: 'before',
      error: () => new KeyHolderError('LIMIT_INITIALIZE', 'no'),
    })
    await expectCodeAsync('LIMIT_INITIALIZE', () => world.services.repositories.initialize(everybody, ONLINE))
    const result = await world.services.repositories.initialize(everybody, { ...ONLINE, delegations: false })
    expect(result.state).to.equal('ready')
    expect(world.dependencies.repositories.find(app)?.signer).to.equal(null)
  })

  it('refuses a GUN that somebody else published', async () => {
    const theirs = new World()
    await theirs.initialize(app)
    const files = new Map([
      ['root', theirs.server.currentFile(app, 'root' as typeof TARGETS)],
      ['targets', theirs.server.currentFile(app, TARGETS)],
    ] as [typeof TARGETS, Uint8Array][])
    world.server.takeKeysOf(theirs.server)
    await world.server.publish(app, files)
    theirs.close()
    await expectCodeAsync('GUN_ALREADY_PUBLISHED', () => world.services.repositories.initialize(everybody, ONLINE))
    expect(world.dependencies.repositories.find(app)).to.equal(undefined)
    expect(world.faults.calls.filter((call) => call === 'keyHolder.initializeRepository')).to.deep.equal([])
  })

  describe('with an offline root', () => {
    const rootKey = newRootKey(app)
    const offline = { gun: app, root: { kind: 'offline', certificatePem: rootKey.pem }, delegations: true } as const

    const sign = (bytes: Uint8Array) => {
      const { method, signature } = signMessage(rootKey.privateKey, bytes)
      return [{ keyId: rootKey.publicKey.tufKeyId, method, signature: encodeBase64(signature) }]
    }

    it('hands out the bytes, takes the signature, and publishes then', async () => {
      const begun = await world.services.repositories.initialize(everybody, offline)
      expect(begun).to.deep.include({ state: 'awaiting-root-signature', rootKeyIds: [rootKey.publicKey.tufKeyId] })
      expect(world.server.published).to.deep.equal([])
      const again = await world.services.repositories.initialize(everybody, offline)
      expect(again.rootSigned).to.deep.equal(begun.rootSigned)
      const signatures = sign(begun.rootSigned ?? new Uint8Array())
      const done = await world.services.repositories.addRootSignatures(everybody, app, signatures)
      expect(done.state).to.equal('ready')
      expect(world.server.published).to.have.length(1)
      expect((await world.services.repositories.addRootSignatures(everybody, app, signatures)).state).to.equal('ready')
    })

    it('refuses the signature of another key', async () => {
      const begun = await world.services.repositories.initialize(everybody, offline)
      const { privateKey } = newRootKey(app)
      const { method, signature } = signMessage(privateKey, begun.rootSigned ?? new Uint8Array())
      const signatures = [{ keyId: rootKey.publicKey.tufKeyId, method, signature: encodeBase64(signature) }]
      await expectCodeAsync('ROOT_SIGNATURE_INVALID', () =>
        world.services.repositories.addRootSignatures(everybody, app, signatures),
      )
      expect(world.server.published).to.deep.equal([])
    })

    it('expects no signature for a repository that it does not know', async () => {
      await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.addRootSignatures(everybody, app, []))
    })
  })

  it('is taken up again after any fault', async function () {
    this.timeout(60_000)
    await world.services.repositories.initialize(everybody, ONLINE)
    const seen = new Map<string, number>()
    const calls = world.faults.calls.map((method): [string, number] => {
      seen.set(method, (seen.get(method) ?? 0) + 1)
      return [method, seen.get(method) ?? 0]
    })
    const errors: Readonly<Record<string, () => Error>> = {
      crash: () => new Crash('gone'),
      lost: () => new NotaryError('NOTARY_ANSWER_LOST', 'lost'),
    }
    for (const [method, call] of calls) {
      for (const moment of ['before', 'after'] as const satisfies readonly Moment[]) {
        for (const error of Object.values(errors)) {
          const one = new World()
          one.faults.plan({ method, call, moment, error })
          await one.services.repositories.initialize(everybody, ONLINE).catch((thrown: unknown) => {
            if (!(thrown instanceof Crash) && !(thrown instanceof CodedError)) throw thrown
          })
          await one.restart()
          const result = await one.services.repositories.initialize(everybody, ONLINE)
          expect(result.state, `${moment} ${method} ${call}`).to.equal('ready')
          expect(one.server.published, `${moment} ${method} ${call}`).to.have.length(1)
          one.registry.push(app, '1', 'a')
          expect((await one.sign(`${app}:1`)).images[0]?.record.status).to.equal('published')
          one.close()
        }
      }
    }
  })
})

describe('adopting a repository', () => {
  it('takes the root that the key holder has pinned', async () => {
    const world = await World.withRepository()
    world.forgetRegistrations()
    const report = await world.services.repositories.adopt(everybody, app)
    expect(report.repository).to.deep.include({ state: 'ready', rootKind: 'adopted', signer: 'countersign' })
    expect(report).to.not.have.property('trouble')
    world.registry.push(app, '1', 'a')
    expect((await world.sign(`${app}:1`)).images[0]?.record.status).to.equal('published')
    world.close()
  })

  it('refuses another root than the pinned one', async () => {
    const world = await World.withRepository()
    const other = await World.withRepository()
    world.keyHolder.setPin(app, other.keyHolder.rootBytes(app) ?? new Uint8Array())
    world.forgetRegistrations()
    await expectCodeAsync('ROOT_PIN_MISMATCH', () => world.services.repositories.adopt(everybody, app))
    expect(world.dependencies.repositories.find(app)).to.equal(undefined)
    world.close()
    other.close()
  })

  it('needs a repository that the key holder manages, and the grant', async () => {
    const world = new World()
    await expectCodeAsync('GUN_NOT_MANAGED', () => world.services.repositories.adopt(everybody, app))
    const reader = principal('x', ['read', '*'])
    await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.adopt(reader, app))
    world.close()
  })
})

describe('removing a repository', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    world.registry.push(app, '1', 'a')
  })
  afterEach(() => {
    world.close()
  })

  it('changes nothing on the trust server and in the key holder, is recorded, and can be undone by adoption', async () => {
    await world.sign(`${app}:1`)
    const published = world.server.published.length
    const outside = world.faults.calls.filter((call) => OUTSIDE.test(call)).length
    await world.services.repositories.remove(everybody, app)
    const asked = world.faults.calls.filter((call) => OUTSIDE.test(call)).slice(outside)
    expect(asked).to.deep.equal(['keyHolder.appendRecord'])
    expect(world.server.published).to.have.length(published)
    expect(world.keyHolder.records.at(-1)).to.deep.equal({
      kind: 'repository-removed',
      facts: { gun: app, by: everybody.id },
    })
    await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.report(everybody, app))
    await expectCodeAsync('NOT_PERMITTED', () => world.sign(`${app}:1`))
    const { repository } = await world.services.repositories.adopt(everybody, app)
    expect(repository).to.deep.include({ state: 'ready', signer: 'countersign' })
  })

  it('waits for requests: none is left behind', async () => {
    const error = () => new Crash('requests.save')
    world.faults.plan({ method: 'requests.save', call: 1, moment: 'before', error })
    await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:1`] })
    await world.settled()
    world.observer.troubles.length = 0
    await world.restart()
    await expectCodeAsync('REPOSITORY_HAS_REQUESTS', () => world.services.repositories.remove(everybody, app))
    await world.services.reconciler.run()
    await world.settled()
    await world.services.repositories.remove(everybody, app)
  })

  it('is not done where it cannot be recorded', async () => {
    const error = () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'away')
    world.faults.plan({ method: 'keyHolder.appendRecord', call: 1, moment: 'before', error })
    await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => world.services.repositories.remove(everybody, app))
    expect(world.dependencies.repositories.find(app)?.state).to.equal('ready')
  })

  it('needs the grant operator, and a repository', async () => {
    const reader = principal('x', ['read', '*'], ['submit', '*'])
    await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.remove(reader, app))
    const unknown = parseGun('registry.example.com/team/unknown')
    await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.remove(everybody, unknown))
  })
})

describe('the report on a repository', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
  })
  afterEach(() => {
    world.close()
  })
  const report = () => world.services.repositories.report(everybody, app)
  const codes = async (): Promise<string[]> => (await report()).warnings.map(({ code }) => code)

  it('lists roles with versions and expiry', async () => {
    world.registry.push(app, '1', 'a')
    await world.sign(`${app}:1`)
    const { roles } = await report()
    const releases = roles.find(({ role }) => role === RELEASES)
    expect(roles.map(({ role }) => role)).to.deep.equal([
      'root',
      'targets',
      'targets/countersign',
      'targets/releases',
      'snapshot',
      'timestamp',
    ])
    expect(releases).to.deep.include({ version: 1, entries: 1 })
    expect(releases?.expiresAt.getTime()).to.be.greaterThan(world.time.now().getTime())
  })

  it('warns of an online root, and of nothing else in a new repository', async () => {
    expect(await codes()).to.deep.equal(['ROOT_KEY_ONLINE'])
  })

  it('warns of a key holder that runs as the same user', async () => {
    world.close()
    world = await World.withRepository({ settings: { uid: FAKE_UID } })
    expect(await codes()).to.deep.equal(['ROOT_KEY_ONLINE', 'KEYS_SHARE_UID_WITH_DAEMON'])
  })

  it('warns of tags in targets, in both roles and alone', async () => {
    world.registry.push(app, '1', 'a')
    await world.sign(`${app}:1`)
    const put = (tag: string) => ({ kind: 'put', name: parseTag(tag), sha256: 'c'.repeat(64), length: 5 }) as const
    await publishTargets(world, app, [put('1'), put('old')])
    expect(await codes()).to.include.members(['TAGS_IN_TARGETS_AND_RELEASES', 'TAGS_OUTSIDE_RELEASES'])
  })

  it('warns of delegations that clients pass over', async () => {
    world.registry.push(app, '1', 'a')
    await world.sign(`${app}:1`)
    await replaceOurKeys(world, app)
    const unusable = (await report()).warnings.filter(({ code }) => code === 'DELEGATION_UNUSABLE')
    expect(unusable.map(({ role }) => role)).to.have.members(['targets/countersign', 'targets/releases'])
  })

  it('warns months before a role expires, but not of the timestamp', async () => {
    world.time.advance(3 * 365 * 86_400_000 - 190 * 86_400_000)
    world.server.renew(app)
    expect(await codes()).to.not.include('ROLE_EXPIRES_SOON')
    world.time.advance(10 * 86_400_000)
    const soon = (await report()).warnings.filter(({ code }) => code === 'ROLE_EXPIRES_SOON')
    expect(soon.map(({ role }) => role))
      .to.include(TARGETS)
      .and.not.include(TIMESTAMP)
  })

  it('forecasts three years: what is renewed here by itself, and what the root key is needed for', async () => {
    const { roles, acts } = await world.services.repositories.forecast(everybody, app)
    expect(roles.map(({ role, by }) => [role, by])).to.deep.equal([
      ['root', 'ceremony'],
      ['targets', 'countersign'],
      ['snapshot', 'trust-server'],
      ['timestamp', 'trust-server'],
    ])
    expect(acts.map(({ kind, role }) => [kind, role])).to.deep.equal([['renewal', 'targets']])
    await world.services.repositories.report(everybody, app)
    await replaceOurKeys(world, app)
    world.server.loseKey(app, 'snapshot' as typeof TARGETS)
    world.services = createServices(world.dependencies)
    const later = await world.services.repositories.forecast(everybody, app)
    expect(later.roles.find(({ role }) => role === 'snapshot')?.by).to.equal('elsewhere')
  })

  it('forecasts for those who may read', async () => {
    const stranger = principal('x', ['read', 'registry.example.com/other'])
    await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.forecast(stranger, app))
    const unknown = parseGun('registry.example.com/team/unknown')
    await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.forecast(everybody, unknown))
  })

  it('warns of a snapshot key that a client holds', async () => {
    world.server.loseKey(app, 'snapshot' as typeof TARGETS)
    expect(await codes()).to.include('SNAPSHOT_KEY_HELD_BY_CLIENT')
  })

  it('tells trouble with the trust server, and still shows custody', async () => {
    world.faults.plan({
      method: 'source.read',
      call: 1,
      moment: 'before',
      error: () => new NotaryError('NOTARY_UNAVAILABLE', 'out of reach'),
    })
    const { trouble, custody, roles } = await report()
    expect(trouble?.code).to.equal('NOTARY_UNAVAILABLE')
    expect(custody.state).to.equal('ready')
    expect(roles).to.deep.equal([])
  })

  it('is for those who may read', async () => {
    const stranger = principal('x', ['read', 'registry.example.com/other'])
    await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.report(stranger, app))
    expect(world.services.repositories.list(stranger)).to.deep.equal([])
    expect(world.services.repositories.list(everybody).map(({ gun }) => gun)).to.deep.equal([app])
    const unknown = parseGun('registry.example.com/team/unknown')
    await expectCodeAsync('NOT_PERMITTED', () => world.services.repositories.report(everybody, unknown))
  })
})
