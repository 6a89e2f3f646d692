// `repo renew`: what the exit status says.
import { expect } from 'chai'
import { FakeApi, problem, type Answer } from './support/fake-api.ts'
import { GUN } from './support/resources.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'

const REQUEST = {
  id: 'request_1',
  kind: 'renew',
  status: 'published',
  isFinal: true,
  createdAt: '2026-11-25T10:00:00.000Z',
  updatedAt: '2026-11-25T10:00:01.000Z',
  submitter: { id: 'tok_1', name: 'operator' },
  images: [{ reference: GUN, gun: GUN, status: 'published', roles: [{ role: 'targets', version: 4 }] }],
}

describe('cli repo renew', () => {
  let place: Workplace
  let api: FakeApi
  let answer: Answer

  beforeEach(async () => {
    place = new Workplace()
    api = await new FakeApi(() => answer).start()
  })
  afterEach(async () => {
    await api.stop()
    place.remove()
  })

  const renew = (...more: string[]): Promise<Ran> =>
    place.run(['repo', 'renew', GUN, ...more], { env: { COUNTERSIGN_SERVER: api.url, COUNTERSIGN_TOKEN: TOKEN } })

  it('0: renewed, and the versions are told', async () => {
    answer = { status: 201, body: REQUEST }
    const ran = await renew()
    expect(ran.exit).to.equal(0)
    expect(ran.stdout).to.include('targets v4')
    expect(api.requests[0]).to.deep.include({
      method: 'POST',
      path: `/v1/repositories/${encodeURIComponent(GUN)}/renewals`,
    })
  })

  it('0: nothing expires soon', async () => {
    answer = problem(409, 'RENEWAL_NOT_DUE')
    expect((await renew()).exit).to.equal(0)
    expect((await renew('--json')).json()).to.deep.equal({ gun: GUN, renewed: false })
  })

  it('1: refused by the key holder', async () => {
    const error = { code: 'REPOSITORY_FROZEN', detail: 'frozen' }
    answer = {
      status: 201,
      body: { ...REQUEST, status: 'failed', images: [{ ...REQUEST.images[0], status: 'failed', error }] },
    }
    const ran = await renew()
    expect(ran.exit).to.equal(1)
    expect(ran.codes()).to.include('REPOSITORY_FROZEN')
  })

  it('a refusal keeps the server’s code', async () => {
    answer = problem(403, 'NOT_PERMITTED')
    expect((await renew('--json')).json()).to.have.property('code', 'NOT_PERMITTED')
  })
})
