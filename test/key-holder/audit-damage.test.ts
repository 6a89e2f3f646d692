// Whatever is done to an audit log shows, with the kind of damage and its place.
import { createHash, generateKeyPairSync } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import { AUDIT_FAULTS } from '../../src/key-holder/audit-faults.ts'
import { verifyAuditLog, type AuditVerificationOptions } from '../../src/key-holder/audit-verification.ts'
import { signCheckpoint } from '../../src/key-holder/checkpoint.ts'
import { encodeVerifierKey } from '../../src/key-holder/signed-note.ts'
import { leafHash, perfectRoot } from '../../src/key-holder/merkle.ts'
import { encodeBundle, parseBundle } from '../../src/key-holder/tiles.ts'
import { expectCode } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'
import { TestLog, type TestRecord } from '../support/test-log.ts'

const keys = generateKeyPairSync('ed25519')
const origin = 'test/audit'
/** Two whole tiles and a part of a third, under two hashes. */
const SIZE = 600

type Facts = Readonly<Record<string, string | number>>

interface Damage {
  readonly what: string
  readonly harm: (log: Copy) => void
  readonly fault: Facts
  /** Checkpoints that were kept elsewhere, by the size of the log. */
  readonly kept?: readonly number[]
}

/** A copy of the log, with hands on it. */
class Copy {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  at(path: string): string {
    return join(this.folder, path)
  }

  edit(path: string, change: (bytes: Buffer) => Buffer): void {
    writeFileSync(this.at(path), change(readFileSync(this.at(path))))
  }

  flip(path: string, offset: number): void {
    this.edit(path, (bytes) => {
      bytes[offset]! ^= 0x01
      return bytes
    })
  }

  records(path: string, change: (records: Buffer[]) => Buffer[]): void {
    this.edit(path, (bytes) => encodeBundle(change(parseBundle(bytes).entries)))
  }

  remove(path: string): void {
    rmSync(this.at(path), { recursive: true })
  }

  take(from: string, path: string, as = path): void {
    mkdirSync(dirname(this.at(as)), { recursive: true })
    cpSync(join(from, path), this.at(as), { recursive: true })
  }
}

const FIRST = 'tile/entries/000'
const SECOND = 'tile/entries/001'
const LAST = 'tile/entries/002.p/88'

/** No byte changed makes one of it into another. */
function record(n: number): TestRecord {
  return { kind: 'test', n, id: createHash('sha256').update(String(n)).digest('hex') }
}

const forged = Buffer.from('{"kind":"test","n":"forged"}')

