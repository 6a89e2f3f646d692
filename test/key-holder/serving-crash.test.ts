// A crash at every step of an update and of a refresh: the same request again ends with one content per version and one record,
// another request goes above it, and clients follow in either case.
import { parseSnapshot, RELEASES, ROOT } from '@countersign/tuf'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { TestKeyHolder } from '../support/key-holder.ts'
import { sha256Of } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { remembered, ServedRepository } from '../support/served-repository.ts'

/** The snapshot is signed and stored first, then the timestamp. */
const STEPS: readonly (readonly [Step, number])[] = [
  ['checked', 1],
  ['planned', 1],
  ['committed', 1],
  ['log-ahead', 1],
  ['signed', 1],
  ['stored', 1],
  ['signed', 2],
  ['stored', 2],
]
const BEFORE_THE_COMMIT: readonly Step[] = ['checked', 'planned']

describe('a crash of the key holder while serving', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: ServedRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await ServedRepository.create(holder)
  })
  afterEach(() => scope.close())

  /** What is served is what was recorded before it was signed, and each version that was given out has one content. */
  async function expectOneContentEach(): Promise<void> {
    const snapshot = parseSnapshot(repository.published.get('snapshot.json') ?? Buffer.alloc(0))
    const recorded = (await holder.wholeLog()).filter(({ kind }) => kind === 'snapshot-signed')
    expect(recorded.map((record) => record['snapshot'])).to.deep.include({
      version: snapshot.metadata.version,
      payloadSha256: sha256Of(snapshot.message),
    })
    const names = repository.history.map((bytes) => {
      const { signed } = JSON.parse(Buffer.from(bytes).toString()) as { signed: { _type: string; version: number } }
      return `${signed._type} ${signed.version}`
    })
    expect(new Set(names).size).to.equal(names.length)
  }

  for (const [step, count] of STEPS) {
    const name = `at the step ${step}${count > 1 ? ', the second time' : ''}`

    it(`${name}: the same update again is finished`, async () => {
      const client = remembered(repository.verify())
      repository.builder.put('targets/releases', '1.0', 'image').nextVersions('targets/releases')
      const files = repository.files('targets/releases')
      await crashAt(holder, step, count, () => repository.send(files))
      const pair = await repository.send(files)
      expect([pair.snapshot.version, pair.timestamp.version]).to.deep.equal([2, 2])
      expect(pair.repeated).to.equal(!BEFORE_THE_COMMIT.includes(step))
      expect(await repository.send(files)).to.deep.equal({ ...pair, repeated: true })
      expect(repository.verify(client).delegations.get(RELEASES)?.metadata.targets.size).to.equal(1)
      const records = (await holder.wholeLog()).filter(({ kind }) => kind === 'snapshot-signed')
      expect(records.map(({ snapshot }) => (snapshot as { version: number }).version)).to.deep.equal([1, 2])
      await expectOneContentEach()
    }).timeout(30_000)

    it(`${name}: another update goes above it`, async () => {
      const client = remembered(repository.verify())
      repository.builder.nextVersions('targets/releases')
      const lost = repository.files('targets/releases')
      await crashAt(holder, step, count, () => repository.send(lost))
      repository.builder.nextVersions('targets/releases', 'targets/alice')
      const pair = await repository.update('targets/releases', 'targets/alice')
      const expected = BEFORE_THE_COMMIT.includes(step) ? 2 : 3
      expect([pair.snapshot.version, pair.timestamp.version]).to.deep.equal([expected, expected])
      repository.verify(client)
      await expectOneContentEach()
    }).timeout(30_000)
  }

  it('is found by the state, which finishes the pair', async () => {
    repository.builder.nextRoot()
    const files = repository.files(ROOT)
    await crashAt(holder, 'signed', 1, () => repository.send(files))
    const { response, attachments } = await holder.trustServer.call('serve-state', { gun: repository.gun })
    expect(response.current?.timestamp.version).to.equal(2)
    const pair = await repository.send(files)
    expect([pair.repeated, pair.timestamp.sha256]).to.deep.equal([true, response.current?.timestamp.sha256])
    expect(attachments.get('snapshot')).to.deep.equal(repository.published.get('snapshot.json'))
  }).timeout(30_000)

  for (const [step, count] of STEPS.filter(([one]) => one !== 'checked')) {
    it(`at the step ${step} of a refresh${count > 1 ? ', the second time' : ''}`, async () => {
      const client = remembered(repository.verify())
      holder.now = new Date(holder.now.getTime() - 2 * 86_400_000)
      // The process that dies lives at the moment of the tests; ours is earlier, so that the refresh is due there.
      await holder.stop()
      holder.database((database) =>
        database
          .prepare('UPDATE served_repositories SET snapshot_issued_at = ?, timestamp_issued_at = ?')
          .run(holder.now.toISOString(), holder.now.toISOString()),
      )
      await holder.start()
      // What is stored already is passed through first: two signatures of the pair before.
      const passed = step === 'signed' || step === 'stored' ? 2 : 0
      await crashAt(holder, step, count + passed, () => repository.refresh('snapshot'))
      holder.now = new Date(holder.now.getTime() + 2 * 86_400_000)
      const { snapshot, timestamp } = await repository.refresh('snapshot')
      expect([snapshot.version, timestamp.version]).to.deep.equal([2, 2])
      repository.verify(client)
      expect((await holder.wholeLog()).filter(({ cause }) => cause === 'refresh')).to.have.length(1)
      await expectOneContentEach()
    }).timeout(30_000)
  }
})
