import {
  hexOfBase64Digest,
  parseRoleName,
  parseTag,
  parseTargets,
  RELEASES,
  type RoleName,
  SNAPSHOT,
  TARGETS,
} from '@countersign/tuf'
import { expect } from 'chai'
import { type ImageRecord, isFinal, type SigningRequest } from '../../src/domain/signing-request.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { NotaryError } from '../../src/notary/errors.ts'
import { Crash } from '../support/fakes/faults.ts'
import { addAlice, publishAs, publishRelease, publishTargets, replaceOurKeys, SIGNER } from '../support/fakes/rival.ts'
import { app, ended, everybody, World } from '../support/fakes/world.ts'
import { FakeTrustServerError } from '../support/fakes/trust-server.ts'

const put = (tag: string, letter: string) =>
  ({ kind: 'put', name: parseTag(tag), sha256: letter.repeat(64), length: 1000 }) as const

function record(request: SigningRequest, position = 0): ImageRecord {
  const found = request.images[position]?.record
  if (found === undefined) throw new Error('No such image.')
  return found
}

/** `failed CODE`, or the status. */
function outcome(request: SigningRequest, position = 0): string {
  const image = record(request, position)
  return image.status === 'failed' ? `failed ${image.error.code}` : image.status
}

describe('signing', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
  })
  afterEach(() => {
    expect(world.observer.troubles).to.deep.equal([])
    world.close()
  })

  const entries = (role: RoleName): Record<string, string> => {
    const bytes = world.server.currentFile(app, role)
    const targets = bytes === undefined ? [] : [...parseTargets(bytes, role).metadata.targets]
    return Object.fromEntries(targets.map(([name, meta]) => [name, hexOfBase64Digest(meta.hashes.get('sha256') ?? '')]))
  }

  it('publishes the digest in releases and in the signer role, and leaves targets empty', async () => {
    const sha256 = world.registry.push(app, '1.0', 'a')
    const request = await world.sign(`${app}:1.0@sha256:${sha256}`)
    expect(record(request)).to.deep.include({ status: 'published', unchanged: false })
    expect(entries(RELEASES)).to.deep.equal({ '1.0': sha256 })
    expect(entries(SIGNER)).to.deep.equal({ '1.0': sha256 })
    expect(entries(TARGETS)).to.deep.equal({})
    expect(await world.found('1.0')).to.deep.equal({ role: 'targets/releases', sha256 })
  })

  it('sends what an earlier version saved as signed and had not sent', async () => {
    world.registry.push(app, '1.0', 'a')
    // The second time an image moves its bytes are saved.
    world.faults.plan({ method: 'requests.save', call: 2, moment: 'after', error: () => new Crash('requests.save') })
    const { request } = await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:1.0`] })
    await world.settled()
    world.observer.troubles.length = 0
    const { sqlite } = world.database
    expect(sqlite.prepare('SELECT status FROM images').all()).to.deep.equal([{ status: 'publishing' }])
    sqlite.exec(`UPDATE images SET status = 'signed', record = json_set(record, '$.status', 'signed')`)
    await world.restart()
    expect(outcome(await ended(world, request))).to.equal('published')
    expect(entries(RELEASES)).to.deep.equal({ '1.0': 'a'.repeat(64) })
  })

  it('signs in targets where there are no delegations', async () => {
    const plain = await World.withRepository({ delegations: false })
    const sha256 = plain.registry.push(app, '1.0', 'a')
    expect(outcome(await plain.sign(`${app}:1.0`))).to.equal('published')
    expect(await plain.found('1.0')).to.deep.equal({ role: 'targets', sha256 })
    plain.close()
  })

  it('keeps the entries of others', async () => {
    world.registry.push(app, '1.0', 'a')
    await world.sign(`${app}:1.0`)
    await publishRelease(world, app, [put('theirs', 'c')])
    world.registry.push(app, '2.0', 'b')
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
    expect(entries(RELEASES)).to.deep.equal({ '1.0': 'a'.repeat(64), theirs: 'c'.repeat(64), '2.0': 'b'.repeat(64) })
  })

  it('signs many tags of one repository in one version', async () => {
    const tags = ['__proto__', 'constructor', '10', '9', 'v1']
    for (const tag of tags) world.registry.push(app, tag, 'a')
    const request = await world.sign(...tags.map((tag) => `${app}:${tag}`))
    expect(request.images.map(({ record: { status } }) => status)).to.deep.equal(tags.map(() => 'published'))
    expect(world.server.version(app, RELEASES)).to.equal(1)
    for (const tag of tags)
      expect(await world.found(tag)).to.deep.equal({ role: 'targets/releases', sha256: 'a'.repeat(64) })
  })

  it('joins requests that wait for the same repository', async () => {
    const tags = Array.from({ length: 10 }, (_, index) => `t${index}`)
    for (const tag of tags) world.registry.push(app, tag, 'a')
    const submitted = await Promise.all(
      tags.map((tag) => world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:${tag}`] })),
    )
    for (const { request } of submitted) expect(outcome(await ended(world, request))).to.equal('published')
    expect(world.server.version(app, RELEASES)).to.be.at.most(3)
  })

  it('lets the later of two requests for one tag win', async () => {
    world.registry.push(app, '1.0', 'a')
    const first = await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:1.0`] })
    const second = await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:1.0`] })
    expect(record(await ended(world, first.request))).to.deep.include({ status: 'published', unchanged: false })
    expect(record(await ended(world, second.request))).to.deep.include({ status: 'published', unchanged: true })
  })

  it('signs nothing where the repository says so already, and proves it', async () => {
    world.registry.push(app, '1.0', 'a')
    await world.sign(`${app}:1.0`)
    const again = record(await world.sign(`${app}:1.0`))
    expect(again).to.deep.include({ status: 'published', unchanged: true })
    expect(again.status === 'published' ? again.roles.map(({ version }) => version) : []).to.deep.equal([1, 1])
    expect(world.server.version(app, RELEASES)).to.equal(1)
  })

  it('fails where the tag moved between the request and the intent', async () => {
    world.registry.push(app, '1.0', 'a')
    const resolve = world.registry.resolve.bind(world.registry)
    world.registry.resolve = async (image) => {
      const resolved = await resolve(image)
      world.registry.push(app, '1.0', 'b')
      return resolved
    }
    expect(outcome(await world.sign(`${app}:1.0`))).to.equal('failed DIGEST_MISMATCH')
    expect(world.keyHolder.highestSigned(app, RELEASES), 'nothing was signed').to.equal(0)
  })

  it('lets one bad image of a request fail alone', async () => {
    world.registry.push(app, 'good', 'a')
    world.registry.push(app, 'locked', 'b')
    world.keyHolder.lockedTags.add('locked')
    const request = await world.sign(`${app}:good`, `${app}:locked`)
    expect([outcome(request, 0), outcome(request, 1)]).to.deep.equal(['published', 'failed LIMIT_TAG_LOCKED'])
    expect(await world.found('locked')).to.equal(undefined)
  })

  it('refuses before signing where a client holds the snapshot key', async () => {
    world.registry.push(app, '1.0', 'a')
    world.server.loseKey(app, SNAPSHOT)
    await world.restart()
    expect(outcome(await world.sign(`${app}:1.0`))).to.equal('failed SNAPSHOT_KEY_HELD_BY_CLIENT')
    expect(world.keyHolder.highestSigned(app, RELEASES)).to.equal(0)
  })

  it('refuses a role whose paths do not cover the tag', async () => {
    await addAlice(world, app, ['release-'])
    world.registry.push(app, '1.0', 'a')
    world.registry.push(app, 'release-1', 'a')
    expect(outcome(await world.sign(`${app}:1.0`))).to.equal('failed SIGNING_ROLE_UNAVAILABLE')
    expect(outcome(await world.sign(`${app}:release-1`))).to.equal('published')
  })

  it('refuses roles that the owner took from us, and builds nothing upon what is not valid', async () => {
    world.registry.push(app, '1.0', 'a')
    world.registry.push(app, '2.0', 'b')
    await world.sign(`${app}:1.0`)
    await replaceOurKeys(world, app)
    expect(outcome(await world.sign(`${app}:2.0`))).to.equal('failed SIGNING_ROLE_UNAVAILABLE')
    expect(outcome(await world.unsign(`${app}:1.0`))).to.equal('failed UNSIGN_INCOMPLETE')
    expect(world.server.version(app, RELEASES)).to.equal(1)
  })

  describe('while somebody is out of reach', () => {
    const outages: readonly [string, () => Error][] = [
      ['source.read', () => new NotaryError('NOTARY_UNAVAILABLE', 'x')],
      ['keyHolder.repositoryStatus', () => new KeyHolderError('KEY_HOLDER_SEALED', 'x')],
      ['keyHolder.changeTargets', () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'x')],
      ['keyHolder.changeTargets', () => new KeyHolderError('CUSTODY_UNAVAILABLE', 'x')],
      ['publisher.serverKey', () => new NotaryError('NOTARY_UNAVAILABLE', 'x')],
      ['publisher.publish', () => new NotaryError('NOTARY_UNAVAILABLE', 'x')],
    ]
    for (const [method, error] of outages) {
      it(`waits, and publishes once when ${method} works again`, async () => {
        world.registry.push(app, '1.0', 'a')
        world.faults.plan({ method, call: 'every', moment: 'before', error })
        const request = await world.sign(`${app}:1.0`)
        expect(isFinal(record(request).status)).to.equal(false)
        world.faults.plan(undefined)
        expect(outcome(await ended(world, request))).to.equal('published')
        expect(world.server.published).to.have.length(2)
      })
    }

    it('waits for keys in a token that is away for longer than for rivals, and fails with its code in the end', async () => {
      for (const tag of ['1.0', '2.0']) world.registry.push(app, tag, 'a')
      const error = () => new KeyHolderError('CUSTODY_UNAVAILABLE', 'x')
      world.faults.plan({ method: 'keyHolder.changeTargets', call: 'every', moment: 'before', error })
      const request = await world.sign(`${app}:1.0`)
      // More often than `attempts`, for longer than `contention`.
      for (let n = 0; n < 12; n++) {
        world.time.advance(60_000)
        const now = await ended(world, request)
        expect([record(now).status, now.images[0]?.waiting?.code]).to.deep.equal(['approved', 'CUSTODY_UNAVAILABLE'])
      }
      world.time.advance(4 * 60_000)
      expect(outcome(await ended(world, request))).to.equal('failed CUSTODY_UNAVAILABLE')
      world.faults.plan(undefined)
      expect(outcome(await world.sign(`${app}:2.0`))).to.equal('published')
    })

    it('fails with its code in the end, where nothing was sent', async () => {
      world.registry.push(app, '1.0', 'a')
      world.faults.plan({
        method: 'source.read',
        call: 'every',
        moment: 'before',
        error: () => new NotaryError('NOTARY_UNAVAILABLE', 'x'),
      })
      const request = await world.sign(`${app}:1.0`)
      world.time.advance(16 * 60_000)
      expect(outcome(await ended(world, request))).to.equal('failed NOTARY_UNAVAILABLE')
    })

    it('is never told as failed where it may have been published', async () => {
      world.registry.push(app, '1.0', 'a')
      world.faults.plan({
        method: 'publisher.publish',
        call: 'every',
        moment: 'after',
        error: () => {
          world.server.isReadable = false
          return new NotaryError('NOTARY_ANSWER_LOST', 'x')
        },
      })
      const request = await world.sign(`${app}:1.0`)
      expect(outcome(request)).to.equal('publishing')
      world.time.advance(86_400_000)
      expect(outcome(await ended(world, request))).to.equal('publishing')
      world.faults.plan(undefined)
      world.server.isReadable = true
      expect(outcome(await ended(world, request))).to.equal('published')
      expect(world.server.published).to.have.length(2)
    })
  })

  it('refuses a repository that was rolled back', async () => {
    world.registry.push(app, '1.0', 'a')
    await world.sign(`${app}:1.0`)
    world.server.rollBack(app)
    world.registry.push(app, '2.0', 'b')
    expect(outcome(await world.sign(`${app}:2.0`))).to.match(/^failed (SNAPSHOT_ROLE_REMOVED|VERSION_ROLLED_BACK)$/)
  })

  it('refuses where key holder and daemon pin different roots', async () => {
    const other = await World.withRepository()
    world.keyHolder.setPin(app, other.keyHolder.rootBytes(app) ?? new Uint8Array())
    other.close()
    world.registry.push(app, '1.0', 'a')
    expect(outcome(await world.sign(`${app}:1.0`))).to.equal('failed ROOT_PIN_MISMATCH')
  })

  it('works on repositories in parallel, and keeps them apart', async () => {
    const other = 'registry.example.com/team/other'
    await world.initialize(other as typeof app)
    world.registry.push(app, '1', 'a')
    world.registry.push(other, '1', 'b')
    const request = await world.sign(`${app}:1`, `${other}:1`)
    expect([outcome(request, 0), outcome(request, 1)]).to.deep.equal(['published', 'published'])
    expect(await world.found('1', other as typeof app)).to.deep.equal({
      role: 'targets/releases',
      sha256: 'b'.repeat(64),
    })
  })

  describe('when somebody else publishes first', () => {
    /** A rival publishes during our nth call of publish. */
    function interfere(times: number, publish: () => Promise<void>): void {
      let left = times
      const { server } = world
      const original = server.publish.bind(server)
      server.publish = async (gun, files) => {
        if (left > 0 && files.has(SIGNER)) {
          left--
          await publish()
        }
        await original(gun, files)
      }
    }

    it('builds upon what they published', async () => {
      world.registry.push(app, '1.0', 'a')
      interfere(1, () => publishRelease(world, app, [put('theirs', 'c')]))
      expect(outcome(await world.sign(`${app}:1.0`))).to.equal('published')
      expect(entries(RELEASES)).to.deep.equal({ theirs: 'c'.repeat(64), '1.0': 'a'.repeat(64) })
      expect(world.observer.conflicts).to.deep.equal([{ gun: app, attempt: 1, code: 'NOTARY_CONFLICT' }])
      expect(world.observer.publications.map((each) => each.outcome)).to.deep.equal(['conflict', 'published'])
    })

    it('wins at last against one who wins many races', async () => {
      world.registry.push(app, '1.0', 'a')
      let count = 0
      interfere(9, () => publishRelease(world, app, [put(`theirs-${count++}`, 'c')]))
      expect(outcome(await world.sign(`${app}:1.0`))).to.equal('published')
      expect(world.observer.conflicts).to.have.length(9)
      expect(Object.keys(entries(RELEASES))).to.have.length(10)
    })

    it('gives up after the configured time, and says that nothing was published', async () => {
      const began = world.time.now().getTime()
      world.registry.push(app, '1.0', 'a')
      let count = 0
      // The rival publishes whatever version we are about to publish.
      interfere(100, async () => {
        while (world.server.version(app, RELEASES) < world.keyHolder.highestSigned(app, RELEASES)) {
          await publishRelease(world, app, [put(`theirs-${count++}`, 'c')])
        }
      })
      expect(outcome(await world.sign(`${app}:1.0`))).to.equal('failed PUBLICATION_CONFLICT')
      expect(await world.found('1.0')).to.equal(undefined)
      expect(world.time.now().getTime() - began).to.be.within(60_000, 70_000)
    })

    it('finds that they published the same', async () => {
      world.registry.push(app, '1.0', 'a')
      interfere(1, () =>
        publishAs(
          world,
          app,
          RELEASES,
          [put('1.0', 'a')],
          [world.keyHolder.key(app, parseRoleName('targets/countersign'))],
        ),
      )
      expect(outcome(await world.sign(`${app}:1.0`))).to.equal('published')
      expect(await world.found('1.0')).to.deep.equal({ role: 'targets/releases', sha256: 'a'.repeat(64) })
    })
  })

  describe('when the server refuses', () => {
    it('fails with its code', async () => {
      world.registry.push(app, '1.0', 'a')
      world.faults.plan({
        method: 'publisher.publish',
        call: 1,
        moment: 'before',
        error: () => new FakeTrustServerError('NOTARY_UPDATE_INVALID', 'refused'),
      })
      expect(outcome(await world.sign(`${app}:1.0`))).to.equal('failed NOTARY_UPDATE_INVALID')
      expect(await world.found('1.0')).to.equal(undefined)
      world.faults.plan(undefined)
      // The version that was signed and never published is burnt: the next one is above it.
      expect(outcome(await world.sign(`${app}:1.0`))).to.equal('published')
      expect(world.server.version(app, RELEASES)).to.equal(2)
    })
  })

  describe('unsigning', () => {
    beforeEach(async () => {
      world.registry.push(app, '1.0', 'a')
      world.registry.push(app, '2.0', 'b')
      await world.sign(`${app}:1.0`, `${app}:2.0`)
    })

    it('removes the tag from every role of ours, and no other', async () => {
      expect(outcome(await world.unsign(`${app}:1.0`))).to.equal('published')
      expect(await world.found('1.0')).to.equal(undefined)
      expect(entries(RELEASES)).to.deep.equal({ '2.0': 'b'.repeat(64) })
      expect(entries(SIGNER)).to.deep.equal({ '2.0': 'b'.repeat(64) })
    })

    it('does not need the image to exist any more', async () => {
      world.registry.asked.length = 0
      await world.unsign(`${app}:1.0`)
      expect(world.registry.asked).to.deep.equal([])
    })

    it('cleans base targets too', async () => {
      await publishTargets(world, app, [put('1.0', 'c')])
      expect(outcome(await world.unsign(`${app}:1.0`))).to.equal('published')
      expect(await world.found('1.0')).to.equal(undefined)
      expect(entries(TARGETS)).to.deep.equal({})
    })

    it('refuses before signing where a role that clients read would keep the tag', async () => {
      await publishTargets(world, app, [put('1.0', 'c')])
      world.keyHolder.forgetKey(app, TARGETS)
      const before = world.keyHolder.highestSigned(app, RELEASES)
      expect(outcome(await world.unsign(`${app}:1.0`))).to.equal('failed UNSIGN_INCOMPLETE')
      expect(world.keyHolder.highestSigned(app, RELEASES)).to.equal(before)
      expect(await world.found('1.0')).to.deep.equal({ role: 'targets/releases', sha256: 'a'.repeat(64) })
    })

    it('says where there is nothing to unsign', async () => {
      expect(outcome(await world.unsign(`${app}:unknown`))).to.equal('failed TAG_NOT_SIGNED')
    })

    it('leaves the own role of another signer to them', async () => {
      const alice = await addAlice(world, app)
      await publishAs(world, app, parseRoleName('targets/alice'), [put('1.0', 'a')], [alice])
      expect(outcome(await world.unsign(`${app}:1.0`))).to.equal('published')
      expect(await world.found('1.0')).to.equal(undefined)
      expect(entries(parseRoleName('targets/alice'))).to.deep.equal({ '1.0': 'a'.repeat(64) })
    })

    it('refuses where another digest is signed than the one named', async () => {
      expect(outcome(await world.unsign(`${app}:1.0@sha256:${'f'.repeat(64)}`))).to.equal('failed DIGEST_MISMATCH')
      expect(outcome(await world.unsign(`${app}:1.0@sha256:${'a'.repeat(64)}`))).to.equal('published')
    })
  })
})
