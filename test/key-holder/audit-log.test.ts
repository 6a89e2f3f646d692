import { generateKeyPairSync } from 'node:crypto'
import { cpSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { AuditLog } from '../../src/key-holder/audit-log.ts'
import { verifyAuditLog } from '../../src/key-holder/audit-verification.ts'
import { StateDatabase } from '../../src/key-holder/database.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'

const keys = generateKeyPairSync('ed25519')
/** One full tile and a part of the next, on two levels. */
const SIZE = 300

describe('the audit log', () => {
  let scope: Scope
  let top: string
  let database: StateDatabase
  let log: AuditLog

  function openLog(folder = 'log'): AuditLog {
    return new AuditLog({
      folder: join(top, folder),
      origin: 'test.example.com/audit',
      database,
      step: () => undefined,
      onFailure: () => undefined,
      ...keys,
    })
  }

  function append(count: number): void {
    database.write(() => {
      for (let n = 0; n < count; n++) log.tree.append({ kind: 'test', n: log.tree.size })
    })
    log.publish()
  }

  function at(path: string): string {
    return join(top, 'log', path)
  }

  beforeEach(() => {
    scope = new Scope()
    top = scope.folder('log')
    database = StateDatabase.open(join(top, 'key-holder.db'), true)
    scope.add(() => {
      database.close()
    })
    log = openLog()
    log.open()
    append(SIZE)
  })
  afterEach(() => scope.close())

  it('is read back whole, in order, by its folder alone', () => {
    const numbers: unknown[] = []
    const verified = verifyAuditLog(join(top, 'log'), {
      verifierKey: log.verifierKey,
      onEntry: (entry, index) => numbers.push([index, (JSON.parse(entry.toString()) as { n: number }).n]),
    })
    const { rootHash, note } = log.checkpoint
    expect(verified).to.deep.equal({ origin: 'test.example.com/audit', size: SIZE, rootHash, checkpoint: note })
    expect(numbers).to.deep.equal(Array.from({ length: SIZE }, (_, n) => [n, n]))
  })

  it('has the files of tlog-tiles, and partial ones of the newest size only', () => {
    for (const path of [
      'tile/0/000',
      'tile/0/001.p/44',
      'tile/1/000.p/1',
      'tile/entries/000',
      'tile/entries/001.p/44',
    ]) {
      expect(existsSync(at(path)), path).to.equal(true)
    }
    append(1)
    expect(existsSync(at('tile/0/001.p/44'))).to.equal(false)
    expect(existsSync(at('tile/0/001.p/45'))).to.equal(true)
    append(512 - SIZE - 1)
    expect(existsSync(at('tile/0/001.p'))).to.equal(false)
    expect(existsSync(at('tile/0/001'))).to.equal(true)
    expect(verifyAuditLog(join(top, 'log')).size).to.equal(512)
  })

  it('grows from checkpoint to checkpoint', () => {
    const notes = [log.checkpoint.note]
    for (const more of [1, 3, 211, 1, 300]) {
      append(more)
      notes.push(log.checkpoint.note)
    }
    const verified = verifyAuditLog(join(top, 'log'), { verifierKey: log.verifierKey, olderCheckpoints: notes })
    expect(verified.size).to.equal(SIZE + 516)
  })

  it('shows when it was cut, against a checkpoint kept elsewhere', () => {
    cpSync(join(top, 'log'), join(top, 'old'), { recursive: true })
    append(5)
    const kept = log.checkpoint.note
    expectCode('AUDIT_LOG_DAMAGED', () => verifyAuditLog(join(top, 'old'), { olderCheckpoints: [kept] }))
    expect(verifyAuditLog(join(top, 'old')).size).to.equal(SIZE)
  })

  it('attack: Audit edited: shows a rewritten past, even one signed with its own key', () => {
    const kept = log.checkpoint.note
    const other = scope.folder('other')
    const otherDatabase = StateDatabase.open(join(other, 'key-holder.db'), true)
    scope.add(() => {
      otherDatabase.close()
    })
    const rewritten = new AuditLog({
      folder: join(other, 'log'),
      origin: 'test.example.com/audit',
      database: otherDatabase,
      step: () => undefined,
      onFailure: () => undefined,
      ...keys,
    })
    rewritten.open()
    otherDatabase.write(() => {
      for (let n = 0; n < SIZE + 1; n++) rewritten.tree.append({ kind: 'test', n: n === 7 ? 'forged' : n })
    })
    rewritten.publish()
    const { verifierKey } = log
    expect(verifyAuditLog(join(other, 'log'), { verifierKey }).size).to.equal(SIZE + 1)
    expectCode('AUDIT_LOG_DAMAGED', () => verifyAuditLog(join(other, 'log'), { verifierKey, olderCheckpoints: [kept] }))
  })

  it('is verified by its own key only', () => {
    const other = new AuditLog({
      folder: join(top, 'log'),
      origin: 'test.example.com/audit',
      database,
      step: () => undefined,
      onFailure: () => undefined,
      ...generateKeyPairSync('ed25519'),
    })
    expectCode('AUDIT_LOG_DAMAGED', () => verifyAuditLog(join(top, 'log'), { verifierKey: other.verifierKey }))
    expectCode('AUDIT_LOG_DAMAGED', () => {
      other.open()
    })
  })

  const FILES = [
    'checkpoint',
    'verifier-key',
    'tile/0/000',
    'tile/0/001.p/44',
    'tile/1/000.p/1',
    'tile/entries/000',
    'tile/entries/001.p/44',
  ]
  for (const path of FILES) {
    it(`shows a byte changed, a byte added and a byte gone in ${path}`, () => {
      const good = readFileSync(at(path))
      const flipped = Buffer.from(good)
      flipped[Math.floor(good.byteLength / 2)]! ^= 0x04
      for (const bad of [flipped, Buffer.concat([good, Buffer.from('x')]), good.subarray(0, -1), Buffer.alloc(0)]) {
        if (path === 'verifier-key' && bad.equals(good.subarray(0, -1))) continue
        writeFileSync(at(path), bad)
        expectCode('AUDIT_LOG_DAMAGED', () => verifyAuditLog(join(top, 'log')))
        expectCode('AUDIT_LOG_DAMAGED', () => {
          openLog().open()
        })
      }
      writeFileSync(at(path), good)
      expect(verifyAuditLog(join(top, 'log')).size).to.equal(SIZE)
    })

    it(`shows that ${path} is gone, and writes it again at the next start`, () => {
      const good = readFileSync(at(path))
      rmSync(at(path))
      expectCode('AUDIT_LOG_DAMAGED', () => verifyAuditLog(join(top, 'log')))
      openLog().open()
      expect(readFileSync(at(path)).equals(good)).to.equal(true)
    })
  }

  it('is written again from the database when the whole folder is gone', () => {
    const { verifierKey } = log
    const kept = log.checkpoint.note
    rmSync(join(top, 'log'), { recursive: true })
    openLog().open()
    expect(verifyAuditLog(join(top, 'log'), { verifierKey, olderCheckpoints: [kept] }).size).to.equal(SIZE)
  })

  it('refuses to start where a file cannot be read, and does not write over it', () => {
    rmSync(at('tile/0/000'))
    // Every read of this file fails with EIO.
    symlinkSync('/proc/self/mem', at('tile/0/000'))
    const { facts } = expectCode('AUDIT_LOG_UNREADABLE', () => {
      openLog().open()
    })
    expect(facts).to.deep.equal({ path: 'tile/0/000', reason: 'EIO' })
    expect(lstatSync(at('tile/0/000')).isSymbolicLink()).to.equal(true)
  })

  it('refuses to start on a database that is older than the files', () => {
    database.write(() => {
      database.run('DELETE FROM log_entries WHERE position = ?', SIZE - 1)
    })
    expectCode('AUDIT_LOG_DAMAGED', () => {
      openLog().open()
    })
  })

  it('refuses to start on a database with another past', () => {
    database.write(() => {
      database.run('UPDATE log_nodes SET hash = ? WHERE level = 0 AND position = 290', Buffer.alloc(32))
    })
    expectCode('AUDIT_LOG_DAMAGED', () => {
      openLog().open()
    })
  })

  it('takes no entry that does not fit, and goes on', () => {
    expectCode('OPERATION_MALFORMED', () => {
      database.write(() => log.tree.append({ text: 'x'.repeat(65_536) }))
    })
    append(1)
    expect(verifyAuditLog(join(top, 'log')).size).to.equal(SIZE + 1)
  })

  function commit(count: number): number {
    database.write(() => {
      for (let n = 0; n < count; n++) log.tree.append({ kind: 'test', n: log.tree.size })
    })
    return log.tree.size
  }

  it('is published for several callers together, each with its own entries', async () => {
    const published: number[] = []
    const callers = [1, 2, 3, 250].map(async (count) => {
      const size = commit(count)
      await log.publishUpTo(size)
      published.push(log.checkpoint.size)
      expect(log.checkpoint.size).to.be.at.least(size)
    })
    await Promise.all(callers)
    const size = SIZE + 256
    expect(log.checkpoint.size).to.equal(size)
    expect(verifyAuditLog(join(top, 'log')).size).to.equal(size)
    // The first round took the entries that were there; all that came meanwhile had the second one.
    expect(new Set(published).size).to.be.at.most(2)
    // Superseded partial tiles go with the next entries that nobody waits for in this way.
    append(1)
    expect(existsSync(at(`tile/0/001.p/${SIZE - 256}`))).to.equal(false)
    expect(verifyAuditLog(join(top, 'log')).size).to.equal(size + 1)
  })

  it('never goes back where somebody who cannot wait overtakes a round', async () => {
    const round = log.publishUpTo(commit(1))
    append(5)
    const overtaken = log.checkpoint
    await round
    expect(log.checkpoint).to.deep.equal(overtaken)
    expect(verifyAuditLog(join(top, 'log')).size).to.equal(SIZE + 6)
    append(1)
    expect(verifyAuditLog(join(top, 'log')).size).to.equal(SIZE + 7)
  })

  it('says so to everybody who waits for a round that fails, and succeeds later', async () => {
    rmSync(at('tile/entries'), { recursive: true })
    writeFileSync(at('tile/entries'), 'not a folder')
    const rounds = [log.publishUpTo(commit(1)), log.publishUpTo(commit(1))]
    for (const round of rounds) await expectCodeAsync('AUDIT_LOG_UNWRITABLE', () => round)
    expect(log.checkpoint.size).to.equal(SIZE)
    // Whoever did not want to wait hears of it too.
    expectCode('AUDIT_LOG_UNWRITABLE', () => {
      log.publishSoon()
    })
    rmSync(at('tile/entries'))
    mkdirSync(at('tile/entries'))
    await log.publishUpTo(log.tree.size)
    expect(log.checkpoint.size).to.equal(SIZE + 2)
  })

  it('says when it cannot be written, and catches up later', () => {
    rmSync(at('tile/entries'), { recursive: true })
    writeFileSync(at('tile/entries'), 'not a folder')
    expectCode('AUDIT_LOG_UNWRITABLE', () => {
      append(1)
    })
    expect(log.checkpoint.size).to.equal(SIZE)
    rmSync(at('tile/entries'))
    mkdirSync(at('tile/entries'))
    log = openLog()
    log.open()
    expect(verifyAuditLog(join(top, 'log')).size).to.equal(SIZE + 1)
  })
})
