import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { verifyApproval } from '../../src/approval-statement.ts'
import { FakeApi, problem, type Script } from './support/fake-api.ts'
import { DIGEST, image, published, request } from './support/resources.ts'
import { Workplace, type Ran, type RunOptions } from './support/run-cli.ts'

const SEEN = 'e'.repeat(64)
const needs = { required: 2, from: ['group:managers'], expiresAt: '2026-12-01T10:00:00.000Z' }
const decision = {
  outcome: 'allow',
  reasons: [{ rule: 'tag', code: 'TAG_FITS' }],
  policyDigest: 'd'.repeat(64),
  project: 'team',
  policy: 'release',
  standing: `sha256:${'0'.repeat(64)}`,
  approvals: needs,
}
const waiting = {
  ...request('awaiting-approval', [
    image('awaiting-approval', { decision, approvals: [{ person: 'ann', approver: 'token_ann', at: 'then' }] }),
  ]),
  approvalDigest: SEEN,
  submitter: {
    id: 'github:repository:74',
    name: 'team/app',
    actors: ['github:user:1'],
    origin: {
      issuer: 'https://issuer.example',
      repository: 'team/app',
      repositoryId: '74',
      ref: 'refs/heads/main',
      commit: 'c0ffee',
    },
  },
}

describe('cli request approve, deny, withdraw, resubmit', () => {
  let api: FakeApi
  let place: Workplace

  async function run(script: Script, argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
    api = await new FakeApi(script).start()
    place = new Workplace(api.url)
    return place.run(argv, options)
  }
  afterEach(async () => {
    await api.stop()
    place.remove()
  })

  const approved = { ...request('approved'), approvalDigest: undefined }
  const approving: Script = ({ method }) => ({ status: 200, body: method === 'GET' ? waiting : approved })

  it('shows what will change before it asks, and approves exactly that', async () => {
    const ran = await run(approving, ['request', 'approve', 'req-01j9', '--comment', 'fine'], { stdin: 'yes\n' })
    expect(ran.exit).to.equal(0)
    for (const text of [
      'team/app (github:repository:74)',
      'github:user:1',
      'refs/heads/main',
      'c0ffee',
      'team/release',
      DIGEST,
      decision.standing,
      '1 of 2 (ann)',
    ]) {
      expect(ran.stdout).to.include(text)
    }
    expect(api.requests.at(-1)?.path).to.equal('/v1/signing-requests/req-01j9/approvals')
    expect(api.requests.at(-1)?.body).to.deep.equal({ digest: SEEN, comment: 'fine' })
  })

  for (const answer of ['no\n', '', 'y\n', 'yes please\n']) {
    it(`approves nothing where the answer is ${JSON.stringify(answer)}`, async () => {
      const ran = await run(approving, ['request', 'approve', 'req-01j9'], { stdin: answer })
      expect(ran.exit).to.equal(1)
      expect(ran.codes()).to.deep.equal(['APPROVAL_NOT_GIVEN'])
      expect(api.requests).to.have.length(1)
    })
  }

  it('asks nothing where the digest is named', async () => {
    const ran = await run(approving, ['request', 'approve', 'req-01j9', '--digest', SEEN])
    expect(ran.exit).to.equal(0)
    expect(api.requests.map(({ method }) => method)).to.deep.equal(['POST'])
  })

  it('has nothing to approve where nothing waits', async () => {
    const ran = await run(
      () => ({ status: 200, body: request('published', [published()]) }),
      ['request', 'approve', 'req-01j9'],
    )
    expect(ran.codes()).to.deep.equal(['APPROVAL_NOT_GIVEN'])
  })

  it('exits with 3 where this identity may not, and with 1 where something changed', async () => {
    const refuse =
      (status: number, code: string): Script =>
      ({ method }) =>
        method === 'GET' ? { status: 200, body: waiting } : problem(status, code)
    for (const [status, code, exit] of [
      [403, 'APPROVER_IS_SUBMITTER', 3],
      [409, 'APPROVAL_OUTDATED', 1],
    ] as const) {
      const ran = await run(refuse(status, code), ['request', 'approve', 'req-01j9'], { stdin: 'yes\n' })
      expect([ran.exit, ran.codes()]).to.deep.equal([exit, [code]])
      await api.stop()
    }
  })

  describe('with an own key', () => {
    const files = (where: Workplace) => ({
      key: where.path('approver.key'),
      passphrase: where.file('passphrase', 'correct horse battery'),
    })

    it('signs what it has shown, image by image', async () => {
      const made = new Workplace()
      const { key, passphrase } = files(made)
      const created = await made.run(['approver', 'create', '--out', key, '--passphrase-file', passphrase, '--json'])
      const { publicKey } = created.json() as { publicKey: string }
      expect((await made.run(['approver', 'show', key, '--passphrase-file', passphrase])).stdout).to.equal(
        `${publicKey}\n`,
      )
      const argv = ['request', 'approve', 'req-01j9', '--key', key, '--passphrase-file', passphrase]
      const ran = await run(approving, argv, { stdin: 'yes\n' })
      expect(ran.exit).to.equal(0)
      const { signatures } = api.requests.at(-1)?.body as {
        signatures: { expiresAt: string; images: { position: number; signature: string }[] }
      }
      const [{ position, signature } = { position: -1, signature: '' }] = signatures.images
      expect(position).to.equal(0)
      expect(signatures.expiresAt).to.equal('2026-12-02T10:00:00.000Z')
      const { gun, tag, length } = image('x') as { gun: string; tag: string; length: number }
      const change = {
        request: 'req-01j9',
        gun,
        tag,
        put: { sha256: DIGEST.slice(7), length },
        standing: '0'.repeat(64),
        expiresAt: signatures.expiresAt,
      }
      expect(verifyApproval(publicKey, change, signature)).to.equal(true)
      made.remove()
    })

    it('is asked for before anything else, and refuses a wrong passphrase or another kind of file', async () => {
      const made = new Workplace()
      const { key, passphrase } = files(made)
      await made.run(['approver', 'create', '--out', key, '--passphrase-file', passphrase])
      const wrong = made.file('wrong', 'another passphrase')
      const ran = await run(approving, ['request', 'approve', 'req-01j9', '--key', key, '--passphrase-file', wrong])
      expect(ran.codes()).to.deep.equal(['APPROVER_KEY_UNSUITABLE'])
      const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
        type: 'pkcs8',
        format: 'pem',
      })
      const other = made.file('rsa.key', rsa.toString())
      expect((await place.run(['approver', 'show', other, '--passphrase-file', passphrase])).codes()).to.deep.equal([
        'APPROVER_KEY_UNSUITABLE',
      ])
      expect((await place.run(['request', 'approve', 'req-01j9', '--key', key])).exit).to.equal(2)
      expect(
        (await place.run(['approver', 'create', '--out', key, '--passphrase-file', passphrase])).codes(),
      ).to.deep.equal(['FILE_EXISTS'])
      expect(api.requests).to.deep.equal([])
      made.remove()
    })

    it('signs nothing where the digest that was named is not that of the request', async () => {
      const made = new Workplace()
      const { key, passphrase } = files(made)
      await made.run(['approver', 'create', '--out', key, '--passphrase-file', passphrase])
      const argv = [
        'request',
        'approve',
        'req-01j9',
        '--digest',
        'f'.repeat(64),
        '--key',
        key,
        '--passphrase-file',
        passphrase,
      ]
      const ran = await run(approving, argv)
      expect(ran.codes()).to.deep.equal(['APPROVAL_NOT_GIVEN'])
      expect(api.requests.map(({ method }) => method)).to.deep.equal(['GET'])
      made.remove()
    })
  })

  it('denies with a reason, and never without', async () => {
    const denied = request('denied', [
      image('denied', { decision, denial: { person: 'bob', approver: 'b', reason: 'no' } }),
    ])
    const ran = await run(
      () => ({ status: 200, body: denied }),
      ['request', 'deny', 'req-01j9', '--reason', 'not tested'],
    )
    expect(ran.exit).to.equal(0)
    expect(api.requests[0]?.body).to.deep.equal({ reason: 'not tested' })
    expect((await place.run(['request', 'deny', 'req-01j9'])).exit).to.equal(2)
  })

  it('withdraws, and submits again under another policy', async () => {
    const ran = await run(() => ({ status: 200, body: request('withdrawn') }), ['request', 'withdraw', 'req-01j9'])
    expect([ran.exit, api.requests[0]?.path]).to.deep.equal([0, '/v1/signing-requests/req-01j9/withdrawal'])
    await api.stop()
    const again = await run(
      () => ({ status: 201, body: request('published', [published()]) }),
      ['request', 'resubmit', 'req-01j9', '--policy', 'emergency', '--each'],
    )
    expect([again.exit, api.requests[0]?.body]).to.deep.equal([0, { mode: 'each', policy: 'emergency' }])
  })

  it('tells who submits what it waits for, and who denied it', async () => {
    const left = await run(
      () => ({ status: 201, body: waiting }),
      ['sign', image('x')['reference'] as string, '--no-wait'],
    )
    expect(left.exit).to.equal(4)
    expect(left.stderr).to.include('1 of 2 (ann); asks group:managers')
    await api.stop()
    const denial = { person: 'bob', approver: 'b', reason: 'not tested' }
    const denied = await run(
      () => ({ status: 201, body: request('denied', [image('denied', { decision, denial })]) }),
      ['sign', image('x')['reference'] as string],
    )
    expect(denied.exit).to.equal(3)
    expect(denied.stderr).to.include('denied by bob: not tested')
  })

  it('shows the approval digest of a request that waits', async () => {
    const ran = await run(() => ({ status: 200, body: waiting }), ['request', 'show', 'req-01j9'])
    expect(ran.stdout).to.include(`Approval digest: ${SEEN}`)
  })
})
