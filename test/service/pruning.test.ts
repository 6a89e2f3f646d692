// A repository is tidied of tags that are gone or old: what was shown is what happens, in one publication.
import { parseGun, parseTag, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { oldTags, type PruneRules, type SignedEntry } from '../../src/domain/pruning.ts'
import { requestStatus, type SigningRequest } from '../../src/domain/signing-request.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import type { PrunePage, Submission } from '../../src/service/services.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { outcome } from '../support/fakes/held-world.ts'
import { app, ended, everybody, principal, World } from '../support/fakes/world.ts'

const DAY = 86_400_000
const tags = ['1', '2', '3', '4']

describe('pruning', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    for (const tag of tags) world.registry.push(app, tag, tag)
    await world.sign(...tags.map((tag) => `${app}:${tag}`))
  })
  afterEach(async () => {
    await world.settled()
    world.close()
  })
  const plan = (rules: Partial<PruneRules>, after?: string): Promise<PrunePage> =>
    world.services.requests.planPruning(everybody, app, { gone: false, ...rules }, after)
  const named = ({ entries }: PrunePage): string[] => entries.map(({ tag, reason }) => `${tag} ${reason}`)
  const apply = async (
    { entries, madeAt }: Pick<PrunePage, 'entries' | 'madeAt'>,
    how: Pick<Submission, 'mayLeaveNothing'> = {},
  ): Promise<SigningRequest> => {
    const images = entries.map(({ tag, sha256 }) => `${app}:${tag}@sha256:${sha256}`)
    const pruning = entries.map(({ reason }) => ({ reason, plannedAt: madeAt }))
    const submission = { kind: 'unsign', pruning, images, ...how } as const
    return ended(world, (await world.services.requests.submit(everybody, submission)).request)
  }

  it('unsigns what is gone, in one publication, and nothing else', async () => {
    for (const tag of ['1', '3']) world.registry.remove(app, tag)
    world.registry.push(app, '2', 'f')
    const found = await plan({ gone: true })
    expect(named(found)).to.deep.equal(['1 gone', '3 gone'])
    expect(found).to.deep.include({ signed: 4, stays: 2, kept: [] })
    const before = world.observer.publications.length
    expect(requestStatus((await apply(found)).images)).to.equal('published')
    expect(world.observer.publications.slice(before).map(({ changes }) => changes)).to.deep.equal([2])
    expect(await Promise.all(tags.map(async (tag) => (await world.found(tag))?.sha256?.[0]))).to.deep.equal([
      undefined,
      '2',
      undefined,
      '4',
    ])
    expect(named(await plan({ gone: true }))).to.deep.equal([])
  })

  describe('nothing is gone because of a registry', () => {
    it('that does not answer: the whole plan is refused', async () => {
      world.registry.isReachable = false
      await expectCodeAsync('REGISTRY_UNAVAILABLE', () => plan({ gone: true }))
    })

    it('that refuses us: the tag stays, with the code', async () => {
      const { resolver } = world.dependencies
      const probe = resolver.probe.bind(resolver)
      resolver.probe = (image) =>
        image.tag === '1' ? Promise.reject(new RegistryError('REGISTRY_UNAUTHORIZED', 'no')) : probe(image)
      world.registry.remove(app, '1')
      world.registry.remove(app, '2')
      const found = await plan({ gone: true })
      expect(named(found)).to.deep.equal(['2 gone'])
      expect(found.kept).to.deep.equal([{ tag: '1', code: 'REGISTRY_UNAUTHORIZED', detail: 'no' }])
    })

    it('that does not say itself that it has no such tag: a 404 of a proxy or of a wrong path', async () => {
      world.registry.saysManifestUnknown = false
      for (const tag of tags) world.registry.remove(app, tag)
      const found = await plan({ gone: true })
      expect([named(found), found.stays]).to.deep.equal([[], 0])
      expect(found.kept.map(({ code }) => code)).to.deep.equal(tags.map(() => 'TAG_NOT_KNOWN_GONE'))
    })

    it('that names no digest: the manifest is asked for before anything is gone', async () => {
      world.dependencies.resolver.probe = () => Promise.resolve(undefined)
      expect(named(await plan({ gone: true }))).to.deep.equal([])
    })
  })

  it('finds what was signed long ago, but for the last ones', async () => {
    world.time.advance(10 * DAY)
    await world.sign(`${app}:4`)
    world.registry.push(app, '5', '5')
    await world.sign(`${app}:5`)
    expect(named(await plan({ olderThanMs: 5 * DAY }))).to.deep.equal(['1 old', '2 old', '3 old'])
    expect(named(await plan({ olderThanMs: 5 * DAY, keepLast: 4 }))).to.deep.equal(['1 old'])
    expect(named(await plan({ olderThanMs: 11 * DAY }))).to.deep.equal([])
  })

  it('an age that is not known is none', async () => {
    world.time.advance(10 * DAY)
    world.database.sqlite.exec("DELETE FROM images WHERE tag = '2'")
    expect(named(await plan({ olderThanMs: DAY }))).to.deep.equal(['1 old', '3 old', '4 old'])
  })

  it('leaves a signed tag, unless it may leave nothing: PRUNING_LEAVES_NOTHING', async () => {
    for (const tag of tags) world.registry.remove(app, tag)
    const found = await plan({ gone: true })
    expect(found.stays).to.equal(0)
    await expectCodeAsync('PRUNING_LEAVES_NOTHING', () => apply(found))
    expect(await world.found('1')).to.not.equal(undefined)
    expect(requestStatus((await apply(found, { mayLeaveNothing: true })).images)).to.equal('published')
  })

  it('goes from page to page', async () => {
    expect(named(await plan({ olderThanMs: -1 }, '2'))).to.deep.equal(['3 old', '4 old'])
    expect((await plan({ olderThanMs: -1 }, '2')).nextCursor).to.equal(undefined)
  })

  it('an entry that changed since the plan stays, and says so; the others go', async () => {
    for (const tag of ['1', '2']) world.registry.remove(app, tag)
    const found = await plan({ gone: true })
    world.time.advance(1)
    world.registry.push(app, '1', 'f')
    await world.sign(`${app}:1`)
    const request = await apply(found)
    expect([outcome(request), outcome(request, 1)]).to.deep.equal(['failed TAG_SIGNED_SINCE_PLAN', 'published'])
    expect((await world.found('1'))?.sha256).to.equal('f'.repeat(64))
  })

  it('a tag that is served again, at the same digest, stays: TAG_SERVED_AGAIN', async () => {
    for (const tag of ['1', '2']) world.registry.remove(app, tag)
    const found = await plan({ gone: true })
    world.registry.push(app, '1', '1')
    const request = await apply(found)
    expect([outcome(request), outcome(request, 1)]).to.deep.equal(['failed TAG_SERVED_AGAIN', 'published'])
    expect((await world.found('1'))?.sha256).to.equal('1'.repeat(64))
  })

  it('a tag that was signed anew at the same digest stays, also when it is asked for once more: TAG_SIGNED_SINCE_PLAN', async () => {
    world.time.advance(10 * DAY)
    const found = await plan({ olderThanMs: DAY, keepLast: 2 })
    expect(named(found)).to.deep.equal(['1 old', '2 old'])
    world.time.advance(1)
    await world.sign(`${app}:1`)
    const request = await apply(found)
    expect([outcome(request), outcome(request, 1)]).to.deep.equal(['failed TAG_SIGNED_SINCE_PLAN', 'published'])
    const again = await ended(world, (await world.services.requests.resubmit(everybody, request.id, {})).request)
    expect(outcome(again)).to.equal('failed TAG_SIGNED_SINCE_PLAN')
    expect((await world.found('1'))?.sha256).to.equal('1'.repeat(64))
  })

  it('a registry that no longer says itself that a tag is gone: it stays', async () => {
    world.registry.remove(app, '1')
    const found = await plan({ gone: true })
    world.registry.saysManifestUnknown = false
    expect(outcome(await apply(found))).to.equal('failed TAG_NOT_KNOWN_GONE')
    expect(await world.found('1')).to.not.equal(undefined)
  })

  it('what cannot be unsigned completely is no part of a plan', async () => {
    const { keyHolder } = world.dependencies
    const status = keyHolder.repositoryStatus.bind(keyHolder)
    keyHolder.repositoryStatus = async (gun) => ({ ...(await status(gun)), keys: [] })
    const found = await plan({ olderThanMs: -1 })
    expect(found.entries).to.deep.equal([])
    expect(found.kept.map(({ code }) => code)).to.deep.equal(tags.map(() => 'UNSIGN_INCOMPLETE'))
  })

  it('needs the grant, and a repository that is registered: nobody is asked before', async () => {
    world.faults.plan(undefined)
    const rules = { gone: true }
    const { requests } = world.services
    await expectCodeAsync('NOT_PERMITTED', () => requests.planPruning(principal('bot'), app, rules))
    const other = parseGun('registry.example.com/team/unknown')
    await expectCodeAsync('NOT_PERMITTED', () => requests.planPruning(everybody, other, rules))
    expect(world.faults.calls.filter((call) => /^(source|resolver|keyHolder)\./.test(call))).to.deep.equal([])
  })

  it('one pruning drops more tags in one version than a request may name images', async () => {
    const many = Array.from({ length: 30 }, (_, n) => `m${n}`)
    for (const tag of many) world.registry.push(app, tag, 'a')
    for (const some of [many.slice(0, 15), many.slice(15)]) await world.sign(...some.map((tag) => `${app}:${tag}`))
    for (const tag of many) world.registry.remove(app, tag)
    const before = world.observer.publications.length
    const version = world.server.version(app, RELEASES)
    expect(requestStatus((await apply(await plan({ gone: true }))).images)).to.equal('published')
    expect(world.observer.publications.slice(before).map(({ changes }) => changes)).to.deep.equal([30])
    expect(world.server.version(app, RELEASES)).to.equal(version + 1)
  })
})

