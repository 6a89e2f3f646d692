// Record before act, for the trust server too: where the record or the state cannot be made durable, no server key is used; where the
// fault comes between snapshot and timestamp, the same update is finished later with the same content.
import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SNAPSHOT } from '@countersign/tuf'
import { expect } from 'chai'
import { expectCodeAsync } from '../support/expect-code.ts'
import { countKeyUses } from '../support/key-uses.ts'
import { TestKeyHolder } from '../support/key-holder.ts'
import { Scope } from '../support/scope.ts'
import { remembered, ServedRepository } from '../support/served-repository.ts'

const DAY_MS = 86_400_000

describe('faults of the key holder while serving', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: ServedRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await ServedRepository.create(holder)
  })
  afterEach(() => scope.close())

  it('a log that cannot be written: nothing is signed, and the same update is signed when it can be', async () => {
    const client = remembered(repository.verify())
    const entries = join(holder.folder, 'log/tile/entries')
    const saved = join(holder.folder, 'saved')
    cpSync(entries, saved, { recursive: true })
    rmSync(entries, { recursive: true })
    writeFileSync(entries, 'not a folder')
    repository.builder.nextVersions('targets/alice')
    const files = repository.files('targets/alice')
    holder.now = new Date(holder.now.getTime() + DAY_MS)
    const uses = await countKeyUses(async () => {
      await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => repository.send(files))
      await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => repository.send(files))
      await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => repository.refresh('timestamp'))
      await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => repository.serverKey(SNAPSHOT, true))
    })
    expect(uses).to.equal(0)
    rmSync(entries)
    cpSync(saved, entries, { recursive: true })
    const pair = await repository.send(files)
    expect([pair.snapshot.version, pair.timestamp.version]).to.deep.equal([2, 2])
    repository.verify(client)
    expect((await holder.wholeLog()).filter(({ kind }) => kind === 'snapshot-signed')).to.have.length(2)
  })

  const DISK_FULL = (event: string) =>
    `CREATE TRIGGER disk_full BEFORE ${event} BEGIN SELECT RAISE(FAIL, 'disk full'); END`

  for (const [name, event] of [
    ['the record', "INSERT ON log_entries WHEN instr(CAST(new.entry AS TEXT), 'snapshot-signed') > 0"],
    ['the state', 'INSERT ON served_repositories'],
    ['a role', 'INSERT ON served_roles'],
    ['the bytes of a snapshot', "INSERT ON signed_payloads WHEN new.role = 'snapshot'"],
  ] as const) {
    it(`a disk too full for ${name}: nothing is signed, nothing half is kept`, async () => {
      const state = async () => (await holder.trustServer.call('serve-state', { gun: repository.gun })).response
      const before = await state()
      await holder.stop()
      holder.database((database) => {
        database.exec(DISK_FULL(event))
      })
      await holder.start()
      repository.builder.nextVersions('targets/alice')
      const files = repository.files('targets/alice')
      const uses = await countKeyUses(() => expectCodeAsync('STATE_UNWRITABLE', () => repository.send(files)))
      expect(uses).to.equal(0)
      await holder.stop()
      holder.database((database) => {
        database.exec('DROP TRIGGER disk_full')
      })
      await holder.start()
      expect(await state()).to.deep.equal(before)
      expect((await repository.send(files)).snapshot.version).to.equal(2)
    })
  }

  for (const [name, event, uses] of [
    ['the snapshot file', "UPDATE OF file ON signed_payloads WHEN new.file IS NOT NULL AND new.role = 'snapshot'", 1],
    ['the bytes of a timestamp', "INSERT ON signed_payloads WHEN new.role = 'timestamp'", 1],
    ['the timestamp file', "UPDATE OF file ON signed_payloads WHEN new.file IS NOT NULL AND new.role = 'timestamp'", 2],
  ] as const) {
    it(`a disk too full for ${name}: it is not given out, and finished later`, async () => {
      const client = remembered(repository.verify())
      await holder.stop()
      holder.database((database) => {
        database.exec(DISK_FULL(event))
      })
      await holder.start()
      repository.builder.nextVersions('targets/alice')
      const files = repository.files('targets/alice')
      expect(await countKeyUses(() => expectCodeAsync('STATE_UNWRITABLE', () => repository.send(files)))).to.equal(uses)
      await holder.stop()
      holder.database((database) => {
        database.exec('DROP TRIGGER disk_full')
      })
      await holder.start()
      const pair = await repository.send(files)
      expect([pair.repeated, pair.snapshot.version, pair.timestamp.version]).to.deep.equal([true, 2, 2])
      repository.verify(client)
    })
  }

  it('a lost memory of versions: one version is still never given a second content', async () => {
    repository.builder.nextVersions('targets/alice')
    await repository.update('targets/alice')
    await holder.stop()
    holder.database((database) => {
      database.exec(`UPDATE served_repositories SET snapshot_version = 1, timestamp_version = 1;
        DELETE FROM role_versions`)
    })
    await holder.start()
    repository.builder.nextVersions('targets/alice')
    const uses = await countKeyUses(() => expectCodeAsync('STATE_UNWRITABLE', () => repository.update('targets/alice')))
    expect(uses).to.equal(0)
  })
})
