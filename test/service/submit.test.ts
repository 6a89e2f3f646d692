import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { decide, type Policy } from '../../src/domain/policy.ts'
import { requestStatus } from '../../src/domain/signing-request.ts'
import type { Submission } from '../../src/service/services.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { app, everybody, principal, World } from '../support/fakes/world.ts'

/** Ports that reach outside the daemon. */
const OUTSIDE = /^(source|publisher|resolver|keyHolder)\./

describe('submitting', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    world.registry.push(app, '1.0', 'a')
    world.faults.plan(undefined)
  })
  afterEach(async () => {
    await world.settled()
    world.close()
  })
  const submit = (submission: Partial<Submission>, who = everybody) =>
    world.services.requests.submit(who, { kind: 'sign', images: [`${app}:1.0`], ...submission })
  const outside = (): string[] => world.faults.calls.filter((call) => OUTSIDE.test(call))

  describe('permission first', () => {
    const bots = {
      'no grant at all': principal('bot'),
      'a grant on another repository': principal('bot', ['submit', 'registry.example.com/other/*']),
      'another grant on this repository': principal('bot', ['read', '*'], ['operator', '*'], ['admin', '*']),
    }
    for (const [name, bot] of Object.entries(bots)) {
      for (const kind of ['sign', 'unsign'] as const) {
        it(`${kind} with ${name}: refused, and nobody was asked`, async () => {
          await expectCodeAsync('NOT_PERMITTED', () => submit({ kind }, bot))
          expect(outside()).to.deep.equal([])
        })
      }
    }

    it('a repository that is not registered: the same refusal, and nobody was asked', async () => {
      await expectCodeAsync('NOT_PERMITTED', () => submit({ images: ['registry.example.com/team/unknown:1.0'] }))
      expect(outside()).to.deep.equal([])
    })

    it('one image without permission among others: refused before any is looked at', async () => {
      const images = [`${app}:1.0`, 'evil.example.com/x:1.0']
      await expectCodeAsync('NOT_PERMITTED', () => submit({ images }))
      expect(outside()).to.deep.equal([])
    })
  })

  describe('what is refused before anybody is asked', () => {
    const cases: readonly [string, string, Partial<Submission>][] = [
      ['no image', 'REQUEST_EMPTY', { images: [] }],
      ['too many images', 'REQUEST_TOO_LARGE', { images: Array.from({ length: 21 }, (_, i) => `${app}:${i}`) }],
      ['a tag twice', 'REQUEST_IMAGE_REPEATED', { images: [`${app}:1.0`, `${app}:1.0@sha256:${'a'.repeat(64)}`] }],
      ['no tag', 'IMAGE_TAG_MISSING', { images: [app] }],
      ['a digest without a tag', 'IMAGE_TAG_MISSING', { images: [`${app}@sha256:${'a'.repeat(64)}`] }],
      ['a malformed reference', 'IMAGE_REFERENCE_INVALID', { images: ['https://x/y'] }],
      ['an endless description', 'REQUEST_FIELD_INVALID', { description: 'x'.repeat(1001) }],
      ['an empty idempotency key', 'REQUEST_FIELD_INVALID', { idempotencyKey: '' }],
    ]
    for (const [name, code, submission] of cases) {
      it(`${name}: ${code}`, async () => {
        await expectCodeAsync(code, () => submit(submission))
        expect(outside()).to.deep.equal([])
      })
    }
  })

  it('refuses a digest that the registry does not serve under the tag', async () => {
    await expectCodeAsync('DIGEST_MISMATCH', () => submit({ images: [`${app}:1.0@sha256:${'b'.repeat(64)}`] }))
    expect(world.dependencies.requests.unfinished()).to.deep.equal([])
  })

  it('stores nothing where one of the images cannot be resolved', async () => {
    await expectCodeAsync('IMAGE_NOT_FOUND', () => submit({ images: [`${app}:1.0`, `${app}:missing`] }))
    expect(world.dependencies.requests.unfinished()).to.deep.equal([])
    expect(world.keyHolder.records).to.deep.equal([])
  })

  it('records, then stores, then acknowledges', async () => {
    const { request } = await submit({ description: 'release', origin: 'run 7' })
    expect(world.keyHolder.records).to.deep.equal([
      {
        kind: 'request-submitted',
        facts: {
          request: request.id,
          kind: 'sign',
          principal: everybody.id,
          gun: app,
          tag: '1.0',
          sha256: 'a'.repeat(64),
          policyDigest: world.keyHolder.records[0]?.facts['policyDigest'],
          reasons: 'grant-submit GRANT_HELD, policy-known NOT_APPLICABLE',
          description: 'release',
          origin: 'run 7',
        },
      },
    ])
    const order = world.faults.calls.filter((call) => /appendRecord|requests\.create/.test(call))
    expect(order).to.deep.equal(['keyHolder.appendRecord', 'requests.createAll'])
    expect(world.observer.changes.slice(0, 1)).to.deep.equal([
      { request: request.id, position: 0, kind: 'sign', gun: app, from: undefined, to: 'approved' },
    ])
  })

  describe('idempotency', () => {
    it('answers the same key with the same request, and asks nobody again', async () => {
      const first = await submit({ idempotencyKey: 'k' })
      await world.settled()
      world.faults.plan(undefined)
      const second = await submit({ idempotencyKey: 'k' })
      expect(second).to.deep.include({ isRepeated: true })
      expect(second.request.id).to.equal(first.request.id)
      expect(outside()).to.deep.equal([])
    })

    it('refuses the same key for something else', async () => {
      await submit({ idempotencyKey: 'k' })
      await expectCodeAsync('IDEMPOTENCY_KEY_REUSED', () => submit({ idempotencyKey: 'k', kind: 'unsign' }))
      await expectCodeAsync('IDEMPOTENCY_KEY_REUSED', () => submit({ idempotencyKey: 'k', policy: 'grants' }))
    })

    it('stores one request where two with the same key meet', async () => {
      const both = await Promise.all([submit({ idempotencyKey: 'k' }), submit({ idempotencyKey: 'k' })])
      expect(new Set(both.map(({ request }) => request.id)).size).to.equal(1)
      expect(both.map(({ isRepeated }) => isRepeated).sort()).to.deep.equal([false, true])
    })
  })

  describe('the policy', () => {
    /** Allows all tags but `bad`. */
    const policy: Policy = {
      readsHistory: () => false,
      judgeApprover: () => ({ isAllowed: false, code: 'APPROVAL_NOT_ASKED' }),
      evaluate: (facts, at) =>
        decide(
          [
            { name: 'all', judge: () => ({ outcome: 'allow', code: 'YES' }) },
            { name: 'bad', judge: ({ tag }) => (tag === 'bad' ? { outcome: 'deny', code: 'BAD' } : undefined) },
          ],
          facts,
          'd'.repeat(64),
          at,
        ),
    }

    it('denies all images where it denies one; the request is stored, final, and recorded', async () => {
      const strict = await World.withRepository({ policy })
      strict.registry.push(app, '1.0', 'a')
      strict.registry.push(app, 'bad', 'b')
      const request = await strict.sign(`${app}:1.0`, `${app}:bad`)
      expect(requestStatus(request.images)).to.equal('denied')
      expect(request.images.map(({ record }) => record.status)).to.deep.equal(['denied', 'denied'])
      expect(strict.keyHolder.records.map(({ kind }) => kind)).to.deep.equal(['request-denied', 'request-denied'])
      expect(strict.keyHolder.highestSigned(app, 'targets/releases' as never)).to.equal(0)
      strict.close()
    })
  })

  it('refuses a repository that is not initialized yet', async () => {
    const gun = parseGun('registry.example.com/team/new')
    world.dependencies.repositories.create({
      gun,
      state: 'initializing',
      rootKind: 'online',
      signer: null,
      keyType: 'ecdsa',
      rootKeyIds: [],
      createdAt: world.time.now(),
      createdBy: 'x',
      revision: 1,
    })
    await expectCodeAsync('REPOSITORY_NOT_READY', () => submit({ images: [`${gun}:1`] }))
    expect(outside()).to.deep.equal([])
  })
})