describe('which tags are old', () => {
  const entry = fc.record({ number: fc.nat(1000), age: fc.option(fc.nat(100), { nil: undefined }) })
  const now = new Date(1_000_000)

  it('those beyond the age that are not among the last ones, and never one of unknown age', () => {
    const entries = fc.uniqueArray(entry, { selector: ({ number }) => number })
    fc.assert(
      fc.property(entries, fc.nat(100), fc.nat(10), (some, olderThanMs, keepLast) => {
        const signed = some.map(({ number, age }): SignedEntry => ({
          tag: parseTag(`t${number}`),
          sha256: 'a'.repeat(64),
          ...(age !== undefined && { signedAt: new Date(now.getTime() - age) }),
        }))
        const old = oldTags(signed, { gone: false, olderThanMs, keepLast }, now)
        const known = signed.filter(({ signedAt }) => signedAt !== undefined)
        const kept = known.filter(({ tag }) => !old.has(tag))
        expect([...old].every((tag) => known.some((one) => one.tag === tag))).to.equal(true)
        for (const { tag, signedAt = now } of known) {
          const age = now.getTime() - signedAt.getTime()
          if (!old.has(tag)) continue
          expect(age).to.be.greaterThan(olderThanMs)
          // Nothing that stays is older than what goes, unless equally old.
          expect(kept.every((one) => (one.signedAt ?? now) >= signedAt)).to.equal(true)
        }
        expect(kept.length).to.be.at.least(Math.min(keepLast, known.length))
        const young = known.filter(({ signedAt = now }) => now.getTime() - signedAt.getTime() <= olderThanMs).length
        expect(old.size).to.equal(Math.max(0, known.length - Math.max(keepLast, young)))
      }),
    )
  })
})
