// The key holder's side of a backup: a copy of one moment that opens nothing without the passphrase, and what is refused.
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSecrets } from '../../src/key-holder/backup-secrets.ts'
import type { Step } from '../../src/key-holder/holder.ts'
import type { OperationResponse } from '../../src/key-holder-protocol/operations.ts'
import { Connection } from '../../src/sqlite/connection.ts'
import { crashAt } from '../support/crash-key-holder.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { BACKUP_PASSPHRASE, EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { secretForms } from '../support/secret-forms.ts'

const REQUEST = { reason: 'nightly', evidence: EVIDENCE }

describe('a backup of the key holder', function () {
  // Each passphrase is stretched for half a second and more.
  this.timeout(30_000)
  let scope: Scope
  let holder: TestKeyHolder
  let repository: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder)
  })
  afterEach(() => scope.close())

  const begin = async (): Promise<OperationResponse<'begin-backup'>> =>
    (await holder.operator.call('begin-backup', REQUEST)).response
  const read = (session: string, offset = 0) => holder.operator.call('read-backup', { session, offset })
  const copyPath = (): string => join(holder.folder, 'backup.db')

  it('is a copy of one moment, with its own record and the records of its checkpoint, while signing goes on', async () => {
    const copy = await begin()
    // What comes afterwards is not in it.
    await repository.sign([put('later')])
    const { response, attachments } = await read(copy.session)
    const bytes = Buffer.from(attachments.get('part') ?? [])
    expect([response.isLast, bytes.byteLength]).to.deep.equal([true, copy.bytes])
    expect(createHash('sha256').update(bytes).digest('hex')).to.equal(copy.sha256)
    const path = join(scope.folder('copy'), 'copy.db')
    writeFileSync(path, bytes)
    const database = new Connection(path)
    const rows = database.prepare<[], { entry: Buffer }>('SELECT entry FROM log_entries ORDER BY position').all()
    database.close()
    const kinds = rows.map(({ entry }) => (JSON.parse(entry.toString()) as { kind: string }).kind)
    expect(kinds.at(-1)).to.equal('backup-made')
    expect(kinds).to.not.include('targets-change')
    expect(copy.log.size).to.equal(rows.length)
    expect(copy.log.checkpoint.split('\n')[1]).to.equal(String(rows.length))
    const [record] = holder.log().filter(({ kind }) => kind === 'backup-made')
    expect(record).to.deep.include({ by: 'operator', keys: 3, repositories: 1, reason: 'nightly', evidence: EVIDENCE })
  })

  it('gives out the unlock key under the passphrase of the configuration alone', async () => {
    const unlockKey = readFileSync(holder.unlockKeyFile)
    const copy = await begin()
    expect(await openSecrets(copy.secrets, Buffer.from(BACKUP_PASSPHRASE))).to.deep.equal(unlockKey)
    await expectCodeAsync('KEY_FILE_DAMAGED', () => openSecrets(copy.secrets, Buffer.from('another passphrase')))
    for (const text of [
      '',
      '{}',
      copy.secrets.replace('131072', '134217728'),
      copy.secrets.replace('131072', '16384'),
    ]) {
      await expectCodeAsync('KEY_FILE_DAMAGED', () => openSecrets(text, Buffer.from(BACKUP_PASSPHRASE)))
    }
    const { attachments } = await read(copy.session)
    const answers = Buffer.concat([Buffer.from(JSON.stringify(copy)), attachments.get('part') ?? Buffer.alloc(0)])
    for (const [form, secret] of secretForms('unlock key', unlockKey)) {
      expect([form, answers.includes(secret)]).to.deep.equal([form, false])
    }
  })

  it('comes in parts, and is forgotten with the last one, by another one, and when the process ends', async () => {
    // Larger than one part.
    await holder.stop()
    holder.database((database) => {
      database.exec(`CREATE TABLE ballast (bytes BLOB); INSERT INTO ballast VALUES (randomblob(6000000))`)
    })
    await holder.start()
    const first = await begin()
    const copy = await begin()
    await expectCodeAsync('BACKUP_SESSION_UNKNOWN', () => read(first.session))
    const parts: Uint8Array[] = []
    for (let offset = 0, isLast = false; !isLast;) {
      const { response, attachments } = await read(copy.session, offset)
      const part = attachments.get('part') ?? new Uint8Array()
      parts.push(part)
      offset += part.byteLength
      isLast = response.isLast
    }
    expect(parts).to.have.length(2)
    expect(createHash('sha256').update(Buffer.concat(parts)).digest('hex')).to.equal(copy.sha256)
    expect(existsSync(copyPath())).to.equal(false)
    await expectCodeAsync('BACKUP_SESSION_UNKNOWN', () => read(copy.session))
    const last = await begin()
    await expectCodeAsync('BACKUP_SESSION_UNKNOWN', () => read(last.session, last.bytes))
    expect(existsSync(copyPath())).to.equal(true)
    await holder.stop()
    expect(existsSync(copyPath())).to.equal(false)
    await holder.start()
  })

  it('is refused where no passphrase is configured, or none can be read', async () => {
    rmSync(holder.backupPassphraseFile)
    const missing = await expectCodeAsync('BACKUP_PASSPHRASE_UNREADABLE', begin)
    expect(missing.facts).to.deep.equal({ path: holder.backupPassphraseFile, why: 'there is no such file' })
    writeFileSync(holder.backupPassphraseFile, 'short\n', { mode: 0o600 })
    await expectCodeAsync('BACKUP_PASSPHRASE_UNREADABLE', begin)
    writeFileSync(holder.backupPassphraseFile, BACKUP_PASSPHRASE)
    chmodSync(holder.backupPassphraseFile, 0o644)
    await expectCodeAsync('BACKUP_PASSPHRASE_UNREADABLE', begin)
    await holder.stop()
    const { backupPassphraseFile, ...config } = holder.config
    expect(backupPassphraseFile).to.equal(holder.backupPassphraseFile)
    await holder.start({}, config)
    await expectCodeAsync('BACKUP_NOT_CONFIGURED', begin)
    expect(holder.log().filter(({ kind }) => kind === 'backup-made')).to.deep.equal([])
  })

  for (const step of ['log-published', 'stored'] as const satisfies readonly Step[]) {
    it(`whose process dies at the step ${step} leaves nothing behind, and can be begun again`, async () => {
      await crashAt(holder, step, 1, begin)
      expect(existsSync(copyPath())).to.equal(false)
      const { response } = await read((await begin()).session)
      expect(response.isLast).to.equal(true)
      await repository.sign([put('1.0')])
    }).timeout(30_000)
  }
})
