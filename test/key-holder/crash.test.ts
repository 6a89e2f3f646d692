// A crash at every step of signing and of initialising: the same request again ends with one content per version, a log that is
// whole and has every record exactly once, and files that a client verifies.
import { METADATA_LIMITS, parseJson, parsePublicKey, RELEASES, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { EVIDENCE, HeldRepository, initialization, put, TestKeyHolder } from '../support/key-holder.ts'
import { initializeOffline, nextRootOf, publishNextRoot } from '../support/offline-root.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'

describe('a crash of the key holder', () => {
  let scope: Scope
  let holder: TestKeyHolder

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
  })
  afterEach(() => scope.close())

  const SIGNING_STEPS: readonly Step[] = [
    'checked',
    'planned',
    'committed',
    'tiles-written',
    'log-published',
    'signed',
    'stored',
  ]
  for (const step of SIGNING_STEPS) {
    it(`at the step ${step} of signing`, async () => {
      const repository = await HeldRepository.initialize(holder)
      const files = repository.files()
      const request = repository.request([put('1.0')], { files })
      await crashAt(holder, step, 1, () => holder.service.call('change-targets', request, files))
      const { response, attachments } = await holder.service.call('change-targets', request, files)
      // A crash burns no version: the same request finds what the first one recorded.
      expect(response.roles.map(({ version }) => version)).to.deep.equal([2, 2])
      repository.publish(attachments)
      expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
      const changes = holder.log().filter(({ kind }) => kind === 'targets-change')
      expect(changes.map((record) => record['publication'])).to.deep.equal([request.publication])
      const later = repository.request([put('1.1')])
      const next = await holder.service.call('change-targets', later, repository.files())
      expect(next.response.roles.map(({ version }) => version)).to.deep.equal([3, 3])
    }).timeout(30_000)
  }

  for (const step of SIGNING_STEPS) {
    it(`at the step ${step} of replacing a key`, async () => {
      const repository = await HeldRepository.initialize(holder)
      const { gun } = repository
      const staging = { gun, role: 'targets/countersign', reason: 'yearly', evidence: EVIDENCE }
      await holder.operator.call('stage-key', staging)
      const files = repository.files()
      const request = { publication: `crash-at-${step}`, gun, files: [...files.keys()], evidence: EVIDENCE }
      await crashAt(holder, step, 1, () => holder.service.call('replace-keys', request, files))
      const { response, attachments } = await holder.service.call('replace-keys', request, files)
      expect(response.roles.map(({ version }) => version)).to.deep.equal([2, 2, 2])
      repository.publish(attachments)
      await repository.observe()
      expect(holder.log().filter(({ kind }) => kind === 'keys-replacement')).to.have.length(1)
      await repository.sign([put('1.0')])
      expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    }).timeout(30_000)
  }

  for (const step of SIGNING_STEPS) {
    it(`at the step ${step} of a change of root`, async () => {
      const repository = await initializeOffline(holder)
      const { gun } = repository
      const staging = { gun, role: TARGETS, reason: 'yearly', evidence: EVIDENCE }
      const { response: staged } = await holder.operator.call('stage-key', staging)
      const key = parsePublicKey(parseJson(Buffer.from(JSON.stringify(staged.key)), METADATA_LIMITS))
      const root = nextRootOf(repository, [{ role: TARGETS, keys: [key] }])
      const files = new Map([...repository.files(), ['next-root', root]])
      const request = { publication: `crash-at-${step}`, gun, files: [...files.keys()], evidence: EVIDENCE }
      await crashAt(holder, step, 1, () => holder.service.call('change-root', request, files))
      const { response, attachments } = await holder.service.call('change-root', request, files)
      expect(response.roles.map(({ version }) => version)).to.deep.equal([2, 2])
      publishNextRoot(repository, attachments)
      await repository.observe()
      expect(holder.log().filter(({ kind }) => kind === 'root-change')).to.have.length(1)
      await repository.sign([put('1.0')])
      expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    }).timeout(30_000)
  }

  for (const step of ['keys-made', 'committed'] as const) {
    it(`at the step ${step} of staging a key`, async () => {
      const { gun } = await HeldRepository.initialize(holder)
      const staging = { gun, role: 'targets/countersign', reason: 'yearly', evidence: EVIDENCE }
      await crashAt(holder, step, 1, () => holder.operator.call('stage-key', staging))
      const { response } = await holder.operator.call('stage-key', staging)
      const status = await holder.operator.call('repository-status', { gun })
      const staged = status.response.keys.filter(({ state }) => state === 'staged')
      expect(staged.map(({ canonicalKeyId }) => canonicalKeyId)).to.deep.equal([response.canonicalKeyId])
      expect(holder.log().filter(({ kind, ['replaces']: old }) => kind === 'key-created' && old)).to.have.length(1)
    }).timeout(30_000)
  }

  it('attack: Crash in the middle: after which another request comes: the version is burnt, and the record of it stays', async () => {
    const repository = await HeldRepository.initialize(holder)
    const files = repository.files()
    const lost = repository.request([put('1.0')], { files })
    await crashAt(holder, 'committed', 1, () => holder.service.call('change-targets', lost, files))
    const next = await holder.service.call('change-targets', repository.request([put('1.1')], { files }), files)
    expect(next.response.roles.map(({ version }) => version)).to.deep.equal([3, 3])
    expect(holder.log().filter(({ kind }) => kind === 'targets-change')).to.have.length(2)
  }).timeout(30_000)

  // Initialising commits twice, for the keys and for the pin, and signs twice, root and the rest.
  const INITIALIZING_STEPS: readonly (readonly [Step, number])[] = [
    ['checked', 1],
    ['keys-made', 1],
    ...(['committed', 'tiles-written', 'log-published', 'signed', 'stored'] as const).flatMap(
      (step) =>
        [
          [step, 1],
          [step, 2],
        ] as const,
    ),
  ]
  for (const [step, count] of INITIALIZING_STEPS) {
    it(`at the step ${step} of initialising, the ${count === 1 ? 'first' : 'second'} time`, async () => {
      const request = initialization('registry.example.com/team/new')
      await crashAt(holder, step, count, () => holder.service.call('initialize-repository', request))
      const { attachments } = await holder.service.call('initialize-repository', request)
      const repository = new HeldRepository(holder, new RepositoryBuilder(request.gun))
      repository.builder.delegate('targets/countersign').delegate(RELEASES)
      repository.publish(attachments)
      await repository.observe()
      expect((await repository.change([put('1.0')])).roles.map(({ version }) => version)).to.deep.equal([2, 2])
      const kinds = holder.log().map(({ kind }) => kind)
      expect(kinds.filter((kind) => kind === 'repository-initialized')).to.have.length(1)
      expect(kinds.filter((kind) => kind === 'key-created')).to.have.length(3)
      expect(kinds.filter((kind) => kind === 'root-pinned')).to.have.length(1)
    }).timeout(30_000)
  }
})
