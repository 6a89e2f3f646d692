// The succession of a signer's key: staged by an operator, put in its place by one publication, destroyed when it is replaced.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  METADATA_LIMITS,
  parseJson,
  parsePublicKey,
  parseRoleName,
  RELEASES,
  sha256Hex,
  TARGETS,
  verifyKeyReplacement,
  type PublicKey,
} from '@countersign/tuf'
import { expect } from 'chai'
import type { OperationInput, OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { undoMigrations } from '../support/former-database.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'

const ROLE = 'targets/countersign'
const SIGNER = parseRoleName(ROLE)

describe('the succession of a signing key', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let publications = 0

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
  })
  afterEach(() => scope.close())

  const stage = async (gun: string, role = ROLE): Promise<OperationResponse<'stage-key'>> => {
    const request = { gun, role, reason: 'yearly', evidence: EVIDENCE }
    return (await holder.operator.call('stage-key', request)).response
  }
  const request = (repository: HeldRepository, publication?: string): OperationInput<'replace-keys'> => ({
    publication: publication ?? `rotation-${++publications}`,
    gun: repository.gun,
    files: [...repository.files().keys()],
    evidence: EVIDENCE,
  })
  const replace = (repository: HeldRepository, publication?: string) =>
    repository.service.call('replace-keys', request(repository, publication), repository.files())
  const retire = (gun: string, canonicalKeyId: string) =>
    holder.operator.call('retire-key', { gun, canonicalKeyId, reason: 'replaced', evidence: EVIDENCE })
  const states = async (repository: HeldRepository): Promise<string[]> => {
    const { response } = await repository.service.call('repository-status', { gun: repository.gun })
    return response.keys.filter(({ role }) => role === ROLE).map(({ state }) => state)
  }

  it('notes when each key was last used, also before this was noted', async () => {
    const repository = await HeldRepository.initialize(holder)
    await repository.sign([put('1.0')])
    await stage(repository.gun)
    const lastUses = async (): Promise<(string | undefined)[]> => {
      const { response } = await holder.operator.call('repository-status', { gun: repository.gun })
      return response.keys.filter(({ role }) => role === ROLE).map(({ lastUsedAt }) => lastUsedAt)
    }
    expect(await lastUses()).to.deep.equal([holder.now.toISOString(), undefined])

    await holder.stop()
    holder.database((database) => {
      undoMigrations(database, 'last_used_at')
    })
    await holder.start()
    expect(await lastUses()).to.deep.equal([holder.now.toISOString(), undefined])
  })

  it('goes from staged to active and from active to replaced, in one publication that clients verify', async () => {
    const repository = await HeldRepository.initialize(holder)
    await repository.sign([put('1.0')])
    const old = (await repository.delegationKey()).publicKey.canonicalKeyId
    const base = repository.builder.verify({ now: holder.now }, repository.files())
    const staged = await stage(repository.gun)
    expect(staged.replaces).to.equal(old)
    expect(await states(repository)).to.deep.equal(['active', 'staged'])

    const { response, attachments } = await replace(repository)
    expect(response.roles.map(({ role }) => role).sort()).to.deep.equal([TARGETS, ROLE, RELEASES].sort())
    for (const { role, sha256 } of response.roles) expect(sha256Hex(attachments.get(role)!)).to.equal(sha256)
    const files = new Map([...attachments].map(([role, bytes]) => [parseRoleName(role), bytes]))
    const verified = verifyKeyReplacement(base, files, [{ from: old, to: publicKeyOf(staged) }])
    expect([...verified.keys()]).to.have.members([TARGETS, SIGNER, RELEASES])

    repository.publish(attachments)
    holder.now = new Date(holder.now.getTime() + 60_000)
    const listedAt = holder.now.toISOString()
    await repository.observe()
    expect(await states(repository)).to.deep.equal(['replaced', 'active'])
    expect((await repository.delegationKey()).publicKey.canonicalKeyId).to.equal(staged.canonicalKeyId)
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    await repository.sign([put('1.1')])
    expect(repository.tags(ROLE)).to.deep.equal(['1.0', '1.1'])
    // Since when each of them signs: also where the database is from before that was noted.
    const since = async (): Promise<(string | undefined)[]> => {
      const { response } = await holder.operator.call('repository-status', { gun: repository.gun })
      return response.keys.filter(({ role }) => role === ROLE).map(({ activeSince }) => activeSince)
    }
    const { createdAt } = (await holder.operator.call('repository-status', { gun: repository.gun })).response.keys[0]!
    expect(await since()).to.deep.equal([createdAt, listedAt])
    await holder.stop()
    holder.database((database) => {
      undoMigrations(database, 'COLUMN active_since')
    })
    await holder.start()
    expect(await since()).to.deep.equal([createdAt, listedAt])
    const kinds = holder.log().map(({ kind }) => kind)
    expect(kinds).to.include.members(['key-created', 'keys-replacement', 'key-listed', 'key-replaced'])
  })

  it('is staged once, however often it is asked for', async () => {
    const repository = await HeldRepository.initialize(holder)
    const first = await stage(repository.gun)
    expect(await stage(repository.gun)).to.deep.equal(first)
    expect(await states(repository)).to.deep.equal(['active', 'staged'])
  })

  it('a staged key signs nothing before it is listed', async () => {
    const repository = await HeldRepository.initialize(holder)
    await stage(repository.gun)
    await repository.sign([put('1.0')])
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    expect(await states(repository)).to.deep.equal(['active', 'staged'])
  })

  it('the same request again gives the same bytes, another one is refused', async () => {
    const repository = await HeldRepository.initialize(holder)
    await stage(repository.gun)
    const first = await replace(repository, 'once')
    expect((await replace(repository, 'once')).attachments).to.deep.equal(first.attachments)
    const other = { ...request(repository, 'once'), evidence: { ...EVIDENCE, principal: 'somebody else' } }
    await expectCodeAsync('PUBLICATION_REPLAYED', () =>
      repository.service.call('replace-keys', other, repository.files()),
    )
  })

  it('a rotation that was signed and never published is burnt by the next', async () => {
    const repository = await HeldRepository.initialize(holder)
    await stage(repository.gun)
    const lost = (await replace(repository)).response.roles
    const { response, attachments } = await replace(repository)
    for (const [index, { version }] of response.roles.entries()) expect(version).to.equal(lost[index]!.version + 1)
    repository.publish(attachments)
    await repository.observe()
    expect(await states(repository)).to.deep.equal(['replaced', 'active'])
  })

  it('in a repository of somebody else: both keys sign while the owner lists both', async () => {
    const repository = await HeldRepository.pin(holder)
    await repository.sign([put('ours')])
    await repository.observe()
    const old = repository.builder.role(ROLE).keys[0]!
    const staged = await stage(repository.gun)
    await expectCodeAsync('ROLE_NOT_SIGNABLE', () => replace(repository))

    const successor = { ...old, publicKey: publicKeyOf(staged) }
    for (const role of [ROLE, RELEASES]) repository.builder.role(role).keys.push(successor)
    delete repository.builder.role(TARGETS).mangle
    repository.builder.nextVersions(TARGETS)
    await repository.observe()
    expect(await states(repository)).to.deep.equal(['active', 'active'])
    await repository.sign([put('both')])
    expect(repository.tags(RELEASES)).to.include('both')

    for (const role of [ROLE, RELEASES]) {
      const { keys } = repository.builder.role(role)
      keys.splice(keys.indexOf(old), 1)
    }
    delete repository.builder.role(TARGETS).mangle
    repository.builder.nextVersions(TARGETS)
    await repository.observe()
    expect(await states(repository)).to.deep.equal(['replaced', 'active'])
  })

  it('a replaced key can be destroyed, and then its bytes are gone from the database', async () => {
    const repository = await HeldRepository.initialize(holder)
    const old = (await repository.delegationKey()).publicKey.canonicalKeyId
    await stage(repository.gun)
    repository.publish((await replace(repository)).attachments)
    await repository.observe()
    await holder.stop()
    const before = holder.database((database) =>
      database.prepare<[string], { sealed: Buffer }>('SELECT sealed FROM keys WHERE canonical_key_id = ?').get(old),
    )
    await holder.start()
    await retire(repository.gun, old)
    await retire(repository.gun, old)
    for (const name of readdirSync(holder.folder).filter((file) => file.startsWith('key-holder.db'))) {
      expect(readFileSync(join(holder.folder, name)).includes(before!.sealed), name).to.equal(false)
    }
    expect(await states(repository)).to.deep.equal(['retired', 'active'])
    expect(holder.log().filter(({ kind }) => kind === 'key-retired')).to.have.length(1)
    await holder.stop()
    holder.database((database) => {
      const row = database
        .prepare<[string], { sealed: Buffer }>('SELECT sealed FROM keys WHERE canonical_key_id = ?')
        .get(old)
      expect(row?.sealed.every((byte) => byte === 0)).to.equal(true)
    })
    await holder.start()
    await repository.sign([put('after')])
  })

  describe('refuses', () => {
    it('KEY_NOT_STAGED: a rotation that no operator asked for', async () => {
      const repository = await HeldRepository.initialize(holder)
      await expectCodeAsync('KEY_NOT_STAGED', () => replace(repository))
    })

    it('OPERATION_NOT_ON_THIS_SOCKET: staging and destroying by the daemon', async () => {
      const { gun, service } = await HeldRepository.initialize(holder)
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () =>
        service.call('stage-key', { gun, role: ROLE, reason: 'mine', evidence: EVIDENCE }),
      )
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () =>
        service.call('retire-key', { gun, canonicalKeyId: 'a'.repeat(64), reason: 'x', evidence: EVIDENCE }),
      )
    })

    it('KEY_NOT_REPLACEABLE: roles of others, and releases, whose key is a signer’s', async () => {
      const { gun } = await HeldRepository.initialize(holder)
      for (const role of ['root', 'snapshot', 'timestamp', 'targets/releases']) {
        await expectCodeAsync('KEY_NOT_REPLACEABLE', () => stage(gun, role))
      }
    })

    it('KEY_NOT_FOUND: a signer whose key is not here, a key that is not here', async () => {
      const { gun } = await HeldRepository.initialize(holder)
      await expectCodeAsync('KEY_NOT_FOUND', () => stage(gun, 'targets/alice'))
      await expectCodeAsync('KEY_NOT_FOUND', () => retire(gun, 'a'.repeat(64)))
    })

    it('KEY_IN_USE: destroying a key that signs, or that will', async () => {
      const repository = await HeldRepository.initialize(holder)
      const { canonicalKeyId, replaces } = await stage(repository.gun)
      await expectCodeAsync('KEY_IN_USE', () => retire(repository.gun, canonicalKeyId))
      await expectCodeAsync('KEY_IN_USE', () => retire(repository.gun, replaces))
    })

    it('REPOSITORY_FROZEN: while an operator has stopped signing', async () => {
      const repository = await HeldRepository.initialize(holder)
      await stage(repository.gun)
      await holder.operator.call('freeze', { gun: repository.gun, reason: 'test', evidence: EVIDENCE })
      await expectCodeAsync('REPOSITORY_FROZEN', () => replace(repository))
    })

    it('BASE_OLDER_THAN_KNOWN: a base from before', async () => {
      const repository = await HeldRepository.initialize(holder)
      const before = repository.files()
      await repository.sign([put('1.0')])
      await repository.observe()
      await stage(repository.gun)
      const old = { ...request(repository), files: [...before.keys()] }
      await expectCodeAsync('BASE_OLDER_THAN_KNOWN', () => repository.service.call('replace-keys', old, before))
    })

    it('KEY_NOT_STAGED: the same rotation once more', async () => {
      const repository = await HeldRepository.initialize(holder)
      await stage(repository.gun)
      repository.publish((await replace(repository)).attachments)
      await expectCodeAsync('KEY_NOT_STAGED', () => replace(repository))
    })
  })
})

function publicKeyOf({ key }: OperationResponse<'stage-key'>): PublicKey {
  return parsePublicKey(parseJson(Buffer.from(JSON.stringify(key)), METADATA_LIMITS))
}
