// `backup create`, `restore` and `drill` against real key holders: what comes back, what is refused, and what a clone may do.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { AgeWriter, readAgeFile } from '../../src/cli/backup/age-file.ts'
import { TAR_END, tarHeader, tarPadding, TarReader } from '../../src/cli/backup/tar.ts'
import { verifyAuditLog } from '../../src/key-holder/audit-verification.ts'
import { Connection } from '../../src/sqlite/connection.ts'
import { createDatabase } from '../../src/sqlite/database.ts'
import { SCHEMA } from '../../src/store/schema.ts'
import { SCHEMA as TRUST_SERVER_SCHEMA } from '../../src/trust-server/schema.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { BACKUP_PASSPHRASE, EVIDENCE, HeldRepository, LIMITS, put, TestKeyHolder } from '../support/key-holder.ts'
import { argumentsOf, commandsOf } from '../support/page-commands.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { runCommand } from '../support/processes.ts'
import { sha256Of } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { SoftHsm } from '../support/softhsm.ts'
import { secretForms } from '../support/secret-forms.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

describe('cli backup', () => {
  let scope: Scope
  let place: Workplace
  let holder: TestKeyHolder
  let repository: HeldRepository
  /** Of a daemon, with the trust server's in it as `serve` has it. */
  let data: string
  let file: string
  let created: Ran

  const backup = (...argv: string[]): Promise<Ran> =>
    place.run(['backup', ...argv], { env: { COUNTERSIGN_OPERATOR_SOCKET: holder.config.operatorSocket } })

  const restore = (folder: string, from = file, passphraseFile = holder.backupPassphraseFile): Promise<Ran> =>
    backup('restore', from, folder, '--passphrase-file', passphraseFile)

  before(async function () {
    this.timeout(30_000)
    scope = new Scope()
    place = new Workplace()
    scope.add(() => {
      place.remove()
    })
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder)
    await repository.sign([put('before')])
    await repository.observe()
    data = scope.folder('data')
    mkdirSync(join(data, 'trust-server', 'state'), { recursive: true })
    const daemon = createDatabase(join(data, 'countersign.db'), SCHEMA)
    scope.add(() => {
      daemon.close()
    })
    createDatabase(join(data, 'trust-server', 'state', 'trust-server.db'), TRUST_SERVER_SCHEMA).close()
    file = place.path('night.age')
    created = await backup('create', file, '--daemon-folder', data)
  })
  after(() => scope.close())

  /** What is left of a refused restore: nothing. */
  const expectNothingIn = (folder: string): void => {
    expect(readdirSync(folder)).to.deep.equal([])
  }

  it('create: writes one encrypted file, and leaves no copies and no secrets anywhere', () => {
    expect([created.exit, created.stderr.includes('a third place')]).to.deep.equal([0, true])
    expect(created.stdout).to.match(/^keys +3 of 1 repositories$/m)
    expect((statSync(file).mode & 0o777).toString(8)).to.equal('600')
    const bytes = readFileSync(file)
    expect(bytes.subarray(0, 22).toString()).to.equal('age-encryption.org/v1\n')
    for (const clear of ['SQLite format 3', 'ustar', repository.gun]) expect(bytes.includes(clear)).to.equal(false)
    const secrets = [readFileSync(holder.unlockKeyFile), Buffer.from(BACKUP_PASSPHRASE)]
    for (const secret of secrets.flatMap((one) => [...secretForms('secret', one).values()])) {
      expect([bytes.includes(secret), created.stdout.includes(secret.toString())]).to.deep.equal([false, false])
    }
    expect(readdirSync(holder.folder)).to.not.include('backup.db')
    expect(readdirSync(data).filter((name) => name.startsWith('backup'))).to.deep.equal([])
    expect(holder.log().find(({ kind }) => kind === 'backup-made')).to.include({ reason: 'backup', keys: 3 })
  })

  it('restore: brings back everything, as the data folder of serve has it, proven', async () => {
    const folder = place.path('restored')
    mkdirSync(folder)
    const ran = await backup('restore', file, folder, '--passphrase-file', holder.backupPassphraseFile, '--json')
    expect([ran.exit, ran.codes()]).to.deep.equal([0, []])
    expect(ran.json()).to.deep.include({
      folder,
      format: 1,
      settings: {
        folder: join(folder, 'key-holder/state'),
        keyFile: join(folder, 'key-holder/unlock.key'),
        limitsFile: join(folder, 'key-holder/limits.yaml'),
        logOrigin: 'test.example.com/audit',
      },
    })
    expect(readdirSync(folder).sort()).to.deep.equal(['countersign.db', 'key-holder', 'trust-server'])
    expect(readFileSync(join(folder, 'key-holder/unlock.key')).equals(readFileSync(holder.unlockKeyFile))).to.equal(
      true,
    )
    expect(readFileSync(join(folder, 'key-holder/limits.yaml'))).to.deep.equal(readFileSync(holder.config.limitsFile))
    for (const name of ['key-holder', 'key-holder/state', 'trust-server']) {
      expect([name, (statSync(join(folder, name)).mode & 0o077).toString(8)]).to.deep.equal([name, '0'])
    }
    const entries: string[] = []
    verifyAuditLog(join(folder, 'key-holder/state/log'), {
      verifierKey: readFileSync(join(holder.folder, 'log/verifier-key'), 'utf8').trim(),
      onEntry: (entry) => entries.push((JSON.parse(entry.toString()) as { kind: string }).kind),
    })
    expect(entries.slice(-2)).to.deep.equal(['backup-made', 'backup-restored'])
    for (const name of ['countersign.db', 'trust-server/state/trust-server.db']) openDatabaseOf(join(folder, name))
  }).timeout(60_000)

  it('restore: a copy beside the original stops at the first version that only the other one knows, and so does the original', async () => {
    const folder = place.path('clone')
    expect((await restore(folder)).exit).to.equal(0)
    const clone = new TestKeyHolder(scope)
    const state = join(folder, 'key-holder/state')
    const { nextUnlock, ...config } = clone.config
    expect(nextUnlock).to.not.equal(undefined)
    const unlock = { kind: 'key-file', path: join(folder, 'key-holder/unlock.key') } as const
    await clone.start({}, { ...config, folder: state, unlock, limitsFile: join(folder, 'key-holder/limits.yaml') })

    // Both sign the same next version, from the same base, for different requests.
    const files = repository.files()
    const of = (tag: string) => repository.request([put(tag)], { files })
    const ours = await holder.service.call('change-targets', of('by-original'), files)
    const theirs = await clone.service.call('change-targets', of('by-clone'), files)
    const versions = (one: typeof ours) => one.response.roles.map(({ role, version }) => [role, version])
    expect(versions(theirs)).to.deep.equal(versions(ours))

    // A trust server takes one of them: the original's, and then one of the clone's that an operator has let go on.
    repository.publish(ours.attachments)
    await repository.observe()
    const published = repository.files()
    const stopped = await expectCodeAsync('BASE_VERSION_NOT_OURS', () =>
      clone.service.call('change-targets', repository.request([put('next')], { files: published }), published),
    )
    expect(stopped.facts).to.include({ gun: repository.gun, version: 3 })
    const again = () => clone.service.call('change-targets', repository.request([put('next')]), repository.files())
    await expectCodeAsync('REPOSITORY_FROZEN', again)
    expect(repository.tags(RELEASES)).to.deep.equal(['before', 'by-original'])
    const { gun } = repository
    await clone.operator.call('unfreeze', { gun, reason: 'the original is gone', evidence: EVIDENCE })
    repository.publish((await again()).attachments)
    await expectCodeAsync('BASE_VERSION_NOT_OURS', () => repository.observe())
    await holder.operator.call('unfreeze', { gun, reason: 'end of the test', evidence: EVIDENCE })
    await clone.stop()
  }).timeout(60_000)

  it('restore: FOLDER_NOT_EMPTY, PASSPHRASE_WRONG, FILE_UNREADABLE, and nothing is touched', async () => {
    const full = scope.folder('full')
    writeFileSync(join(full, 'precious'), 'x')
    const refused = await restore(full)
    expect([refused.exit, refused.codes(), readdirSync(full)]).to.deep.equal([1, ['FOLDER_NOT_EMPTY'], ['precious']])
    const empty = scope.folder('empty')
    const other = place.file('other', 'another passphrase\n')
    expect((await restore(empty, file, other)).codes()).to.deep.equal(['PASSPHRASE_WRONG'])
    expect((await restore(empty, file, place.file('short', 'short\n'))).codes()).to.deep.equal(['PASSPHRASE_TOO_SHORT'])
    expect((await restore(empty, place.path('nothing'))).codes()).to.deep.equal(['FILE_UNREADABLE'])
    expect((await backup('restore', file, empty)).codes()).to.deep.equal(['USAGE_INVALID'])
    expectNothingIn(empty)
  }).timeout(60_000)

  describe('restore: verifies what is in it, whoever has made it', () => {
    const FAULTS: readonly (readonly [name: string, code: string, member: string, change: (path: string) => void])[] = [
      [
        'a sealed key was changed',
        'KEY_FILE_DAMAGED',
        'key-holder.db',
        sql("UPDATE keys SET sealed = zeroblob(length(sealed)) WHERE role = 'root'"),
      ],
      [
        'a public key was changed',
        'KEY_FILE_DAMAGED',
        'key-holder.db',
        sql("UPDATE keys SET public_value = (SELECT public_value FROM keys WHERE role = 'root')"),
      ],
      [
        'a record of the log was changed',
        'AUDIT_LOG_DAMAGED',
        'key-holder.db',
        sql("UPDATE log_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'before', 'behind') AS BLOB)"),
      ],
      [
        'the end of the log was cut',
        'AUDIT_LOG_DAMAGED',
        'key-holder.db',
        sql('DELETE FROM log_entries WHERE position > 4; DELETE FROM log_nodes WHERE position > 4'),
      ],
      ['the database is none', 'KEY_HOLDER_STATE_DAMAGED', 'key-holder.db', garbage],
      ["the daemon's database is none", 'STORE_DAMAGED', 'countersign.db', garbage],
      [
        "the trust server's database is the daemon's",
        'STORE_NOT_OURS',
        'trust-server.db',
        sql('PRAGMA application_id = 1'),
      ],
      ['the unlock key is another one', 'KEY_FILE_DAMAGED', 'unlock-key.json', garbage],
      ['the limits file is none', 'LIMITS_FILE_INVALID', 'limits.yaml', garbage],
      [
        'it comes from a later version',
        'BACKUP_DAMAGED',
        'backup.json',
        (path) => {
          writeFileSync(path, '{"format":2}')
        },
      ],
    ]
    let whole: ReadonlyMap<string, Buffer>
    before(async () => {
      whole = await membersOf(file)
    })
    for (const [name, code, member, change] of FAULTS) {
      it(`${code}: ${name}`, async () => {
        const folder = scope.folder('forged')
        const forged = join(folder, 'forged.age')
        await forge(whole, forged, member, change, folder)
        const empty = scope.folder('empty')
        const ran = await restore(empty, forged)
        expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([1, [code]])
        expectNothingIn(empty)
      }).timeout(30_000)
    }
  })

  it('drill: proves every key, signs and verifies in a key holder of its own, and leaves nothing', async () => {
    const work = scope.folder('work')
    const before = [holder.log().length, readFileSync(file).byteLength]
    const argv = [file, '--passphrase-file', holder.backupPassphraseFile, '--work-folder', work]
    const ran = await backup('drill', ...argv, '--json')
    expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([0, []])
    const { proven, steps } = ran.json() as { proven: object; steps: { step: string; milliseconds: number }[] }
    expect(proven).to.deep.equal({ keys: 3, inTokens: [], repositories: 1 })
    expect(steps.map(({ step }) => step)).to.include.members(['prove 3 keys', 'verify as a client does', 'all of it'])
    expect(steps.every(({ milliseconds }) => milliseconds >= 0)).to.equal(true)
    expectNothingIn(work)
    expect([holder.log().length, readFileSync(file).byteLength]).to.deep.equal(before)
    // One that is damaged says so, and leaves as little.
    const cut = place.path('cut.age')
    writeFileSync(cut, readFileSync(file).subarray(0, -1))
    const refused = await backup('drill', cut, ...argv.slice(1))
    expect([refused.exit, refused.codes()]).to.deep.equal([1, ['BACKUP_DAMAGED']])
    expectNothingIn(work)
  }).timeout(60_000)

  it('goes as docs/operations/loss-of-the-machine.md says', async () => {
    const page = 'docs/operations/loss-of-the-machine.md'
    const [newPassphrase, ...before] = commandsOf(page, 'Before')
    const passphraseFile = place.path('written-down')
    const logKey = place.file('audit.key', readFileSync(join(holder.folder, 'log/verifier-key'), 'utf8'))
    const paths: readonly (readonly [string, string])[] = [
      ['PASSPHRASE_FILE', holder.backupPassphraseFile],
      ['DATA_FOLDER', data],
      ['NEW_FOLDER', place.path('new-machine')],
      ['SHARES', place.path('shares')],
      ['BACKUP', place.path('page.age')],
      ['LOG_KEY', logKey],
    ]
    const made = await runCommand('bash', ['-euc', (newPassphrase ?? '').replace('PASSPHRASE_FILE', passphraseFile)])
    expect([made.status, readFileSync(passphraseFile, 'utf8').trim().length >= 32]).to.deep.equal([0, true])
    const commands = [...before, ...commandsOf(page, 'The machine is gone')]
    expect(commands.map((command) => command.split(' ').slice(1, 3).join(' '))).to.deep.equal([
      'backup create',
      'backup drill',
      'backup share',
      'backup drill',
      'backup restore',
      'audit verify',
    ])
    for (const command of commands) {
      const words = command.split(' ').slice(1)
      const argv = words.map((word) => paths.reduce((text, [name, path]) => text.replace(name, path), word))
      const ran = await place.run(argv, { env: { COUNTERSIGN_OPERATOR_SOCKET: holder.config.operatorSocket } })
      expect([command, ran.exit], ran.stderr).to.deep.equal([command, 0])
    }
  }).timeout(90_000)

  describe('with keys in a PKCS#11 token', () => {
    let hsm: SoftHsm
    let held: TestKeyHolder
    let gun: string
    let config: string
    let copy: string
    before(async function () {
      requirePeers(this, 'softhsm')
      this.timeout(60_000)
      hsm = SoftHsm.make(scope)
      held = await TestKeyHolder.start(scope, LIMITS, {}, hsm)
      ;({ gun } = await HeldRepository.initialize(held))
      config = place.file('key-holder.yaml', JSON.stringify({ unlock: { operator: true }, tokens: [hsm.setting] }))
      copy = place.path('token.age')
      await held.stop()
      // As if the copy were made while a key is being made.
      held.database((database) => {
        database.exec(
          `INSERT INTO unwanted_token_keys (custody, reason, since) SELECT custody, 'unrecorded', '2026-01-01' FROM keys WHERE role = 'targets'`,
        )
      })
      await held.start({}, { ...held.config, tokens: [{ ...hsm.setting, pinFile: '/nowhere' }] })
      const env = { COUNTERSIGN_OPERATOR_SOCKET: held.config.operatorSocket }
      const made = await place.run(['backup', 'create', copy], { env })
      expect([made.exit, made.stdout], made.stderr).to.satisfy(
        ([exit, text]: [number, string]) => exit === 0 && /2 keys in the PKCS#11 token countersign test/.test(text),
      )
      await held.stop()
    })
    const run = (command: 'drill' | 'restore', ...more: string[]): Promise<Ran> =>
      backup(command, copy, ...more, '--passphrase-file', held.backupPassphraseFile, '--json')
    const proofs = (of: unknown): string[] =>
      (of as { inTokens: { gun: string; proof: string }[] }).inTokens.map((key) => `${key.gun} ${key.proof}`)

    it('drill: is done where each has signed in its token', async () => {
      const names = new Map([
        ['BACKUP', copy],
        ['PASSPHRASE_FILE', held.backupPassphraseFile],
        ['KEY_HOLDER_CONFIG', config],
      ])
      const [command = ''] = commandsOf('docs/operations/tokens.md', 'Backups')
      const ran = await place.run([...argumentsOf(command, names), '--json'])
      expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([0, []])
      expect(proofs((ran.json() as { proven: unknown }).proven)).to.deep.equal([`${gun} proven`, `${gun} proven`])
    }).timeout(60_000)

    it('drill, restore: KEYS_NOT_PROVEN, exit 4, where nobody asked or the token is away; what is restored destroys no key of the original', async () => {
      const asked = await run('drill')
      expect([asked.exit, asked.codes()], asked.stderr).to.deep.equal([4, ['KEYS_NOT_PROVEN']])
      expect(proofs((asked.json() as { proven: unknown }).proven)).to.deep.equal([
        `${gun} not asked`,
        `${gun} not asked`,
      ])
      hsm.remove()
      const folder = scope.folder('restored')
      const ran = await run('restore', folder, '--key-holder-config', config)
      hsm.bringBack()
      expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([4, ['KEYS_NOT_PROVEN']])
      expect(proofs((ran.json() as { restored: unknown }).restored)).to.deep.equal(
        Array(2).fill(`${gun} CUSTODY_UNAVAILABLE`),
      )
      const database = new Connection(join(folder, 'key-holder/state/key-holder.db'))
      expect(database.prepare('SELECT * FROM unwanted_token_keys').all()).to.deep.equal([])
      database.close()
    }).timeout(60_000)
  })

  it('create: FILE_EXISTS, BACKUP_PASSPHRASE_DIFFERS, BACKUP_NOT_CONFIGURED and FILE_UNREADABLE, and no file is written', async () => {
    expect((await backup('create', file)).codes()).to.deep.equal(['FILE_EXISTS'])
    const fresh = place.path('fresh.age')
    const other = place.file('differs', 'another passphrase\n')
    expect((await backup('create', fresh, '--passphrase-file', other)).codes()).to.deep.equal([
      'BACKUP_PASSPHRASE_DIFFERS',
    ])
    expect((await backup('create', fresh, '--daemon-folder', place.folder)).codes()).to.deep.equal(['FILE_UNREADABLE'])
    expect((await backup('create', place.path('no/fresh.age'))).codes()).to.deep.equal(['FILE_UNWRITABLE'])
    expect(existsSync(fresh) || existsSync(`${fresh}.new`)).to.equal(false)
  }).timeout(60_000)
})

