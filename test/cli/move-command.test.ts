// `repo move`: the plan in words, the file for the root key, and what is sent once it has signed.
import { existsSync, readFileSync } from 'node:fs'
import { encodeBase64, nextRoot, parseGun, ROOT, SNAPSHOT, TIMESTAMP } from '@countersign/tuf'
import { expect } from 'chai'
import { openOfflineRoot } from '../../src/cli/root-key/key-file.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { testKey } from '../support/test-keys.ts'
import { FakeApi, problem, type Answer } from './support/fake-api.ts'
import { GUN, request } from './support/resources.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'

const EXPIRES = new Date('2036-01-01T00:00:00Z')
const PLANS = `/v1/repositories/${encodeURIComponent(GUN)}/move-plans`
const MOVES = `/v1/repositories/${encodeURIComponent(GUN)}/moves`

describe('cli repo move', () => {
  let place: Workplace
  let api: FakeApi
  let plan: Record<string, unknown>
  let moved: Answer

  before(async function () {
    this.timeout(20_000)
    place = new Workplace()
    place.file('passphrase', 'correct horse battery\n')
    const made = await place.run(['root', 'create', '--gun', GUN, '--out', place.path('root.key'), ...passphrase()])
    expect(made.exit, made.stderr).to.equal(0)
    const file = { passphraseFile: place.path('passphrase'), share: [] }
    const root = await openOfflineRoot(place.path('root.key'), file, parseGun(GUN), new Date())
    const builder = RepositoryBuilder.withSigner('countersign', GUN)
    builder.role(ROOT).keys = [{ publicKey: root.key, privateKey: root.privateKey }]
    for (const { expiresAt } of builder.roles.values()) expiresAt.setTime(Date.now() + 300 * 86_400_000)
    const keys = [SNAPSHOT, TIMESTAMP].map((role) => ({ role, keys: [testKey(`new ${role}`).publicKey] }) as const)
    const next = nextRoot(builder.verify({ now: new Date() }), keys, EXPIRES).message
    plan = {
      gun: GUN,
      from: 'old',
      to: 'embedded',
      current: encodeBase64(builder.files().get('root.json')!),
      next: encodeBase64(next),
      roots: [1],
      takesOlderRoots: true,
      moved: [{ role: 'targets', version: 4, expiresAt: '2029-01-01T00:00:00.000Z' }],
      left: [{ role: 'targets/bob', code: 'DELEGATION_ABSENT' }],
      raises: 0,
      oldTimestampExpiresAt: '2026-12-09T00:00:00.000Z',
      oldRootExpiresAt: '2036-01-01T00:00:00.000Z',
    }
    api = await new FakeApi(({ path }) => (path === PLANS ? { body: plan } : moved)).start()
  })
  beforeEach(() => {
    moved = {
      status: 201,
      body: { ...request('published', [{ reference: GUN, gun: GUN, status: 'published', roles: [] }]), kind: 'move' },
    }
    api.requests.length = 0
  })
  after(async () => {
    await api.stop()
    place.remove()
  })

  const passphrase = (): string[] => ['--passphrase-file', place.path('passphrase')]
  const move = (...more: string[]): Promise<Ran> =>
    place.run(['repo', 'move', GUN, '--to', 'embedded', ...more], {
      env: { COUNTERSIGN_SERVER: api.url, COUNTERSIGN_TOKEN: TOKEN },
    })
  async function signedFile(name: string): Promise<string> {
    expect((await move('--out', place.path(`${name}.json`))).exit).to.equal(0)
    const signed = place.path(`${name}-signed.json`)
    const key = ['--root', place.path('root.key'), ...passphrase()]
    const ran = await place.run(['root', 'sign', place.path(`${name}.json`), ...key, '--out', signed])
    expect(ran.exit, ran.stderr).to.equal(0)
    return signed
  }

  it('shows the plan, and asks for nothing else', async () => {
    const ran = await move()
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(ran.stdout)
      .to.match(/Goes along: +targets version 4/)
      .and.match(/Stays behind: +targets\/bob \(DELEGATION_ABSENT\)/)
      .and.match(/Roots there: +1 to 2/)
      .and.match(/Role snapshot +NEW/)
    expect(api.requests.map(({ path, body }) => [path, body])).to.deep.equal([[PLANS, { to: 'embedded' }]])
  })

  it('says where clients cannot follow from every root, and how versions rise', async () => {
    plan = { ...plan, takesOlderRoots: false, raises: 90 }
    const { stdout } = await move()
    expect(stdout)
      .to.match(/Roots there: +2 alone/)
      .and.include('raised by about 90 updates')
    plan = { ...plan, takesOlderRoots: true, raises: 0 }
  })

  it('sends what the root key signed, and waits for the end', async () => {
    const signed = await signedFile('move')
    const ran = await move('--signed', signed)
    expect(ran.exit, ran.stderr).to.equal(0)
    const { path, body } = api.requests.at(-1)!
    const { next, signatures } = JSON.parse(readFileSync(signed, 'utf8')) as { next: string; signatures: object[] }
    expect([path, body]).to.deep.equal([MOVES, { to: 'embedded', next, signatures }])
  })

  it('ROOT_SIGNATURES_MISSING: a file that nobody signed', async () => {
    const file = place.path('unsigned.json')
    expect((await move('--out', file)).exit).to.equal(0)
    const ran = await move('--signed', file)
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['ROOT_SIGNATURES_MISSING']])
    expect(api.requests.map(({ path }) => path)).to.not.include(MOVES)
  })

  it('2: both steps at once, or a file about another repository', async () => {
    const signed = await signedFile('other')
    const both = await move('--signed', signed, '--out', place.path('new.json'))
    expect([both.exit, both.codes(), existsSync(place.path('new.json'))]).to.deep.equal([2, ['USAGE_INVALID'], false])
    const args = ['repo', 'move', 'registry.example.com/team/other', '--to', 'embedded', '--signed', signed]
    expect((await place.run(args)).codes()).to.deep.equal(['USAGE_INVALID'])
  })

  it('1 and 3: refused, with the code of the daemon', async () => {
    const signed = await signedFile('refused')
    for (const [status, code, exit] of [
      [409, 'MOVE_NOT_POSSIBLE', 1],
      [403, 'NOT_PERMITTED', 3],
    ] as const) {
      moved = problem(status, code)
      const ran = await move('--signed', signed)
      expect([ran.exit, ran.codes()]).to.deep.equal([exit, [code]])
    }
  })

  it('SERVER_ANSWER_MALFORMED: a plan for another repository', async () => {
    plan = { ...plan, gun: 'registry.example.com/team/other' }
    expect((await move()).codes()).to.deep.equal(['SERVER_ANSWER_MALFORMED'])
    plan = { ...plan, gun: GUN }
  })
}).timeout(20_000)
