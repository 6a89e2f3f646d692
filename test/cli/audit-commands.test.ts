// `audit verify`, `audit list` and `audit export`: what they say, how they end, and that a copy is whole or not there.
import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { encodeVerifierKey } from '../../src/key-holder/signed-note.ts'
import { Scope } from '../support/scope.ts'
import { TestLog, type TestRecord } from '../support/test-log.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const GUN = 'registry.example.com/team/app'
const OTHER = 'registry.example.com/team/other'
const DIGEST = 'ab'.repeat(32)
const START = Date.parse('2026-11-01T00:00:00Z')

interface Listed {
  readonly index: number
  readonly record: TestRecord
}

/** One record a minute. */
function at(index: number): string {
  return new Date(START + index * 60_000).toISOString()
}

function change(tag: string, principal: string, sha256 = 'cd'.repeat(32)): object {
  return { kind: 'put', tag, sha256, length: 500, evidence: { request: 'req-1', principal } }
}

const RECORDS: readonly TestRecord[] = [
  { kind: 'key-holder-started', by: 'key-holder', uid: 1, pid: 2, version: '0.1.0' },
  {
    kind: 'key-created',
    by: 'operator',
    gun: GUN,
    role: 'targets/countersign',
    evidence: { request: 'r', principal: 'operator eve' },
  },
  {
    kind: 'daemon-record',
    by: 'service',
    saidBy: 'daemon',
    record: 'request-submitted',
    facts: { request: 'req-1', principal: 'token:3', gun: GUN, tag: '1.4', sha256: DIGEST },
  },
  {
    kind: 'targets-change',
    by: 'service',
    gun: GUN,
    roles: [{ role: 'targets/releases', baseVersion: 1, version: 2, payloadSha256: 'ee'.repeat(32) }],
    changes: [
      change('1.4', 'token:3', DIGEST),
      change('1.5', 'token:4'),
      change('1.6', 'token:4'),
      { ...change('1.3', 'token:4'), kind: 'drop', sha256: undefined },
    ],
  },
  { kind: 'refused', by: 'service', operation: 'change-targets', gun: OTHER, code: 'LIMIT_TAG', facts: { tag: 'v1' } },
  {
    kind: 'daemon-record',
    by: 'service',
    saidBy: 'daemon',
    record: 'token-created',
    facts: { token: 'tok-9', by: 'token:1' },
  },
  {
    kind: 'repository-frozen',
    by: 'operator',
    gun: OTHER,
    reason: 'looks \u001b[31modd',
    evidence: { request: 'r', principal: 'operator eve' },
  },
]
/** Behind them so many of no interest: three bundles in all. */
const FILLING = 600