function openDatabaseOf(path: string): void {
  const database = new Connection(path, { fileMustExist: true })
  expect(database.pragma('integrity_check')).to.equal('ok')
  database.close()
}

function sql(statements: string): (path: string) => void {
  return (path) => {
    const database = new Connection(path)
    database.exec(statements)
    database.close()
  }
}

function garbage(path: string): void {
  writeFileSync(path, Buffer.alloc(4096, 'garbage '))
}

/** The same backup with one member changed, by somebody who has the passphrase. */
async function forge(
  whole: ReadonlyMap<string, Buffer>,
  to: string,
  changed: string,
  change: (path: string) => void,
  folder: string,
): Promise<void> {
  const members = new Map(whole)
  const path = join(folder, changed)
  writeFileSync(path, members.get(changed) ?? '')
  change(path)
  members.set(changed, readFileSync(path))
  if (changed !== 'backup.json') members.set('backup.json', describing(members))
  const target = await open(to, 'w')
  const writer = await AgeWriter.begin(target, Buffer.from(BACKUP_PASSPHRASE), 10)
  for (const [name, bytes] of members) {
    await writer.write(tarHeader({ name, size: bytes.byteLength }, new Date()))
    await writer.write(Buffer.concat([bytes, tarPadding(bytes.byteLength)]))
  }
  await writer.write(TAR_END)
  await writer.end()
  await target.close()
}

async function membersOf(file: string): Promise<ReadonlyMap<string, Buffer>> {
  const source = await open(file, 'r')
  const archive = new TarReader(file, readAgeFile(file, source, Buffer.from(BACKUP_PASSPHRASE)))
  const members = new Map<string, Buffer>()
  for (let member = await archive.next(); member !== undefined; member = await archive.next()) {
    members.set(member.name, await archive.bytes(Infinity))
  }
  await source.close()
  return members
}

/** The manifest with the sizes and the hash of what is there. */
function describing(members: ReadonlyMap<string, Buffer>): Buffer {
  const of = (name: string) => members.get(name) ?? Buffer.alloc(0)
  const manifest = JSON.parse(of('backup.json').toString()) as Record<string, object>
  return Buffer.from(
    JSON.stringify({
      ...manifest,
      keyHolder: {
        ...manifest['keyHolder'],
        bytes: of('key-holder.db').byteLength,
        sha256: sha256Of(of('key-holder.db')),
      },
      daemon: { bytes: of('countersign.db').byteLength },
      trustServer: { bytes: of('trust-server.db').byteLength },
    }),
  )
}
