import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { printApproverKey, signApproval } from '../../src/approval-statement.ts'
import { approvalDigest } from '../../src/domain/approval-digest.ts'
import type { Principal } from '../../src/domain/principal.ts'
import { requestStatus, type SigningRequest } from '../../src/domain/signing-request.ts'
import type { Submission } from '../../src/service/services.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Crash } from '../support/fakes/faults.ts'
import { app, ended, everybody, principal, World } from '../support/fakes/world.ts'
import { waitFor } from '../support/polling.ts'
import { faultsOf, identity, PEOPLE, policyOf, PROJECT } from '../support/policies.ts'

const bot = identity('token_bot', { groups: ['bots'] })
const [ann, bob, cat] = [identity('token_ann'), identity('token_bob'), identity('token_cat')]
const eve = identity('token_eve')
const files = { 'people.yaml': PEOPLE, 'team.yaml': PROJECT }
const other = parseGun('registry.example.com/team/other')

/** What the digests of the images are made of. */
const LETTERS: Readonly<Record<string, string>> = { v1: 'a', v2: 'b', v3: 'c', 'test-1': 'd' }

describe('approvals', () => {
  let world: World

  beforeEach(async () => {
    world = await World.withRepository({ policy: policyOf(files) })
    for (const [tag, letter] of Object.entries(LETTERS)) world.registry.push(app, tag, letter)
  })
  afterEach(() => {
    world.close()
  })

  const submit = async (more: Partial<Submission> & { by?: Principal; tags?: readonly string[] } = {}) => {
    const { by = bot, tags = ['v1'], ...rest } = more
    const images = tags.map((tag) => `${app}:${tag}@sha256:${(LETTERS[tag] ?? '').repeat(64)}`)
    const { request } = await world.services.requests.submit(by, { kind: 'sign', images, ...rest })
    return request
  }
  const find = (id: string): SigningRequest => world.services.requests.find(everybody, id)
  const statusOf = (id: string): string => requestStatus(find(id).images)
  const approve = (who: Principal, id: string, digest = approvalDigest(find(id))) =>
    world.services.requests.approve(who, id, { digest })
  /** What happened since the repository was made. */
  const records = () => world.keyHolder.records.filter(({ kind }) => kind.startsWith('request-'))

  it('are waited for; the last of them lets all images of a request go together', async () => {
    const { id } = await submit({ tags: ['v1', 'v2', 'v3'] })
    await world.settled()
    expect(statusOf(id)).to.equal('awaiting-approval')
    expect(await world.found('v1')).to.equal(undefined)
    await approve(ann, id)
    await approve(ann, id)
    await world.settled()
    expect(statusOf(id)).to.equal('awaiting-approval')
    await approve(bob, id)
    await world.settled()
    expect(statusOf(id)).to.equal('published')
    expect((await world.found('v3'))?.sha256).to.equal('c'.repeat(64))
    expect(world.observer.publications).to.have.length(1)
    for (const { record } of find(id).images) {
      expect('approvals' in record && record.approvals.map(({ person }) => person)).to.deep.equal(['ann', 'bob'])
    }
    const approvals = records().filter(({ kind }) => kind === 'request-approved')
    expect(approvals.map(({ facts }) => `${String(facts['person'])} ${String(facts['tag'])}`)).to.deep.equal(
      ['ann', 'ann', 'bob'].flatMap((person) => ['v1', 'v2', 'v3'].map((tag) => `${person} ${tag}`)),
    )
  })

  it('do not hold up what needs none', async () => {
    const { id } = await submit()
    const { request } = await world.services.requests.submit(bot, {
      kind: 'sign',
      images: [`${app}:test-1`],
      policy: 'test',
    })
    await world.settled()
    expect(statusOf(request.id)).to.equal('published')
    expect(statusOf(id)).to.equal('awaiting-approval')
  })

  it('survive a restart', async () => {
    const { id } = await submit()
    await approve(ann, id)
    await world.restart()
    await approve(cat, id)
    await world.settled()
    expect(statusOf(id)).to.equal('published')
  })

  it('cannot be given by who asked, nor by strangers, and nobody counts twice', async () => {
    const { id } = await submit({ by: identity('token_ann', { groups: ['bots'] }) })
    await expectCodeAsync('APPROVER_IS_SUBMITTER', () => approve(ann, id))
    await expectCodeAsync('APPROVER_IS_SUBMITTER', () => approve(identity('github:user:1'), id))
    await expectCodeAsync('APPROVER_UNKNOWN', () => approve(eve, id))
    await expectCodeAsync('REQUEST_NOT_FOUND', () => approve(principal('token_bob'), id, 'a'.repeat(64)))
    await approve(bob, id)
    await approve(identity('corp:user:bob'), id)
    await world.settled()
    expect(statusOf(id)).to.equal('awaiting-approval')
  })

  it('cannot be given by the person behind a run', async () => {
    const run = identity('github:repository:74', { actor: 'github:user:2' })
    const { id } = await submit({ by: run })
    await expectCodeAsync('APPROVER_IS_SUBMITTER', () => approve(bob, id))
    await approve(ann, id)
  })

  it('are refused for another thing than what was looked at', async () => {
    const { id } = await submit()
    await expectCodeAsync('APPROVAL_OUTDATED', () => approve(ann, id, 'f'.repeat(64)))
    expect(records().map(({ kind }) => kind)).to.deep.equal(['request-submitted'])
  })

  it('are void when the rules change (attack: Stale approval)', async () => {
    const { id } = await submit()
    await approve(ann, id)
    const seen = approvalDigest(find(id))
    world.policy = policyOf({ ...files, 'team.yaml': PROJECT.replace('[v*]', '[v*, w*]') })
    const error = await expectCodeAsync('APPROVAL_OUTDATED', () => approve(bob, id, seen))
    expect(error.facts['digest']).to.equal(approvalDigest(find(id)))
    expect(find(id).images[0]?.record).to.not.have.property('approvals')
    await approve(bob, id)
    await world.settled()
    expect(statusOf(id)).to.equal('awaiting-approval')
    await approve(ann, id)
    await world.settled()
    expect(statusOf(id)).to.equal('published')
  })

  it('hold when the rules of others change', async () => {
    const { id } = await submit()
    await approve(ann, id)
    world.policy = policyOf({
      ...files,
      'z.yaml': PROJECT.replace('project: team', 'project: z').replace('/team/', '/z/'),
    })
    await approve(bob, id)
    await world.settled()
    expect(statusOf(id)).to.equal('published')
  })

  it('are void when the rules change after the last of them, before anything is signed', async () => {
    const { id } = await submit()
    await approve(ann, id)
    const stricter = policyOf({ ...files, 'team.yaml': PROJECT.replace('required: 2', 'required: 3') })
    // Between the approval and the work on it.
    const approving = approve(bob, id)
    world.onStep = (step) => {
      if (step === 'digests-checked') world.policy = stricter
    }
    await approving
    await world.settled()
    expect(statusOf(id)).to.equal('awaiting-approval')
    expect(find(id).images[0]?.record).to.not.have.property('approvals')
    expect(await world.found('v1')).to.equal(undefined)
  })

  it('end with the rules that allowed the request', async () => {
    const { id } = await submit({ tags: ['v1', 'v2'] })
    world.policy = policyOf({ ...files, 'team.yaml': `${PROJECT}deny: [{ reason: broken, tags: [v2] }]\n` })
    await expectCodeAsync('APPROVAL_OUTDATED', () => approve(ann, id))
    expect(find(id).images.map(({ record }) => record.status)).to.deep.equal(['denied', 'denied'])
  })

  it('are not waited for any more where the rules do not ask for them any more', async () => {
    const { id } = await submit()
    world.policy = policyOf({ ...files, 'team.yaml': PROJECT.replace(/ {4}approvals.*\n/, '') })
    await expectCodeAsync('APPROVAL_OUTDATED', () => approve(ann, id))
    await world.settled()
    expect(statusOf(id)).to.equal('published')
  })

  it('are void when the tag was signed at another digest meanwhile', async () => {
    const movable = PROJECT.replace('tags: [v*]', 'tags: [v*]\n    moveTags: true').replace('[test-*]', '["*"]')
    world.policy = policyOf({ ...files, 'team.yaml': movable })
    world.registry.push(app, 'v1', 'e')
    await world.services.requests.submit(bot, { kind: 'sign', images: [`${app}:v1`], policy: 'test' })
    await world.settled()
    world.registry.push(app, 'v1', 'a')
    const { id } = await submit()
    expect(find(id).images[0]?.record).to.have.nested.property('decision.standing', 'e'.repeat(64))
    await approve(ann, id)
    world.registry.push(app, 'v1', 'f')
    await world.services.requests.submit(bot, { kind: 'sign', images: [`${app}:v1`], policy: 'test' })
    await world.settled()
    world.registry.push(app, 'v1', 'a')
    await expectCodeAsync('APPROVAL_OUTDATED', () => approve(bob, id))
    expect(find(id).images[0]?.record).to.have.nested.property('decision.standing', 'f'.repeat(64))
    await approve(bob, id)
    await approve(ann, id)
    await world.settled()
    expect(statusOf(id)).to.equal('published')
    expect((await world.found('v1'))?.sha256).to.equal('a'.repeat(64))
  })

  it('do not lock what two requests wait for: the second one is denied when the first has locked the tag', async () => {
    const first = await submit()
    world.registry.push(app, 'v1', 'b')
    const { request: second } = await world.services.requests.submit(bot, {
      kind: 'sign',
      images: [`${app}:v1@sha256:${'b'.repeat(64)}`],
    })
    world.registry.push(app, 'v1', 'a')
    for (const who of [ann, bob]) await approve(who, first.id)
    await world.settled()
    expect(statusOf(first.id)).to.equal('published')
    world.registry.push(app, 'v1', 'b')
    await expectCodeAsync('APPROVAL_OUTDATED', () => approve(ann, second.id))
    expect(statusOf(second.id)).to.equal('denied')
    expect((await world.found('v1'))?.sha256).to.equal('a'.repeat(64))
  })

  it('do not help a tag that was moved in the registry after them', async () => {
    const { id } = await submit()
    await approve(ann, id)
    world.registry.push(app, 'v1', 'f')
    await approve(bob, id)
    await world.settled()
    expect(find(id).images[0]?.record).to.have.nested.property('error.code', 'DIGEST_MISMATCH')
    expect(await world.found('v1')).to.equal(undefined)
  })

  it('are ended by one denial, with its reason', async () => {
    const { id } = await submit({ tags: ['v1', 'v2'] })
    await approve(ann, id)
    await expectCodeAsync('APPROVER_UNKNOWN', () => world.services.requests.deny(eve, id, { reason: 'no' }))
    await world.services.requests.deny(bob, id, { reason: 'not tested' })
    expect(find(id).images.map(({ record }) => record.status)).to.deep.equal(['denied', 'denied'])
    const denial = { person: 'bob', approver: 'token_bob', reason: 'not tested' }
    expect(find(id).images[0]?.record).to.have.deep.property('denial', denial)
    await expectCodeAsync('APPROVAL_NOT_ASKED', () => approve(cat, id))
    expect(records().at(-1)).to.have.nested.property('facts.reason', 'not tested')
  })

  it('are withdrawn by who asked, or by an operator, and by nobody else', async () => {
    const one = await submit()
    await expectCodeAsync('WITHDRAWAL_NOT_PERMITTED', () => world.services.requests.withdraw(ann, one.id))
    await world.services.requests.withdraw(bot, one.id)
    expect(find(one.id).images[0]?.record).to.deep.include({ status: 'withdrawn', by: 'token_bot' })
    const two = await submit()
    await world.services.requests.withdraw(everybody, two.id)
    expect(statusOf(two.id)).to.equal('withdrawn')
    await expectCodeAsync('WITHDRAWAL_TOO_LATE', () => world.services.requests.withdraw(bot, two.id))
  })

  it('are waited for no longer than the policy says', async () => {
    const { id } = await submit()
    world.time.advance(7 * 86_400_000)
    await expectCodeAsync('APPROVAL_NOT_ASKED', () => approve(ann, id))
    await world.settled()
    expect(statusOf(id)).to.equal('expired')
    expect(records().at(-1)?.kind).to.equal('request-expired')
  })

  it('do not keep publications from being finished where their end cannot be recorded', async () => {
    const waiting = await submit()
    world.time.advance(7 * 86_400_000)
    const death = { method: 'keyHolder.changeTargets', call: 1, moment: 'before', error: () => new Crash() } as const
    world.faults.plan(death)
    const { request: begun } = await world.services.requests.submit(bot, {
      kind: 'sign',
      images: [`${app}:test-1`],
      policy: 'test',
    })
    await world.restart()
    world.faults.plan({ ...death, method: 'keyHolder.appendRecord', error: () => new Error('full') })
    const failure: unknown = await world.services.reconciler.run().catch((error: unknown) => error)
    expect(failure).to.have.property('message', 'full')
    await waitFor('the end of the other request', () => statusOf(begun.id) === 'published' || undefined, 5000)
    expect(statusOf(waiting.id)).to.equal('awaiting-approval')
    await world.settled()
    expect(statusOf(waiting.id)).to.equal('expired')
  })

  for (const [what, act] of [
    ['an approval', (id: string) => approve(ann, id)],
    ['a denial', (id: string) => world.services.requests.deny(ann, id, { reason: 'no' })],
    ['a withdrawal', (id: string) => world.services.requests.withdraw(bot, id)],
  ] as const) {
    it(`leaves everything as it was where ${what} cannot be recorded or stored`, async () => {
      const { id } = await submit()
      const before = find(id)
      for (const method of ['keyHolder.appendRecord', 'requests.save']) {
        world.faults.plan({ method, call: 1, moment: 'before', error: () => new Error('full') })
        const failed = await act(id).then(
          () => false,
          () => true,
        )
        expect(failed, method).to.equal(true)
        world.faults.plan(undefined)
        expect(find(id)).to.deep.equal(before)
      }
    })
  }

  it('are counted right when all people approve at once', async () => {
    const { id } = await submit({ tags: ['v1', 'v2'] })
    await Promise.allSettled([ann, bob, cat].map((who) => approve(who, id)))
    await world.settled()
    expect(statusOf(id)).to.equal('published')
  })

  describe('with keys of the approvers', () => {
    const keys = { ann: generateKeyPairSync('ed25519').privateKey, bob: generateKeyPairSync('ed25519').privateKey }
    const people = PEOPLE.replace('ann: {', `ann: { approvalKey: "${printApproverKey(keys.ann) ?? ''}",`).replace(
      'bob: {',
      `bob: { approvalKey: "${printApproverKey(keys.bob) ?? ''}",`,
    )
    const signedFiles = {
      'people.yaml': people,
      'team.yaml': PROJECT.replace('required: 2', 'required: 2, signed: true'),
    }
    const expiresAt = '2026-05-09T12:00:00.000Z'
    const signatures = (key: KeyObject, id: string, tags: readonly string[] = ['v1']) => ({
      expiresAt,
      images: tags.map((tag, position) => {
        const put = { sha256: (LETTERS[tag] ?? '').repeat(64), length: 1000 }
        return { position, signature: signApproval(key, { request: id, gun: app, tag, put, expiresAt }) }
      }),
    })
    const sign = (who: Principal, id: string, signed?: ReturnType<typeof signatures>) =>
      world.services.requests.approve(who, id, {
        digest: approvalDigest(find(id)),
        ...(signed !== undefined && { signatures: signed }),
      })

    beforeEach(() => {
      world.policy = policyOf(signedFiles)
    })

    it('are asked for, held against the change, and given to the key holder', async () => {
      const { id } = await submit({ tags: ['v1', 'v2'] })
      await expectCodeAsync('APPROVAL_SIGNATURE_MISSING', () => sign(ann, id))
      await expectCodeAsync('APPROVAL_SIGNATURE_MISSING', () => sign(ann, id, signatures(keys.ann, id)))
      const bad = [
        signatures(keys.bob, id, ['v1', 'v2']),
        signatures(keys.ann, 'request-9', ['v1', 'v2']),
        signatures(keys.ann, id, ['v2', 'v1']),
      ]
      for (const each of bad) await expectCodeAsync('APPROVAL_SIGNATURE_INVALID', () => sign(ann, id, each))
      await expectCodeAsync('APPROVAL_SIGNATURE_INVALID', () => sign(cat, id, signatures(keys.ann, id, ['v1', 'v2'])))
      await sign(ann, id, signatures(keys.ann, id, ['v1', 'v2']))
      await sign(bob, id, signatures(keys.bob, id, ['v1', 'v2']))
      await world.settled()
      expect(statusOf(id)).to.equal('published')
      const [publication] = world.observer.publications
      const stored = world.dependencies.requests.publication(publication?.publication ?? '')
      expect(stored?.changes.map(({ approvals }) => approvals?.map(({ approver }) => approver))).to.deep.equal([
        ['ann', 'bob'],
        ['ann', 'bob'],
      ])
    })

    it('are a fault of the folder where too few people have one', () => {
      const [fault] = faultsOf({
        ...signedFiles,
        'team.yaml': PROJECT.replace('required: 2', 'required: 3, signed: true'),
      })
      expect(fault?.message).to.match(/only 2 may approve with a key/)
    })
  })

  describe('submitting again', () => {
    it('keeps images, digests and origin, and counts both as submitters', async () => {
      const origin = { provider: 'github' as const, issuer: 'https://issuer.example', repositoryId: '74' }
      const { id } = await submit({ by: identity('github:repository:74', { actor: 'github:user:2', origin }) })
      world.registry.push(app, 'v1', 'a')
      const { request } = await world.services.requests.resubmit(identity('token_ann', { groups: ['bots'] }), id, {
        policy: 'release',
        description: 'again',
      })
      expect(request.submitter).to.deep.include({ id: 'token_ann', actors: ['github:user:2'], origin })
      expect(request.resubmits).to.equal(id)
      await expectCodeAsync('APPROVER_IS_SUBMITTER', () => approve(ann, request.id))
      await expectCodeAsync('APPROVER_IS_SUBMITTER', () => approve(bob, request.id))
      await approve(cat, request.id)
    })

    it('lends nobody an origin of their own for images that came without one', async () => {
      const strict =
        '    origin: { issuers: [https://issuer.example], repositoryIds: ["74"], protectedRef: false, commit: false }\n'
      const { id } = await submit()
      world.policy = policyOf({ ...files, 'team.yaml': PROJECT.replace('    approvals', `${strict}    approvals`) })
      const origin = { provider: 'gitlab' as const, issuer: 'https://issuer.example', repositoryId: '74' }
      const run = identity('github:repository:74', { origin })
      expect(requestStatus((await submit({ by: run })).images)).to.equal('awaiting-approval')
      const { request } = await world.services.requests.resubmit(run, id, {})
      expect(requestStatus(request.images)).to.equal('denied')
      expect(JSON.stringify(request.images)).to.include('ORIGIN_MISSING')
    })

    it('is refused where the tag has moved, and without the grant', async () => {
      const { id } = await submit()
      world.registry.push(app, 'v1', 'f')
      await expectCodeAsync('DIGEST_MISMATCH', () => world.services.requests.resubmit(bot, id, {}))
      const reader = principal('token_reader', ['read', '*'])
      await expectCodeAsync('NOT_PERMITTED', () => world.services.requests.resubmit(reader, id, {}))
    })

    it('is refused of what is about a repository', async () => {
      world.time.advance(900 * 86_400_000)
      const { request } = await world.services.requests.renew(everybody, app)
      await expectCodeAsync('RESUBMISSION_NOT_POSSIBLE', () =>
        world.services.requests.resubmit(everybody, request.id, {}),
      )
    })
  })

  describe('limits (attack: DoS by one noisy pipeline)', () => {
    it('hold when everything comes at the same moment', async () => {
      world.policy = policyOf({
        'team.yaml': PROJECT.replace(/ {4}approvals.*\n/, '    limits: { identityPerHour: 3 }\n'),
      })
      for (let index = 0; index < 10; index++) world.registry.push(app, `v${index}`, 'a')
      const all = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          world.services.requests.submit(bot, { kind: 'sign', images: [`${app}:v${index}@sha256:${'a'.repeat(64)}`] }),
        ),
      )
      const denied = all.filter(({ request }) => requestStatus(request.images) === 'denied')
      expect(denied).to.have.length(7)
      world.time.advance(3_600_001)
      const later = await submit()
      expect(requestStatus(later.images)).to.not.equal('denied')
    })
  })

  describe('a reload', () => {
    it('never decides the images of one request by two policies', async () => {
      await world.initialize(other)
      const policies = [policyOf(files), policyOf({ ...files, 'team.yaml': PROJECT.replace('[v*]', '[v*, w*]') })]
      for (let index = 0; index < 100; index++) {
        world.registry.push(app, `v${index}`, 'a')
        world.registry.push(other, `v${index}`, 'b')
      }
      const running = Array.from({ length: 100 }, async (_, index) => {
        if (index % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
        const loaded = policies[index % 2]
        if (loaded !== undefined) world.policy = loaded
        return world.services.requests.submit(bot, {
          kind: 'sign',
          images: [`${app}:v${index}@sha256:${'a'.repeat(64)}`, `${other}:v${index}@sha256:${'b'.repeat(64)}`],
        })
      })
      const digests = (await Promise.all(running)).map(
        ({ request }) =>
          new Set(request.images.map(({ record }) => ('decision' in record ? record.decision.policyDigest : ''))),
      )
      expect(digests.every((each) => each.size === 1)).to.equal(true)
      expect(new Set(digests.flatMap((each) => [...each])).size).to.equal(2)
    })
  })

  describe('the dry run', () => {
    it('says what the submission then gets, and stores nothing', async () => {
      world.registry.push(app, 'latest', 'e')
      const arbitrary = fc.record({
        tag: fc.constantFrom('v1', 'v2', 'test-1', 'latest'),
        policy: fc.constantFrom(undefined, 'release', 'test', 'none'),
        named: fc.boolean(),
        who: fc.constantFrom(bot, ann, identity('github:repository:74')),
      })
      const letters: Readonly<Record<string, string>> = { ...LETTERS, latest: 'e' }
      await fc.assert(
        fc.asyncProperty(arbitrary, async ({ tag, policy, named, who }) => {
          const digest = named ? `@sha256:${letters[tag]?.repeat(64) ?? ''}` : ''
          const submission = {
            kind: 'sign' as const,
            images: [`${app}:${tag}${digest}`],
            ...(policy !== undefined && { policy }),
          }
          const before = world.keyHolder.records.length
          const [explained] = await world.services.requests.explain(who, submission)
          expect(world.keyHolder.records).to.have.length(before)
          const { request } = await world.services.requests.submit(who, submission)
          await world.settled()
          const [image] = request.images
          const decision = image !== undefined && 'decision' in image.record ? image.record.decision : undefined
          expect(JSON.stringify({ ...explained?.decision, at: 0 })).to.equal(JSON.stringify({ ...decision, at: 0 }))
        }),
        { numRuns: 30 },
      )
    })

    it('is about others for operators only', async () => {
      const submission = { kind: 'sign' as const, images: [`${app}:v1`] }
      await expectCodeAsync('NOT_PERMITTED', () => world.services.requests.explain(bot, submission, eve))
      const [explained] = await world.services.requests.explain(everybody, submission, eve)
      expect(explained?.decision.outcome).to.equal('deny')
    })
  })

  it('shows the end of a request that is followed', async () => {
    const { id } = await submit()
    for (const who of [ann, bob]) await approve(who, id)
    expect(requestStatus((await ended(world, find(id))).images)).to.equal('published')
  })
})
