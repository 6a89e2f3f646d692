// The way of an online root key out of the key holder, and what is left of it there.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  certificateKey,
  parsePrivateKeyFile,
  parseRoot,
  publicKeyOf,
  ROOT,
  signMessage,
  type Gun,
} from '@countersign/tuf'
import { expect } from 'chai'
import { rootKeyRemovalMessage } from '../../src/key-holder-protocol/root-key-proof.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { initializeOffline, nextRootOf, publishNextRoot } from '../support/offline-root.ts'
import { Scope } from '../support/scope.ts'
import { testCertificateKey, testKey, type TestKey } from '../support/test-keys.ts'

const PASSPHRASE = 'correct horse battery'

describe('an online root key that goes offline', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder)
  })
  afterEach(() => scope.close())

  const exportKey = async (): Promise<TestKey> => {
    const request = { gun: repository.gun, passphrase: PASSPHRASE, reason: 'go live', evidence: EVIDENCE }
    const { response, attachments } = await holder.operator.call('export-root-key', request)
    const [file] = parsePrivateKeyFile(attachments.get('root.key')!, Buffer.from(PASSPHRASE))
    const publicKey = certificateKey(response.certificatePem)
    expect(file?.role).to.equal('root')
    expect(publicKeyOf(file!.privateKey).canonicalKeyId).to.equal(response.canonicalKeyId)
    expect(publicKey.tufKeyId).to.equal(response.tufKeyId)
    return { privateKey: file!.privateKey, publicKey }
  }
  const removal = ({ privateKey, publicKey }: TestKey, message?: Uint8Array) => {
    const { canonicalKeyId } = publicKey
    const made = signMessage(privateKey, message ?? rootKeyRemovalMessage(repository.gun as Gun, canonicalKeyId))
    const proof = { method: made.method, signature: Buffer.from(made.signature).toString('base64') }
    return { gun: repository.gun, canonicalKeyId, proof, reason: 'go live', evidence: EVIDENCE }
  }
  const remove = (key: TestKey, message?: Uint8Array) => holder.operator.call('remove-root-key', removal(key, message))
  const rootKeys = async () => {
    const { response } = await holder.operator.call('repository-status', { gun: repository.gun })
    return [response.rootCustody, ...response.keys.filter(({ role }) => role === ROOT).map(({ state }) => state)]
  }

  it('is exported, proved, destroyed here, and signs next roots from its file', async () => {
    const key = await exportKey()
    expect(await rootKeys()).to.deep.equal(['online', 'active'])
    await holder.stop()
    const sealed = holder.database((database) =>
      database.prepare<[string], { sealed: Buffer }>('SELECT sealed FROM keys WHERE role = ?').get(ROOT),
    )?.sealed
    await holder.start()
    expect(filesWith(sealed)).to.not.deep.equal([])
    const { response } = await remove(key)
    expect(filesWith(sealed)).to.deep.equal([])
    expect(response.rootCustody).to.equal('offline')
    expect(await rootKeys()).to.deep.equal(['offline', 'retired'])
    const kinds = holder.log().map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind.startsWith('root-key'))).to.deep.equal(['root-key-exported', 'root-key-removed'])
    await holder.stop()
    holder.database((database) => {
      const rows = database.prepare<[string], { sealed: Buffer }>('SELECT sealed FROM keys WHERE role = ?').all(ROOT)
      expect(rows.map(({ sealed }) => sealed.every((byte) => byte === 0))).to.deep.equal([true])
    })
    await holder.start()

    await repository.sign([put('1.0')])
    const successor = testCertificateKey('successor', { commonName: repository.gun })
    const root = nextRootOf(repository, [{ role: ROOT, keys: [successor.publicKey] }], [key, successor])
    const files = new Map([...repository.files(), ['next-root', root]])
    const request = { publication: 'root-1', gun: repository.gun, files: [...files.keys()], evidence: EVIDENCE }
    publishNextRoot(repository, (await repository.service.call('change-root', request, files)).attachments)
    await repository.observe()
    expect(parseRoot(repository.files().get('root.json')!).metadata.version).to.equal(2)
  })

  /** The files of the key holder's folder that hold these bytes. */
  const filesWith = (bytes: Buffer | undefined): string[] =>
    readdirSync(holder.folder).filter(
      (name) => name.startsWith('key-holder.db') && readFileSync(join(holder.folder, name)).includes(bytes!),
    )

  it('may be exported more than once, and each is recorded before it leaves', async () => {
    const [one, other] = [await exportKey(), await exportKey()]
    expect(one.publicKey.canonicalKeyId).to.equal(other.publicKey.canonicalKeyId)
    expect(holder.log().filter(({ kind }) => kind === 'root-key-exported')).to.have.length(2)
    expect(JSON.stringify(holder.log())).to.not.include(PASSPHRASE)
  })

  // What lies between these two is the commit's own, which crash.test.ts walks.
  for (const step of ['committed', 'log-published'] as const) {
    it(`a crash at the step ${step} of the export leaves the key, of the removal the key or nothing of it`, async () => {
      const asked = { gun: repository.gun, passphrase: PASSPHRASE, reason: 'go live', evidence: EVIDENCE }
      await crashAt(holder, step, 1, () => holder.operator.call('export-root-key', asked))
      expect(await rootKeys()).to.deep.equal(['online', 'active'])
      const key = await exportKey()
      await crashAt(holder, step, 1, () => remove(key))
      expect(await rootKeys()).to.deep.equal(['offline', 'retired'])
      expect(holder.log().filter(({ kind }) => kind === 'root-key-removed')).to.have.length(1)
    }).timeout(30_000)
  }

  describe('refuses', () => {
    it('OPERATION_NOT_ON_THIS_SOCKET: the daemon', async () => {
      const key = await exportKey()
      const asked = { gun: repository.gun, passphrase: PASSPHRASE, reason: 'mine', evidence: EVIDENCE }
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => holder.service.call('export-root-key', asked))
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => holder.service.call('remove-root-key', removal(key)))
    })

    it('ROOT_KEY_NOT_PROVEN: another key, another message, another repository’s proof', async () => {
      const key = await exportKey()
      const canonicalKeyId = key.publicKey.canonicalKeyId
      const other = { ...key, privateKey: testKey('other').privateKey }
      const message = rootKeyRemovalMessage('registry.example.com/team/other' as Gun, canonicalKeyId)
      await expectCodeAsync('ROOT_KEY_NOT_PROVEN', () => remove(other))
      await expectCodeAsync('ROOT_KEY_NOT_PROVEN', () => remove(key, message))
      await expectCodeAsync('ROOT_KEY_NOT_PROVEN', () => remove(testKey('other')))
      expect(await rootKeys()).to.deep.equal(['online', 'active'])
    })

    it('OPERATION_MALFORMED: a passphrase of less than eight characters', async () => {
      const asked = { gun: repository.gun, passphrase: 'short', reason: 'go live', evidence: EVIDENCE }
      await expectCodeAsync('OPERATION_MALFORMED', () => holder.operator.call('export-root-key', asked))
    })

    it('KEY_NOT_FOUND: a root key that never was here, or that has gone', async () => {
      const key = await exportKey()
      await remove(key)
      await expectCodeAsync('KEY_NOT_FOUND', () => remove(key))
      await expectCodeAsync('KEY_NOT_FOUND', exportKey)
      repository = await initializeOffline(holder)
      await expectCodeAsync('KEY_NOT_FOUND', exportKey)
      await expectCodeAsync('GUN_NOT_MANAGED', () =>
        holder.operator.call('export-root-key', {
          gun: 'registry.example.com/team/none',
          passphrase: PASSPHRASE,
          reason: 'x',
          evidence: EVIDENCE,
        }),
      )
    })
  })
})
