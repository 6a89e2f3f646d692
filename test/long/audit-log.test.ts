// A log of a million records is verified, searched and copied by the built program, in little memory; time and memory are told on standard
// error. COUNTERSIGN_TEST_RECORDS says how many records instead.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { tilePath } from '../../src/key-holder/tiles.ts'
import { builtProgram } from '../support/countersign-program.ts'
import { Scope } from '../support/scope.ts'
import { TestLog, type TestRecord } from '../support/test-log.ts'

const RECORDS = Number(process.env['COUNTERSIGN_TEST_RECORDS'] ?? 1_000_000)
/** What a million records may take, in seconds: the aim of docs/performance.md. */
const SECONDS = 60
/** Resident memory at its highest, in MiB, most of it Node itself: a million records have 600. */
const MEMORY_MIB = 350
/** Has the program say at its end how much it was. (`maxRSS` would be that of the process that started it.) */
const TELL_MEMORY = `data:text/javascript,${encodeURIComponent(`
  import { readFileSync } from 'node:fs'
  process.on('exit', () => process.stderr.write(/VmHWM.*/.exec(readFileSync('/proc/self/status', 'utf8'))[0]))
`)}`

interface Ran {
  readonly status: number | null
  /** Too much for one string, where a whole log is listed. */
  readonly stdout: Buffer
  readonly stderr: string
  readonly seconds: number
}

/** As large as the record of a usual signature. */
function record(index: number): TestRecord {
  const sha256 = index.toString(16).padStart(64, '0')
  const tag = `build-${index}`
  const evidence = { request: `req-${index}`, principal: `token:${index % 7}`, decision: 'd'.repeat(64) }
  return {
    v: 1,
    at: new Date(Date.parse('2026-01-01T00:00:00Z') + index * 1000).toISOString(),
    kind: 'targets-change',
    by: 'service',
    gun: `registry.example.com/team/app-${index % 50}`,
    publication: `publication-${index}`,
    roles: [{ role: 'targets/releases', baseVersion: index, version: index + 1, payloadSha256: sha256 }],
    changes: [{ kind: 'put', tag, sha256, length: 1234, evidence }],
  }
}

describe(`an audit log of ${RECORDS} records`, function () {
  this.timeout(3_600_000)
  const scope = new Scope()
  const log = new TestLog(scope)
  const program = builtProgram()
  after(() => scope.close())

  const tell = (line: string): void => {
    process.stderr.write(`audit log: ${line}\n`)
  }
  const audit = (what: string, ...argv: string[]): Ran => {
    const began = performance.now()
    const args = ['--import', TELL_MEMORY, program, 'audit', ...argv, '--key', log.verifierKey, '--json']
    const { status, stdout, stderr: said } = spawnSync(process.execPath, args, { maxBuffer: 2 ** 31 })
    const stderr = said.toString()
    const seconds = (performance.now() - began) / 1000
    const memory = Number(/VmHWM:\s*([0-9]+) kB/.exec(stderr)?.[1]) / 1024
    tell(`${what}: ${seconds.toFixed(1)} s, ${Math.round(memory)} MiB`)
    expect(memory, what).to.be.below(MEMORY_MIB)
    return { status, stdout, stderr, seconds }
  }

  before(() => {
    const began = performance.now()
    log.append(RECORDS, record)
    tell(`${RECORDS} records written in ${((performance.now() - began) / 1000).toFixed(1)} s`)
  })

  it('is verified within the time', () => {
    const { status, stdout, stderr, seconds } = audit('verify', 'verify', log.folder)
    expect(status, stderr).to.equal(0)
    expect(JSON.parse(stdout.toString())).to.include({ size: RECORDS, rootHash: log.rootHash })
    expect(seconds).to.be.below(SECONDS * Math.max(1, RECORDS / 1_000_000))
  })

  it('is searched', () => {
    const wanted = Math.floor(RECORDS / 3)
    const { status, stdout, stderr } = audit('list by tag', 'list', log.folder, '--tag', `build-${wanted}`)
    expect(status, stderr).to.equal(0)
    expect(JSON.parse(stdout.toString())).to.deep.equal({ index: wanted, record: record(wanted) })
    const newest = audit('list, the newest', 'list', log.folder, '--limit', '1')
    expect(JSON.parse(newest.stdout.toString())).to.include({ index: RECORDS - 1 })
  })

  it('is listed whole, in as little memory', () => {
    const { status, stdout, stderr } = audit('list', 'list', log.folder)
    expect(status, stderr).to.equal(0)
    let lines = 0
    for (let at = stdout.indexOf(10); at >= 0; at = stdout.indexOf(10, at + 1)) lines++
    expect(lines).to.equal(RECORDS)
  })

  it('is copied, and the copy verified', () => {
    const out = join(scope.folder('out'), 'log')
    const { status, stdout, stderr } = audit('export', 'export', log.folder, out)
    expect(status, stderr).to.equal(0)
    expect(JSON.parse(stdout.toString())).to.include({ folder: out, size: RECORDS, rootHash: log.rootHash })
    expect(readFileSync(join(out, 'checkpoint'), 'utf8')).to.equal(log.checkpoint)
  })

  for (const level of [0, 1, 2]) {
    it(`shows one byte changed in a hash tile of level ${level}, and where`, function () {
      const nodes = Math.floor(RECORDS / 256 ** level)
      // Too small a log has no such level.
      if (nodes === 0) this.skip()
      const tile = Math.floor((nodes - 1) / 256 / 2)
      const width = Math.min(256, nodes - tile * 256)
      const path = tilePath(level, tile, width)
      const file = join(log.folder, path)
      const good = readFileSync(file)
      const bad = Buffer.from(good)
      const at = Math.floor(width / 2)
      bad[at * 32 + 7]! ^= 0x10
      writeFileSync(file, bad)
      const { status, stdout } = audit(`verify with a damaged tile of level ${level}`, 'verify', log.folder)
      writeFileSync(file, good)
      expect(status).to.equal(1)
      const index = (tile * 256 + at) * 256 ** level
      expect((JSON.parse(stdout.toString()) as { facts: unknown }).facts).to.deep.include({
        fault: 'tile-changed',
        path,
        level,
        index,
      })
    })
  }
})
