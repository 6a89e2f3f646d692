// `repo export`, with metadata that Docker wrote: the names that clients ask for, whole folders only, and until when it is good.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { parseTimestamp, sha256Hex } from '@countersign/tuf'
import { FakeApi, problem, type Answer } from './support/fake-api.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const METADATA = resolve(import.meta.dirname, '../vectors/notary-v1/docker-cli-28.2.2/metadata')
const GUN = 'localhost:5055/proto/demo'
const NOW = new Date('2026-11-25T00:00:00Z')
const ROLES = ['root', 'timestamp', 'snapshot', 'targets', 'targets/alice', 'targets/releases']

const fileOf = (role: string): Buffer => readFileSync(join(METADATA, `${role}.json`))

/** As the API names them. */
function entry(role: string, change: (bytes: Buffer) => Buffer = (bytes) => bytes) {
  const bytes = fileOf(role)
  const sha256 = sha256Hex(bytes)
  const name = role === 'root' ? '1.root.json' : role === 'timestamp' ? 'timestamp.json' : `${role}.${sha256}.json`
  return { name, sha256, content: change(bytes).toString('base64') }
}

describe('cli repo export', () => {
  let place: Workplace
  let api: FakeApi
  let answer: Answer

  beforeEach(async () => {
    answer = { body: { gun: GUN, verifiedAt: NOW.toISOString(), files: ROLES.map((role) => entry(role)) } }
    api = await new FakeApi(() => answer).start()
    place = new Workplace(api.url)
  })
  afterEach(async () => {
    await api.stop()
    place.remove()
  })
  const exported = (more: readonly string[] = [], now = NOW): Promise<Ran> =>
    place.run(['repo', 'export', GUN, place.path('out'), ...more], { now: () => now })

  it('writes every name that a stock client asks for, readable by everybody', async () => {
    const ran = await exported()
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(api.requests.map(({ method, path }) => [method, path])).to.deep.equal([
      ['GET', `/v1/repositories/${encodeURIComponent(GUN)}/metadata`],
    ])
    const folder = place.path(`out/v2/${GUN}/_trust/tuf`)
    const expected = ROLES.flatMap((role) => [`${role}.json`, `${role}.${sha256Hex(fileOf(role))}.json`])
    for (const name of [...expected, '1.root.json']) {
      const role = ROLES.find((one) => name === `${one}.json` || name.startsWith(`${one}.`)) ?? 'root'
      expect(readFileSync(join(folder, name)).equals(fileOf(role)), name).to.equal(true)
      expect(statSync(join(folder, name)).mode & 0o777, name).to.equal(0o644)
    }
    expect(readFileSync(place.path('out/v2/index.html'), 'utf8')).to.equal('{}\n')
    expect(statSync(place.path('out')).mode & 0o777).to.equal(0o755)
    const files = readdirSync(place.path('out'), { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
    expect(files.length).to.equal(expected.length + 2)
  })

  it('says until when it is good, and that the timestamp ends first', async () => {
    const { expiresAt } = parseTimestamp(fileOf('timestamp')).metadata
    const ran = await exported(['--json'])
    expect(ran.json()).to.deep.include({
      gun: GUN,
      folder: place.path('out'),
      validUntil: expiresAt.toISOString(),
      endsFirst: 'timestamp',
      roots: { first: 1, last: 1 },
    })
    const { roles } = ran.json() as { roles: { role: string; version: number; expiresAt: string }[] }
    expect(roles.map(({ role }) => role)).to.have.members(ROLES)
    expect(roles[0]).to.deep.include({ role: 'timestamp', expiresAt: expiresAt.toISOString() })
  })

  it('FILE_EXISTS: leaves what is there alone, and asks nobody', async () => {
    place.file('out', 'mine')
    expect((await exported()).codes()).to.deep.equal(['FILE_EXISTS'])
    expect(readFileSync(place.path('out'), 'utf8')).to.equal('mine')
    expect(api.requests).to.deep.equal([])
  })

  it('FILE_UNWRITABLE: where no folder can be made', async () => {
    const ran = await place.run(['repo', 'export', GUN, place.path('none/out')], { now: () => NOW })
    expect(ran.codes()).to.deep.equal(['FILE_UNWRITABLE'])
  })

  it('writes nothing that does not verify: expired, changed, incomplete, of another repository', async () => {
    const body = (files: readonly unknown[], gun = GUN): Answer => ({ body: { gun, verifiedAt: '', files } })
    const changed = ROLES.map((role) => entry(role, (bytes) => (role === 'targets' ? flipped(bytes) : bytes)))
    const cases: readonly (readonly [string, Answer, Date?])[] = [
      ['expired', answer, new Date('2027-06-01T00:00:00Z')],
      ['changed', body(changed)],
      ['incomplete', body(ROLES.filter((role) => role !== 'targets/releases').map((role) => entry(role)))],
      ['without a root', body(ROLES.slice(1).map((role) => entry(role)))],
    ]
    for (const [name, given, now] of cases) {
      answer = given
      const ran = await exported([], now)
      expect([name, ran.exit, ran.codes()]).to.deep.equal([name, 1, ['METADATA_NOT_VERIFIED']])
    }
    const other = await place.run(['repo', 'export', 'localhost:5055/proto/other', place.path('out')], {
      now: () => NOW,
    })
    expect(other.codes()).to.deep.equal(['METADATA_NOT_VERIFIED'])
    expect(existsSync(place.path('out'))).to.equal(false)
    expect(readdirSync(place.folder).filter((name) => name.startsWith('out'))).to.deep.equal([])
  })

  it('3: without a grant', async () => {
    answer = problem(403, 'NOT_PERMITTED')
    const ran = await exported()
    expect([ran.exit, ran.codes()]).to.deep.equal([3, ['NOT_PERMITTED']])
    expect(existsSync(place.path('out'))).to.equal(false)
  })
})

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  copy[copy.length - 10] = (copy[copy.length - 10] ?? 0) ^ 1
  return copy
}