describe('a damaged audit log', () => {
  const scope = new Scope()
  const log = new TestLog(scope, keys, origin)
  const notes = new Map<number, string>()
  /** The log as it was with 300 records. */
  let young = ''
  /** Another log with the same key: another past from the beginning, and another one after 300 records. */
  const foreign = new TestLog(scope, keys, origin)
  const fork = new TestLog(scope, keys, origin)

  before(() => {
    for (const size of [100, 300, SIZE]) {
      log.append(size - log.size, record)
      notes.set(size, log.checkpoint)
      if (size === 300) young = log.copy()
    }
    foreign.append(SIZE, (n) => ({ kind: 'test', of: 'another log', n }))
    fork.append(300, record)
    fork.append(SIZE - 300 + 10, (n) => ({ kind: 'test', of: 'another future', n }))
  })
  after(() => scope.close())

  const copy = (): Copy => new Copy(log.copy())
  const verify = (folder: string, more: AuditVerificationOptions = {}) =>
    verifyAuditLog(folder, { verifierKey: log.verifierKey, ...more })

  const DAMAGES: readonly Damage[] = [
    {
      what: 'a record edited',
      harm: (to) => {
        to.records(FIRST, (records) => records.with(7, forged))
      },
      fault: { fault: 'record-changed', index: 7, path: FIRST },
    },
    {
      what: 'a record edited in the newest, partial bundle',
      harm: (to) => {
        to.records(LAST, (records) => records.with(87, forged))
      },
      fault: { fault: 'record-changed', index: 599, path: LAST },
    },
    {
      what: 'a record edited together with its hash',
      harm: (to) => {
        to.records(SECOND, (records) => records.with(44, forged))
        to.edit('tile/0/001', (tile) =>
          Buffer.concat([tile.subarray(0, 44 * 32), leafHash(forged), tile.subarray(45 * 32)]),
        )
      },
      fault: { fault: 'records-replaced', index: 256, to: 511, path: 'tile/0/001' },
    },
    {
      what: 'a record edited together with every hash above it',
      harm: (to) => {
        to.records(SECOND, (records) => records.with(44, forged))
        rehash(to, 1)
      },
      fault: { fault: 'root-mismatch', index: 0, to: 599, size: SIZE },
    },
    {
      what: 'the same, where a checkpoint of the records before is at hand',
      kept: [100],
      harm: (to) => {
        to.records(SECOND, (records) => records.with(44, forged))
        rehash(to, 1)
      },
      fault: { fault: 'root-mismatch', index: 100, to: 599 },
    },
    {
      what: 'a record edited together with its hash in the newest tile',
      harm: (to) => {
        to.records(LAST, (records) => records.with(3, forged))
        to.edit('tile/0/002.p/88', (tile) =>
          Buffer.concat([tile.subarray(0, 96), leafHash(forged), tile.subarray(128)]),
        )
      },
      fault: { fault: 'root-mismatch', index: 0, to: 599 },
    },
    {
      what: 'a record deleted',
      harm: (to) => {
        to.records(FIRST, (records) => records.toSpliced(9, 1))
      },
      fault: { fault: 'record-missing', index: 9, path: FIRST },
    },
    {
      what: 'three records deleted',
      harm: (to) => {
        to.records(SECOND, (records) => records.toSpliced(100, 3))
      },
      fault: { fault: 'record-missing', index: 356, to: 358, path: SECOND },
    },
    {
      what: 'a record deleted, and those after it moved up through all bundles',
      harm: (to) => {
        const [first = [], second = [], last = []] = [FIRST, SECOND, LAST].map(
          (path) => parseBundle(readFileSync(to.at(path))).entries,
        )
        const rest = [...first, ...second, ...last].toSpliced(9, 1)
        to.records(FIRST, () => rest.slice(0, 256))
        to.records(SECOND, () => rest.slice(256, 512))
        to.records(LAST, () => rest.slice(512))
      },
      fault: { fault: 'record-missing', index: 9, path: FIRST },
    },
    {
      what: 'the last records of a bundle cut off',
      harm: (to) => {
        to.records(LAST, (records) => records.slice(0, 80))
      },
      fault: { fault: 'record-missing', index: 592, to: 599, path: LAST },
    },
    {
      what: 'a bundle cut within a record',
      harm: (to) => {
        to.edit(LAST, (bytes) => bytes.subarray(0, -1))
      },
      fault: { fault: 'record-changed', index: 599, path: LAST },
    },
    {
      what: 'an empty bundle',
      harm: (to) => {
        to.edit(SECOND, () => Buffer.alloc(0))
      },
      fault: { fault: 'record-missing', index: 256, to: 511, path: SECOND },
    },
    {
      what: 'a record slipped in',
      harm: (to) => {
        to.records(FIRST, (records) => records.toSpliced(20, 0, forged))
      },
      fault: { fault: 'record-added', index: 20, path: FIRST },
    },
    {
      what: 'two records slipped in, and the last ones pushed out',
      harm: (to) => {
        to.records(FIRST, (records) => records.toSpliced(20, 0, forged, forged).slice(0, 256))
      },
      fault: { fault: 'record-added', index: 20, to: 21, path: FIRST },
    },
    {
      what: 'a record behind the last one',
      harm: (to) => {
        to.records(LAST, (records) => [...records, forged])
      },
      fault: { fault: 'record-added', index: 600, path: LAST },
    },
    {
      what: 'a bundle full of nothing',
      harm: (to) => {
        to.edit(FIRST, () => Buffer.alloc(16 * 1024 * 1024))
      },
      fault: { fault: 'record-changed', index: 0, path: FIRST },
    },
    {
      what: 'a byte behind the last record',
      harm: (to) => {
        to.edit(FIRST, (bytes) => Buffer.concat([bytes, Buffer.of(0)]))
      },
      fault: { fault: 'record-added', index: 256, path: FIRST },
    },
    {
      what: 'two records that changed places',
      harm: (to) => {
        to.records(FIRST, (records) => records.with(254, records[255]!).with(255, records[254]!))
      },
      fault: { fault: 'record-moved', index: 254, belongsAt: 255, path: FIRST },
    },
    {
      what: 'all records of a bundle in another order',
      harm: (to) => {
        to.records(FIRST, (records) => records.toReversed())
      },
      fault: { fault: 'record-moved', index: 0, belongsAt: 255, path: FIRST },
    },
    {
      what: 'two records of different bundles that changed places',
      harm: (to) => {
        let taken: Buffer | undefined
        to.records(SECOND, (records) => {
          taken = records[1]
          return records
        })
        to.records(FIRST, (records) => records.with(5, taken!))
      },
      fault: { fault: 'record-moved', index: 5, belongsAt: 257, path: FIRST },
    },
    {
      what: 'two bundles that changed places',
      harm: (to) => {
        renameSync(to.at(FIRST), to.at('kept'))
        renameSync(to.at(SECOND), to.at(FIRST))
        renameSync(to.at('kept'), to.at(SECOND))
      },
      fault: { fault: 'record-moved', index: 0, belongsAt: 256, path: FIRST },
    },
    {
      what: 'a hash of a record changed',
      harm: (to) => {
        to.flip('tile/0/001', 5 * 32 + 3)
      },
      fault: { fault: 'tile-changed', index: 261, path: 'tile/0/001', level: 0 },
    },
    {
      what: 'a hash of the newest tile changed',
      harm: (to) => {
        to.flip('tile/0/002.p/88', 0)
      },
      fault: { fault: 'tile-changed', index: 512, path: 'tile/0/002.p/88', level: 0 },
    },
    {
      what: 'a hash of a hash changed',
      harm: (to) => {
        to.flip('tile/1/000.p/2', 40)
      },
      fault: { fault: 'tile-changed', index: 256, to: 511, path: 'tile/1/000.p/2', level: 1 },
    },
    {
      what: 'a hash tile that is too short',
      harm: (to) => {
        to.edit('tile/0/000', (bytes) => bytes.subarray(0, -32))
      },
      fault: { fault: 'tile-changed', index: 0, to: 255, path: 'tile/0/000', level: 0 },
    },
    {
      what: 'a hash tile that is too long',
      harm: (to) => {
        to.edit('tile/1/000.p/2', (bytes) => Buffer.concat([bytes, bytes, Buffer.alloc(9000)]))
      },
      fault: { fault: 'tile-changed', index: 0, to: 511, path: 'tile/1/000.p/2', level: 1 },
    },
    {
      what: 'a bundle that is missing',
      harm: (to) => {
        to.remove(SECOND)
      },
      fault: { fault: 'file-missing', index: 256, to: 511, path: SECOND },
    },
    {
      what: 'a hash tile that is missing',
      harm: (to) => {
        to.remove('tile/1/000.p')
      },
      fault: { fault: 'file-missing', index: 0, to: 511, path: 'tile/1/000.p/2' },
    },
    {
      what: 'a folder in the place of a file',
      harm: (to) => {
        to.remove(LAST)
        mkdirSync(to.at(LAST))
      },
      fault: { fault: 'file-missing', index: 512, to: 599, path: LAST },
    },
    {
      what: 'no checkpoint',
      harm: (to) => {
        to.remove('checkpoint')
      },
      fault: { fault: 'file-missing', path: 'checkpoint' },
    },
    {
      what: 'the newest files gone',
      harm: (to) => {
        for (const path of ['tile/entries/002.p', 'tile/0/002.p']) to.remove(path)
      },
      fault: { fault: 'file-missing', index: 512, to: 599, path: 'tile/0/002.p/88' },
    },
    {
      what: 'the end cut off, with an older checkpoint in the place of the newest',
      kept: [SIZE],
      harm: (to) => {
        writeFileSync(to.at('checkpoint'), notes.get(300)!)
      },
      fault: { fault: 'truncated', index: 300, to: 599, size: 300, older: SIZE },
    },
    {
      what: 'an old copy put back',
      kept: [100, 300, SIZE],
      harm: (to) => {
        rmSync(to.folder, { recursive: true })
        cpSync(young, to.folder, { recursive: true })
      },
      fault: { fault: 'truncated', index: 300, to: 599, size: 300, older: SIZE },
    },
    {
      what: 'an old copy put back that went on by itself',
      kept: [100, 300, SIZE],
      harm: (to) => {
        rmSync(to.folder, { recursive: true })
        cpSync(fork.folder, to.folder, { recursive: true })
      },
      fault: { fault: 'forked', index: 300, to: 599, size: 610, older: SIZE },
    },
    {
      what: 'another log with the same key',
      kept: [100, 300, SIZE],
      harm: (to) => {
        rmSync(to.folder, { recursive: true })
        cpSync(foreign.folder, to.folder, { recursive: true })
      },
      fault: { fault: 'forked', index: 0, to: 99, size: SIZE, older: 100 },
    },
    {
      what: 'spliced: records of another log, with its hashes',
      harm: (to) => {
        to.take(foreign.folder, SECOND)
        to.take(foreign.folder, 'tile/0/001')
      },
      fault: { fault: 'records-replaced', index: 256, to: 511, path: 'tile/0/001', level: 0 },
    },
    {
      what: 'spliced: records of another log alone',
      harm: (to) => {
        to.take(foreign.folder, SECOND)
      },
      fault: { fault: 'record-changed', index: 256, path: SECOND },
    },
    {
      what: 'spliced: the newest records of another log, with its hashes',
      harm: (to) => {
        to.take(foreign.folder, LAST)
        to.take(foreign.folder, 'tile/0/002.p/88')
      },
      kept: [300],
      fault: { fault: 'root-mismatch', index: 300, to: 599 },
    },
    {
      what: 'spliced: everything of another log but the records of one bundle and their hashes',
      harm: (to) => {
        for (const path of [FIRST, 'tile/0/000', LAST, 'tile/0/002.p/88', 'tile/1/000.p/2', 'checkpoint']) {
          to.take(foreign.folder, path)
        }
      },
      fault: { fault: 'records-replaced', index: 256, to: 511, path: 'tile/0/001', level: 0 },
    },
    {
      what: 'spliced: tiles of another log under the checkpoint of this one',
      harm: (to) => {
        to.remove('tile')
        to.take(foreign.folder, 'tile')
      },
      fault: { fault: 'root-mismatch', index: 0, to: 599 },
    },
    {
      what: 'spliced: a hash that fits neither the records nor the checkpoint',
      harm: (to) => {
        to.take(foreign.folder, SECOND)
        to.take(foreign.folder, 'tile/0/001')
        to.flip('tile/1/000.p/2', 32)
      },
      fault: { fault: 'root-mismatch', index: 256, to: 511, path: 'tile/1/000.p/2', level: 1 },
    },
    {
      what: 'a checkpoint that is none',
      harm: (to) => {
        writeFileSync(to.at('checkpoint'), 'checkpoint\n')
      },
      fault: { fault: 'checkpoint-malformed', path: 'checkpoint' },
    },
    {
      what: 'a checkpoint of another size under the old signature',
      harm: (to) => {
        to.edit('checkpoint', (bytes) => Buffer.from(bytes.toString().replace('\n600\n', '\n512\n')))
      },
      fault: { fault: 'checkpoint-signature', path: 'checkpoint' },
    },
    {
      what: 'a checkpoint under another origin',
      harm: (to) => {
        to.edit('checkpoint', (bytes) => Buffer.from(bytes.toString().replace('test/audit', 'test/other')))
      },
      fault: { fault: 'checkpoint-signature', path: 'checkpoint' },
    },
    {
      what: 'a checkpoint that somebody else signed',
      harm: (to) => {
        const { privateKey } = generateKeyPairSync('ed25519')
        const root = Buffer.from(log.rootHash, 'base64')
        writeFileSync(to.at('checkpoint'), signCheckpoint({ origin, size: SIZE, rootHash: root }, privateKey))
      },
      fault: { fault: 'wrong-key', path: 'checkpoint', signer: origin },
    },
    {
      what: 'another key beside the log',
      harm: (to) => {
        const { publicKey } = generateKeyPairSync('ed25519')
        writeFileSync(to.at('verifier-key'), `${encodeVerifierKey(origin, publicKey)}\n`)
      },
      fault: { fault: 'key-file-changed', path: 'verifier-key' },
    },
  ]

  for (const { what, harm, fault, kept = [] } of DAMAGES) {
    it(`shows ${what}: ${String(fault['fault'])}`, () => {
      const to = copy()
      harm(to)
      const olderCheckpoints = kept.map((size) => notes.get(size)!)
      const { facts, message } = expectCode('AUDIT_LOG_DAMAGED', () => verify(to.folder, { olderCheckpoints }))
      expect(facts).to.deep.include(fault)
      // One record has no end of a range.
      if (!('to' in fault)) expect(facts).not.to.have.property('to')
      if ('index' in fault) expect(message).to.contain(String(fault['index']))
      if ('path' in fault && fault['fault'] === 'file-missing') expect(message).to.contain(String(fault['path']))
    })
  }

  it('has a row for every kind of fault', () => {
    const named = new Set<unknown>(DAMAGES.map(({ fault }) => fault['fault']))
    expect(AUDIT_FAULTS.filter((fault) => !named.has(fault))).to.deep.equal(['key-malformed'])
    const { facts } = expectCode('AUDIT_LOG_DAMAGED', () => verify(log.folder, { verifierKey: 'no key' }))
    expect(facts['fault']).to.equal('key-malformed')
  })

  it('is not one: the same without damage, with every checkpoint that was kept', () => {
    const verified = verify(copy().folder, { olderCheckpoints: [...notes.values()] })
    expect(verified).to.deep.equal({ origin, size: SIZE, rootHash: log.rootHash, checkpoint: log.checkpoint })
    expect(verify(young, { olderCheckpoints: [notes.get(100)!] }).size).to.equal(300)
  })

  it('is not one: without the key beside it, where the key is known', () => {
    const to = copy()
    to.remove('verifier-key')
    expect(verify(to.folder).size).to.equal(SIZE)
    expect(expectCode('AUDIT_LOG_DAMAGED', () => verifyAuditLog(to.folder)).facts).to.deep.include({
      fault: 'file-missing',
      path: 'verifier-key',
    })
  })

  it('wrong-key: the log of somebody else', () => {
    const other = new TestLog(scope, generateKeyPairSync('ed25519'), 'other/audit').append(3)
    const { facts } = expectCode('AUDIT_LOG_DAMAGED', () => verify(other.folder))
    expect(facts).to.deep.include({ fault: 'wrong-key', signer: 'other/audit' })
  })

  it('shows any byte changed in any file, and where', () => {
    const files = readdirSync(log.folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
      statSync(join(log.folder, path)).isFile(),
    )
    expect(files).to.have.length(9)
    const to = copy()
    fc.assert(
      fc.property(fc.constantFrom(...files), fc.nat(), fc.integer({ min: 1, max: 255 }), (path, place, mask) => {
        const good = readFileSync(to.at(path))
        const offset = place % good.byteLength
        const bad = Buffer.from(good)
        bad[offset]! ^= mask
        writeFileSync(to.at(path), bad)
        try {
          const { facts } = expectCode('AUDIT_LOG_DAMAGED', () => verify(to.folder))
          expect(facts['path'], `${path} ${offset}`).to.equal(path)
          expectPlace(path, offset, good, facts)
        } finally {
          writeFileSync(to.at(path), good)
        }
      }),
      { numRuns: 1000 },
    )
    expect(verify(to.folder).size).to.equal(SIZE)
  }).timeout(60_000)

  /** The kind that goes with the file, and the record that the byte belongs to. */
  function expectPlace(path: string, offset: number, good: Buffer, facts: Facts): void {
    if (path === 'verifier-key') expect(facts['fault']).to.equal('key-file-changed')
    else if (path === 'checkpoint') {
      expect(facts['fault']).to.be.oneOf(['checkpoint-malformed', 'checkpoint-signature', 'wrong-key'])
    } else if (path.startsWith('tile/entries/')) {
      const tile = Number(/[0-9]{3}/.exec(path)?.[0])
      const before = parseBundle(good.subarray(0, offset + 1)).entries.length
      // The last byte of a record makes it whole; it is still that record's.
      const isLast = parseBundle(good.subarray(0, offset + 1)).rest.byteLength === 0
      expect(facts).to.deep.include({ fault: 'record-changed', index: tile * 256 + before - (isLast ? 1 : 0) })
    } else {
      const [, level, tile] = /^tile\/([0-9])\/([0-9]{3})/.exec(path)!.map(Number) as [number, number, number]
      const index = (tile * 256 + Math.floor(offset / 32)) * 256 ** level
      expect(facts).to.deep.include({ fault: 'tile-changed', level, index })
    }
  }

  describe('AUDIT_LOG_UNREADABLE', () => {
    /** Every read of it fails with EIO. */
    const BROKEN = '/proc/self/mem'

    for (const path of [FIRST, 'tile/0/001', 'checkpoint', 'verifier-key']) {
      it(`is said where the disk gives an error at ${path}, and nothing is said of the log`, () => {
        const to = copy()
        to.remove(path)
        symlinkSync(BROKEN, to.at(path))
        const { facts } = expectCode('AUDIT_LOG_UNREADABLE', () => verify(to.folder))
        expect(facts).to.deep.equal({ path, reason: 'EIO' })
      })
    }

    for (const path of ['tile/entries/002.p', LAST]) {
      it(`is said where ${path} may not be read`, () => {
        const to = copy()
        chmodSync(dirname(to.folder), 0o755)
        opened(to.folder)
        chmodSync(to.at(path), 0o000)
        const { facts } = asNobody(() => expectCode('AUDIT_LOG_UNREADABLE', () => verify(to.folder)))
        expect(facts['reason']).to.equal('EACCES')
        expect(facts['path']).to.equal(path)
        chmodSync(to.at(path), 0o700)
      })
    }
  })

  /** Everybody may read it. */
  function opened(folder: string): void {
    chmodSync(folder, 0o755)
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644)
    }
  }

  /** File modes mean nothing to root. */
  function asNobody<T>(work: () => T): T {
    if (process.geteuid?.() !== 0) return work()
    process.seteuid?.(65_534)
    try {
      return work()
    } finally {
      process.seteuid?.(0)
    }
  }

  /** Makes the hashes of a whole tile, and the one above it, fit its records. */
  function rehash(to: Copy, tile: number): void {
    const name = String(tile).padStart(3, '0')
    const hashes = parseBundle(readFileSync(to.at(`tile/entries/${name}`))).entries.map(leafHash)
    writeFileSync(to.at(`tile/0/${name}`), Buffer.concat(hashes))
    to.edit('tile/1/000.p/2', (bytes) =>
      Buffer.concat([bytes.subarray(0, tile * 32), perfectRoot(hashes), bytes.subarray((tile + 1) * 32)]),
    )
  }
})