describe('requests', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    world.registry.push(app, '1.0', 'a')
  })
  afterEach(async () => {
    await world.settled()
    world.close()
  })

  it('are seen by who may read their repositories, and by their submitter', async () => {
    const bot = principal('bot', ['submit', '*'])
    const { request } = await world.services.requests.submit(bot, { kind: 'sign', images: [`${app}:1.0`] })
    const { requests } = world.services
    expect(requests.find(principal('reader', ['read', 'registry.example.com/*']), request.id).id).to.equal(request.id)
    expect(requests.find(principal('bot'), request.id).id, 'after losing the grant').to.equal(request.id)
    const stranger = principal('stranger', ['read', 'registry.example.com/other'], ['admin', '*'])
    await expectCodeAsync('REQUEST_NOT_FOUND', () => Promise.resolve().then(() => requests.find(stranger, request.id)))
    expect(requests.list(stranger, {}).requests).to.deep.equal([])
    expect(requests.list(bot, { limit: 1 }).requests).to.have.length(1)
  })

  it('can be waited for', async () => {
    const { requests } = world.services
    const { request } = await requests.submit(everybody, { kind: 'sign', images: [`${app}:1.0`] })
    const done = await requests.waitFor(everybody, request.id, 3_600_000, undefined)
    expect(requestStatus(done.images)).to.be.oneOf(['published', 'approved'])
    await world.settled()
    expect(requestStatus((await requests.waitFor(everybody, request.id, 0)).images)).to.equal('published')
  })

  it('stop being waited for when the client goes', async () => {
    const { requests } = world.services
    world.faults.plan(undefined)
    const { request } = await requests.submit(everybody, { kind: 'sign', images: [`${app}:1.0`] })
    const gone = AbortSignal.abort()
    expect((await requests.waitFor(everybody, request.id, 3_600_000, gone)).id).to.equal(request.id)
  })
})
