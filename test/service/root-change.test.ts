// A change of root as the services see it, over the real key holder: planned, signed by a key that neither process has, published once.
import { randomBytes } from 'node:crypto'
import {
  attachSignatures,
  encodePrivateKeyFile,
  parseRoot,
  RELEASES,
  ROOT,
  TARGETS,
  type PublicKey,
} from '@countersign/tuf'
import { expect } from 'chai'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import type { RootChangeRequest, RootPlanRequest } from '../../src/service/services.ts'
import { PUBLICATION_STEPS } from '../../src/service/steps.ts'
import { Workplace } from '../cli/support/run-cli.ts'
import { fakeServices, startFixture } from '../http/fixture.ts'
import { argumentsOf, commandsOf } from '../support/page-commands.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { outcome, startHeldWorld } from '../support/fakes/held-world.ts'
import { app, ended, everybody, type World } from '../support/fakes/world.ts'
import { EVIDENCE, type TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { signWith, testCertificateKey, type TestKey } from '../support/test-keys.ts'
import { isOfPublication, Weather, WEATHER_RATE } from '../support/weather.ts'

const rootKey = testCertificateKey('root', { commonName: app })
const successor = testCertificateKey('successor', { commonName: app })
const pemOf = ({ publicKey }: TestKey): string => Buffer.from(publicKey.publicValue, 'base64').toString()

describe('a change of root, as a request', () => {
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
    await repositories.addRootSignatures(everybody, app, signatures(begun.rootSigned!, [rootKey]))
    world.faults.weather = new Weather('root change', WEATHER_RATE, isOfPublication)
    world.registry.push(app, '1.0', 'a')
    world.registry.push(app, '2.0', 'b')
    await world.sign(`${app}:1.0`)
  })
  afterEach(async () => {
    expect(world.observer.troubles).to.deep.equal([])
    await scope.close()
  })

  const signatures = (message: Uint8Array, keys: readonly TestKey[]): RootChangeRequest['signatures'] =>
    keys.map((key) => {
      const { keyId, method, signature } = signWith(key, message)
      return { keyId, method, signature: Buffer.from(signature).toString('base64') }
    })
  const stageTargets = () =>
    holder.operator.call('stage-key', { gun: app, role: TARGETS, reason: 'yearly', evidence: EVIDENCE })
  const plan = async (asked: Partial<RootPlanRequest>, keys: readonly TestKey[] = [rootKey]) => {
    const { requests } = world.services
    const { next } = await requests.planRootChange(everybody, app, { rootCertificates: [], rotate: [], ...asked })
    return { next, signatures: signatures(next, keys) }
  }
  const change = async (signed: RootChangeRequest): Promise<SigningRequest> =>
    ended(world, (await world.services.requests.changeRoot(everybody, app, signed)).request)
  const rootKeys = (role = ROOT): readonly (PublicKey | undefined)[] => {
    const { roles, keys } = parseRoot(world.server.currentFile(app, ROOT)!).metadata
    return (roles.get(role)?.keyIds ?? []).map((keyId) => keys.get(keyId))
  }

  it('gives every role another key at once, and signatures go on', async () => {
    const { response } = await stageTargets()
    const signed = await plan({ rootCertificates: [pemOf(successor)], rotate: ['targets', 'snapshot', 'timestamp'] }, [
      rootKey,
      successor,
    ])
    const request = await change(signed)
    expect(outcome(request)).to.equal('published')
    const [image] = request.images
    expect(image?.record).to.deep.include({ unchanged: false })
    expect(image?.record.status === 'published' && image.record.roles.map(({ role }) => role)).to.deep.equal([
      ROOT,
      TARGETS,
    ])
    expect(rootKeys().map((key) => key?.tufKeyId)).to.deep.equal([successor.publicKey.tufKeyId])
    expect(rootKeys(TARGETS).map((key) => key?.canonicalKeyId)).to.deep.equal([response.canonicalKeyId])
    expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
    const { roles, trouble } = await world.services.repositories.report(everybody, app)
    expect(trouble).to.equal(undefined)
    expect(roles.find(({ role }) => role === ROOT)?.version).to.equal(2)
    const record = holder.log().find(({ kind }) => kind === 'root-change')
    expect(JSON.stringify(record)).to.include(request.id).and.include(everybody.id)
  })

  it('without other keys it is a later expiry', async () => {
    const before = parseRoot(world.server.currentFile(app, ROOT)!).metadata.expiresAt
    world.time.advance(86_400_000)
    holder.now = world.time.now()
    expect(outcome(await change(await plan({})))).to.equal('published')
    expect(parseRoot(world.server.currentFile(app, ROOT)!).metadata.expiresAt).to.be.greaterThan(before)
  })

  describe('of a root that has expired, and everything else with it', () => {
    beforeEach(async () => {
      world.faults.weather = undefined
      // Clients take no root whose certificate has ended: this one has not.
      const later = testCertificateKey('root', { commonName: app, notAfter: new Date('2060-01-01T00:00:00Z') })
      expect(outcome(await change(await plan({ rootCertificates: [pemOf(later)] }, [rootKey, later])))).to.equal(
        'published',
      )
      lasting = later
      // The daemon's own copy follows when it looks next.
      await world.services.repositories.report(everybody, app)
      world.time.advance((10 * 365 + 1) * 86_400_000)
      holder.now = world.time.now()
    })
    let lasting: TestKey

    it('the plan names the root key, a next root is published, and the rest is repaired after it', async () => {
      const { requests, repositories } = world.services
      expect((await repositories.report(everybody, app)).trouble?.code).to.equal('ROLE_EXPIRED')
      const [first, ...others] = await requests.planRepair(everybody, app)
      expect(first).to.deep.include({ role: ROOT, canRepair: false, keys: [lasting.publicKey.tufKeyId] })
      expect(first?.obstacle).to.include('countersign root export')
      expect(others.map(({ canRepair }) => canRepair)).to.deep.equal([true, true, true])
      await expectCodeAsync('REPAIR_NOT_POSSIBLE', () => requests.repair(everybody, app))
      expect(outcome(await change(await plan({}, [lasting])))).to.equal('published')
      expect(outcome(await ended(world, (await requests.repair(everybody, app)).request))).to.equal('published')
      expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
      expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
      const record = holder.log().findLast(({ kind }) => kind === 'root-change')
      expect(record).to.deep.include({ expired: [ROOT, TARGETS, 'targets/countersign', RELEASES] })
    })

    it('goes as docs/operations/expiry.md says', async () => {
      const { tokens } = world.services
      const fixture = await startFixture({
        realServices: { ...world.services, webhooks: fakeServices([]).webhooks },
        now: () => world.time.now(),
      })
      scope.add(() => fixture.stop())
      const place = new Workplace()
      scope.add(() => {
        place.remove()
      })
      const { secret } = await tokens.create(everybody, { name: 'operator', grants: everybody.grants })
      const passphrase = 'correct horse battery'
      const file = { privateKey: lasting.privateKey, role: ROOT }
      place.file('root.key', encodePrivateKeyFile(file, Buffer.from(passphrase), randomBytes(8), randomBytes(16)))
      place.file('root.key.crt', pemOf(lasting))
      place.file('passphrase', `${passphrase}\n`)
      const files = ['renewed.json', 'signed.json', 'passphrase'].map((name) => [name, place.path(name)] as const)
      const names = new Map([['GUN', app], ['ROOT_KEY', place.path('root.key')], ...files])
      const exits: [string, number][] = []
      for (const command of commandsOf('docs/operations/expiry.md', 'An expired root')) {
        const env = { COUNTERSIGN_SERVER: fixture.url, COUNTERSIGN_TOKEN: secret }
        const ran = await place.run(argumentsOf(command, names), { env, now: () => world.time.now() })
        exits.push([`${command} ${ran.codes().join(' ')}`.trim(), ran.exit])
      }
      expect(exits).to.deep.equal([
        ['countersign repo repair GUN --dry-run REPAIR_NOT_POSSIBLE', 1],
        ['countersign root export GUN --out renewed.json', 0],
        ['countersign root sign renewed.json --root ROOT_KEY --passphrase-file passphrase --out signed.json', 0],
        ['countersign root apply signed.json', 0],
        ['countersign repo repair GUN', 0],
      ])
      expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
    })

    it('nothing else is signed before it', async () => {
      await expectCodeAsync('ROLE_EXPIRED', () => world.services.requests.renew(everybody, app))
      expect(outcome(await world.sign(`${app}:2.0`))).to.equal('failed ROLE_EXPIRED')
      const thief = testCertificateKey('thief', { commonName: app })
      await expectCodeAsync('ROOT_CHANGE_INVALID', async () => change(await plan({}, [thief])))
    })
  })

  it('asked for twice is one change, while it is under way and when it is published', async () => {
    const signed = await plan({})
    const first = await world.services.requests.changeRoot(everybody, app, signed)
    const second = await world.services.requests.changeRoot(everybody, app, signed)
    expect([second.request.id, second.isRepeated]).to.deep.equal([first.request.id, true])
    expect(outcome(await ended(world, first.request))).to.equal('published')
    const again = await change(signed)
    expect(again.images[0]?.record).to.deep.include({ status: 'published', unchanged: true })
    expect(world.server.version(app, ROOT)).to.equal(2)
  })

  it('goes on beside signatures that are asked for at the same time', async () => {
    await stageTargets()
    const { requests } = world.services
    const signed = await plan({ rotate: ['targets'] })
    const all = await Promise.all([
      requests.submit(everybody, { kind: 'sign', images: [`${app}:2.0`] }),
      requests.changeRoot(everybody, app, signed),
      requests.submit(everybody, { kind: 'unsign', images: [`${app}:1.0`] }),
    ])
    for (const { request } of all) expect(outcome(await ended(world, request))).to.equal('published')
    expect((await world.found('2.0'))?.sha256).to.equal('b'.repeat(64))
  })

  describe('refuses', () => {
    it('NOT_PERMITTED: without the grant operator', async () => {
      const signed = await plan({})
      const submitter = { ...everybody, grants: everybody.grants.filter(({ grant }) => grant === 'submit') }
      const { requests } = world.services
      await expectCodeAsync('NOT_PERMITTED', () => requests.changeRoot(submitter, app, signed))
      await expectCodeAsync('NOT_PERMITTED', () =>
        requests.planRootChange(submitter, app, { rootCertificates: [], rotate: [] }),
      )
    })

    it('ROTATION_NOT_STAGED: a key of targets that no operator has staged', async () => {
      await expectCodeAsync('ROTATION_NOT_STAGED', () => plan({ rotate: ['targets'] }))
    })

    it('CERTIFICATE_PEM, ROOT_CHANGE_INVALID: a certificate that is none, or of another repository', async () => {
      await expectCodeAsync('CERTIFICATE_PEM', () => plan({ rootCertificates: ['nonsense'] }))
      const foreign = testCertificateKey('foreign', { commonName: 'registry.example.com/other' })
      await expectCodeAsync('ROOT_CHANGE_INVALID', () => plan({ rootCertificates: [pemOf(foreign)] }))
    })

    it('ROOT_CHANGE_INVALID: bytes and words that cannot be metadata', async () => {
      const { next } = await plan({ rootCertificates: [pemOf(successor)] })
      const [signature] = signatures(next, [rootKey])
      await expectCodeAsync('ROOT_CHANGE_INVALID', () => change({ next: Buffer.of(0xff), signatures: [signature!] }))
      await expectCodeAsync('ROOT_CHANGE_INVALID', () =>
        change({ next, signatures: [{ ...signature!, method: 'ecdsa\u0001' }] }),
      )
    })

    it('ROOT_CHANGE_INVALID: signatures that are missing, or of others', async () => {
      const { next } = await plan({ rootCertificates: [pemOf(successor)] })
      for (const keys of [[rootKey], [successor], [rootKey, testCertificateKey('thief', { commonName: app })]]) {
        await expectCodeAsync('ROOT_CHANGE_INVALID', () => change({ next, signatures: signatures(next, keys) }))
      }
      expect(world.services.requests.list(everybody, {}).requests.map(({ kind }) => kind)).to.deep.equal(['sign'])
    })

    it('ROOT_CHANGE_OUTDATED: a root that was made for an older one', async () => {
      const old = await plan({ rootCertificates: [pemOf(successor)] }, [rootKey, successor])
      await change(await plan({}))
      await expectCodeAsync('ROOT_CHANGE_OUTDATED', () => change(old))
    })

    it('ROOT_CHANGE_UNDER_WAY: another one at the same time', async () => {
      const one = await plan({})
      const other = await plan({ rootCertificates: [pemOf(successor)] }, [rootKey, successor])
      const { request } = await world.services.requests.changeRoot(everybody, app, one)
      await expectCodeAsync('ROOT_CHANGE_UNDER_WAY', () => world.services.requests.changeRoot(everybody, app, other))
      expect(outcome(await ended(world, request))).to.equal('published')
    })

    it('ROOT_CHANGE_OUTDATED: one of two that came at the same moment, and it is not told as published', async () => {
      const one = await plan({})
      const other = await plan({ rootCertificates: [pemOf(successor)] }, [rootKey, successor])
      const { requests } = world.services
      const all = await Promise.all([one, other].map((signed) => requests.changeRoot(everybody, app, signed)))
      const ends = await Promise.all(all.map(({ request }) => ended(world, request)))
      expect(ends.map((end) => outcome(end)).sort()).to.deep.equal(['failed ROOT_CHANGE_OUTDATED', 'published'])
      expect(world.server.version(app, ROOT)).to.equal(2)
    })

    it('SIGNATURE_BELOW_THRESHOLD: what a client with a pinned certificate would not take, and sends nothing', async () => {
      const third = testCertificateKey('third', { commonName: app })
      const [both, later] = [
        [rootKey, successor],
        [successor, third],
      ].map((keys) => ({ rootCertificates: keys.map(pemOf) }))
      expect(outcome(await change(await plan(both!, [rootKey, successor])))).to.equal('published')
      // Enough keys of both roots, but not the one that stays.
      const refused = await change(await plan(later!, [rootKey, third]))
      expect(outcome(refused)).to.equal('failed SIGNATURE_BELOW_THRESHOLD')
      expect(JSON.stringify(refused.images[0]?.record)).to.include('A client with a pinned certificate')
      expect(world.server.version(app, ROOT)).to.equal(2)
      expect(outcome(await change(await plan(later!, [rootKey, successor, third])))).to.equal('published')
    })

    it('REPOSITORY_FROZEN: while an operator has stopped signing', async () => {
      const signed = await plan({})
      await holder.operator.call('freeze', { gun: app, reason: 'test', evidence: EVIDENCE })
      expect(outcome(await change(signed))).to.equal('failed REPOSITORY_FROZEN')
    })
  })

  it('overtaken by a rival’s root: it ends with the reason', async () => {
    world.faults.weather = undefined
    const [ours, theirs] = [await plan({}), await plan({ rootCertificates: [pemOf(successor)] }, [rootKey, successor])]
    let isFirst = true
    world.onStep = (step) => {
      if (step !== 'bytes-saved' || !isFirst) return
      isFirst = false
      const entries = [rootKey, successor].map((key) => signWith(key, theirs.next))
      void world.server.publish(app, new Map([[ROOT, attachSignatures({ message: theirs.next }, entries)]]))
    }
    expect(outcome(await change(ours))).to.equal('failed ROOT_CHANGE_OUTDATED')
  })

  for (const step of PUBLICATION_STEPS) {
    it(`stopped after the step ${step} ends published, once`, async () => {
      // A lost answer leads past some steps.
      world.faults.weather = undefined
      await stageTargets()
      const signed = await plan({ rotate: ['targets'] })
      const hasStopped = world.stopAt(step)
      const { request } = await world.services.requests.changeRoot(everybody, app, signed)
      await world.settled()
      world.observer.troubles.length = 0
      await world.services.reconciler.run()
      const done = await ended(world, request)
      expect(hasStopped()).to.equal(true)
      expect(outcome(done)).to.equal('published')
      expect(world.server.version(app, ROOT)).to.equal(2)
      expect((await world.found('1.0'))?.sha256).to.equal('a'.repeat(64))
      expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
      expect(world.server.version(app, RELEASES)).to.be.at.least(3)
    })
  }
})
