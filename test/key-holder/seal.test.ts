// A key holder without its unlock key: what it refuses, who opens it, how fast one may guess, and what of it the audit log tells.
import { randomBytes } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { connectKeyHolder } from '../../src/holder/connection.ts'
import type { KeyHolderConfig } from '../../src/key-holder/main.ts'
import type { OperationInput } from '../../src/key-holder-protocol/operations.ts'
import { builtProgram } from '../support/countersign-program.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, initialization, put, TestKeyHolder } from '../support/key-holder.ts'
import { commandsOf } from '../support/page-commands.ts'
import { waitFor } from '../support/polling.ts'
import { runCommand, startProcess } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'

const REASON = { reason: 'the machine goes to repair', evidence: EVIDENCE }
/** Of this test alone. */
const KEY = randomBytes(32)

type Unsealing = Partial<OperationInput<'unseal'>>

describe('a sealed key holder', function () {
  this.timeout(120_000)
  let scope: Scope
  let holder: TestKeyHolder
  /** With `unlock: { operator: true }`. */
  let waiting: KeyHolderConfig

  beforeEach(() => {
    scope = new Scope()
    holder = new TestKeyHolder(scope)
    const { unlock, ...config } = holder.config
    expect(unlock.kind).to.equal('key-file')
    waiting = config
  })
  afterEach(() => scope.close())

  const unseal = (secret: Uint8Array = KEY, o: Unsealing = {}) =>
    holder.operator.call(
      'unseal',
      { with: 'key', files: ['secret'], evidence: EVIDENCE, ...o },
      new Map([['secret', secret]]),
    )
  const unsealConfigured = () =>
    holder.operator.call('unseal', { with: 'configuration', files: [], evidence: EVIDENCE })
  const seal = () => holder.operator.call('seal', REASON)
  const status = () => holder.service.call('status', {})
  const restart = async (): Promise<void> => {
    await holder.stop()
    await holder.start({}, waiting)
  }

  it('starts where the configuration names no unlock key, has none, and refuses everything but to be given one', async () => {
    await holder.start({}, waiting)
    for (const socket of [holder.service, holder.operator, holder.trustServer]) {
      const { facts } = await expectCodeAsync('KEY_HOLDER_SEALED', () => socket.call('status', {}))
      expect(facts).to.deep.equal({ why: 'start', since: holder.now.toISOString() })
    }
    await expectCodeAsync('KEY_HOLDER_SEALED', () => HeldRepository.initialize(holder))
    await expectCodeAsync('KEY_HOLDER_SEALED', () => holder.operator.call('begin-backup', REASON))
    await expectCodeAsync('UNLOCK_KEY_NOT_CHOSEN', () => unseal())
    await expectCodeAsync('UNLOCK_KEY_NOT_CONFIGURED', unsealConfigured)
    await expectCodeAsync('UNLOCK_KEY_UNREADABLE', () => unseal(KEY.subarray(1), { first: true }))
    await expectCodeAsync('UNLOCK_KEY_UNREADABLE', () =>
      unseal(Buffer.from('short'), { with: 'passphrase', first: true }),
    )
    for (const socket of [holder.service, holder.trustServer]) {
      const request = { with: 'key', first: true, files: ['secret'], evidence: EVIDENCE } as const
      const call = () => socket.call('unseal', { ...request, files: ['secret'] }, new Map([['secret', KEY]]))
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', call)
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => socket.call('seal', REASON))
    }
    expect(existsSync(join(holder.folder, 'log'))).to.equal(false)

    expect((await unseal(KEY, { first: true })).response).to.deep.equal({
      already: false,
      since: holder.now.toISOString(),
    })
    const repository = await HeldRepository.initialize(holder)
    await repository.sign([put('1.0')])
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    const [started, unsealed] = holder.log()
    expect([started?.kind, unsealed?.kind]).to.deep.equal(['key-holder-started', 'key-holder-unsealed'])
    expect(unsealed).to.deep.include({ by: 'operator', with: 'key', why: 'start', refused: 13, wrongUnlockKeys: 0 })
    await holder.stop()
    expect(holder.log().at(-1)?.kind).to.equal('key-holder-stopped')

    await holder.start({}, waiting)
    await expectCodeAsync('KEY_HOLDER_SEALED', status)
    await expectCodeAsync('UNLOCK_KEY_CHOSEN_ALREADY', () => unseal(KEY, { first: true }))
    await unseal()
    await repository.sign([put('2.0')])
  })

  it('lets wrong unlock keys wait, longer each time, and tells the log how many there were', async () => {
    await holder.start({}, waiting)
    await unseal(KEY, { first: true })
    await restart()
    const wrong = () => unseal(randomBytes(32))
    for (let tries = 0; tries < 3; tries++) await expectCodeAsync('UNLOCK_KEY_WRONG', wrong)
    const waits = async (seconds: number): Promise<void> => {
      const { facts } = await expectCodeAsync('UNSEAL_TOO_SOON', () => unseal())
      expect(facts).to.deep.equal({ retryAfterSeconds: seconds })
      holder.now = new Date(holder.now.getTime() + seconds * 1000 - 1)
      await expectCodeAsync('UNSEAL_TOO_SOON', () => unseal())
      holder.now = new Date(holder.now.getTime() + 1)
    }
    for (const seconds of [1, 2, 4]) {
      await waits(seconds)
      await expectCodeAsync('UNLOCK_KEY_WRONG', wrong)
    }
    // Several at once are one after the other.
    await waits(8)
    const codes = await Promise.all(
      [wrong(), wrong(), wrong()].map((one) => one.catch((error: unknown) => (error as { code: string }).code)),
    )
    expect(codes).to.deep.equal(['UNLOCK_KEY_WRONG', 'UNSEAL_TOO_SOON', 'UNSEAL_TOO_SOON'])
    // A clock that was set back locks nobody out.
    holder.now = new Date(holder.now.getTime() - 1)
    await unseal()
    expect(holder.log().at(-1)).to.deep.include({ kind: 'key-holder-unsealed', wrongUnlockKeys: 7 })
  })

  it('is made by an operator: what is under way is finished, the keys are gone, and the log has why', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    const files = repository.files()
    const request = repository.request([put('1.0')], { files })
    const [signed, sealed] = await Promise.all([holder.service.call('change-targets', request, files), seal()])
    expect(sealed.response.already).to.equal(false)
    repository.publish(signed.attachments)
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    const { facts } = await expectCodeAsync('KEY_HOLDER_SEALED', () => repository.sign([put('2.0')]))
    expect(facts['why']).to.equal('operator')
    expect((await seal()).response.already).to.equal(true)
    expect(holder.log().at(-1)).to.deep.include({ kind: 'key-holder-sealed', by: 'operator', reason: REASON.reason })
    expect((await unsealConfigured()).response.already).to.equal(false)
    expect((await unsealConfigured()).response.already).to.equal(true)
    await repository.sign([put('2.0')])
    const kinds = holder.log().map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind === 'key-holder-started')).to.have.length(1)
    // A stop while it is sealed is none that the log knows; the next start says the rest.
    await seal()
    await holder.stop()
    expect(holder.log().at(-1)?.kind).to.equal('key-holder-sealed')
    await holder.start()
    await repository.sign([put('3.0')])
  })

  it('whose process dies while it is sealed by an operator starts as its configuration says', async () => {
    await holder.start()
    const repository = await HeldRepository.initialize(holder)
    await crashAt(holder, 'log-published', 1, seal)
    expect(holder.log().some(({ kind }) => kind === 'key-holder-sealed')).to.equal(true)
    await repository.sign([put('1.0')])
  })

  for (const step of ['committed', 'log-published'] as const) {
    it(`whose process dies at the step ${step} of being unsealed is sealed again, and the log has each unsealing once`, async () => {
      await holder.start({}, waiting)
      await unseal(KEY, { first: true })
      const repository = await HeldRepository.initialize(holder)
      await crashAt(holder, step, 1, () => unseal(), waiting)
      await expectCodeAsync('KEY_HOLDER_SEALED', status)
      await unseal()
      await repository.sign([put('1.0')])
      const unsealed = holder.log().filter(({ kind }) => kind === 'key-holder-unsealed')
      expect(unsealed).to.have.length(3)
    })

    it(`whose process dies at the step ${step} of the first unsealing has the unlock key that was chosen`, async () => {
      await holder.start({}, waiting)
      await crashAt(holder, step, 1, () => unseal(KEY, { first: true }), waiting)
      await expectCodeAsync('UNLOCK_KEY_CHOSEN_ALREADY', () => unseal(KEY, { first: true }))
      await unseal()
      await HeldRepository.initialize(holder)
    })
  }

  it('takes a passphrase, and another one after a rewrap', async () => {
    await holder.start({}, waiting)
    const passphrases = ['first passphrase of this test', 'second passphrase of this test'] as const
    const words = (passphrase: string, first = false) => unseal(Buffer.from(passphrase), { with: 'passphrase', first })
    await words(passphrases[0], true)
    await HeldRepository.initialize(holder)
    const next = { kind: 'passphrase-file', path: holder.nextUnlockKeyFile } as const
    writeFileSync(next.path, passphrases[1], { mode: 0o600 })
    waiting = { ...waiting, nextUnlock: next }
    await restart()
    await words(passphrases[0])
    const { response } = await holder.operator.call('rewrap-keys', REASON)
    expect(response).to.deep.equal({ keys: 3, to: next })
    await restart()
    await expectCodeAsync('UNLOCK_KEY_WRONG', () => words(passphrases[0]))
    await words(passphrases[1])
  })

  it('as real processes go, by the commands of docs/operations/first-start.md', async () => {
    const config = join(holder.folder, '..', 'key-holder.json')
    const { socketMode, logLevel, backupPassphraseFile, nextUnlock, ...rest } = waiting
    expect([socketMode, logLevel, backupPassphraseFile === undefined, nextUnlock === undefined]).to.deep.equal([
      0o660,
      'info',
      false,
      false,
    ])
    writeFileSync(config, JSON.stringify({ ...rest, unlock: { operator: true } }))
    const passphrase = join(holder.folder, '..', 'passphrase')
    writeFileSync(passphrase, 'a passphrase of this test\n', { mode: 0o600 })
    const start = () => startProcess(scope, process.execPath, [builtProgram(), 'key-holder', '--config', config])
    let running = start()
    const service = connectKeyHolder(waiting.serviceSocket)
    scope.add(() => {
      service.close()
    })
    const isSealed = (): Promise<true> =>
      waitFor('the key holder', async () =>
        ((await service.call('status', {}).catch((error: unknown) => error)) as { code?: string }).code ===
        'KEY_HOLDER_SEALED'
          ? true
          : undefined,
      )
    const run = async (command = ''): Promise<void> => {
      const argv = command
        .split(' ')
        .slice(1)
        .map((word) => word.replace('PASSPHRASE_FILE', passphrase))
      const env = { COUNTERSIGN_OPERATOR_SOCKET: waiting.operatorSocket }
      const ran = await runCommand(process.execPath, [builtProgram(), ...argv], { env })
      expect([command, ran.status], ran.stderr).to.deep.equal([command, 0])
    }
    const page = 'docs/operations/first-start.md'
    const [first] = commandsOf(page, 'The first start')
    const [again] = commandsOf(page, 'After each start')
    const [sealing] = commandsOf(page, 'Sealing')
    await isSealed()
    await run(first)
    expect((await service.call('status', {})).response.sealed).to.equal(false)
    await running.stop()
    running = start()
    await isSealed()
    await run(again)
    const { response } = await service.call('initialize-repository', initialization('registry.example.com/team/app'))
    expect(response.state).to.equal('ready')
    // The command is split at spaces, so its reason is one word.
    await run(sealing)
    await isSealed()
    await running.stop()
  })
})
