// `repo repair`: what it shows, and what the exit status says.
import { expect } from 'chai'
import { FakeApi, problem, type Answer } from './support/fake-api.ts'
import { GUN } from './support/resources.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'

const REQUEST = {
  id: 'request_1',
  kind: 'repair',
  status: 'published',
  isFinal: true,
  createdAt: '2026-11-25T10:00:00.000Z',
  updatedAt: '2026-11-25T10:00:01.000Z',
  submitter: { id: 'tok_1', name: 'operator' },
  images: [{ reference: GUN, gun: GUN, status: 'published', roles: [{ role: 'targets', version: 4 }] }],
}
const HERE = { role: 'targets', version: 3, expiredAt: '2026-11-01T00:00:00.000Z', canRepair: true, keys: ['aa'] }
const NOT_HERE = { ...HERE, role: 'targets/bob', canRepair: false, obstacle: 'targets/bob needs the key bb.' }

describe('cli repo repair', () => {
  let place: Workplace
  let api: FakeApi
  let plan: object
  let answer: Answer

  beforeEach(async () => {
    place = new Workplace()
    plan = { gun: GUN, expired: [HERE] }
    answer = { status: 201, body: REQUEST }
    api = await new FakeApi(({ method }) => (method === 'GET' ? { body: plan } : answer)).start()
  })
  afterEach(async () => {
    await api.stop()
    place.remove()
  })

  const repair = (...more: string[]): Promise<Ran> =>
    place.run(['repo', 'repair', GUN, ...more], { env: { COUNTERSIGN_SERVER: api.url, COUNTERSIGN_TOKEN: TOKEN } })
  const methods = () => api.requests.map(({ method }) => method)

  it('0: repaired, with what had expired', async () => {
    const ran = await repair()
    expect(ran.exit, ran.stderr).to.equal(0)
    expect(ran.stdout)
      .to.match(/targets +3 +2026-11-01T00:00:00.000Z +signed again/)
      .and.include('targets v4')
    expect(api.requests.at(-1)?.path).to.equal(`/v1/repositories/${encodeURIComponent(GUN)}/repairs`)
    expect(methods()).to.deep.equal(['GET', 'POST'])
  })

  it('0: nothing has expired, now or by somebody else’s hand', async () => {
    plan = { gun: GUN, expired: [] }
    expect((await repair('--json')).json()).to.deep.equal(plan)
    expect(methods()).to.deep.equal(['GET'])
    plan = { gun: GUN, expired: [HERE] }
    answer = problem(409, 'REPAIR_NOT_NEEDED')
    expect((await repair()).exit).to.equal(0)
  })

  it('1: something stays expired, and the words say what it needs', async () => {
    plan = { gun: GUN, expired: [HERE, NOT_HERE] }
    const ran = await repair()
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['REPAIR_NOT_POSSIBLE']])
    expect(ran.stderr).to.include('targets/bob needs the key bb.')
    answer = problem(409, 'REPAIR_NOT_POSSIBLE')
    expect((await repair()).codes()).to.deep.equal(['REPAIR_NOT_POSSIBLE'])
  })

  it('--dry-run asks for nothing', async () => {
    const ran = await repair('--dry-run', '--json')
    expect([ran.exit, ran.json()]).to.deep.equal([0, plan])
    plan = { gun: GUN, expired: [NOT_HERE] }
    expect((await repair('--dry-run')).exit).to.equal(1)
    expect(methods()).to.deep.equal(['GET', 'GET'])
  })

  it('3: without the grant', async () => {
    plan = { gun: GUN, expired: [HERE] }
    answer = problem(403, 'NOT_PERMITTED')
    expect((await repair()).exit).to.equal(3)
  })
})
