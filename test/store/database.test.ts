import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Connection } from '../../src/sqlite/connection.ts'
import { createDatabase as createSqliteDatabase } from '../../src/sqlite/database.ts'
import { createDatabase, openDatabase, type StoreDatabase } from '../../src/store/database.ts'
import { SCHEMA } from '../../src/store/schema.ts'
import { SqliteTokenStore } from '../../src/store/tokens.ts'
import { expectCode } from '../support/expect-code.ts'

describe('the database', () => {
  let folder: string
  let path: string
  const opened: StoreDatabase[] = []
  const keep = (database: StoreDatabase): StoreDatabase => {
    opened.push(database)
    return database
  }
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-store-'))
    path = join(folder, 'countersign.db')
  })
  afterEach(() => {
    for (const database of opened.splice(0)) database.close()
    rmSync(folder, { recursive: true })
  })

  it('is not created by opening', () => {
    expectCode('STORE_MISSING', () => openDatabase(path))
    expectCode('STORE_MISSING', () => openDatabase(path))
  })

  it('is not overwritten by creating', () => {
    keep(createDatabase(path))
    expectCode('STORE_EXISTS', () => createDatabase(path))
  })

  it('is readable by its owner only', () => {
    keep(createDatabase(path))
    expect([path, `${path}-wal`].map((file) => statSync(file).mode & 0o777)).to.deep.equal([0o600, 0o600])
  })

  it('is not created where there is no folder', () => {
    expectCode('STORE_UNWRITABLE', () => createDatabase(join(folder, 'missing', 'countersign.db')))
  })

  it('is opened with durable commits and checked references', () => {
    createDatabase(path).close()
    const { sqlite } = keep(openDatabase(path))
    const pragma = (name: string): unknown => sqlite.pragma(name)
    expect(pragma('journal_mode')).to.equal('wal')
    expect(pragma('synchronous'), 'FULL').to.equal(2)
    expect(pragma('foreign_keys')).to.equal(1)
    expect(pragma('user_version')).to.equal(SCHEMA.migrations.length)
  })

  it('keeps what was written', () => {
    const first = createDatabase(path)
    const at = new Date('2026-05-01T00:00:00.000Z')
    const secretSha256 = 'a'.repeat(64)
    const token = { id: 't', name: 'n', secretSha256, grants: [], groups: ['g'], createdAt: at, createdBy: 'x' }
    new SqliteTokenStore(first).create(token)
    first.close()
    expect(new SqliteTokenStore(keep(openDatabase(path))).find('t')).to.deep.equal(token)
  })

  it('of the first schema is brought up to date, with its requests and what belongs to them', () => {
    const first = createSqliteDatabase(path, { ...SCHEMA, migrations: SCHEMA.migrations.slice(0, 1) })
    first.sqlite.exec(
      `INSERT INTO requests VALUES (7, 'request_1', 'sign', 'tok_1', 'bot', NULL, NULL, NULL, 'withdrawn', '2026-05-01T00:00:00.000Z');
       INSERT INTO images VALUES (7, 0, 'registry.example.com/app', '1.0', 'withdrawn', 1, NULL, '{}', 1);
       INSERT INTO idempotency_keys VALUES ('tok_1', 'once', '${'a'.repeat(64)}', 7);`,
    )
    first.close()
    const { sqlite } = keep(openDatabase(path))
    const all = (sql: string): unknown[] => sqlite.prepare(sql).pluck().all()
    expect(all('SELECT id FROM requests')).to.deep.equal(['request_1'])
    expect(all('SELECT r.id FROM images i JOIN requests r ON r.sequence = i.request')).to.deep.equal(['request_1'])
    expect(all('PRAGMA foreign_key_check')).to.deep.equal([])
    sqlite.exec(
      `INSERT INTO requests (id, kind, submitter_id, submitter_name, status, created_at)
       VALUES ('request_2', 'rotate', 'tok_1', 'operator', 'approved', '2026-05-02T00:00:00.000Z')`,
    )
    expect(all("SELECT sequence FROM requests WHERE id = 'request_2'")).to.deep.equal([8])
    expect(() => {
      sqlite.exec("INSERT INTO images VALUES (99, 0, 'g', 't', 's', 1, NULL, '{}', 1)")
    }).to.throw()
  })

  it('of the schema with claims of nobody gives them to the source that told of their tag', () => {
    const former = createSqliteDatabase(path, { ...SCHEMA, migrations: SCHEMA.migrations.slice(0, 12) })
    former.sqlite.exec(
      `INSERT INTO pushed_tags (gun, tag, source, since, due_at) VALUES ('g', 'v1', 'main', 't', 't'), ('g', 'v2', 'hub', 't', 't');
       INSERT INTO pushed_claims VALUES ('g', 'v1', 'a'), ('g', 'v1', ''), ('g', 'v2', 'b');`,
    )
    former.close()
    const { sqlite } = keep(openDatabase(path))
    expect(sqlite.prepare("SELECT tag || sha256 || ' ' || source FROM pushed_claims").pluck().all()).to.deep.equal([
      'v1 main',
      'v1a main',
      'v2b hub',
    ])
  })

  it('refuses the schema of a newer Countersign', () => {
    const database = createDatabase(path)
    database.sqlite.pragma(`user_version = ${SCHEMA.migrations.length + 1}`)
    database.close()
    expectCode('STORE_SCHEMA_NEWER', () => openDatabase(path))
  })

  it('refuses a database of somebody else, and leaves it alone', () => {
    const foreign = new Connection(path)
    foreign.exec('CREATE TABLE theirs (x)')
    foreign.close()
    expectCode('STORE_NOT_OURS', () => openDatabase(path))
    const again = new Connection(path)
    expect(again.prepare('SELECT name FROM sqlite_master').pluck().all()).to.deep.equal(['theirs'])
    again.close()
  })

  it('refuses a file that is no database', () => {
    writeFileSync(path, 'not a database, but long enough to be read as a header of one '.repeat(40))
    expectCode('STORE_DAMAGED', () => openDatabase(path))
  })

  it('undoes a transaction that throws', () => {
    const database = keep(createDatabase(path))
    expect(() =>
      database.transaction(() => {
        database.sqlite.exec("INSERT INTO publications VALUES ('p', 'g', '{}', 't')")
        throw new Error('in the middle')
      }),
    ).to.throw('in the middle')
    expect(database.sqlite.prepare('SELECT count(*) FROM publications').pluck().get()).to.equal(0)
  })

  it('says whether it can be written', () => {
    const database = keep(createDatabase(path))
    database.check()
    database.sqlite.pragma('busy_timeout = 1')
    const rival = new Connection(path)
    rival.exec('BEGIN IMMEDIATE')
    expectCode('STORE_UNWRITABLE', () => {
      database.check()
    })
    rival.exec('ROLLBACK')
    rival.close()
    database.check()
  })

  it('takes a damaged row for an error, not for a guess', () => {
    const database = keep(createDatabase(path))
    database.sqlite.exec(
      "INSERT INTO tokens (id, name, secret_sha256, grants, created_at, created_by) VALUES ('t', 'n', 's', '[{}]', 'x', 'y')",
    )
    expectCode('STORE_DAMAGED', () => new SqliteTokenStore(database).find('t'))
  })
})