describe('cli audit', () => {
  const scope = new Scope()
  const log = new TestLog(scope)
  const SIZE = RECORDS.length + FILLING
  let place: Workplace
  let older = ''

  before(() => {
    log.add(RECORDS.map((record, index) => ({ v: 1, at: at(index), ...record })))
    log.append(100, (index) => ({
      v: 1,
      at: at(index),
      kind: 'versions-seen',
      by: 'key-holder',
      gun: OTHER,
      roles: [],
    }))
    older = log.checkpoint
    log.append(FILLING - 100, (index) => ({ v: 1, at: at(index), kind: 'versions-seen', by: 'key-holder', gun: OTHER }))
  })
  after(() => scope.close())
  beforeEach(() => {
    place = new Workplace()
    cpSync(log.folder, place.path('log'), { recursive: true })
    place.file('audit.key', `${log.verifierKey}\n`)
    place.file('older', older)
  })
  afterEach(() => {
    place.remove()
  })

  const audit = (command: string, ...more: string[]): Promise<Ran> =>
    place.run(['audit', command, place.path('log'), '--key', place.path('audit.key'), ...more])
  const harm = (path: string, change: (bytes: Buffer) => Buffer): void => {
    writeFileSync(place.path(`log/${path}`), change(readFileSync(place.path(`log/${path}`))))
  }
  /** The record with the index 300, by its last byte. */
  const harmRecord = (): void => {
    harm('tile/entries/001', (bytes) => Buffer.from(bytes.toString('latin1').replace(at(300), at(3000)), 'latin1'))
  }
  const facts = (ran: Ran): unknown => (ran.json() as { facts: unknown }).facts
  const filesOf = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => statSync(join(folder, name)).isFile())
      .sort()

  describe('verify', () => {
    it('0: says what the log is, and that nothing was compared', async () => {
      const ran = await audit('verify')
      expect(ran.exit, ran.stderr).to.equal(0)
      expect(ran.stdout).to.equal(
        [
          'The log is whole.',
          'Log:            test/audit',
          `Records:        ${SIZE}`,
          `Root hash:      ${log.rootHash}`,
          `Newest record:  ${at(SIZE - 1)}`,
          '',
        ].join('\n'),
      )
      expect(ran.stderr).to.contain('--since')
    })

    it('0: compares with every earlier checkpoint, and prints the one to keep', async () => {
      place.file('same', log.checkpoint)
      const ran = await audit('verify', '--since', place.path('older'), '--since', place.path('same'), '--json')
      expect([ran.exit, ran.stderr]).to.deep.equal([0, ''])
      expect(ran.json()).to.deep.equal({
        folder: place.path('log'),
        origin: 'test/audit',
        size: SIZE,
        rootHash: log.rootHash,
        checkpoint: log.checkpoint,
        newestRecordAt: at(SIZE - 1),
        goesOnFrom: [107, SIZE],
      })
      const words = await audit('verify', '--since', place.path('older'))
      expect(words.stdout).to.contain('Goes on from:   107 records')
    })

    it('0: takes the key itself as well', async () => {
      const ran = await place.run(['audit', 'verify', place.path('log'), '--key', log.verifierKey])
      expect(ran.exit, ran.stderr).to.equal(0)
    })

    it('0: an empty log is whole', async () => {
      const empty = new TestLog(scope).append(1)
      const young = await place.run(['audit', 'verify', empty.folder, '--key', empty.verifierKey, '--json'])
      // A record without a time.
      expect(young.json()).to.include({ size: 1 }).and.not.to.have.property('newestRecordAt')
    })

    it('1: AUDIT_LOG_DAMAGED names the record and what became of it', async () => {
      harmRecord()
      const ran = await audit('verify', '--json')
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['AUDIT_LOG_DAMAGED']])
      expect(facts(ran)).to.deep.include({ fault: 'record-changed', index: 300, path: 'tile/entries/001' })
      const words = await audit('verify')
      expect(words.stderr).to.contain(
        'AUDIT_LOG_DAMAGED: The audit log is damaged: record 300 is not the one that was logged.',
      )
      expect([words.exit, words.stdout]).to.deep.equal([1, ''])
    })

    it('1: a log that is shorter than it was', async () => {
      const newest = place.file('newest', log.checkpoint)
      writeFileSync(place.path('log/checkpoint'), older)
      expect((await audit('verify', '--since', place.path('older'))).exit).to.equal(0)
      const ran = await audit('verify', '--since', place.path('older'), '--since', newest, '--json')
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['AUDIT_LOG_DAMAGED']])
      expect(facts(ran)).to.deep.include({ fault: 'truncated', index: 107, to: SIZE - 1, older: SIZE })
    })

    it('1: another key than that of the log', async () => {
      const { publicKey } = generateKeyPairSync('ed25519')
      const ran = await place.run([
        'audit',
        'verify',
        place.path('log'),
        '--key',
        encodeVerifierKey('test/audit', publicKey),
        '--json',
      ])
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['AUDIT_LOG_DAMAGED']])
      expect(facts(ran)).to.deep.include({ fault: 'wrong-key' })
    })

    it('1: a file that is gone, and 4: one that cannot be read', async () => {
      rmSync(place.path('log/tile/0/001'))
      const gone = await audit('verify', '--json')
      expect([gone.exit, gone.codes()]).to.deep.equal([1, ['AUDIT_LOG_DAMAGED']])
      expect(facts(gone)).to.deep.include({ fault: 'file-missing', path: 'tile/0/001', index: 256, to: 511 })
      // Every read of this file fails with EIO.
      symlinkSync('/proc/self/mem', place.path('log/tile/0/001'))
      const unread = await audit('verify', '--json')
      expect([unread.exit, unread.codes()]).to.deep.equal([4, ['AUDIT_LOG_UNREADABLE']])
      expect(facts(unread)).to.deep.equal({ path: 'tile/0/001', reason: 'EIO' })
    })

    it('2: no key, or one that is none', async () => {
      const without = await place.run(['audit', 'verify', place.path('log')])
      expect([without.exit, without.codes()]).to.deep.equal([2, ['USAGE_INVALID']])
      place.file('audit.key', 'no key\n')
      const bad = await audit('verify')
      expect([bad.exit, bad.codes()]).to.deep.equal([2, ['AUDIT_KEY_UNUSABLE']])
    })

    it('2: the key beside the log is refused, by whatever path', async () => {
      symlinkSync(place.path('log/verifier-key'), place.path('link'))
      for (const key of [place.path('log/verifier-key'), place.path('link')]) {
        const ran = await place.run(['audit', 'verify', place.path('log'), '--key', key])
        expect([ran.exit, ran.codes()]).to.deep.equal([2, ['AUDIT_KEY_UNUSABLE']])
      }
    })

    it('2: an earlier checkpoint that is none of this log', async () => {
      const foreign = place.file('foreign', new TestLog(scope).append(3).checkpoint)
      const ran = await audit('verify', '--since', foreign, '--json')
      expect([ran.exit, ran.codes()]).to.deep.equal([2, ['AUDIT_CHECKPOINT_UNUSABLE']])
      expect(facts(ran)).to.deep.equal({ file: foreign, reason: 'wrong-key' })
    })

    for (const [what, argv] of [
      ['the log', ['nothing', '--key', 'audit.key']],
      ['the key', ['log', '--key', 'nothing']],
      ['the earlier checkpoint', ['log', '--key', 'audit.key', '--since', 'nothing']],
    ] as const) {
      it(`4: ${what} is not there`, async () => {
        const ran = await place.run([
          'audit',
          'verify',
          ...argv.map((word) => (word.startsWith('-') ? word : place.path(word))),
        ])
        expect([ran.exit, ran.codes()]).to.deep.equal([4, ['FILE_UNREADABLE']])
      })
    }

    it('4: a file in the place of the folder', async () => {
      const ran = await place.run(['audit', 'verify', place.path('older'), '--key', place.path('audit.key')])
      expect([ran.exit, ran.codes()]).to.deep.equal([4, ['FILE_UNREADABLE']])
    })

    it('4: INTERRUPTED says nothing about the log', async () => {
      const argv = ['audit', 'verify', place.path('log'), '--key', place.path('audit.key')]
      const ran = await place.run(argv, { interrupted: AbortSignal.abort() })
      expect([ran.exit, ran.codes(), ran.stdout]).to.deep.equal([4, ['INTERRUPTED'], ''])
    })

    it('shows how far it is, on a terminal only', async () => {
      // Every look at the clock is a minute later.
      let minutes = 0
      const now = (): Date => new Date(START + minutes++ * 60_000)
      const argv = [
        'audit',
        'verify',
        place.path('log'),
        '--key',
        place.path('audit.key'),
        '--since',
        place.path('older'),
      ]
      const seen = await place.run(argv, { isTTY: true, env: { NO_COLOR: '1' }, now })
      expect(seen.stderr).to.contain(`verified 256 of ${SIZE} records (42 %)`)
      expect(seen.stderr.endsWith('\r\u001b[K'), 'taken away at the end').to.equal(true)
      expect((await place.run(argv, { now })).stderr).to.equal('')
      expect((await place.run(argv, { isTTY: true, env: { TERM: 'dumb' }, now })).stderr).to.equal('')
    })
  })

  describe('list', () => {
    const listed = async (...more: string[]): Promise<Listed[]> => {
      const ran = await audit('list', '--json', ...more)
      expect(ran.exit, ran.stderr).to.equal(0)
      return ran.stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Listed)
    }
    const indexes = async (...more: string[]): Promise<number[]> => (await listed(...more)).map(({ index }) => index)

    it('has every record, newest first, one object per line', async () => {
      const all = await listed()
      expect(all.map(({ index }) => index)).to.deep.equal(Array.from({ length: SIZE }, (_, n) => SIZE - 1 - n))
      expect(all.at(-4)?.record).to.deep.equal(JSON.parse(JSON.stringify({ v: 1, at: at(3), ...RECORDS[3] })))
    })

    const FILTERS: readonly (readonly [what: string, argv: readonly string[], expected: readonly number[]])[] = [
      ['a repository', ['--repository', GUN], [3, 2, 1]],
      ['a tag', ['--tag', '1.4'], [3, 2]],
      ['a tag that was refused', ['--tag', 'v1'], [4]],
      ['a tag that was dropped', ['--tag', '1.3'], [3]],
      ['a digest', ['--digest', `sha256:${DIGEST}`], [3, 2]],
      ['a digest without the name of the hash', ['--digest', DIGEST], [3, 2]],
      ['the digest of a role', ['--digest', 'ee'.repeat(32)], [3]],
      ['an identity', ['--identity', 'token:3'], [3, 2]],
      ['an identity that made a token', ['--identity', 'token:1'], [5]],
      ['an operator', ['--identity', 'operator eve'], [6, 1]],
      ['a kind', ['--operation', 'targets-change'], [3]],
      ['a record of the daemon', ['--operation', 'request-submitted'], [2]],
      ['all records of the daemon', ['--operation', 'daemon-record'], [5, 2]],
      ['a refused operation', ['--operation', 'change-targets'], [4]],
      ['a tag that another identity changed', ['--tag', '1.4', '--identity', 'token:4'], []],
      ['a tag and its identity', ['--tag', '1.5', '--identity', 'token:4'], [3]],
      ['a tag and the digest of another', ['--tag', '1.5', '--digest', DIGEST], []],
      ['a time', ['--since', at(2), '--until', at(4)], [3, 2]],
      ['a time in another zone', ['--since', '2026-11-01T01:02:00+01:00', '--until', '2026-11-01T01:03:00+01:00'], [2]],
      ['a day', ['--until', '2026-11-01'], []],
      ['a number', ['--limit', '2'], [SIZE - 1, SIZE - 2]],
      ['a number of those that fit', ['--repository', GUN, '--limit', '2'], [3, 2]],
    ]
    for (const [what, argv, expected] of FILTERS) {
      it(`finds by ${what}`, async () => expect(await indexes(...argv)).to.deep.equal(expected))
    }

    it('is a table for people, harmless for their terminal', async () => {
      const ran = await audit('list', '--until', at(7))
      expect([ran.exit, ran.stderr]).to.deep.equal([0, ''])
      const lines = ran.stdout.split('\n')
      expect(lines[0]).to.match(/^RECORD +TIME +EVENT +THROUGH +REPOSITORY +IDENTITY +WHAT$/)
      expect(lines[1]).to.match(
        /^6 +2026-11-01T00:06:00.000Z +repository-frozen +operator +\S+other +operator eve +looks \\u\{1b\}\[31modd$/,
      )
      expect(lines[2]).to.contain('token-created')
      expect(lines[3]).to.contain('LIMIT_TAG, change-targets, v1')
      expect(lines[4])
        .to.contain('token:3, token:4')
        .and.to.contain('put 1.4 sha256:abababababab, put 1.5 sha256:cdcdcdcdcdcd')
        .and.to.contain('and 1 more')
      expect(lines[5]).to.contain('request-submitted').and.to.contain('1.4 sha256:abababababab')
      expect(lines).to.have.length(9)
      expect((await audit('list', '--tag', 'none')).stdout).to.match(/^RECORD .*\n$/)
    })

    it('has one header, however long it is', async () => {
      const lines = (await audit('list')).stdout.trimEnd().split('\n')
      expect(lines).to.have.length(SIZE + 1)
      expect(lines.filter((line) => line.startsWith('RECORD'))).to.have.length(1)
    })

    it('reads nothing that it does not show', async () => {
      rmSync(place.path('log/tile/entries/000'))
      rmSync(place.path('log/tile/0/000'))
      expect(await indexes('--limit', '300')).to.have.length(300)
    })

    for (const [what, damage, fault] of [
      ['a record', harmRecord, { fault: 'record-changed', index: 300 }],
      [
        'a hash',
        () => {
          harm('tile/0/001', (bytes) => bytes.fill(1, 44 * 32, 45 * 32))
        },
        { fault: 'tile-changed', index: 300 },
      ],
      [
        'a hash of hashes',
        () => {
          harm('tile/1/000.p/2', (bytes) => bytes.fill(1, 0, 32))
        },
        { fault: 'tile-changed', index: 0, to: 255 },
      ],
      [
        'the checkpoint',
        () => {
          harm('checkpoint', (bytes) => Buffer.from(bytes.toString().replace(`\n${SIZE}\n`, '\n512\n')))
        },
        { fault: 'checkpoint-signature' },
      ],
    ] as const) {
      it(`1: shows nothing of a bundle with ${what} changed, and names the place`, async () => {
        damage()
        const ran = await audit('list', '--json')
        expect([ran.exit, ran.codes()]).to.deep.equal([1, ['AUDIT_LOG_DAMAGED']])
        const lines = ran.stdout
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as { index?: number; facts?: object })
        expect(lines.at(-1)?.facts).to.deep.include(fault)
        for (const { index = 0 } of lines.slice(0, -1)) expect(index).to.be.at.least(512)
      })
    }

    it('2: filters that are none', async () => {
      for (const argv of [
        ['--digest', 'abc'],
        ['--since', 'yesterday'],
        ['--since', '2026-02-30'],
        ['--until', '2026-11-01T10:00:00'],
        ['--limit', '0'],
        ['--repository', `${GUN}:1.4`],
      ]) {
        const ran = await audit('list', ...argv)
        expect([ran.exit, ran.codes()], argv.join(' ')).to.deep.equal([2, ['USAGE_INVALID']])
      }
      const without = await place.run(['audit', 'list', place.path('log')])
      expect([without.exit, without.codes()]).to.deep.equal([2, ['USAGE_INVALID']])
    })

    it('4: what cannot be read', async () => {
      rmSync(place.path('log/tile/entries/001'))
      symlinkSync('/proc/self/mem', place.path('log/tile/entries/001'))
      const ran = await audit('list')
      expect([ran.exit, ran.codes()]).to.deep.equal([4, ['AUDIT_LOG_UNREADABLE']])
      expect(ran.stdout, 'what was shown before is verified').to.contain(at(SIZE - 1))
    })
  })

  describe('export', () => {
    it('0: a folder of its own that verifies elsewhere, byte for byte, for the owner only', async () => {
      const ran = await audit('export', place.path('out'), '--since', place.path('older'), '--json')
      expect([ran.exit, ran.stderr]).to.deep.equal([0, ''])
      expect(filesOf(place.path('out'))).to.deep.equal(filesOf(place.path('log')))
      for (const path of filesOf(place.path('out'))) {
        const [copied, original] = ['out', 'log'].map((folder) => readFileSync(place.path(`${folder}/${path}`)))
        expect(copied?.equals(original!), path).to.equal(true)
        expect(statSync(place.path(`out/${path}`)).mode & 0o777, path).to.equal(0o600)
      }
      expect(statSync(place.path('out')).mode & 0o777).to.equal(0o700)
      expect(statSync(place.path('out/tile/0')).mode & 0o777).to.equal(0o700)
      const { files, ...verified } = ran.json() as { files: number; folder: string }
      expect(files).to.equal(filesOf(place.path('out')).length)
      rmSync(place.path('log'), { recursive: true })
      const again = await place.run([
        'audit',
        'verify',
        place.path('out'),
        '--key',
        place.path('audit.key'),
        '--since',
        place.path('older'),
        '--json',
      ])
      expect(again.json()).to.deep.equal(verified)
    })

    it('0: is cut to the checkpoint, where the log has gone on', async () => {
      const grown = new TestLog(scope).append(500)
      const note = grown.checkpoint
      grown.append(200)
      writeFileSync(join(grown.folder, 'checkpoint'), note)
      const ran = await place.run(['audit', 'export', grown.folder, place.path('out'), '--key', grown.verifierKey])
      expect(ran.exit, ran.stderr).to.equal(0)
      expect(ran.stdout)
        .to.contain(`A verified copy of the log is in ${place.path('out')}: 7 files.`)
        .and.to.contain('500')
      expect(filesOf(place.path('out'))).to.deep.equal([
        'checkpoint',
        'tile/0/000',
        'tile/0/001.p/244',
        'tile/1/000.p/1',
        'tile/entries/000',
        'tile/entries/001.p/244',
        'verifier-key',
      ])
      const verify = await place.run(['audit', 'verify', place.path('out'), '--key', grown.verifierKey])
      expect(verify.exit, verify.stderr).to.equal(0)
    })

    const nothingIsThere = (): void => {
      expect(readdirSync(place.folder).filter((name) => name.startsWith('out'))).to.deep.equal([])
    }

    it('1: a damaged log is not copied, and the place is named', async () => {
      harmRecord()
      const ran = await audit('export', place.path('out'), '--json')
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['AUDIT_LOG_DAMAGED']])
      expect(facts(ran)).to.deep.include({ fault: 'record-changed', index: 300 })
      nothingIsThere()
    })

    it('1: nor one that does not go on from an earlier checkpoint', async () => {
      const newest = place.file('newest', log.checkpoint)
      writeFileSync(place.path('log/checkpoint'), older)
      const ran = await audit('export', place.path('out'), '--since', newest, '--json')
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['AUDIT_LOG_DAMAGED']])
      expect(facts(ran)).to.deep.include({ fault: 'truncated' })
      nothingIsThere()
    })

    it('4: FILE_EXISTS: never writes over anything', async () => {
      mkdirSync(place.path('out'))
      const ran = await audit('export', place.path('out'))
      expect([ran.exit, ran.codes()]).to.deep.equal([4, ['FILE_EXISTS']])
      expect(readdirSync(place.path('out'))).to.deep.equal([])
    })

    it('4: FILE_UNWRITABLE: where no folder can be made', async () => {
      const ran = await audit('export', place.path('none/out'))
      expect([ran.exit, ran.codes()]).to.deep.equal([4, ['FILE_UNWRITABLE']])
    })

    it('4: AUDIT_LOG_UNREADABLE: a file that cannot be read', async () => {
      rmSync(place.path('log/tile/0/001'))
      symlinkSync('/proc/self/mem', place.path('log/tile/0/001'))
      const ran = await audit('export', place.path('out'))
      expect([ran.exit, ran.codes()]).to.deep.equal([4, ['AUDIT_LOG_UNREADABLE']])
      nothingIsThere()
    })

    it('4: INTERRUPTED leaves nothing', async () => {
      const argv = ['audit', 'export', place.path('log'), place.path('out'), '--key', place.path('audit.key')]
      const ran = await place.run(argv, { interrupted: AbortSignal.abort() })
      expect([ran.exit, ran.codes()]).to.deep.equal([4, ['INTERRUPTED']])
      nothingIsThere()
    })

    for (const [when, dies] of [
      ['while it is written', true],
      ['before it is verified', false],
    ] as const) {
      it(`a death ${when} leaves no folder of that name`, () => {
        const source = (path: string) => JSON.stringify(resolve(import.meta.dirname, '../../src', path))
        const script = `
          import { copyAuditLog } from ${source('key-holder/audit-copy.ts')}
          import { writeNewFolder } from ${source('cli/files.ts')}
          const die = () => process.kill(process.pid, 'SIGKILL')
          const copy = copyAuditLog(${JSON.stringify(place.path('log'))}, ${JSON.stringify(log.verifierKey)})
          function* files() {
            let written = 0
            for (const [path, bytes] of copy.files) {
              if (${dies} && written++ === 4) die()
              yield [path, bytes]
            }
          }
          await writeNewFolder(${JSON.stringify(place.path('out'))}, { files: files(), seal: copy.checkpoint, mode: 0o600, check: async () => die() })`
        const options = ['--import', 'tsx', '--conditions=source', '--input-type=module', '--eval', script]
        const { signal, stderr } = spawnSync(process.execPath, options, { encoding: 'utf8' })
        expect(signal, stderr).to.equal('SIGKILL')
        expect(existsSync(place.path('out'))).to.equal(false)
        const [found = '', ...more] = readdirSync(place.folder).filter((name) => name.startsWith('out.'))
        expect(more).to.deep.equal([])
        const names = readdirSync(place.path(found), { recursive: true, encoding: 'utf8' }).sort()
        expect(names.includes('checkpoint')).to.equal(!dies)
      })
    }
  })
})
