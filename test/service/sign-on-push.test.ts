// Sign on push: what an event leads to, what it never leads to, and what is left of it when something fails.
import { type Gun, parseGun, parseTag, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { parsePattern } from '../../src/domain/pattern.ts'
import { grantsPolicy, type Policy } from '../../src/domain/policy.ts'
import type { ImageResolver } from '../../src/domain/ports.ts'
import type { PushClaim, PushSource } from '../../src/domain/push-event.ts'
import type { WebhookNews } from '../../src/domain/webhook-event.ts'
import { imageOf, type SigningRequest } from '../../src/domain/signing-request.ts'
import { approvalDigest } from '../../src/domain/approval-digest.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { createServices } from '../../src/service/create-services.ts'
import { SqlitePushedTags } from '../../src/store/pushed-tags.ts'
import { SqliteRequestStore } from '../../src/store/requests.ts'
import { expectCode } from '../support/expect-code.ts'
import { Crash } from '../support/fakes/faults.ts'
import { FakeRegistryError } from '../support/fakes/registry.ts'
import { addAlice, publishAs } from '../support/fakes/rival.ts'
import { app, everybody, World } from '../support/fakes/world.ts'
import { identity, PEOPLE, policyOf, PROJECT } from '../support/policies.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const other = parseGun('registry.example.com/team/other')

const source: PushSource = {
  name: 'main',
  kind: 'distribution',
  registry: 'registry.example.com',
  repositories: [{ gun: parsePattern('registry.example.com/team/*'), tags: ['v*', 'latest'] }],
  eventsPerMinute: 1000,
}
const hub: PushSource = { ...source, name: 'hub', kind: 'docker-hub' }
const signOnPush = { sources: [source, hub], queue: 100, alertAfterMs: 600_000 }

/** Under it an event is enough. */
const OPEN = PROJECT.replace('[group:bots, identity:github:repository:*]', '[identity:push:*]').replace(
  /^ {4}approvals.*\n/m,
  '',
)

describe('sign on push', () => {
  let world: World
  const start = async (policy?: Policy) => {
    world = await World.withRepository({ settings: { signOnPush }, ...(policy !== undefined && { policy }) })
  }
  beforeEach(() => start())
  afterEach(() => {
    world.close()
  })

  const claim = (tag: string, sha256?: string, repository = 'team/app'): PushClaim => ({
    repository,
    tag,
    ...(sha256 !== undefined && { sha256 }),
  })
  const tell = (claims: readonly PushClaim[], by = source) => world.services.pushes.accept(by, claims)
  /** Looks until nothing is due, and lets what was asked for come to its end. */
  async function looked(): Promise<readonly string[]> {
    const before = world.observer.settled.length
    while ((await world.services.pushes.look(4)) > 0);
    await world.settled()
    return world.observer.settled.slice(before).map(({ tag, outcome, code }) => `${tag} ${code ?? outcome}`)
  }
  const pushed = (tag: string, letter: string) => claim(tag, world.registry.push(app, tag, letter))
  const requests = (): readonly SigningRequest[] => world.services.requests.list(everybody, { limit: 200 }).requests
  const unsigned = () => world.services.pushes.list(everybody, app).tags

  it('signs what was pushed, once, in the name of the source', async () => {
    expect(tell([pushed('v1', 'a')])).to.deep.equal({ accepted: 1, ignored: 0 })
    expect(unsigned().map(({ tag }) => tag)).to.deep.equal(['v1'])
    expect(world.services.pushes.accept(source, [], { others: 2, malformed: 1 })).to.deep.equal({
      accepted: 0,
      ignored: 3,
    })
    expect(world.observer.heard.at(-1)).to.deep.equal({ source: 'main', accepted: 0, ignored: 2, malformed: 1 })
    expect(await looked()).to.deep.equal(['v1 requested'])
    expect((await world.found('v1'))?.sha256).to.equal(A)
    const [request] = requests()
    expect(request).to.deep.include({ kind: 'sign', submitter: { id: 'push:main', name: 'main' } })
    expect(request?.images[0]?.record.subject.reference).to.equal(`${app}:v1@sha256:${A}`)
    expect(unsigned()).to.deep.equal([])
    const record = world.keyHolder.records.find(({ kind }) => kind === 'request-submitted')
    expect(record?.facts).to.include({ principal: 'push:main', gun: app, tag: 'v1', sha256: A })
  })

  it('asks nobody for what is not switched on, not managed, or no name', async () => {
    const calls = world.faults.calls.length
    const strange = ['../app', 'app:v1', `app@sha256:${A}`, 'evil.example.com/team/app', 'TEAM/app', '', 'team/app/']
    const ignored = [
      ...strange.map((repository) => claim('v1', A, repository)),
      ...['v1@x', 'v1/x', '', '__proto__', 'x'.repeat(200)].map((tag) => claim(tag, A)),
      claim('test-1', A),
      claim('v1', A, 'private/app'),
      claim('v1', A, 'team/other'),
    ]
    expect(tell(ignored)).to.deep.equal({ accepted: 0, ignored: ignored.length })
    expect(await looked()).to.deep.equal([])
    expect(world.registry.asked).to.deep.equal([])
    expect(world.faults.calls.slice(calls).filter((call) => /^(resolver|source|keyHolder)\./.test(call))).to.deep.equal(
      [],
    )
  })

  it('names the digest where an event did, and not where none did', async () => {
    const { sha256: digest } = pushed('v1', 'a')
    tell([claim('v1')], hub)
    expect(await looked()).to.deep.equal(['v1 requested'])
    expect(requests()[0]?.images[0]?.record.subject.reference).to.equal(`${app}:v1`)
    expect((await world.found('v1'))?.sha256).to.equal(digest)
    world.close()
    await start(policyOf({ 'people.yaml': PEOPLE, 'team.yaml': OPEN }))
    tell([{ ...pushed('v1', 'a') }, pushed('v2', 'b')])
    tell([claim('v3', undefined)], hub)
    world.registry.push(app, 'v3', 'c')
    await looked()
    expect([await world.found('v1'), await world.found('v2')].map((found) => found?.sha256)).to.deep.equal([A, B])
    expect(await world.found('v3'), 'a policy that asks for a digest').to.equal(undefined)
    expect(unsigned().map(({ tag, status }) => [tag, status])).to.deep.equal([['v3', 'denied']])
  })

  it('drops an event whose digest is not what the registry serves, and shows the tag', async () => {
    const late = pushed('v1', 'a')
    const early = pushed('v1', 'b')
    tell([late])
    expect(await looked()).to.deep.equal(['v1 outdated'])
    expect(requests()).to.deep.equal([])
    expect(unsigned().map(({ sha256, request }) => [sha256, request])).to.deep.equal([[B, undefined]])
    tell([early, late])
    expect(await looked()).to.deep.equal(['v1 requested'])
    expect((await world.found('v1'))?.sha256).to.equal(B)
  })

  it('leaves a signed tag where it is, and has the watch for drift look at it', async () => {
    tell([pushed('v1', 'a')])
    await looked()
    tell([claim('v1', A)])
    expect(await looked(), 'the same again').to.deep.equal(['v1 signed'])
    tell([pushed('v1', 'b')])
    const asked = world.registry.asked.length
    expect(await looked()).to.deep.equal(['v1 moved'])
    expect(world.registry.asked.length, 'nobody is asked').to.equal(asked)
    expect(requests()).to.have.length(1)
    expect((await world.found('v1'))?.sha256).to.equal(A)
    await world.services.drift.look()
    world.time.advance(600_000)
    expect(await world.services.drift.look()).to.include({ tag: 'v1', state: 'moved', found: B })
  })

  it('does not move a tag that somebody signed while its request waited', async () => {
    tell([pushed('v1', 'a')])
    let isHeld = true
    world.onStep = (step) => {
      // The registry has been looked at; before the base is loaded somebody else publishes.
      if (step !== 'digests-checked' || !isHeld) return
      throw new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'stopped by the test')
    }
    await world.services.pushes.look(4)
    await world.settled()
    isHeld = false
    const alice = await addAlice(world, app)
    await publishAs(world, app, RELEASES, [{ kind: 'put', name: parseTag('v1'), sha256: B, length: 9 }], [alice])
    world.time.advance(60_000)
    await world.settled()
    const [image] = requests()[0]?.images ?? []
    expect(image?.record.status).to.equal('denied')
    expect(image && 'decision' in image.record && image.record.decision.reasons.map(({ code }) => code)).to.include(
      'TAG_SIGNED_ALREADY',
    )
    expect((await world.found('v1'))?.sha256).to.equal(B)
  })

  it('never asks twice for one digest: not after a denial, nor after its signature was taken back', async () => {
    tell([pushed('v1', 'a')])
    await looked()
    await world.unsign(`${app}:v1`)
    // The policy that is asked for may be another one by then.
    const settings = {
      ...world.dependencies.settings,
      signOnPush: { ...signOnPush, sources: [{ ...source, policy: 'pushed' }, hub] },
    }
    world.services = createServices({ ...world.dependencies, settings })
    for (const by of [source, hub]) {
      for (const sha256 of [A, undefined]) {
        tell([claim('v1', sha256)], by)
        expect(await looked()).to.deep.equal(['v1 known'])
      }
    }
    expect(requests().filter(({ kind }) => kind === 'sign')).to.have.length(1)
    expect(await world.found('v1')).to.equal(undefined)
    expect(unsigned().map(({ tag, status }) => [tag, status])).to.deep.equal([['v1', 'published']])
  })

  it('does not ask for what a person signed and took back', async () => {
    const event = pushed('v1', 'a')
    await world.sign(`${app}:v1@sha256:${A}`)
    await world.unsign(`${app}:v1`)
    tell([event])
    expect(await looked()).to.deep.equal(['v1 known'])
    expect(await world.found('v1')).to.equal(undefined)
  })

  it('signs what was looked at where no event named it, and nothing that took its place since', async () => {
    world.registry.push(app, 'v1', 'a')
    tell([claim('v1')], hub)
    const { resolver } = world.dependencies
    let asked = 0
    const moving: ImageResolver = {
      probe: (image) => resolver.probe(image),
      resolve: (image) => {
        if (++asked === 2) world.registry.push(app, 'v1', 'b')
        return resolver.resolve(image)
      },
    }
    world.services = createServices({ ...world.dependencies, resolver: moving })
    expect(await looked()).to.deep.equal(['v1 DIGEST_MISMATCH'])
    expect(requests()).to.deep.equal([])
    world.time.advance(1_000)
    expect(await looked()).to.deep.equal(['v1 requested'])
    expect((await world.found('v1'))?.sha256).to.equal(B)
  })

  describe('under a policy', () => {
    const files = {
      'people.yaml': PEOPLE,
      'team.yaml': PROJECT.replace('[group:bots', '[identity:push:main, group:bots'),
    }
    const [ann, bob, cat] = [identity('token_ann'), identity('token_bob'), identity('token_cat')]
    const approve = (who: typeof ann) => {
      const [request] = requests()
      if (request === undefined) throw new Error('no request')
      return world.services.requests.approve(who, request.id, { digest: approvalDigest(request) })
    }

    it('waits for one approval more than it asks for: one of the approvers may be the one who pushed', async () => {
      world.close()
      await start(policyOf(files))
      tell([pushed('v1', 'a')])
      await looked()
      expect(unsigned().map(({ status }) => status)).to.deep.equal(['awaiting-approval'])
      for (const who of [ann, bob]) await approve(who)
      await world.settled()
      expect(await world.found('v1')).to.equal(undefined)
      await approve(cat)
      await world.settled()
      expect((await world.found('v1'))?.sha256).to.equal(A)
    })

    it('waits for as many where a person asks again for what was pushed', async () => {
      world.close()
      await start(policyOf({ ...files, 'team.yaml': PROJECT }))
      tell([pushed('v1', 'a')])
      await looked()
      expect(unsigned().map(({ status }) => status)).to.deep.equal(['denied'])
      const [denied] = requests()
      const bot = identity('token_bot', { groups: ['bots'] })
      await world.services.requests.resubmit(bot, denied?.id ?? '', {})
      expect(requests()[0]?.images[0]?.record).to.have.nested.property('decision.approvals.required', 3)
      for (const who of [ann, bob, cat]) await approve(who)
      await world.settled()
      expect((await world.found('v1'))?.sha256).to.equal(A)
    })

    it('is denied where the origin has to be verified', async () => {
      world.close()
      const origin = `    origin: { issuers: ['https://token.actions.githubusercontent.com'], repositoryIds: ['1'] }\n`
      await start(policyOf({ ...files, 'team.yaml': OPEN.replace('    tags: [v*]\n', `    tags: [v*]\n${origin}`) }))
      tell([pushed('v1', 'a')])
      await looked()
      expect(unsigned().map(({ status }) => status)).to.deep.equal(['denied'])
    })
  })

  it('an outage keeps what was told, is waited for, and events do not shorten that', async () => {
    const claims = [pushed('v1', 'a'), pushed('v2', 'b')]
    tell(claims)
    world.faults.plan({
      method: 'resolver.resolve',
      call: 'every',
      moment: 'before',
      error: () => new FakeRegistryError('REGISTRY_UNAVAILABLE', 'away'),
    })
    await world.services.pushes.look(1)
    tell(claims)
    expect(await looked(), 'the whole registry is left alone').to.deep.equal([])
    expect(world.observer.settled.map(({ code }) => code)).to.deep.equal(['REGISTRY_UNAVAILABLE'])
    expect(unsigned().map(({ trouble }) => trouble)).to.deep.equal(['REGISTRY_UNAVAILABLE', 'REGISTRY_UNAVAILABLE'])
    world.faults.plan(undefined)
    world.time.advance(60_000)
    expect(await looked()).to.have.members(['v1 requested', 'v2 requested'])
    expect(unsigned()).to.deep.equal([])
  })

  it('what is told in the middle of a look is looked at next', async () => {
    tell([pushed('v1', 'a')])
    let isFirst = true
    // The registry has been asked by then, and the request is on its way.
    const evaluate: Policy['evaluate'] = (facts, at) => {
      if (isFirst) tell([pushed('v1', 'b')])
      isFirst = false
      return grantsPolicy.evaluate(facts, at)
    }
    world.policy = { ...grantsPolicy, evaluate }
    expect(await looked()).to.deep.equal(['v1 requested', 'v1 requested'])
    expect((await world.found('v1'))?.sha256).to.equal(B)
    expect(unsigned()).to.deep.equal([])
  })

  it('a push between the look and its request is found a second later', async () => {
    tell([pushed('v1', 'a')])
    const { resolver } = world.dependencies
    let asked = 0
    const moving: ImageResolver = {
      probe: (image) => resolver.probe(image),
      resolve: (image) => {
        if (++asked === 2) tell([pushed('v1', 'b')])
        return resolver.resolve(image)
      },
    }
    world.services = createServices({ ...world.dependencies, resolver: moving })
    expect(await looked()).to.deep.equal(['v1 DIGEST_MISMATCH'])
    world.time.advance(1_000)
    expect(await looked()).to.deep.equal(['v1 requested'])
    expect((await world.found('v1'))?.sha256).to.equal(B)
  })

  it('a tag that a person signs in the middle of a look is not listed afterwards', async () => {
    tell([pushed('v1', 'a')])
    world.registry.push(app, 'v1', 'b')
    const { resolver } = world.dependencies
    let isFirst = true
    const slow: ImageResolver = {
      probe: (image) => resolver.probe(image),
      resolve: async (image) => {
        const found = await resolver.resolve(image)
        if (isFirst) {
          isFirst = false
          await world.sign(`${app}:v1`)
        }
        return found
      },
    }
    world.services = createServices({ ...world.dependencies, resolver: slow })
    expect(await looked()).to.deep.equal(['v1 outdated', 'v1 signed'])
    expect(unsigned()).to.deep.equal([])
  })

  it('asks for nothing while the repository is frozen, and for what was pushed when that has ended', async () => {
    const { keyHolder } = world.dependencies
    let isFrozen = true
    const freezing = new Proxy(keyHolder, {
      get: (target, name) =>
        name === 'repositoryStatus'
          ? async (gun: Gun) => ({ ...(await target.repositoryStatus(gun)), ...(isFrozen && { state: 'frozen' }) })
          : (Reflect.get(target, name) as unknown),
    })
    world.services = createServices({ ...world.dependencies, keyHolder: freezing })
    tell([pushed('v1', 'a')])
    expect(await looked()).to.deep.equal(['v1 REPOSITORY_FROZEN'])
    expect(requests()).to.deep.equal([])
    isFrozen = false
    world.time.advance(900_000)
    expect(await looked()).to.deep.equal(['v1 requested'])
    expect((await world.found('v1'))?.sha256).to.equal(A)
  })

  it('forgets what was told by a source that is not configured any more', async () => {
    tell([pushed('v1', 'a')])
    const settings = { ...world.dependencies.settings, signOnPush: { ...signOnPush, sources: [] } }
    world.services = createServices({ ...world.dependencies, settings })
    const asked = world.registry.asked.length
    expect(await looked()).to.deep.equal(['v1 ignored'])
    expect([unsigned(), world.registry.asked.length]).to.deep.equal([[], asked])
  })

  it('asks in the name of a source that told, and of no other', async () => {
    world.close()
    await start(policyOf({ 'people.yaml': PEOPLE, 'team.yaml': OPEN.replace('push:*', 'push:main') }))
    const served = pushed('v2', 'a')
    tell([claim('v2', B)])
    expect(await looked()).to.deep.equal(['v2 outdated'])
    tell([served], hub)
    tell([claim('v2', B)])
    await looked()
    expect(requests().map(({ submitter }) => submitter.id)).to.deep.equal(['push:hub'])
    expect(unsigned().map(({ status }) => status)).to.deep.equal(['denied'])
  })

  it('keeps what a source told whose events were waiting with those of a source that is switched off', async () => {
    const event = pushed('v1', 'a')
    tell([event])
    tell([event], hub)
    const settings = { ...world.dependencies.settings, signOnPush: { ...signOnPush, sources: [hub] } }
    world.services = createServices({ ...world.dependencies, settings })
    expect(await looked()).to.deep.equal(['v1 requested'])
    expect(requests().map(({ submitter }) => submitter.id)).to.deep.equal(['push:hub'])
  })

  it('forgets a tag that is gone by the time it is looked at', async () => {
    tell([pushed('v1', 'a')])
    world.registry.remove(app, 'v1')
    expect(await looked()).to.deep.equal(['v1 gone'])
    expect(unsigned()).to.deep.equal([])
  })

  it('refuses more than may wait, all of a delivery or nothing, and more than a source may send', () => {
    const many = Array.from({ length: 101 }, (_, index) => claim(`v${index}`, A))
    expectCode('PUSH_QUEUE_FULL', () => tell(many))
    expect(unsigned()).to.deep.equal([])
    tell(many.slice(1))
    tell(many.slice(1))
    expectCode('PUSH_QUEUE_FULL', () => tell(many.slice(0, 1)))
    expect(tell(many.slice(0, 1), hub), 'each source has a queue of its own').to.include({ accepted: 1 })
    const slow = { ...source, name: 'slow', eventsPerMinute: 2 }
    tell([], slow)
    tell([], slow)
    expectCode('PUSH_RATE_EXCEEDED', () => tell([], slow))
    world.time.advance(60_000)
    tell([], slow)
  })

  it('knows a source by each of its secrets, and by nothing else', () => {
    const services = createServices({
      ...world.dependencies,
      pushSecrets: (name) => (name === 'main' ? ['new secret', 'former secret'] : []),
    })
    expect(services.pushes.identify('main', 'new secret')?.name).to.equal('main')
    expect(services.pushes.identify('main', 'former secret')?.name).to.equal('main')
    for (const [name, secret] of [
      ['main', 'new secre'],
      ['main', ''],
      ['hub', 'new secret'],
      ['nobody', ''],
      ['hub', ''],
    ]) {
      expect(services.pushes.identify(name ?? '', secret ?? ''), name).to.equal(undefined)
    }
  })

  it('a repository that is removed takes its pushed tags with it', async () => {
    tell([pushed('v1', 'a')])
    await world.services.repositories.remove(everybody, app)
    expect(await looked()).to.deep.equal([])
    await world.initialize(other)
    tell([claim('v1', A, 'team/other')])
    expect(world.services.pushes.counts()).to.include({ unsigned: 1, waiting: 1 })
  })

  it('tells what stays unsigned for too long, once, and that it has ended', async () => {
    const told: WebhookNews[] = []
    const outbox = { isWanted: () => true, record: (news: WebhookNews) => void told.push(news) }
    const requestStore = new SqliteRequestStore(world.database, outbox)
    const pushedTags = new SqlitePushedTags(world.database, outbox)
    world.services = createServices({ ...world.dependencies, requests: requestStore, pushedTags })
    const of = (type: string) =>
      told.filter((news) => news.type === type).map(({ data }) => [data['tag'], data['state']])
    const late = pushed('v1', 'a')
    pushed('v1', 'b')
    tell([late])
    tell([{ ...late, tag: 'v2' }])
    world.registry.push(app, 'v2', 'c')
    await looked()
    expect(await world.services.pushes.tellOverdue()).to.deep.equal([])
    world.time.advance(600_000)
    expect((await world.services.pushes.tellOverdue()).map(({ tag }) => tag)).to.deep.equal(['v1', 'v2'])
    expect(await world.services.pushes.tellOverdue()).to.deep.equal([])
    await world.sign(`${app}:v1`)
    world.registry.remove(app, 'v2')
    world.time.advance(3_600_000)
    await looked()
    expect(of('repository.unsigned')).to.deep.equal([
      ['v1', 'unsigned'],
      ['v2', 'unsigned'],
      ['v1', 'signed'],
      ['v2', 'gone'],
    ])
    const records = world.keyHolder.records.filter(({ kind }) => kind === 'push-unsigned')
    expect(records.map(({ facts }) => [facts['tag'], facts['found']])).to.deep.equal([
      ['v1', B],
      ['v2', 'c'.repeat(64)],
    ])
  })

  it('a crash at any call of a look loses no push, and signs none twice', async () => {
    let last = 0
    const pushNext = (): string => {
      const tag = `v${++last}`
      tell([pushed(tag, 'b')])
      return tag
    }
    pushNext()
    world.faults.plan(undefined)
    await world.services.pushes.look(4)
    const methods = [...new Set(world.faults.calls)]
    await world.settled()
    expect(methods).to.include.members([
      'pushedTags.note',
      'resolver.resolve',
      'requests.createAll',
      'keyHolder.appendRecord',
    ])
    for (const method of methods) {
      // What only reads leaves nothing behind, whether it was answered or not.
      for (const moment of /note|createAll|append/.test(method)
        ? (['before', 'after'] as const)
        : (['before'] as const)) {
        const tag = pushNext()
        world.faults.plan({ method, call: 1, moment, error: () => new Crash() })
        await world.services.pushes.look(4).catch(() => undefined)
        await world.settled().catch(() => undefined)
        expect(world.faults.happened, method).to.equal(true)
        await world.restart()
        world.time.advance(3_600_000)
        await looked()
        expect((await world.found(tag))?.sha256, `${moment} ${method}`).to.equal(B)
        const mine = requests().filter(({ images }) => images.some(({ record }) => imageOf(record)?.tag === tag))
        expect(mine.length, `${moment} ${method}`).to.equal(1)
      }
    }
    expect(unsigned()).to.deep.equal([])
  })

  it('whatever the order of pushes, deletions and events: what is there is signed once, and never moved', async () => {
    const tag = fc.constantFrom('v1', 'v2')
    const act = fc.oneof(
      fc.record({ act: fc.constant('push' as const), tag, letter: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ act: fc.constant('remove' as const), tag }),
      fc.record({ act: fc.constant('tell' as const), event: fc.nat(20) }),
      fc.record({ act: fc.constant('look' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 10 }), async (acts) => {
        world.close()
        await start()
        const events: PushClaim[] = []
        const firstSigned = new Map<string, string | undefined>()
        const lookAll = async (): Promise<void> => {
          await looked()
          for (const name of ['v1', 'v2']) {
            const now = (await world.found(name))?.sha256
            const first = firstSigned.get(name) ?? now
            expect(now).to.equal(first)
            firstSigned.set(name, first)
          }
        }
        const there = new Set<string>()
        for (const one of acts) {
          if (one.act === 'push') {
            events.push(pushed(one.tag, one.letter))
            there.add(one.tag)
          } else if (one.act === 'remove') {
            world.registry.remove(app, one.tag)
            there.delete(one.tag)
          } else if (one.act === 'tell') tell(events.slice(one.event, one.event + 2))
          else await lookAll()
        }
        // Every event comes at last, the newest first.
        for (const event of events.toReversed()) tell([event, event])
        await lookAll()
        for (const name of there) expect(firstSigned.get(name), name).to.not.equal(undefined)
        const asked = requests().map(({ images }) => images.map(({ record }) => record.subject.reference).join())
        expect(new Set(asked).size).to.equal(asked.length)
      }),
      { numRuns: 12 },
    )
  })
})
