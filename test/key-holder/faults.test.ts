// Record before act: where the record cannot be made durable, or a key or the state is damaged, nothing is signed.
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { createUnlockKeyFile } from '../../src/key-holder/main.ts'
import { Connection } from '../../src/sqlite/connection.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { HeldRepository, initialization, put, TestKeyHolder } from '../support/key-holder.ts'
import { countKeyUses } from '../support/key-uses.ts'
import { Scope } from '../support/scope.ts'

describe('faults of the key holder', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: HeldRepository

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await HeldRepository.initialize(holder)
  })
  afterEach(() => scope.close())

  it('attack: Audit cannot be written: a log that cannot be written: nothing is signed, and the same request is signed when it can be', async () => {
    const files = repository.files()
    const entries = join(holder.folder, 'log/tile/entries')
    const saved = join(holder.folder, 'saved')
    cpSync(entries, saved, { recursive: true })
    rmSync(entries, { recursive: true })
    writeFileSync(entries, 'not a folder')
    const request = { files, publication: 'during-the-fault' }
    const uses = await countKeyUses(async () => {
      await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => repository.change([put('1.0')], request))
      await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => repository.change([put('1.0')], request))
      const init = initialization('registry.example.com/team/other')
      await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => holder.service.call('initialize-repository', init))
    })
    expect(uses).to.equal(0)
    rmSync(entries)
    cpSync(saved, entries, { recursive: true })
    const { roles } = await repository.change([put('1.0')], request)
    expect(roles.map(({ version }) => version)).to.deep.equal([2, 2])
    expect(holder.log().filter(({ kind }) => kind === 'targets-change')).to.have.length(1)
  })

  it('a checkpoint that cannot be written: nothing is signed', async () => {
    const checkpoint = join(holder.folder, 'log/checkpoint')
    rmSync(checkpoint)
    mkdirSync(checkpoint)
    const uses = await countKeyUses(() =>
      expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => repository.change([put('1.0')])),
    )
    expect(uses).to.equal(0)
  })

  for (const table of ['signed_payloads', 'publications', 'log_entries', 'rates', 'tag_digests']) {
    it(`a database that refuses a row of ${table}: nothing is signed, and nothing half is kept`, async () => {
      await holder.stop()
      const counts = () =>
        holder.database((database) =>
          ['signed_payloads', 'publications', 'tag_digests'].map(
            (name) => database.prepare<[], { n: number }>(`SELECT count(*) AS n FROM ${name}`).get()!.n,
          ),
        )
      const before = counts()
      await holder.start()
      await holder.stop()
      holder.database((database) => {
        database.exec(
          `CREATE TABLE fault (active INTEGER); INSERT INTO fault VALUES (0);
           CREATE TRIGGER disk_full BEFORE INSERT ON ${table} WHEN (SELECT active FROM fault) = 1
           BEGIN SELECT RAISE(FAIL, 'disk full'); END;
           CREATE TRIGGER arm BEFORE UPDATE ON role_versions BEGIN UPDATE fault SET active = 1; END;
           CREATE TRIGGER arm_on_payload BEFORE INSERT ON signed_payloads BEGIN UPDATE fault SET active = 1; END;
           CREATE TRIGGER arm_on_publication BEFORE INSERT ON publications BEGIN UPDATE fault SET active = 1; END;`,
        )
      })
      await holder.start()
      const uses = await countKeyUses(() =>
        expectCodeAsync('STATE_UNWRITABLE', () => {
          const files = repository.files()
          return holder.service.call('change-targets', repository.request([put('1.0')], { files }), files)
        }),
      )
      expect(uses).to.equal(0)
      await holder.stop()
      expect(counts()).to.deep.equal(before)
    })
  }

  it('a lost memory of versions: one version of one role is still never given a second content', async () => {
    const older = repository.files()
    await repository.sign([put('1.0')])
    await holder.stop()
    holder.database((database) => {
      database.exec('UPDATE role_versions SET signed_version = 1')
    })
    await holder.start()
    const uses = await countKeyUses(() =>
      expectCodeAsync('STATE_UNWRITABLE', () =>
        holder.service.call('change-targets', repository.request([put('1.1')], { files: older }), older),
      ),
    )
    expect(uses).to.equal(0)
  })

  it('a flipped byte in any stored key: it does not start', async () => {
    await holder.stop()
    const keys = holder.database((database) =>
      database
        .prepare<[], { gun: string; id: string; sealed: Buffer }>(
          'SELECT gun, canonical_key_id AS id, sealed FROM keys',
        )
        .all(),
    )
    expect(keys).to.have.length(3)
    const store = (id: string, sealed: Buffer) =>
      holder.database((database) =>
        database.prepare('UPDATE keys SET sealed = ? WHERE canonical_key_id = ?').run(sealed, id),
      )
    for (const [index, { id, sealed }] of keys.entries()) {
      const flipped = Buffer.from(sealed)
      flipped[index * 50 + 1]! ^= 0x01
      store(id, flipped)
      await expectCodeAsync('KEY_FILE_DAMAGED', () => holder.start())
      store(id, sealed)
    }
    await holder.start()
  })

  it('a key swapped with another one: it does not start', async () => {
    await holder.stop()
    holder.database((database) => {
      const [one, other] = database.prepare<[], { sealed: Buffer }>('SELECT sealed FROM keys ORDER BY role').all()
      database.prepare(`UPDATE keys SET sealed = ? WHERE role = 'root'`).run(other!.sealed)
      database.prepare(`UPDATE keys SET sealed = ? WHERE role = 'targets'`).run(one!.sealed)
    })
    await expectCodeAsync('KEY_FILE_DAMAGED', () => holder.start())
  })

  it('a public key that is another one’s: it does not start', async () => {
    await holder.stop()
    holder.database((database) => {
      database.exec(
        `UPDATE keys SET public_value = (SELECT public_value FROM keys WHERE role = 'root') WHERE role = 'targets'`,
      )
    })
    await expectCodeAsync('KEY_FILE_DAMAGED', () => holder.start())
  })

  it('another unlock key: it does not start', async () => {
    await holder.stop()
    createUnlockKeyFile(holder.config.unlock.path)
    await expectCodeAsync('UNLOCK_KEY_WRONG', () => holder.start())
  })

  it('an unlock key that others may read, of another length, or none: it does not start', async () => {
    await holder.stop()
    const { path } = holder.config.unlock
    for (const mode of [0o640, 0o604, 0o660, 0o644]) {
      chmodSync(path, mode)
      await expectCodeAsync('UNLOCK_KEY_EXPOSED', () => holder.start())
    }
    chmodSync(path, 0o600)
    const key = readFileSync(path)
    writeFileSync(path, Buffer.concat([key, key]))
    await expectCodeAsync('UNLOCK_KEY_UNREADABLE', () => holder.start())
    rmSync(path)
    await expectCodeAsync('UNLOCK_KEY_UNREADABLE', () => holder.start())
  })

  it('a folder that others may enter: it does not start', async () => {
    await holder.stop()
    for (const mode of [0o750, 0o705, 0o770, 0o711]) {
      chmodSync(holder.folder, mode)
      await expectCodeAsync('KEY_HOLDER_FOLDER_EXPOSED', () => holder.start())
    }
    chmodSync(holder.folder, 0o700)
    await holder.start()
  })

  it('a database that went missing: it does not begin anew', async () => {
    await holder.stop()
    rmSync(join(holder.folder, 'key-holder.db'))
    await expectCodeAsync('KEY_HOLDER_STATE_MISSING', () => holder.start())
    expect(statSync(join(holder.folder, 'log/checkpoint')).isFile()).to.equal(true)
  })

  it('an old copy of the database beside a newer log: it does not start', async () => {
    await holder.stop()
    const path = join(holder.folder, 'key-holder.db')
    const old = readFileSync(path)
    await holder.start()
    await holder.service.call('append-record', { kind: 'later', facts: {} })
    await holder.stop()
    writeFileSync(path, old)
    await expectCodeAsync('AUDIT_LOG_DAMAGED', () => holder.start())
  })

  it('a database that is none, or of a newer version: it does not start', async () => {
    await holder.stop()
    const path = join(holder.folder, 'key-holder.db')
    const good = readFileSync(path)
    writeFileSync(path, Buffer.from('x'.repeat(8192)))
    await expectCodeAsync('KEY_HOLDER_STATE_DAMAGED', () => holder.start())
    writeFileSync(path, good)
    holder.database((database) => database.pragma('user_version = 999'))
    await expectCodeAsync('KEY_HOLDER_STATE_DAMAGED', () => holder.start())
  })

  it('a database that another process holds: it does not start', async () => {
    await holder.stop()
    const other = new Connection(join(holder.folder, 'key-holder.db'))
    try {
      other.pragma('locking_mode = EXCLUSIVE')
      other.exec('BEGIN IMMEDIATE; COMMIT')
      await expectCodeAsync('KEY_HOLDER_ALREADY_RUNNING', () => holder.start())
    } finally {
      other.close()
    }
    await holder.start()
  })

  it('a second key holder on the same folder: it does not start, and the first goes on', async () => {
    const second = new TestKeyHolder(scope)
    Object.assign(second, {
      folder: holder.folder,
      config: { ...second.config, folder: holder.folder, unlock: holder.config.unlock },
    })
    await expectCodeAsync('KEY_HOLDER_ALREADY_RUNNING', () => second.start())
    expect((await repository.change([put('1.0')])).roles).to.have.length(2)
  })

  it('refusals beyond the number per hour: they are counted, and the count is recorded', async () => {
    await holder.stop()
    holder.writeLimits('repositories: []\nrecordsPerHour: 5')
    await holder.start()
    for (let n = 0; n < 12; n++) {
      await expectCodeAsync('LIMIT_GUN', () =>
        holder.service.call('initialize-repository', initialization('registry.example.com/team/x')),
      )
    }
    await holder.stop()
    const log = holder.log()
    expect(log.filter(({ kind, code }) => kind === 'refused' && code === 'LIMIT_GUN')).to.have.length(5)
    expect(log.filter(({ kind }) => kind === 'refusals-suppressed').map(({ count }) => count)).to.deep.equal([7])
  })

  it('records beyond the number per hour: they are refused, also after a restart', async () => {
    await holder.stop()
    holder.writeLimits('repositories: []\nrecordsPerHour: 3')
    await holder.start()
    const record = () => holder.service.call('append-record', { kind: 'hello', facts: { n: 1, text: 'x', ok: true } })
    for (let n = 0; n < 3; n++) await record()
    await expectCodeAsync('LIMIT_RECORDS', record)
    await holder.stop()
    await holder.start()
    await expectCodeAsync('LIMIT_RECORDS', () => holder.service.call('append-record', { kind: 'hello', facts: {} }))
    expect(holder.log().filter(({ kind }) => kind === 'daemon-record')[0]).to.deep.include({
      by: 'service',
      saidBy: 'daemon',
      record: 'hello',
      facts: { n: 1, text: 'x', ok: true },
    })
  })

  it('records that come together: each has its own place, and one that is too large takes no other with it', async () => {
    const large = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`fact${n}`, 'x'.repeat(4000)]))
    const record = (facts: Record<string, number | string>) =>
      holder.service.call('append-record', { kind: 'hello', facts })
    const [zero, one, , three] = await Promise.all([
      record({ n: 0 }),
      record({ n: 1 }),
      expectCodeAsync('OPERATION_MALFORMED', () => record(large)),
      record({ n: 3 }),
    ])
    await holder.stop()
    const log = holder.log()
    const said = [zero, one, three].map(({ response }) => log[response.index]?.['facts'])
    expect(said).to.deep.equal([{ n: 0 }, { n: 1 }, { n: 3 }])
    expect(log.filter(({ kind }) => kind === 'daemon-record')).to.have.length(3)
  })

  it('records that come together beyond the number per hour: as many are taken as there is room for', async () => {
    await holder.stop()
    holder.writeLimits('repositories: []\nrecordsPerHour: 5')
    await holder.start()
    const calls = Array.from({ length: 9 }, () => holder.service.call('append-record', { kind: 'hello', facts: {} }))
    const results = await Promise.allSettled(calls)
    expect(results.filter(({ status }) => status === 'fulfilled')).to.have.length(5)
    await holder.stop()
    expect(holder.log().filter(({ kind }) => kind === 'daemon-record')).to.have.length(5)
  })
})
