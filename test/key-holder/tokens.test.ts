// Keys in PKCS#11 tokens inside the key holder: made there, proven, recorded, replaced from and into the other custody, and signing that
// waits for a token instead of being lost or done twice.
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { parseRoleName, RELEASES, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { startKeyHolder } from '../../src/key-holder/main.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import type { OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { Connection } from '../../src/sqlite/connection.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { FaultyModule } from '../support/faulty-module.ts'
import { EVIDENCE, HeldRepository, initialization, inToken, LIMITS, put, TestKeyHolder } from '../support/key-holder.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { SoftHsm, TOKEN_URI } from '../support/softhsm.ts'

const ROLE = 'targets/countersign'
const IN_TOKEN = 'PKCS#11 token countersign test'

describe('keys in a PKCS#11 token', function () {
  this.timeout(40_000)
  let scope: Scope
  let hsm: SoftHsm
  let holder: TestKeyHolder
  let publications = 0

  before(function () {
    requirePeers(this, 'softhsm')
  })
  beforeEach(() => {
    scope = new Scope()
    hsm = SoftHsm.make(scope)
    holder = new TestKeyHolder(scope, LIMITS, hsm)
  })
  afterEach(() => scope.close())

  const status = async (gun: string): Promise<OperationResponse<'repository-status'>> =>
    (await holder.operator.call('repository-status', { gun })).response
  const custodies = async (gun: string): Promise<string[]> =>
    (await status(gun)).keys.map(({ role, custody }) => `${role}: ${custody}`)
  const stage = (gun: string, o: { custody?: string; keyType?: 'rsa' } = {}) =>
    holder.operator.call('stage-key', { gun, role: ROLE, ...o, reason: 'yearly', evidence: EVIDENCE })
  const rotate = async (repository: HeldRepository, custody?: string): Promise<string> => {
    const { response } = await stage(repository.gun, custody === undefined ? {} : { custody })
    const files = repository.files()
    const request = { publication: `rotation-${++publications}`, gun: repository.gun, evidence: EVIDENCE }
    const signed = await repository.service.call('replace-keys', { ...request, files: [...files.keys()] }, files)
    repository.publish(signed.attachments)
    await repository.observe()
    return response.replaces
  }
  /** Keys in the token that nobody wants any more. */
  const toDestroy = async (): Promise<number | undefined> =>
    (await holder.operator.call('status', {})).response.tokens?.[0]?.toDestroy
  const retire = (gun: string, canonicalKeyId: string) =>
    holder.operator.call('retire-key', { gun, canonicalKeyId, reason: 'replaced', evidence: EVIDENCE })

  it('are made where the limits file says, and the record names their custody', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    await repository.sign([put('1.0')])
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    // An online root key is made to leave.
    expect(await custodies(repository.gun)).to.deep.equal([
      'root: sealed',
      `targets: ${IN_TOKEN}`,
      `${ROLE}: ${IN_TOKEN}`,
    ])
    expect(hsm.privateKeys().sort()).to.deep.equal([
      `countersign ${repository.gun} targets`,
      `countersign ${repository.gun} ${ROLE}`,
    ])
    const created = holder.log().filter(({ kind }) => kind === 'key-created')
    expect(created.map(({ role, custody }) => [role, String(custody).split(';')[0]])).to.have.deep.members([
      ['root', 'sealed'],
      [TARGETS, TOKEN_URI],
      [ROLE, TOKEN_URI],
    ])
    const { tokens } = (await holder.service.call('status', {})).response
    expect(tokens).to.deep.equal([{ uri: TOKEN_URI, label: 'countersign test', state: 'ready', toDestroy: 0 }])
    // Nothing private is in the database.
    await holder.stop()
    const sealed = holder.database((database: Connection) =>
      database.prepare<[], { role: string; bytes: number }>('SELECT role, length(sealed) AS bytes FROM keys').all(),
    )
    expect(sealed.filter(({ bytes }) => bytes === 0).map(({ role }) => role)).to.have.members([TARGETS, ROLE])
  })

  it('take the place of sealed ones and give it back, each by a rotation; retiring takes them out of the token', async () => {
    holder.writeLimits(LIMITS)
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    const sealed = await rotate(repository, TOKEN_URI)
    expect(await custodies(repository.gun)).to.include.members([`${ROLE}: sealed`, `${ROLE}: ${IN_TOKEN}`])
    await repository.sign([put('from-the-token')])
    await retire(repository.gun, sealed)

    const inHsm = await rotate(repository, 'sealed')
    await repository.sign([put('sealed-again')])
    expect(repository.tags(ROLE)).to.deep.equal(['from-the-token', 'sealed-again'])
    expect(hsm.privateKeys()).to.have.length(1)
    await retire(repository.gun, inHsm)
    expect(hsm.privateKeys()).to.deep.equal([])
    const retired = holder.log().filter(({ kind }) => kind === 'key-retired')
    expect(retired.map(({ custody }) => String(custody).split(':')[0])).to.deep.equal(['sealed', 'pkcs11'])
  })

  it('are destroyed in the token as soon as it is back, where it was away when they were retired, and are shown until then', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    const old = await rotate(repository)
    hsm.remove()
    await expectCodeAsync('CUSTODY_UNAVAILABLE', () => retire(repository.gun, old))
    const retired = async (): Promise<string | undefined> =>
      (await status(repository.gun)).keys.find(({ state }) => state === 'retired')?.custody
    expect(await retired()).to.equal(`${IN_TOKEN}, not destroyed yet, not there`)
    expect(await toDestroy()).to.equal(1)
    hsm.bringBack()
    // Nobody asks for it again.
    await waitFor('the end of the key', async () => ((await toDestroy()) === 0 ? true : undefined))
    expect(await retired()).to.equal(IN_TOKEN)
    expect(hsm.privateKeys()).to.have.length(2)
    const ends = holder.log().filter(({ kind }) => kind === 'key-retired' || kind === 'token-key-destroyed')
    expect(ends.map(({ kind, found, by }) => [kind, found, by])).to.deep.equal([
      ['key-retired', undefined, 'operator'],
      ['token-key-destroyed', true, 'key-holder'],
    ])
    expect(ends[0]?.['custody']).to.equal(ends[1]?.['custody'])
    await retire(repository.gun, old)
    expect(holder.log().filter(({ kind }) => kind === 'token-key-destroyed')).to.have.length(1)
  })

  it('are not taken for destroyed where another token with the same label is there: CUSTODY_KEY_MISSING', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    const old = await rotate(repository)
    hsm.remove()
    hsm.addToken('countersign test')
    await waitFor('the other token', () =>
      expectCodeAsync('CUSTODY_KEY_MISSING', () => retire(repository.gun, old)).then(() => true),
    )
    expect(await toDestroy()).to.equal(1)
  })

  it('stay in no token where they could not be tried', async () => {
    const module = new FaultyModule(scope)
    await holder.start({}, { ...holder.config, tokens: [{ ...hsm.setting, module: module.path }] })
    module.fault('C_SignInit', 'CKR_FUNCTION_FAILED')
    const request = initialization('registry.example.com/team/app')
    await expectCodeAsync('CUSTODY_UNAVAILABLE', () => holder.service.call('initialize-repository', request))
    expect(hsm.privateKeys()).to.have.length(1)
    expect(await toDestroy()).to.equal(1)
    module.heal('C_SignInit')
    await waitFor('the end of the key', async () => ((await toDestroy()) === 0 ? true : undefined))
    expect(hsm.privateKeys()).to.deep.equal([])
    const [record] = holder.log().filter(({ kind }) => kind === 'token-key-destroyed')
    expect(record).to.include({ reason: 'unrecorded', found: true })
  })

  it('CUSTODY_UNAVAILABLE: no more are made where sixteen could neither be recorded nor destroyed', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    await holder.stop()
    holder.database((database: Connection) => {
      // Places beside those of good keys, whose destruction fails.
      database.exec(
        `INSERT INTO unwanted_token_keys (custody, reason, since)
         SELECT replace(custody, ';id=', '%20' || value || ';id=%' || printf('%02x', value)), 'unrecorded', '2026-01-01T00:00:00Z'
         FROM keys, (WITH RECURSIVE n(value) AS (VALUES (1) UNION ALL SELECT value + 1 FROM n WHERE value < 16) SELECT value FROM n)
         WHERE role = '${ROLE}'`,
      )
    })
    const module = new FaultyModule(scope)
    await holder.start({}, { ...holder.config, tokens: [{ ...hsm.setting, module: module.path }] })
    module.fault('C_Login', 'CKR_DEVICE_REMOVED')
    await expectCodeAsync('CUSTODY_UNAVAILABLE', () => stage(repository.gun))
    expect(await toDestroy()).to.equal(16)
    module.heal('C_Login')
    // None of them is there: that is found out as soon as the token is, and nothing is destroyed.
    await waitFor('the token', () => stage(repository.gun))
    await waitFor('the sweep', async () => ((await toDestroy()) === 0 ? true : undefined))
    expect(hsm.privateKeys()).to.have.length(3)
    expect(holder.log().filter(({ kind }) => kind === 'token-key-destroyed')).to.deep.equal([])
  })

  it('stay, where their commit failed and was durable nevertheless', async () => {
    let isFailing = false
    await holder.start({
      onStep: (step) => {
        if (step === 'committed' && isFailing) throw new KeyHolderError('STATE_UNWRITABLE', 'fsync failed')
      },
    })
    const repository = await HeldRepository.initialize(holder)
    isFailing = true
    await expectCodeAsync('STATE_UNWRITABLE', () => stage(repository.gun))
    isFailing = false
    const { response } = await stage(repository.gun)
    await rotate(repository)
    await repository.sign([put('1.0')])
    const keys = (await status(repository.gun)).keys.filter(({ state }) => state === 'active')
    expect(keys.map(({ canonicalKeyId }) => canonicalKeyId)).to.include(response.canonicalKeyId)
    expect(holder.log().filter(({ kind, role }) => kind === 'key-created' && role === ROLE)).to.have.length(2)
    expect([hsm.privateKeys().length, await toDestroy()]).to.deep.equal([3, 0])
  })

  it('are destroyed, where their commit failed', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    await holder.stop()
    holder.database((database: Connection) => {
      database.exec(
        `CREATE TRIGGER disk_full BEFORE INSERT ON keys WHEN new.state = 'staged' BEGIN SELECT RAISE(FAIL, 'disk full'); END`,
      )
    })
    await holder.start()
    await expectCodeAsync('STATE_UNWRITABLE', () => stage(repository.gun))
    await waitFor('the end of the key', async () => ((await toDestroy()) === 0 ? true : undefined))
    expect(hsm.privateKeys()).to.have.length(2)
  })

  it('sign when their token is back what was recorded while it was away: the same version, once', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    const files = repository.files()
    const request = repository.request([put('1.0')], { files, publication: 'while away' })
    const sign = () => holder.service.call('change-targets', request, files)
    hsm.remove()
    for (let n = 0; n < 3; n++) await expectCodeAsync('CUSTODY_UNAVAILABLE', sign)
    // Once that is known, nothing else is recorded, and no version burnt.
    for (const tag of ['2.0', '3.0']) await expectCodeAsync('CUSTODY_UNAVAILABLE', () => repository.change([put(tag)]))
    expect(await custodies(repository.gun)).to.include(`${ROLE}: ${IN_TOKEN}, not there`)
    // Other repositories are signed meanwhile.
    const { response: sealed } = await holder.operator.call('status', {})
    expect(sealed.tokens?.[0]?.state).to.equal('CUSTODY_UNAVAILABLE')
    hsm.bringBack()
    const { response, attachments } = await waitFor('the token', sign)
    expect(response.roles.map(({ version }) => version)).to.deep.equal([2, 2])
    expect((await sign()).attachments).to.deep.equal(attachments)
    repository.publish(attachments)
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    expect(holder.log().filter(({ kind }) => kind === 'targets-change')).to.have.length(1)
  })

  it('do not hold up repositories whose keys are elsewhere', async () => {
    holder.writeLimits(LIMITS)
    await holder.start()
    const there = await HeldRepository.initialize(holder, 'registry.example.com/team/there')
    await rotate(there, TOKEN_URI)
    const here = await HeldRepository.initialize(holder, 'registry.example.com/team/here')
    hsm.remove()
    await Promise.all([
      expectCodeAsync('CUSTODY_UNAVAILABLE', () => there.change([put('1.0')])),
      here.sign([put('1.0')]),
    ])
    expect(here.tags(RELEASES)).to.deep.equal(['1.0'])
  })

  it('CUSTODY_PIN_INCORRECT: a wrong PIN stops neither the start nor other keys, and is tried once', async () => {
    hsm.writePin('wrong')
    await holder.start()
    const request = initialization('registry.example.com/team/app')
    await expectCodeAsync('CUSTODY_PIN_INCORRECT', () => holder.service.call('initialize-repository', request))
    expect((await holder.operator.call('status', {})).response.tokens?.[0]?.state).to.equal('CUSTODY_PIN_INCORRECT')
    hsm.writePin('1234')
    const { response } = await waitFor('the PIN', () => holder.service.call('initialize-repository', request))
    expect(response.state).to.equal('ready')
    expect(hsm.privateKeys()).to.have.length(2)
  })

  it('CUSTODY_PIN_UNREADABLE: a PIN that others can read', async () => {
    chmodSync(hsm.pinFile, 0o644)
    await holder.start()
    const request = initialization('registry.example.com/team/app')
    await expectCodeAsync('CUSTODY_PIN_UNREADABLE', () => holder.service.call('initialize-repository', request))
  })

  it('CUSTODY_KEY_TYPE, CUSTODY_NOT_CONFIGURED, CUSTODY_URI_INVALID: what no token can be asked for', async () => {
    await holder.start()
    const { gun } = await HeldRepository.initialize(holder)
    await expectCodeAsync('CUSTODY_KEY_TYPE', () => stage(gun, { keyType: 'rsa' }))
    await expectCodeAsync('CUSTODY_NOT_CONFIGURED', () => stage(gun, { custody: 'pkcs11:token=another' }))
    await expectCodeAsync('CUSTODY_URI_INVALID', () => stage(gun, { custody: `${TOKEN_URI}?module-path=/tmp/evil.so` }))
    expect(hsm.privateKeys()).to.have.length(2)
  })

  it('CUSTODY_NOT_CONFIGURED: keys whose token the configuration does not name any more; the others sign', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    await holder.stop()
    holder.writeLimits(LIMITS)
    const { tokens, ...without } = holder.config
    expect(tokens).to.have.length(1)
    await holder.start({}, without)
    await expectCodeAsync('CUSTODY_NOT_CONFIGURED', () => repository.change([put('1.0')]))
    expect(await custodies(repository.gun)).to.include(`${ROLE}: ${IN_TOKEN}, not configured`)
  })

  it('LIMITS_FILE_INVALID: limits that want a token which the configuration does not name, or what is no token', async () => {
    const { tokens, ...without } = holder.config
    expect(tokens).to.have.length(1)
    await expectCodeAsync('LIMITS_FILE_INVALID', () => startKeyHolder(without))
    holder.writeLimits(inToken(LIMITS).replaceAll(TOKEN_URI, 'vault:transit'))
    await expectCodeAsync('LIMITS_FILE_INVALID', () => startKeyHolder(holder.config))
  })

  it('CUSTODY_KEY_MISSING: a token with the same label that has other keys, or another key in the place of ours', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    const base = repository.files()
    const request = repository.request([put('1.0')], { files: base })
    const sign = () => holder.service.call('change-targets', request, base)
    await holder.stop()
    const [custody = ''] = holder
      .database((database: Connection) =>
        database.prepare<[], { custody: string }>(`SELECT custody FROM keys WHERE role = '${ROLE}'`).all(),
      )
      .map((row) => row.custody)
    const id = /id=([^;]+)/.exec(custody)?.[1]?.replaceAll('%', '') ?? ''
    hsm.look(['--login', '--pin', '1234', '--delete-object', '--type', 'privkey', '--id', id])
    await holder.start()
    await expectCodeAsync('CUSTODY_KEY_MISSING', sign)
    const other = ['--keypairgen', '--key-type', 'EC:prime256v1', '--id', id, '--label', 'another']
    hsm.look(['--login', '--pin', '1234', ...other])
    await expectCodeAsync('CUSTODY_KEY_MISSING', sign)
    expect(repository.tags(RELEASES)).to.deep.equal([])
  })

  it('are left alone by a change of the unlock key, and are named in a backup as not in it', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    writeKey(holder.nextUnlockKeyFile)
    const rewrapped = await holder.operator.call('rewrap-keys', { reason: 'yearly', evidence: EVIDENCE })
    expect(rewrapped.response.keys).to.equal(1)
    await repository.sign([put('1.0')])
    const { response } = await holder.operator.call('begin-backup', { reason: 'nightly', evidence: EVIDENCE })
    expect([response.keys, response.inTokens]).to.deep.equal([1, [{ label: 'countersign test', keys: 2 }]])
    const [record] = holder.log().filter(({ kind }) => kind === 'backup-made')
    expect(record).to.deep.include({ keys: 1, keysInTokens: [['countersign test', 2]] })
  })

  for (const step of ['keys-made', 'committed'] as const) {
    it(`after a crash at the step ${step} of making one, the same request has one key that counts`, async () => {
      await holder.start()
      const repository = await HeldRepository.initialize(holder)
      await crashAt(holder, step, 1, () => stage(repository.gun))
      const { response } = await stage(repository.gun)
      const staged = (await status(repository.gun)).keys.filter(({ state }) => state === 'staged')
      expect(staged.map(({ canonicalKeyId }) => canonicalKeyId)).to.deep.equal([response.canonicalKeyId])
      // What was made and not recorded is destroyed.
      await waitFor('the sweep', async () => ((await toDestroy()) === 0 ? true : undefined))
      expect(hsm.privateKeys()).to.have.length(3)
      await rotate(repository)
      await repository.sign([put('1.0')])
      expect(repository.tags(parseRoleName(ROLE))).to.deep.equal(['1.0'])
    })
  }

  it('after a crash at the step token-destroyed of retiring one, its end is recorded once', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    const old = await rotate(repository)
    await crashAt(holder, 'token-destroyed', 1, () => retire(repository.gun, old))
    await waitFor('the sweep', async () => ((await toDestroy()) === 0 ? true : undefined))
    const ends = holder.log().filter(({ kind }) => kind === 'token-key-destroyed')
    expect(ends.map(({ found, reason }) => [found, reason])).to.deep.equal([[false, 'retired']])
    expect(hsm.privateKeys()).to.have.length(2)
  })

  it('after a crash between the record and the signature, the same request signs what was recorded', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    const files = repository.files()
    const request = repository.request([put('1.0')], { files, publication: 'crashed' })
    const sign = () => holder.service.call('change-targets', request, files)
    await crashAt(holder, 'log-published', 1, sign)
    const { response, attachments } = await sign()
    expect(response.roles.map(({ version }) => version)).to.deep.equal([2, 2])
    repository.publish(attachments)
    expect(createHash('sha256').update(attachments.get(ROLE)!).digest('hex')).to.equal(
      response.roles.find(({ role }) => role === ROLE)?.sha256,
    )
    expect(holder.log().filter(({ kind }) => kind === 'targets-change')).to.have.length(1)
  })
})

function writeKey(path: string): void {
  writeFileSync(path, randomBytes(32), { mode: 0o600 })
}
