// `root take-offline` against a real key holder: the key is in its file, opened and proved, before the key holder lets go of it.
import { readFileSync, statSync, unlinkSync } from 'node:fs'
import { certificateKey, parseGun, ROOT } from '@countersign/tuf'
import { expect } from 'chai'
import { openOfflineRoot } from '../../src/cli/root-key/key-file.ts'
import { HeldRepository, TestKeyHolder } from '../support/key-holder.ts'
import { NOW } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

describe('cli root take-offline', () => {
  let scope: Scope
  let place: Workplace
  let holder: TestKeyHolder
  let gun: string

  beforeEach(async () => {
    scope = new Scope()
    place = new Workplace()
    place.file('passphrase', 'correct horse battery\n')
    holder = await TestKeyHolder.start(scope)
    ;({ gun } = await HeldRepository.initialize(holder))
  })
  afterEach(async () => {
    place.remove()
    await scope.close()
  })

  const take = (out = 'root.key', ...more: string[]): Promise<Ran> => {
    const files = ['--out', place.path(out), '--passphrase-file', place.path('passphrase')]
    const socket = ['--operator-socket', holder.config.operatorSocket]
    return place.run(['root', 'take-offline', gun, ...files, '--reason', 'go live', ...socket, ...more], {
      now: () => NOW,
    })
  }
  const custody = async (): Promise<string> =>
    (await holder.operator.call('repository-status', { gun })).response.rootCustody

  it('writes key and certificate, and the key holder has it no more', async () => {
    const ran = await take('root.key', '--json')
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(await custody()).to.equal('offline')
    const { key } = await openOfflineRoot(
      place.path('root.key'),
      { passphraseFile: place.path('passphrase'), share: [] },
      parseGun(gun),
      NOW,
    )
    expect(ran.json()).to.deep.equal({
      gun,
      keyFile: place.path('root.key'),
      certificateFile: place.path('root.key.crt'),
      tufKeyId: key.tufKeyId,
      canonicalKeyId: key.canonicalKeyId,
    })
    expect(statSync(place.path('root.key')).mode & 0o777).to.equal(0o600)
    expect(certificateKey(readFileSync(place.path('root.key.crt'), 'utf8')).tufKeyId).to.equal(key.tufKeyId)
    expect(ran.stdout + ran.stderr).to.not.include('correct horse')
    expect((await take('again.key')).codes()).to.deep.equal(['KEY_NOT_FOUND'])
  })

  it('goes on with the file of an interrupted run, and leaves no file of one that was refused', async () => {
    expect((await take('first.key')).exit).to.equal(0)
    const other = (await HeldRepository.initialize(holder, 'registry.example.com/team/other')).gun
    gun = other
    // The file of another repository's key: nothing is removed for it.
    const wrong = await take('first.key')
    expect(wrong.exit).to.equal(1)
    expect(await custody()).to.equal('online')
    gun = 'registry.example.com/team/none'
    expect((await take('none.key')).codes()).to.deep.equal(['GUN_NOT_MANAGED'])
    expect(() => statSync(place.path('none.key'))).to.throw()
    expect(() => statSync(place.path('none.key.crt'))).to.throw()
  })

  it('opens the file that is there with its passphrase, or removes nothing', async () => {
    await holder.operator.call('export-root-key', {
      gun,
      passphrase: 'another passphrase',
      reason: 'earlier',
      evidence: { request: 'r', principal: 'p' },
    })
    const { attachments, response } = await holder.operator.call('export-root-key', {
      gun,
      passphrase: 'correct horse battery',
      reason: 'earlier',
      evidence: { request: 'r', principal: 'p' },
    })
    place.file('root.key', Buffer.from(attachments.get('root.key')!).toString())
    place.file('root.key.crt', response.certificatePem, 0o644)
    place.file('passphrase', 'a wrong passphrase\n')
    expect((await take()).codes()).to.deep.equal(['PASSPHRASE_WRONG'])
    expect(await custody()).to.equal('online')
    place.file('passphrase', 'correct horse battery\n')
    expect((await take()).exit).to.equal(0)
    expect(await custody()).to.equal('offline')
    expect(holder.log().filter(({ kind }) => kind === 'root-key-exported')).to.have.length(2)
    expect(
      (await holder.operator.call('repository-status', { gun })).response.keys.find(({ role }) => role === ROOT)?.state,
    ).to.equal('retired')
  })

  it('CERTIFICATE_PEM, ROOT_KEY_FILE_UNSUITABLE: files that an interrupted run left empty; without them the same command begins again', async () => {
    const evidence = { request: 'r', principal: 'p' }
    const asked = { gun, passphrase: 'correct horse battery', reason: 'earlier', evidence }
    const { certificatePem } = (await holder.operator.call('export-root-key', asked)).response
    for (const [certificate, code] of [
      ['', 'CERTIFICATE_PEM'],
      [certificatePem, 'ROOT_KEY_FILE_UNSUITABLE'],
    ] as const) {
      place.file('root.key', '')
      place.file('root.key.crt', certificate, 0o644)
      const ran = await take()
      expect([ran.exit, ran.codes()]).to.deep.equal([1, [code]])
      expect(await custody()).to.equal('online')
    }
    unlinkSync(place.path('root.key'))
    unlinkSync(place.path('root.key.crt'))
    expect((await take()).exit).to.equal(0)
  })

  it('PASSPHRASE_TOO_SHORT, FILE_EXISTS: before anything leaves', async () => {
    place.file('passphrase', 'short\n')
    expect((await take()).codes()).to.deep.equal(['PASSPHRASE_TOO_SHORT'])
    place.file('passphrase', 'correct horse battery\n')
    place.file('root.key.crt', 'somebody’s')
    expect((await take()).codes()).to.deep.equal(['FILE_EXISTS'])
    unlinkSync(place.path('root.key.crt'))
    expect(holder.log().some(({ kind }) => kind === 'root-key-exported')).to.equal(false)
    expect((await take()).exit).to.equal(0)
  })
})
