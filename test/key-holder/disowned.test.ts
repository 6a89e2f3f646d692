// What an operator decides about versions that were signed with our key elsewhere, and what the next versions are made of then.
import {
  METADATA_LIMITS,
  parseJson,
  parsePublicKey,
  parseTargets,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
} from '@countersign/tuf'
import { expect } from 'chai'
import { transferKey } from '../../src/cli/key-import/transfer.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { undoMigrations } from '../support/former-database.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { nextRootOf } from '../support/offline-root.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'

const DAY_MS = 86_400_000

describe('versions that an operator decides about', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let builder: RepositoryBuilder
  let repository: HeldRepository
  let publications = 0

  /** Base targets has one key, which was imported: whoever kept the file can sign, too. */
  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    builder = new RepositoryBuilder()
    builder.put(TARGETS, 'before', 'before')
    repository = new HeldRepository(holder, builder)
    const { privateKey } = testKey('targets')
    const files = new Map<string, Uint8Array>()
    await transferKey(holder.operator, { gun: builder.gun, role: TARGETS, privateKey, severalRoles: false, files })
    const published = repository.files()
    const certificateKeyIds = builder.role(ROOT).keys.map(({ publicKey }) => publicKey.tufKeyId as string)
    const asked = { gun: builder.gun, certificateKeyIds, files: [...published.keys()], evidence: EVIDENCE }
    await holder.operator.call('pin-repository', asked, published)
  })
  afterEach(() => scope.close())

  /** Of ours: signed and published. */
  async function signOurs(tag: string): Promise<void> {
    await repository.sign([put(tag)], [TARGETS])
    await repository.observe()
  }
  /** With our key, elsewhere: found, so that the repository freezes. */
  async function publishForeign(tag: string): Promise<void> {
    const role = builder.role(TARGETS)
    delete role.mangle
    role.targets.clear()
    builder.put(TARGETS, tag, tag).nextVersions(TARGETS)
    await expectCodeAsync('BASE_VERSION_NOT_OURS', () => repository.observe())
  }
  const unfreeze = async (foreign?: 'accept' | 'drop', seen?: { role: string; version: number }[]) => {
    const asked = { gun: builder.gun, reason: 'test', evidence: EVIDENCE, foreign, seen }
    return (await holder.operator.call('unfreeze', asked)).response
  }
  const freeze = () => holder.operator.call('freeze', { gun: builder.gun, reason: 'an audit', evidence: EVIDENCE })
  const decisions = () => holder.log().filter(({ kind }) => kind === 'repository-unfrozen')
  const status = async () => (await holder.operator.call('repository-status', { gun: builder.gun })).response
  const renewal = (publication = `renewal-${++publications}`) => {
    const files = repository.files()
    return { publication, gun: builder.gun, roles: [TARGETS], files: [...files.keys()], evidence: EVIDENCE }
  }
  const renew = async (request = renewal(), files = repository.files()) =>
    repository.service.call('renew-roles', request, files)
  const publish = async ({ attachments }: Awaited<ReturnType<typeof renew>>): Promise<void> => {
    repository.publish(new Map([...attachments].filter(([name]) => name === TARGETS)))
    await repository.observe()
  }
  const stageKey = async () => {
    const asked = { gun: builder.gun, role: TARGETS, reason: 'theft', evidence: EVIDENCE }
    const { response } = await holder.operator.call('stage-key', asked)
    return parsePublicKey(parseJson(Buffer.from(JSON.stringify(response.key)), METADATA_LIMITS))
  }

  it('accepted after a drop: the drop is over, and what is published is built upon', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    expect((await unfreeze('drop')).disowned).to.deep.equal([TARGETS])
    await expectCodeAsync('BASE_VERSION_DISOWNED', () => repository.sign([put('more')], [TARGETS]))
    expect(await unfreeze('accept')).not.to.have.property('disowned')
    await signOurs('more')
    expect(repository.tags(TARGETS)).to.deep.equal(['foreign', 'more'])
  })

  it('a later version accepted after a drop: the drop is over, too', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    await unfreeze('drop')
    await publishForeign('later')
    expect(await unfreeze('accept')).not.to.have.property('disowned')
    await signOurs('more')
    expect(repository.tags(TARGETS)).to.deep.equal(['later', 'more'])
  })

  it('what was dropped stays dropped when another version is accepted', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    await unfreeze('drop')
    const request = renewal('once')
    const files = repository.files()
    const first = await renew(request, files)
    expect(first.response.restored).to.deep.equal([TARGETS])
    await publish(first)
    await unfreeze('accept')
    expect((await renew(request, files)).response.restored).to.deep.equal([TARGETS])
  })

  it('asked for again after another theft, a renewal still says what it went back to', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    await unfreeze('drop')
    const request = renewal('once')
    const files = repository.files()
    const first = await renew(request, files)
    await publish(first)
    await publishForeign('again')
    await unfreeze('drop')
    const again = await renew(request, files)
    expect(again.response).to.deep.equal(first.response)
    expect(again.attachments).to.deep.equal(first.attachments)
    await publish(await renew())
    expect(repository.tags(TARGETS)).to.deep.equal(['before', 'ours'])
  })

  it('asked for again after the drop was taken back, a renewal that was not published still says what it went back to', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    await unfreeze('drop')
    const request = renewal('once')
    const files = repository.files()
    const first = await renew(request, files)
    expect(first.response.restored).to.deep.equal([TARGETS])
    await unfreeze('accept')
    const again = await renew(request, files)
    expect(again.response).to.deep.equal(first.response)
    expect(again.attachments).to.deep.equal(first.attachments)
  })

  it('asked for again after a drop below it, a renewal that went back to nothing says so still', async () => {
    await signOurs('ours')
    // Signed and never published: the version is burnt, and the thief takes its number.
    await repository.change([put('burnt')], { roles: [TARGETS], files: repository.files() })
    holder.now = new Date(NOW.getTime() + 31 * DAY_MS)
    builder.role(TIMESTAMP).expiresAt = new Date(holder.now.getTime() + 14 * DAY_MS)
    builder.nextVersions()
    const request = renewal('once')
    const files = repository.files()
    const first = await renew(request, files)
    expect(first.response).not.to.have.property('restored')
    await publishForeign('foreign')
    await unfreeze('drop')
    const again = await renew(request, files)
    expect(again.response).to.deep.equal(first.response)
    expect([...again.attachments.keys()]).to.deep.equal([TARGETS])
  })

  it('what an older database did not keep is read from its log', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    await unfreeze('drop')
    const request = renewal('once')
    const files = repository.files()
    const first = await renew(request, files)
    await holder.stop()
    holder.database((database) => {
      undoMigrations(database, 'COLUMN restored_version')
    })
    await holder.start()
    const again = await renew(request, files)
    expect(again.response).to.deep.equal(first.response)
    expect(again.attachments).to.deep.equal(first.attachments)
  })

  it('a freeze for another reason in between ends no drop: only an accept that says so does', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    const dropped = { role: TARGETS, version: 3 }
    expect((await unfreeze('drop')).dropped).to.deep.equal([dropped])
    await freeze()
    const thawed = await unfreeze()
    expect(thawed.state).to.equal('ready')
    expect(thawed.foreign).to.deep.equal([{ ...dropped, decision: 'dropped' }])
    expect(thawed).not.to.have.any.keys('accepted', 'dropped')
    expect(decisions().at(-1)).to.deep.include({ versions: [] }).and.not.to.have.property('foreign')
    await expectCodeAsync('BASE_VERSION_DISOWNED', () => repository.sign([put('more')], [TARGETS]))
    expect((await unfreeze('accept')).accepted).to.deep.equal([dropped])
    await signOurs('more')
  })

  it('the record and the answer name the versions of each decision, and the status those that wait for one', async () => {
    await signOurs('ours')
    await publishForeign('first')
    await publishForeign('second')
    const waiting = [3, 4].map((version) => ({ role: TARGETS, version }))
    expect((await status()).foreign).to.deep.equal(waiting.map((one) => ({ ...one, decision: 'none' })))
    const answer = await unfreeze('drop')
    expect(answer.dropped).to.deep.equal(waiting)
    expect(answer.foreign).to.deep.equal(waiting.map((one) => ({ ...one, decision: 'dropped' })))
    await unfreeze('accept')
    expect(await status()).not.to.have.property('foreign')
    const named = decisions().map(({ foreign, versions }) => [
      foreign,
      (versions as { role: string; version: number }[]).map(({ role, version }) => ({ role, version })),
    ])
    expect(named).to.deep.equal([
      ['drop', waiting],
      ['accept', waiting],
    ])
  })

  it('of very many versions the answers name the newest and the number of the others, and the record names all', async () => {
    await signOurs('ours')
    for (let count = 0; count < 260; count++) await publishForeign(`tag-${count}`)
    const { foreign = [], foreignLeftOut } = await status()
    const versions = (listed: readonly { version: number }[]) => listed.map(({ version }) => version)
    const shown = Array.from({ length: 256 }, (_, index) => 7 + index)
    expect([versions(foreign), foreignLeftOut]).to.deep.equal([shown, 4])
    const answer = await unfreeze('drop')
    expect([versions(answer.dropped ?? []), answer.decidedLeftOut]).to.deep.equal([shown, 4])
    const recorded = decisions().flatMap((one) => one['versions'] as unknown[])
    expect(recorded).to.have.length(260)
    expect(JSON.stringify(answer).length).to.be.below(100_000)
  }).timeout(60_000)

  it('NO_VERSION_TO_DROP: after an accept there is nothing to drop, and the repository stays frozen', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    expect((await unfreeze()).accepted).to.deep.equal([{ role: TARGETS, version: 3 }])
    await freeze()
    await expectCodeAsync('NO_VERSION_TO_DROP', () => unfreeze('drop'))
    expect((await status()).state).to.equal('frozen')
    expect(decisions()).to.have.length(1)
  })

  it('FOREIGN_DECISION_REQUIRED: what comes after a drop is not accepted by saying nothing', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    await unfreeze('drop')
    await publishForeign('later')
    const error = await expectCodeAsync('FOREIGN_DECISION_REQUIRED', () => unfreeze())
    expect(error.facts).to.include({ undecided: 'targets@4', dropped: 'targets@3' })
    expect((await status()).state).to.equal('frozen')
    expect((await unfreeze('drop')).disowned).to.deep.equal([TARGETS])
  })

  it('FOREIGN_VERSIONS_UNNAMED: a version that came after the operator looked is not decided about', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    const looked = [{ role: TARGETS, version: 3 }]
    await publishForeign('later')
    const error = await expectCodeAsync('FOREIGN_VERSIONS_UNNAMED', () => unfreeze('drop', looked))
    expect(error.facts).to.include({ unnamed: 'targets@4', unknown: '' })
    const all = [...looked, { role: TARGETS, version: 4 }]
    const wrong = await expectCodeAsync('FOREIGN_VERSIONS_UNNAMED', () =>
      unfreeze('drop', [...all, { role: TARGETS, version: 9 }]),
    )
    expect(wrong.facts).to.include({ unnamed: '', unknown: 'targets@9' })
    expect((await status()).state).to.equal('frozen')
    expect((await unfreeze('drop', all)).dropped).to.deep.equal(all)
    expect((await unfreeze('accept', all)).accepted, 'of a drop in force').to.deep.equal(all)
  })

  it('NO_VERSION_TO_RESTORE: a version that was accepted in between is not passed over, and the repository stays frozen', async () => {
    await signOurs('ours')
    await publishForeign('a clone of ours')
    await unfreeze('accept')
    await publishForeign('foreign')
    const error = await expectCodeAsync('NO_VERSION_TO_RESTORE', () => unfreeze('drop'))
    expect(error.facts).to.include({ role: TARGETS, disowned: 4 })
    expect(error.message).to.include('version 3 before it was accepted')
    expect((await status()).state).to.equal('frozen')
    await unfreeze('accept')
    await signOurs('more')
    expect(repository.tags(TARGETS)).to.deep.equal(['foreign', 'more'])
  })

  it('NO_VERSION_TO_RESTORE: nothing of ours was published in the role; accepting goes on', async () => {
    await publishForeign('foreign')
    const error = await expectCodeAsync('NO_VERSION_TO_RESTORE', () => unfreeze('drop'))
    expect(error.message).to.include('no version of ours was published before it')
    expect((await status()).state).to.equal('frozen')
    expect(holder.log().some(({ kind }) => kind === 'repository-unfrozen')).to.equal(false)
    await unfreeze('accept')
    await signOurs('more')
    expect(repository.tags(TARGETS)).to.deep.equal(['foreign', 'more'])
  })

  it('a change of root is refused only where it signs targets', async () => {
    await signOurs('ours')
    await publishForeign('foreign')
    await unfreeze('drop')
    const change = (root: Uint8Array) => {
      const files = new Map([...repository.files(), ['next-root', root]])
      const publication = `root-${++publications}`
      const asked = { publication, gun: builder.gun, files: [...files.keys()], evidence: EVIDENCE }
      return repository.service.call('change-root', asked, files)
    }
    const ofTargets = nextRootOf(repository, [{ role: TARGETS, keys: [await stageKey()] }])
    await expectCodeAsync('BASE_VERSION_DISOWNED', () => change(ofTargets))
    const ofSnapshot = nextRootOf(repository, [{ role: SNAPSHOT, keys: [testKey('next snapshot').publicKey] }])
    expect((await change(ofSnapshot)).response.roles.map(({ role }) => role)).to.deep.equal([ROOT])
  })

  for (const operation of ['change-targets', 'change-root'] as const) {
    it(`${operation}, asked for again after a drop below its version, answers as it did`, async () => {
      await signOurs('ours')
      const files = repository.files()
      // Signed and never published: the version is burnt.
      await repository.change([put('burnt')], { roles: [TARGETS], files })
      const ask = async () => {
        if (operation === 'change-targets') {
          const request = repository.request([put('once')], { roles: [TARGETS], files, publication: 'once' })
          return repository.service.call(operation, request, files)
        }
        const withRoot = new Map([...files, ['next-root', nextRoot]])
        const request = { publication: 'once', gun: builder.gun, files: [...withRoot.keys()], evidence: EVIDENCE }
        return repository.service.call(operation, request, withRoot)
      }
      const nextRoot = nextRootOf(repository, [{ role: TARGETS, keys: [await stageKey()] }])
      const first = await ask()
      await publishForeign('foreign')
      await unfreeze('drop')
      const again = await ask()
      expect(again.response).to.deep.equal(first.response)
      expect([...again.attachments.keys()]).to.deep.equal([...first.attachments.keys()])
      expect(parseTargets(again.attachments.get(TARGETS)!, TARGETS).metadata.version).to.equal(4)
    })
  }
})
