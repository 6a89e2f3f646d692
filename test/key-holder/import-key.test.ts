// Keys that were made elsewhere: taken encrypted, proven out of their sealed form, and only where what is published lists them.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { parseGun, parseRoleName, publicKeyOf, RELEASES, ROOT, TARGETS, verifySignature } from '@countersign/tuf'
import { expect } from 'chai'
import { transferKey } from '../../src/cli/key-import/transfer.ts'
import { keyImportMessage } from '../../src/key-holder-protocol/key-import-proof.ts'
import { sealForKeyHolder } from '../../src/key-holder-protocol/key-transport.ts'
import type { OperationInput } from '../../src/key-holder-protocol/operations.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testCertificateKey, testKey } from '../support/test-keys.ts'

const NONE = new Map<string, Uint8Array>()
const DAY_MS = 86_400_000

describe('importing keys', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let builder: RepositoryBuilder
  let repository: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    builder = new RepositoryBuilder()
    builder.put(TARGETS, '1.0', '1.0')
    repository = new HeldRepository(holder, builder)
  })
  afterEach(() => scope.close())

  interface Wish {
    readonly role?: string
    readonly key?: KeyObject
    readonly files?: Map<string, Uint8Array>
    readonly severalRoles?: boolean
    readonly gun?: string
  }
  const take = (o: Wish = {}) =>
    transferKey(holder.operator, {
      gun: parseGun(o.gun ?? builder.gun),
      role: parseRoleName(o.role ?? TARGETS),
      privateKey: o.key ?? testKey('targets').privateKey,
      severalRoles: o.severalRoles ?? false,
      files: o.files ?? NONE,
    })
  /** The request as the command line makes it, to be changed by a test. */
  async function request(change: Partial<OperationInput<'import-key'>> = {}, key = testKey('targets').privateKey) {
    const { session, transportKey } = (await holder.operator.call('begin-key-import', {})).response
    const sealedKey = await sealForKeyHolder(key.export({ type: 'pkcs8', format: 'der' }), transportKey, session)
    const { canonicalKeyId } = publicKeyOf(key)
    const whole = { gun: builder.gun, role: TARGETS, canonicalKeyId, session, sealedKey, files: [], evidence: EVIDENCE }
    return { ...whole, ...change }
  }
  const pin = async (signer?: string) => {
    const files = repository.files()
    const certificateKeyIds = builder.role(ROOT).keys.map(({ publicKey }) => publicKey.tufKeyId as string)
    const asked = { gun: builder.gun, certificateKeyIds, files: [...files.keys()], evidence: EVIDENCE }
    return holder.operator.call('pin-repository', { ...asked, ...(signer !== undefined && { signer }) }, files)
  }
  const status = async () => (await holder.operator.call('repository-status', { gun: builder.gun })).response
  const tagIn = (role: string, tag: string) => repository.change([put(tag)], { roles: [role] })

  it('before the pin: the key signs in the repository once it is pinned, and what stood there is accepted', async () => {
    const taken = await take()
    expect([taken.state, taken.keyState, taken.role]).to.deep.equal(['imported', 'active', TARGETS])
    const { response } = await pin()
    expect([response.key, response.pem, response.repository.rootCustody]).to.deep.equal([
      undefined,
      undefined,
      'offline',
    ])
    await repository.observe()
    await repository.sign([put('2.0')], [TARGETS])
    await repository.observe()
    expect(repository.tags(TARGETS)).to.deep.equal(['1.0', '2.0'])
    expect((await status()).keys.map(({ role, custody }) => [role, custody])).to.deep.equal([
      [TARGETS, 'sealed, imported'],
    ])
    const [imported] = holder.log().filter(({ kind }) => kind === 'key-imported')
    expect(imported).to.deep.include({ by: 'operator', role: TARGETS, gun: builder.gun })
  })

  it('after the pin: with the published state, from which on a version of others freezes', async () => {
    await pin('countersign')
    await take({ files: repository.files() })
    expect((await status()).rootCustody).to.equal('offline')
    await repository.observe()
    await tagIn(TARGETS, '2.0')
    // Whoever still has the key file publishes.
    builder.put(TARGETS, 'thief', 'thief').nextVersions(TARGETS)
    await expectCodeAsync('BASE_VERSION_NOT_OURS', () => repository.observe())
    await expectCodeAsync('REPOSITORY_FROZEN', async () => take({ files: repository.files() }))
  })

  it('a key of a signer, in each repository that lists it, with what it has signed', async () => {
    const alice = testKey('alice')
    builder.delegate('targets/alice', { keys: [alice] }).delegate(RELEASES, { keys: [alice] })
    builder.role(TARGETS).targets.clear()
    builder.put(RELEASES, '1.0', '1.0')
    await take({ role: 'targets/alice', key: alice.privateKey })
    await take({ role: 'targets/alice', key: alice.privateKey, gun: 'registry.example.com/team/other' })
    await pin()
    expect((await status()).rootCustody).to.equal('foreign')
    await repository.sign([put('2.0')], ['targets/alice', RELEASES])
    await repository.observe()
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0', '2.0'])
    await expectCodeAsync('CHANGE_REFUSED', () => tagIn(TARGETS, '3.0'))
  })

  it('a root key leaves again with root take-offline’s operations', async () => {
    const root = builder.role(ROOT).keys[0]!
    await take()
    await take({ role: ROOT, key: root.privateKey })
    await pin()
    expect((await status()).rootCustody).to.equal('online')
    const asked = { gun: builder.gun, passphrase: 'correct horse', reason: 'test', evidence: EVIDENCE }
    const { response } = await holder.operator.call('export-root-key', asked)
    expect(response.canonicalKeyId).to.equal(root.publicKey.canonicalKeyId)
  })

  it('is idempotent, and proves the sealed key each time, also after a start', async () => {
    const { session, transportKey, challenge } = (await holder.operator.call('begin-key-import', {})).response
    const { privateKey, publicKey } = testKey('targets', 'ed25519')
    const der = privateKey.export({ type: 'pkcs8', format: 'der' })
    const sealedKey = await sealForKeyHolder(der, transportKey, session)
    const { response } = await holder.operator.call(
      'import-key',
      await request({ session, sealedKey, canonicalKeyId: publicKey.canonicalKeyId }),
    )
    const message = keyImportMessage(builder.gun, publicKey.canonicalKeyId, challenge)
    const signature = Buffer.from(response.proof.signature, 'base64')
    expect(verifySignature(publicKey, response.proof.method, message, signature)).to.equal(true)
    expect(() => JSON.parse(Buffer.from(message).toString()) as unknown).to.throw()
    await holder.stop()
    await holder.start()
    expect((await take({ key: privateKey })).state).to.equal('here-already')
    expect((await take({ key: privateKey })).state).to.equal('here-already')
    expect(holder.log().filter(({ kind }) => kind === 'key-imported')).to.have.length(1)
  })

  it('leaves no key in the clear: not on the socket, not in the folder', async () => {
    const key = testKey('targets').privateKey
    const secret = Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url')
    const asked = await request()
    expect(Buffer.from(JSON.stringify(asked)).includes(secret.toString('base64'))).to.equal(false)
    await holder.operator.call('import-key', asked)
    await holder.stop()
    const rows = holder.database((database) =>
      database.prepare<[], { sealed: Buffer; origin: string }>('SELECT sealed, origin FROM keys').all(),
    )
    expect(rows.map(({ origin }) => origin)).to.deep.equal(['imported'])
    expect(rows.some(({ sealed }) => sealed.includes(secret))).to.equal(false)
    await holder.start()
  })

  it('what it took survives a change of the unlock key', async () => {
    await take()
    const { createUnlockKeyFile } = await import('../../src/key-holder/main.ts')
    createUnlockKeyFile(holder.nextUnlockKeyFile)
    await holder.operator.call('rewrap-keys', { reason: 'test', evidence: EVIDENCE })
    expect((await take()).state).to.equal('here-already')
    await pin()
    expect((await status()).keys[0]?.custody).to.equal('sealed, imported')
  })

  it('what has expired is accepted while pinning and importing, and can be signed by nothing that does not say so', async () => {
    builder.role(TARGETS).expiresAt = new Date(NOW.getTime() - DAY_MS)
    await take()
    await pin()
    await repository.observe()
    await expectCodeAsync('BASE_NOT_VERIFIED', () => tagIn(TARGETS, '2.0'))
  })

  for (const step of ['planned', 'committed', 'log-published'] as const) {
    it(`a crash at the step ${step}: the same import ends with the key, proven, and one record`, async () => {
      await crashAt(holder, step, 1, () => take())
      await take()
      expect(holder.log().filter(({ kind }) => kind === 'key-imported')).to.have.length(1)
      await pin()
      await repository.sign([put('2.0')], [TARGETS])
    }).timeout(30_000)
  }

  describe('refuses', () => {
    const attempt = async (change: Partial<OperationInput<'import-key'>>, key?: KeyObject) =>
      holder.operator.call('import-key', await request(change, key))

    it('OPERATION_NOT_ON_THIS_SOCKET: the daemon', async () => {
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => holder.service.call('begin-key-import', {}))
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', async () =>
        holder.service.call('import-key', await request()),
      )
    })

    it('KEY_IMPORT_SESSION_UNKNOWN: one that nobody began, used before, or begun too long ago', async () => {
      await expectCodeAsync('KEY_IMPORT_SESSION_UNKNOWN', () => attempt({ session: 'nobody' }))
      const asked = await request()
      await holder.operator.call('import-key', asked)
      await expectCodeAsync('KEY_IMPORT_SESSION_UNKNOWN', () => holder.operator.call('import-key', asked))
      const late = await request()
      holder.now = new Date(NOW.getTime() + 5 * 60_000)
      await expectCodeAsync('KEY_IMPORT_SESSION_UNKNOWN', () => holder.operator.call('import-key', late))
    })

    it('KEY_IMPORT_UNREADABLE: sealed for another session, damaged, no key, or another key than announced', async () => {
      const { sealedKey } = await request()
      await expectCodeAsync('KEY_IMPORT_UNREADABLE', () => attempt({ sealedKey }))
      await expectCodeAsync('KEY_IMPORT_UNREADABLE', () => attempt({ sealedKey: 'a.b.c.d.e' }))
      const { session, transportKey } = (await holder.operator.call('begin-key-import', {})).response
      const noKey = await sealForKeyHolder(Buffer.from('not a key'), transportKey, session)
      await expectCodeAsync('KEY_IMPORT_UNREADABLE', () => attempt({ session, sealedKey: noKey }))
      await expectCodeAsync('KEY_IMPORT_UNREADABLE', () => attempt({ canonicalKeyId: 'ab'.repeat(32) }))
      expect(holder.log().filter(({ kind }) => kind === 'key-imported')).to.deep.equal([])
    })

    it('KEY_NOT_USABLE: a curve that Go does not know, RSA of 1024 bits, curves that verify and that nothing here signs with', async () => {
      const curves = ['secp256k1', 'secp224r1', 'secp384r1', 'secp521r1']
      const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
      const onCurves = curves.map((namedCurve) => generateKeyPairSync('ec', { namedCurve }).privateKey)
      for (const [index, key] of [small, ...onCurves].entries()) {
        const canonicalKeyId = index < 2 ? 'ab'.repeat(32) : publicKeyOf(key).canonicalKeyId
        const { session, transportKey } = (await holder.operator.call('begin-key-import', {})).response
        const sealedKey = await sealForKeyHolder(key.export({ type: 'pkcs8', format: 'der' }), transportKey, session)
        await expectCodeAsync('KEY_NOT_USABLE', () => attempt({ session, sealedKey, canonicalKeyId }))
      }
      expect(holder.log().filter(({ kind }) => kind === 'key-imported')).to.deep.equal([])
    })

    it('KEY_NOT_IMPORTABLE: keys of the trust server, and one that was retired', async () => {
      await expectCodeAsync('KEY_NOT_IMPORTABLE', () => attempt({ role: 'snapshot' }))
      await expectCodeAsync('KEY_NOT_IMPORTABLE', () => attempt({ role: 'timestamp' }))
      await take({ role: ROOT, key: builder.role(ROOT).keys[0]!.privateKey })
      await take()
      await holder.stop()
      holder.database((database) => {
        database.prepare(`UPDATE keys SET state = 'retired' WHERE role = 'targets'`).run()
      })
      await holder.start()
      await expectCodeAsync('KEY_NOT_IMPORTABLE', () => take())
    })

    it('KEY_LISTED_NOWHERE: what is published lists another key, lists it in another role, or none that is here', async () => {
      await expectCodeAsync('KEY_LISTED_NOWHERE', () => pin())
      await pin('countersign')
      const files = repository.files()
      await expectCodeAsync('KEY_LISTED_NOWHERE', () => take({ key: testKey('stranger').privateKey, files }))
      await expectCodeAsync('KEY_LISTED_NOWHERE', () => take({ role: 'targets/alice', files }))
    })

    it('KEY_HAS_TWO_ROLES: a root key that signs targets, unless it is meant', async () => {
      const both = testKey('both')
      const certificate = testCertificateKey('both', { commonName: builder.gun })
      builder.role(ROOT).keys = [certificate]
      builder.role(TARGETS).keys = [both]
      await pin('countersign')
      const files = repository.files()
      await expectCodeAsync('KEY_HAS_TWO_ROLES', () => take({ key: both.privateKey, files }))
      await take({ key: both.privateKey, files, severalRoles: true })
      // Kept once: as what it was taken first.
      const asRoot = { role: ROOT, key: both.privateKey, files, severalRoles: true }
      await expectCodeAsync('KEY_HAS_TWO_ROLES', () => take(asRoot))
      const elsewhere = { role: ROOT, key: both.privateKey, gun: 'registry.example.com/team/other' }
      await expectCodeAsync('KEY_HAS_TWO_ROLES', () => take(elsewhere))
    })

    it('BASE_NOT_VERIFIED, OPERATION_MALFORMED: another root than the pinned one, or files before there is a pin', async () => {
      const files = repository.files()
      await expectCodeAsync('OPERATION_MALFORMED', () => take({ files }))
      await pin('countersign')
      const strange = new RepositoryBuilder()
      strange.role(ROOT).keys = [strange.rootKey('stranger')]
      await expectCodeAsync('BASE_NOT_VERIFIED', () => take({ files: strange.files() }))
    })

    it('LIMIT_GUN: a repository outside the limits file', async () => {
      await expectCodeAsync('LIMIT_GUN', () => take({ gun: 'registry.example.org/x' }))
    })
  })
})
