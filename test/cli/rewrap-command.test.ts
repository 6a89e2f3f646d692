// `key rewrap` against a real key holder, and the way that docs/operations/unlock-key.md shows, command by command as it stands there.
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { createUnlockKeyFile } from '../../src/key-holder/main.ts'
import { HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { commandsOf } from '../support/page-commands.ts'
import { runCommand } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { opened, sealedKeys } from '../support/sealed-keys.ts'
import { secretForms } from '../support/secret-forms.ts'
import { PROGRAM } from '../support/serving.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

describe('cli key rewrap', () => {
  let scope: Scope
  let place: Workplace
  let holder: TestKeyHolder
  let repository: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    place = new Workplace()
    scope.add(() => {
      place.remove()
    })
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder)
  })
  afterEach(() => scope.close())

  const rewrap = (...argv: string[]): Promise<Ran> =>
    place.run(['key', 'rewrap', ...argv], { env: { COUNTERSIGN_OPERATOR_SOCKET: holder.config.operatorSocket } })

  it('changes the unlock key, and says what to do with the files', async () => {
    createUnlockKeyFile(holder.nextUnlockKeyFile)
    const ran = await rewrap('--reason', 'yearly')
    expect([ran.exit, ran.stderr]).to.deep.equal([0, ''])
    expect(ran.stdout)
      .to.match(/^3 keys /)
      .and.to.include(`  mv ${holder.nextUnlockKeyFile} ${holder.unlockKeyFile}\n`)
    const [record] = holder.log().filter(({ kind }) => kind === 'keys-rewrapped')
    expect(record).to.deep.include({ reason: 'yearly', keys: 3 })
    expect(JSON.stringify(record)).to.include(`operator ${userInfo().username} `)
  })

  it('prints one document with --json, and never a key', async () => {
    createUnlockKeyFile(holder.nextUnlockKeyFile)
    const secrets = [holder.unlockKeyFile, holder.nextUnlockKeyFile].map((path) => readFileSync(path))
    const ran = await rewrap('--reason', 'yearly', '--json')
    expect([ran.exit, ran.stderr]).to.deep.equal([0, ''])
    expect(ran.json()).to.deep.equal({
      keys: 3,
      from: { kind: 'key-file', path: holder.unlockKeyFile },
      to: { kind: 'key-file', path: holder.nextUnlockKeyFile },
    })
    for (const bytes of secrets.flatMap((secret) => [...secretForms('key', secret).values()])) {
      expect(ran.stdout.includes(bytes.toString())).to.equal(false)
    }
  })

  it('says the setting where a passphrase takes the place of a key', async () => {
    await holder.stop()
    const nextUnlock = { kind: 'passphrase-file', path: place.file('passphrase', 'correct horse battery\n') } as const
    const { unlock, nextUnlock: keyFile, ...rest } = holder.config
    expect(keyFile).to.deep.equal({ kind: 'key-file', path: holder.nextUnlockKeyFile })
    await holder.start({}, { ...rest, unlock, nextUnlock })
    const ran = await rewrap('--reason', 'a passphrase is easier to keep')
    expect(ran.exit).to.equal(0)
    expect(ran.stdout).to.include(`unlock: { passphraseFile: ${nextUnlock.path} }`)
  })

  it('1: with the code and the next step of the refusal', async () => {
    const missing = await rewrap('--reason', 'yearly', '--json')
    expect([missing.exit, missing.codes()]).to.deep.equal([1, ['UNLOCK_KEY_UNREADABLE']])
    expect(missing.json()).to.deep.include({
      facts: { path: holder.nextUnlockKeyFile, why: 'there is no such file' },
    })
    copyFileSync(holder.unlockKeyFile, holder.nextUnlockKeyFile)
    const same = await rewrap('--reason', 'yearly')
    expect([same.exit, same.codes()]).to.deep.equal([1, ['UNLOCK_KEY_NEXT_IS_CURRENT']])
    expect(same.stderr).to.include('put a new key into it')
    await holder.stop()
    const { nextUnlock, ...config } = holder.config
    expect(nextUnlock?.kind).to.equal('key-file')
    await holder.start({}, config)
    const unset = await rewrap('--reason', 'yearly')
    expect([unset.exit, unset.codes()]).to.deep.equal([1, ['UNLOCK_KEY_NEXT_NOT_CONFIGURED']])
    expect(unset.stderr).to.include('unlock.nextKeyFile')
    const nobody = await rewrap('--reason', 'yearly', '--operator-socket', place.path('nobody.sock'))
    expect([nobody.exit, nobody.codes()]).to.deep.equal([1, ['KEY_HOLDER_UNREACHABLE']])
  })

  it('2: without a reason, and with a key on the command line', async () => {
    createUnlockKeyFile(holder.nextUnlockKeyFile)
    for (const argv of [[], ['--reason', 'x', 'ab'.repeat(32)], ['--reason', 'x', '--key-file', '/k']]) {
      expect([argv, (await rewrap(...argv)).exit]).to.deep.equal([argv, 2])
    }
    expect(holder.log().filter(({ kind }) => kind === 'keys-rewrapped')).to.deep.equal([])
  })

  it('is done as docs/operations/unlock-key.md says, while the key holder runs', async () => {
    const etc = join(scope.folder('etc'), 'countersign')
    mkdirSync(etc)
    // The paths of the page, with the key holder's in their place.
    const paths: readonly (readonly [string, string])[] = [
      ['/etc/countersign/unlock-next.key', holder.nextUnlockKeyFile],
      ['/etc/countersign/unlock.key', holder.unlockKeyFile],
      ['/var/lib/countersign-key-holder/operator.sock', holder.config.operatorSocket],
      ['/media/safe', etc],
      ['chown countersign-keys', `chown ${String(process.getuid?.())}`],
    ]
    const commands = commandsOf('docs/operations/unlock-key.md', 'While everything runs').map((command) =>
      paths.reduce((text, [documented, here]) => text.replaceAll(documented, here), command),
    )
    expect(commands.filter((command) => command.includes('countersign key rewrap'))).to.have.length(1)
    const old = readFileSync(holder.unlockKeyFile)
    const bin = scope.folder('bin')
    const program = PROGRAM.map((word) => `'${word}'`).join(' ')
    writeFileSync(join(bin, 'countersign'), `#!/bin/sh\nexec ${program} "$@"\n`, { mode: 0o755 })
    const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}` }
    const ran = await runCommand('bash', ['-euc', commands.join('\n')], { env })
    expect(ran.status, ran.text).to.equal(0)
    const unlockKey = readFileSync(holder.unlockKeyFile)
    expect(unlockKey.equals(old)).to.equal(false)
    for (const key of sealedKeys(scope, holder)) opened(key, unlockKey).fill(0)
    await repository.sign([put('before-a-start')])
    // The next start finds everything in its place, also without a next key.
    await holder.stop()
    const warnings: unknown[] = []
    const ignore = () => undefined
    await holder.start({ log: { info: ignore, error: ignore, warn: (facts) => warnings.push(facts) } })
    expect(warnings).to.deep.equal([])
    await repository.sign([put('after-a-start')])
    // The copy that the page asks for is the key.
    const copy = join(etc, 'unlock-next.key')
    expect(readFileSync(copy).equals(unlockKey)).to.equal(true)
    renameSync(copy, holder.unlockKeyFile)
    await holder.stop()
    await holder.start()
  }).timeout(60_000)
})
