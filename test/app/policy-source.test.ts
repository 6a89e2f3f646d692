import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { expect } from 'chai'
import { PolicyFolderSource } from '../../src/app/policy-source.ts'
import { ConfigError } from '../../src/config/errors.ts'
import { createLog } from '../../src/log.ts'
import { readFolderFiles } from '../../src/policy/folder-files.ts'
import { expectCode } from '../support/expect-code.ts'
import { facts, PEOPLE, PROJECT } from '../support/policies.ts'

const silent = createLog('error', { write: () => undefined })
const at = new Date('2026-05-04T10:00:00Z')

describe('the policy folder of a running daemon', () => {
  let folder: string
  let records: { kind: string; facts: object }[]
  let canRecord: boolean
  const keyHolder = {
    appendRecord: (kind: string, recorded: object): Promise<number> => {
      if (!canRecord) return Promise.reject(new Error('away'))
      records.push({ kind, facts: recorded })
      return Promise.resolve(records.length)
    },
  }
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o644 })
  }
  const start = () => new PolicyFolderSource(folder, silent, keyHolder)
  const digestOf = (source: PolicyFolderSource) => source.current().evaluate(facts(), at).policyDigest

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-policies-'))
    records = []
    canRecord = true
    write('people.yaml', PEOPLE)
    write('team.yaml', PROJECT)
  })
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  it('is in force from the start, and recorded', async () => {
    const source = start()
    expect(source.current().evaluate(facts(), at).outcome).to.equal('allow')
    await source.look()
    await source.look()
    expect(records).to.deep.equal([{ kind: 'policies-loaded', facts: { digest: source.state.digest } }])
  })

  it('is recorded as soon as the log can be written', async () => {
    canRecord = false
    const source = start()
    await source.look()
    canRecord = true
    await source.look()
    expect(records).to.have.length(1)
  })

  it('is taken over when it has settled, in one step', async () => {
    const source = start()
    const before = digestOf(source)
    const policy = source.current()
    write('team.yaml', PROJECT.replace('[v*]', '[v*, w*]'))
    await source.look()
    expect(digestOf(source), 'while it may still change').to.equal(before)
    await source.look()
    expect(digestOf(source)).to.not.equal(before)
    expect(policy.evaluate(facts(), at).policyDigest, 'for those who have begun').to.equal(before)
    expect(records.map(({ kind }) => kind)).to.deep.equal(['policies-loaded', 'policies-loaded'])
  })

  it('is taken over where a file was edited in place, with the same size and a time of its own', async () => {
    const path = join(folder, 'team.yaml')
    const { size } = statSync(path)
    utimesSync(path, at, at)
    const source = start()
    const before = digestOf(source)
    // Longer than the steps in which a file system counts its times.
    await setTimeout(20)
    write('team.yaml', PROJECT.replace('[v*]', '[w*]'))
    utimesSync(path, at, at)
    expect([statSync(path).size, statSync(path).mtime]).to.deep.equal([size, at])
    await source.look()
    await source.look()
    expect(digestOf(source)).to.not.equal(before)
  })

  it('leaves the former policies in force where it is faulty, removed or empty; and takes over what is whole again', async () => {
    const source = start()
    const before = digestOf(source)
    const broken: (() => void)[] = [
      () => {
        write('team.yaml', PROJECT.replace('[v*]', '[]'))
      },
      () => {
        write('team.yaml', '{')
      },
      () => {
        rmSync(join(folder, 'team.yaml'))
      },
      () => {
        rmSync(folder, { recursive: true })
      },
    ]
    for (const breakIt of broken) {
      breakIt()
      for (let look = 0; look < 3; look++) await source.look()
      expect(source.state.faults).to.not.deep.equal([])
      expect(digestOf(source)).to.equal(before)
    }
    mkdirSync(folder)
    write('people.yaml', PEOPLE)
    write('team.yaml', PROJECT)
    for (let look = 0; look < 2; look++) await source.look()
    expect(source.state.faults).to.deep.equal([])
    expect(records).to.have.length(1)
  })

  it('may be a link that is switched', async () => {
    const parent = mkdtempSync(join(tmpdir(), 'countersign-versions-'))
    try {
      for (const [version, text] of [
        ['1', PROJECT],
        ['2', PROJECT.replace('[v*]', '[v*, w*]')],
      ] as const) {
        mkdirSync(join(parent, version))
        writeFileSync(join(parent, version, 'people.yaml'), PEOPLE, { mode: 0o644 })
        writeFileSync(join(parent, version, 'team.yaml'), text, { mode: 0o644 })
      }
      const link = join(parent, 'current')
      symlinkSync('1', link)
      const source = new PolicyFolderSource(link, silent, keyHolder)
      const before = digestOf(source)
      symlinkSync('2', `${link}.new`)
      renameSync(`${link}.new`, link)
      for (let look = 0; look < 2; look++) await source.look()
      expect(digestOf(source)).to.not.equal(before)
    } finally {
      rmSync(parent, { recursive: true, force: true })
    }
  })

  it('ends the start where it is faulty, with every fault', () => {
    write('team.yaml', PROJECT.replace('[v*]', '[]').replace('[anyone]', '[everybody]'))
    const error = expectCode('POLICY_INVALID', start)
    expect(error instanceof ConfigError && error.faults.map(({ path }) => path)).to.deep.equal([
      'team.yaml: policies.release.tags',
      'team.yaml: policies.test.submitters.0',
    ])
  })

  for (const [what, prepare] of [
    [
      'does not exist',
      () => {
        rmSync(folder, { recursive: true })
      },
    ],
    [
      'holds a file of another kind',
      () => {
        write('team.yml', PROJECT)
      },
    ],
    [
      'holds a file that everybody can write',
      () => {
        chmodSync(join(folder, 'team.yaml'), 0o646)
      },
    ],
    [
      'holds a folder',
      () => {
        mkdirSync(join(folder, 'more.yaml'))
      },
    ],
    [
      'holds an endless file',
      () => {
        write('big.yaml', 'x'.repeat(300_000))
      },
    ],
  ] as const) {
    it(`is refused where it ${what}`, () => {
      prepare()
      expectCode('POLICY_INVALID', () => readFolderFiles(folder))
    })
  }

  it('may hold words for people, and hidden files', () => {
    write('README.md', '# Policies')
    write('.git', 'x')
    expect(readFolderFiles(folder).files.map(({ name }) => name)).to.deep.equal(['people.yaml', 'team.yaml'])
  })
})
