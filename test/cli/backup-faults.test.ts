// What goes wrong on the way of a backup: a copy that does not come whole, full disks, and commands that are killed.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { passphraseInFile } from '../../src/cli/backup/passphrase.ts'
import { rehearse, REHEARSAL_LIMITS } from '../../src/cli/backup/rehearsal.ts'
import { copyDatabase } from '../../src/sqlite/copy.ts'
import { createDatabase } from '../../src/sqlite/database.ts'
import { SCHEMA } from '../../src/store/schema.ts'
import { SCHEMA as TRUST_SERVER_SCHEMA } from '../../src/trust-server/schema.ts'
import { builtProgram } from '../support/countersign-program.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'
import { startFrameProxy, type Meddling } from '../support/frame-proxy.ts'
import { BACKUP_PASSPHRASE, HeldRepository, TestKeyHolder } from '../support/key-holder.ts'
import { startProcess } from '../support/processes.ts'
import { waitFor } from '../support/polling.ts'
import { NOW } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { secretForms } from '../support/secret-forms.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

describe('cli backup, on a bad day', function () {
  this.timeout(60_000)
  let scope: Scope
  let place: Workplace
  let holder: TestKeyHolder
  let data: string
  let file: string

  const backup = (argv: readonly string[], socket = holder.config.operatorSocket): Promise<Ran> =>
    place.run(['backup', ...argv], { env: { COUNTERSIGN_OPERATOR_SOCKET: socket } })
  const passphrase = (): string[] => ['--passphrase-file', holder.backupPassphraseFile]

  before(async () => {
    scope = new Scope()
    place = new Workplace()
    scope.add(() => {
      place.remove()
    })
    holder = await TestKeyHolder.start(scope)
    await HeldRepository.initialize(holder)
    data = scope.folder('data')
    mkdirSync(join(data, 'trust-server', 'state'), { recursive: true })
    createDatabase(join(data, 'countersign.db'), SCHEMA).close()
    createDatabase(join(data, 'trust-server', 'state', 'trust-server.db'), TRUST_SERVER_SCHEMA).close()
    file = place.path('night.age')
    expect((await backup(['create', file, '--daemon-folder', data])).exit).to.equal(0)
  })
  after(() => scope.close())

  describe('create', () => {
    const flipped = (part: Uint8Array): Uint8Array =>
      Uint8Array.from(part, (byte, at) => (at === 5000 ? byte ^ 1 : byte))
    const MEDDLINGS: readonly (readonly [name: string, change: (part: Uint8Array) => Uint8Array])[] = [
      ['a bit differs', flipped],
      ['the end is missing', (part) => part.subarray(0, -1)],
    ]
    for (const [name, change] of MEDDLINGS) {
      it(`BACKUP_INTERRUPTED: of the copy of the key holder ${name}`, async () => {
        const socket = await startFrameProxy(scope, holder.config.operatorSocket, {
          answer: (frame) => ({
            ...frame,
            attachments: new Map([...frame.attachments].map(([at, part]) => [at, at === 'part' ? change(part) : part])),
          }),
        })
        const fresh = place.path('interrupted.age')
        const ran = await backup(['create', fresh], socket)
        expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([1, ['BACKUP_INTERRUPTED']])
        expect([existsSync(fresh), existsSync(`${fresh}.new`)]).to.deep.equal([false, false])
      })
    }

    it('keeps its copies without a name, and removes those of commands that were killed, and of no others', async () => {
      const { pid: ended } = spawnSync('true')
      const beside = scope.folder('beside')
      const left = join(beside, `backup-${ended}-abcdef`)
      const others = [`backup-${process.pid}-abcdef`, `backup-${ended}-precious`, 'backup-2026']
      const ofDaemon = join(data, `backup-${ended}-abcdef`)
      for (const folder of [left, ofDaemon, ...others.map((name) => join(beside, name))]) {
        mkdirSync(folder)
        writeFileSync(join(folder, 'copy.db'), 'x')
      }
      const during: string[] = []
      const socket = await startFrameProxy(scope, holder.config.operatorSocket, {
        request: (frame) => {
          during.push(...readdirSync(beside).filter((name) => name.startsWith('backup')))
          return frame
        },
      })
      const ran = await backup(['create', join(beside, 'again.age'), '--daemon-folder', data], socket)
      expect([ran.exit, ran.stderr.includes('Keep it')]).to.deep.equal([0, true])
      expect([...new Set(during)].sort()).to.deep.equal(others.sort())
      // The daemon's folder may be another user's: nothing is made or removed there.
      expect(readFileSync(join(ofDaemon, 'copy.db'), 'utf8')).to.equal('x')
      rmSync(ofDaemon, { recursive: true })
    })

    it('STORE_NOT_OURS: the database is a link', async () => {
      const linked = scope.folder('linked')
      symlinkSync(join(data, 'countersign.db'), join(linked, 'countersign.db'))
      const ran = await backup(['create', place.path('linked.age'), '--daemon-folder', linked])
      expect([ran.exit, ran.codes(), existsSync(place.path('linked.age'))]).to.deep.equal([
        1,
        ['STORE_NOT_OURS'],
        false,
      ])
    })

    it('by root, takes nothing from a folder of another user that is not of that user, and works where that user cannot write', async function () {
      if (process.getuid?.() !== 0) this.skip()
      const owner = 61_999
      const foreign = scope.folder('foreign')
      chownSync(foreign, owner, owner)
      createDatabase(join(foreign, 'countersign.db'), SCHEMA).close()
      const create = (name: string) => backup(['create', join(foreign, name), '--daemon-folder', foreign])
      // As a hard link to a database of root would be.
      expect((await create('a.age')).codes()).to.deep.equal(['STORE_NOT_OURS'])
      for (const name of readdirSync(foreign)) chownSync(join(foreign, name), owner, owner)
      const { pid: ended } = spawnSync('true')
      const left = join(foreign, `backup-${ended}-abcdef`)
      mkdirSync(left)
      const ran = await create('b.age')
      expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([0, []])
      symlinkSync(join(data, 'trust-server'), join(foreign, 'trust-server'))
      expect((await create('c.age')).codes()).to.deep.equal(['STORE_NOT_OURS'])
      expect(existsSync(left)).to.equal(true)
      const drill = await backup(['drill', file, ...passphrase(), '--work-folder', foreign])
      expect([drill.exit, drill.codes()]).to.deep.equal([1, ['FILE_UNWRITABLE']])
      const made = readdirSync(foreign).filter((name) => /^(backup|csdrill)-/.test(name))
      expect(made).to.deep.equal([`backup-${ended}-abcdef`])
    })

    it('STORE_UNWRITABLE: the copy has no room, or its name is taken', () => {
      const database = join(data, 'countersign.db')
      const taken = place.file('taken.db', 'precious')
      const owners = [statSync(data).uid]
      expectCode('STORE_UNWRITABLE', () => {
        copyDatabase(database, taken, owners)
      })
      expect(readFileSync(taken, 'utf8')).to.equal('precious')
      expectCode('STORE_UNWRITABLE', () => {
        copyDatabase(database, place.path('no/copy.db'), owners)
      })
    })
  })

  describe('restore', () => {
    it('FILE_UNWRITABLE: nothing is left where the last part cannot take its place, and what is not ours is', async () => {
      const folder = scope.folder('taken')
      const running = backup(['restore', file, folder, ...passphrase()])
      await waitFor('the command', () => (readdirSync(folder).length > 0 ? true : undefined))
      // Somebody else takes the name of the last part.
      mkdirSync(join(folder, 'trust-server', 'precious'), { recursive: true })
      const ran = await running
      expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([1, ['FILE_UNWRITABLE']])
      expect(readdirSync(folder).sort()).to.deep.equal(['trust-server'])
      expect(readdirSync(join(folder, 'trust-server'))).to.deep.equal(['precious'])
    })

    // Each number of files lets it come further: a folder, the limits file, the log.
    for (const inodes of [3, 8, 14]) {
      it(`says so, with a code and nothing left, on a disk that has room for ${inodes} files`, async function () {
        const folder = scope.folder('disk')
        if (!mountSmall(scope, folder, `nr_inodes=${inodes}`)) {
          process.stderr.write('      skipped: a small disk needs the right to mount (run as root)\n')
          this.skip()
        }
        const ran = await backup(['restore', file, folder, ...passphrase()])
        expect(ran.exit, ran.stderr).to.equal(1)
        expect(ran.codes()).to.have.length(1)
        expect(ran.codes()[0]).to.be.oneOf(['FILE_UNWRITABLE', 'STATE_UNWRITABLE', 'AUDIT_LOG_UNWRITABLE'])
        expect(readdirSync(folder)).to.deep.equal([])
      })
    }
  })

  describe('drill', () => {
    it('DRILL_FAILED: another digest was signed than was asked for', async () => {
      const drilled = await TestKeyHolder.start(scope, REHEARSAL_LIMITS)
      const socketTo = (meddling: Meddling) => startFrameProxy(scope, drilled.config.serviceSocket, meddling)
      const running = (serviceSocket: string) => ({
        serviceSocket,
        operatorSocket: drilled.config.operatorSocket,
        trustServerSocket: drilled.config.trustServerSocket ?? '',
        logPublicKey: () => undefined,
        close: () => Promise.resolve(),
      })
      const meddled = await socketTo({
        request: (frame) =>
          frame.operation === 'change-targets'
            ? {
                ...frame,
                request: JSON.parse(
                  JSON.stringify(frame.request).replace(/"[0-9a-f]{64}"/, `"${'0'.repeat(64)}"`),
                ) as object,
              }
            : frame,
      })
      await expectCodeAsync('DRILL_FAILED', () => rehearse(running(meddled), NOW))
    })

    it('that is killed leaves no unlock key, and what it leaves goes with the next one', async () => {
      const work = scope.folder('work')
      const argv = ['backup', 'drill', file, ...passphrase(), '--work-folder', work]
      const left = (): string[] => readdirSync(work, { recursive: true }).map((name) => join(work, String(name)))
      const killed = startProcess(scope, process.execPath, ['--import', HOLD_REMOVAL, builtProgram(), ...argv])
      await waitFor('the command', () => (killed.output().includes('HELD') ? true : undefined))
      killed.signal('SIGKILL')
      await waitFor('the end of the command', () => (killed.ended() !== undefined ? true : undefined))
      const files = left().filter((path) => statSync(path).isFile())
      expect(files.some((path) => path.endsWith('key-holder.db'))).to.equal(true)
      const forms = [...secretForms('unlock key', readFileSync(holder.unlockKeyFile)).values()]
      for (const path of files) {
        const bytes = readFileSync(path)
        expect([path, forms.some((form) => bytes.includes(form))]).to.deep.equal([path, false])
      }
      const ran = await place.run(argv)
      expect([ran.exit, ran.codes(), readdirSync(work)], ran.stderr).to.deep.equal([0, [], []])
    })
  })

  it('root takes the passphrase file of another user, whose secret it is', async function () {
    if (process.getuid?.() !== 0) this.skip()
    const foreign = place.file('foreign', readFileSync(holder.backupPassphraseFile, 'utf8'))
    chownSync(foreign, 61_999, 61_999)
    const ran = await backup(['restore', file, scope.folder('by-root'), '--passphrase-file', foreign])
    expect([ran.exit, ran.codes()]).to.deep.equal([0, []])
    // As systemd hands in a credential: of root, for the group.
    const credential = place.file('credential', readFileSync(holder.backupPassphraseFile, 'utf8'))
    chmodSync(credential, 0o440)
    expect(passphraseInFile(credential).toString()).to.equal(BACKUP_PASSPHRASE)
    chmodSync(foreign, 0o440)
    expectCode('SECRET_FILE_EXPOSED', () => passphraseInFile(foreign))
  })
})

/** Everything of a drill is on the disk, and it holds before it removes its folder. */
const HOLD_REMOVAL = `data:text/javascript,${encodeURIComponent(`
  import fs from 'node:fs/promises'
  import { syncBuiltinESMExports } from 'node:module'
  const { rm } = fs
  fs.rm = (path, options) => {
    if (!/csdrill-[^/]+$/.test(path)) return rm(path, options)
    process.stderr.write('HELD')
    setInterval(() => {}, 1000)
    return new Promise(() => {})
  }
  syncBuiltinESMExports()
`)}`

function mountSmall(scope: Scope, folder: string, options: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `${options},mode=0700`, 'none', folder], { stdio: 'ignore' })
  } catch {
    return false
  }
  scope.add(() => {
    execFileSync('umount', ['-l', folder])
  })
  return true
}
