// Bundles of pinned roots: what they say is what is pinned, under a key that stays one through restarts and changes of the unlock key, and every
// record comes before its signature.
import { X509Certificate } from 'node:crypto'
import { renameSync } from 'node:fs'
import fc from 'fast-check'
import { certificateKey } from '@countersign/tuf'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import { createUnlockKeyFile } from '../../src/key-holder/main.ts'
import { readBundle, type SignedBundle } from '../../src/key-holder/pin-bundle.ts'
import type { OperationInput, OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'

const REQUEST = { reason: 'for laptops', evidence: EVIDENCE }
const [APP, OTHER] = ['registry.example.com/team/app', 'registry.example.com/team/other']

describe('bundles of pinned roots', () => {
  let scope: Scope
  let holder: TestKeyHolder

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    await HeldRepository.initialize(holder, APP)
  })
  afterEach(() => scope.close())

  async function exported(
    more: Partial<OperationInput<'export-pins'>> = {},
  ): Promise<OperationResponse<'export-pins'> & { text: string }> {
    const { response, attachments } = await holder.operator.call('export-pins', { ...REQUEST, ...more })
    return { ...response, text: Buffer.from(attachments.get('bundle')!).toString('utf8') }
  }
  function read({ text, publicKey }: { readonly text: string; readonly publicKey: string }): SignedBundle {
    const bundle = readBundle(text, (key) => key === publicKey)
    if (typeof bundle === 'string') throw new Error(bundle)
    return bundle
  }
  const records = (kind: string) => holder.log().filter((record) => record.kind === kind)

  it('say what is pinned, of all repositories or of those that are named', async () => {
    await HeldRepository.initialize(holder, OTHER)
    const all = await exported()
    const bundle = read(all)
    expect(bundle.repositories.map(({ gun }) => gun)).to.deep.equal([APP, OTHER])
    for (const { gun, root, certificates } of bundle.repositories) {
      const { pinnedRoot } = (await holder.operator.call('repository-status', { gun })).response
      const { certificateKeyIds, ...rest } = pinnedRoot!
      expect({ ...rest, threshold: 1 }).to.deep.equal(root)
      expect(certificates.map(({ keyId }) => keyId)).to.deep.equal(certificateKeyIds)
      for (const { keyId, pem } of certificates) expect(certificateKey(pem).tufKeyId).to.equal(keyId)
      expect(new X509Certificate(certificates[0]!.pem).subject).to.equal(`CN=${gun}`)
    }
    expect(read(await exported({ guns: [OTHER, OTHER] })).repositories.map(({ gun }) => gun)).to.deep.equal([OTHER])
  })

  it('have one key and rising numbers, whatever the clock does, and are recorded without a secret', async () => {
    const first = await exported({ lifetimeDays: 30 })
    expect(first.expiresAt).to.equal(new Date(holder.now.getTime() + 30 * 86_400_000).toISOString())
    expect(read(first).expiresAt).to.equal(first.expiresAt)
    holder.now = new Date(holder.now.getTime() - 86_400_000)
    await holder.stop()
    await holder.start()
    const second = await exported()
    expect([second.serial, second.fingerprint]).to.deep.equal([first.serial + 1, first.fingerprint])
    expect(records('pin-key-created')).to.have.length(1)
    expect(records('pins-exported').map(({ serial, sha256 }) => ({ serial, sha256 }))).to.deep.equal(
      [first, second].map((one) => ({ serial: one.serial, sha256: read(one).sha256 })),
    )
  })

  it('keep their key when the unlock key changes, which the old one does not open any more', async () => {
    const before = await exported()
    createUnlockKeyFile(holder.nextUnlockKeyFile)
    await holder.operator.call('rewrap-keys', REQUEST)
    expect((await exported()).publicKey).to.equal(before.publicKey)
    await holder.stop()
    renameSync(holder.nextUnlockKeyFile, holder.unlockKeyFile)
    await holder.start()
    expect((await exported()).publicKey).to.equal(before.publicKey)
  })

  it('are refused for repositories that are not here, and where none is', async () => {
    await expectCodeAsync('GUN_NOT_MANAGED', () => exported({ guns: [APP, OTHER] }))
    const empty = await TestKeyHolder.start(scope)
    await expectCodeAsync('GUN_NOT_INITIALIZED', () => empty.operator.call('export-pins', REQUEST))
    await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => holder.service.call('export-pins', REQUEST))
    expect(records('pins-exported')).to.deep.equal([])
  })

  it('KEY_FILE_DAMAGED: a key that does not open keeps the key holder from starting', async () => {
    await exported()
    await holder.stop()
    holder.database((database) =>
      database.prepare(`UPDATE settings SET value = zeroblob(200) WHERE name = 'pins-private-key'`).run(),
    )
    await expectCodeAsync('KEY_FILE_DAMAGED', () => holder.start())
  })

  it('are refused after any change of a byte, and under any other key', async () => {
    const { text, publicKey, fingerprint } = await exported()
    const isTrusted = (key: string, its: string) => key === publicKey && its === fingerprint
    expect(readBundle(text, isTrusted)).to.be.an('object')
    expect(readBundle(text, () => false)).to.equal('other-key')
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 32, max: 126 }), (at, code) => {
        const changed = `${text.slice(0, at)}${String.fromCharCode(code)}${text.slice(at + 1)}`
        expect(readBundle(changed, isTrusted)).to.satisfy(
          (result: unknown) => changed === text || typeof result === 'string',
        )
      }),
    )
    for (const other of ['', text.slice(text.indexOf('\n') + 1), `${text}\n`, text.replace('bundle v1', 'bundle v2')]) {
      expect(readBundle(other, isTrusted)).to.equal('malformed')
    }
  })

  for (const step of ['planned', 'committed', 'log-published', 'signed'] as const satisfies readonly Step[]) {
    it(`after a crash at the step ${step} come under one key, each number once`, async () => {
      await crashAt(holder, step, 1, () => exported())
      const next = await exported()
      expect(read(next).repositories).to.have.length(1)
      const serials = records('pins-exported').map(({ serial }) => serial as number)
      expect(serials).to.have.length(step === 'planned' ? 1 : 2)
      expect([new Set(serials).size, serials.at(-1)]).to.deep.equal([serials.length, next.serial])
      expect(records('pin-key-created').map(({ publicKey }) => publicKey)).to.deep.equal([next.publicKey])
    }).timeout(30_000)
  }
})
