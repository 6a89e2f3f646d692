// `key list`, `rotate` and `retire`, as far as they go without a key holder; test/peer/key-rotation.test.ts goes the whole way.
import { expect } from 'chai'
import { FakeApi, problem, type Script } from './support/fake-api.ts'
import { GUN } from './support/resources.ts'
import { TOKEN, Workplace, type Ran } from './support/run-cli.ts'

const KEY = {
  role: 'targets/countersign',
  keyType: 'ecdsa',
  tufKeyId: 'a'.repeat(64),
  canonicalKeyId: 'a'.repeat(64),
  custody: 'sealed',
  createdAt: '2026-11-25T10:00:00.000Z',
  activeSince: '2026-11-26T10:00:00.000Z',
  lastUsedAt: '2026-11-27T10:00:00.000Z',
  state: 'active',
  signs: ['targets/countersign', 'targets/releases'],
}
const REPORT = {
  gun: GUN,
  state: 'ready',
  root: 'offline',
  signer: 'countersign',
  custody: {
    rootCustody: 'offline',
    keys: [KEY, { ...KEY, canonicalKeyId: 'b'.repeat(64), state: 'replaced', signs: [] }],
  },
}

describe('cli key', () => {
  let place: Workplace
  let api: FakeApi
  let script: Script

  beforeEach(async () => {
    place = new Workplace()
    api = await new FakeApi((request, count) => script(request, count)).start()
  })
  afterEach(async () => {
    await api.stop()
    place.remove()
  })

  const key = (...argv: string[]): Promise<Ran> =>
    place.run(['key', ...argv], {
      env: {
        COUNTERSIGN_SERVER: api.url,
        COUNTERSIGN_TOKEN: TOKEN,
        COUNTERSIGN_OPERATOR_SOCKET: place.path('nobody.sock'),
      },
    })

  it('list says what each key signs now', async () => {
    script = () => ({ body: REPORT })
    const ran = await key('list', GUN)
    expect(ran.exit).to.equal(0)
    expect(ran.stdout).to.match(
      /active +targets\/countersign +targets\/countersign, targets\/releases +ecdsa +sealed +2026-11-25 +2026-11-26 +2026-11-27 +a{64}/,
    )
    expect(ran.stdout).to.match(/replaced +targets\/countersign +nothing +/)
    expect((await key('list', GUN, '--json')).json()).to.deep.equal({ gun: GUN, keys: REPORT.custody.keys })
  })

  it('list ends with 1 where it is not known what the keys sign', async () => {
    const { signs, lastUsedAt, ...unknown } = KEY
    expect([...signs, lastUsedAt]).to.have.length(3)
    const trouble = { code: 'NOTARY_UNAVAILABLE', detail: 'no answer' }
    script = () => ({ body: { ...REPORT, trouble, custody: { rootCustody: 'offline', keys: [unknown] } } })
    const ran = await key('list', GUN)
    expect(ran.exit).to.equal(1)
    expect(ran.stdout).to.match(/active +targets\/countersign +unknown .* never +a{64}/)
    expect(ran.stderr).to.include('NOTARY_UNAVAILABLE')
  })

  it('rotate and retire need a reason', async () => {
    expect((await key('rotate', GUN)).exit).to.equal(2)
    expect((await key('retire', GUN, 'a'.repeat(64))).exit).to.equal(2)
    expect((await key('retire', GUN, 'short', '--reason', 'x')).exit).to.equal(2)
    expect(api.requests).to.deep.equal([])
  })

  it('rotate refuses a repository without a signer, and the role that has no key of its own', async () => {
    script = () => ({ body: { ...REPORT, signer: undefined } })
    expect((await key('rotate', GUN, '--reason', 'yearly')).exit).to.equal(2)
    expect((await key('rotate', GUN, '--reason', 'yearly', '--signer', 'releases')).exit).to.equal(2)
  })

  it('KEY_HOLDER_UNREACHABLE: nothing is asked of the server where no key could be staged', async () => {
    script = () => ({ body: REPORT })
    const ran = await key('rotate', GUN, '--reason', 'yearly', '--json')
    expect(ran.exit).to.equal(1)
    expect(ran.json()).to.have.property('code', 'KEY_HOLDER_UNREACHABLE')
    expect(api.requests.map(({ method }) => method)).to.deep.equal(['GET'])
  })

  it('NOT_PERMITTED: the server’s own code is told', async () => {
    script = () => problem(403, 'NOT_PERMITTED')
    expect((await key('list', GUN, '--json')).json()).to.have.property('code', 'NOT_PERMITTED')
  })
})
