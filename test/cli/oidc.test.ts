// `--oidc`: a pipeline's own ID token is exchanged for one of the server's, which is written nowhere.
import { readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'
import { type Answer, FakeApi, problem, type Received } from './support/fake-api.ts'
import { request as resource } from './support/resources.ts'
import { type Ran, type RunOptions, TOKEN, Workplace } from './support/run-cli.ts'

const ISSUED = `cs_${'i'.repeat(43)}`
const ID_TOKEN = 'head.claims.signature'

describe('cli --oidc', () => {
  let api: FakeApi
  let github: FakeApi
  let place: Workplace
  let now: Date
  /** What the next exchanges answer, before they succeed. */
  let troubles: Answer[]
  let githubAnswers: Answer[]

  beforeEach(async () => {
    now = new Date('2026-11-24T10:00:00.000Z')
    troubles = []
    githubAnswers = []
    let count = 0
    api = await new FakeApi((asked) => {
      if (asked.path === '/v1/token-exchange') return troubles.shift() ?? exchanged(++count)
      return asked.method === 'POST' ? { status: 201, body: resource('approved') } : { body: resource('published') }
    }).start()
    github = await new FakeApi(() => githubAnswers.shift() ?? { body: { count: 1, value: ID_TOKEN } }).start()
    place = new Workplace()
  })
  afterEach(async () => {
    await api.stop()
    await github.stop()
    place.remove()
  })

  const exchanged = (count: number): Answer => ({
    body: {
      access_token: ISSUED.replace(/i$/, String(count)),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3600,
      identity: 'github:repository:1',
    },
  })
  const inGithub = () => ({
    COUNTERSIGN_SERVER: api.url,
    COUNTERSIGN_OIDC: 'github',
    ACTIONS_ID_TOKEN_REQUEST_URL: `${github.url}/token?api-version=2.0`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'runtime-secret',
  })
  const inGitlab = () => ({ COUNTERSIGN_SERVER: api.url, COUNTERSIGN_OIDC: 'gitlab', COUNTERSIGN_ID_TOKEN: ID_TOKEN })
  const run = (argv: readonly string[], env: Record<string, string>, more: RunOptions = {}): Promise<Ran> =>
    place.run(argv, { env, now: () => now, ...more })
  const sign = ['sign', 'registry.example.com/team/app:1.4', '--json']
  const asked = () => api.requests.map(({ method, path }) => `${method} ${path}`)
  const bearers = (requests: readonly Received[]) => requests.map(({ headers }) => headers.authorization)

  it('in GitHub: asks for a token for the server, exchanges it once, and signs', async () => {
    const ran = await run(sign, inGithub())
    expect(ran.exit).to.equal(0)
    expect(github.requests.map(({ path, query }) => [path, ...query])).to.deep.equal([
      ['/token', ['api-version', '2.0'], ['audience', api.url]],
    ])
    expect(bearers(github.requests)).to.deep.equal(['Bearer runtime-secret'])
    expect(asked()).to.deep.equal([
      'POST /v1/token-exchange',
      'POST /v1/signing-requests',
      'GET /v1/signing-requests/req-01j9',
    ])
    expect(api.requests[0]?.headers).to.include({ 'content-type': 'application/x-www-form-urlencoded' })
    expect(api.requests[0]?.body).to.deep.equal({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: ID_TOKEN,
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
    })
    const issued = `Bearer ${ISSUED.replace(/i$/, '1')}`
    expect(bearers(api.requests)).to.deep.equal([undefined, issued, issued])
    expect(ran.stderr).to.include('github:repository:1')
    const written = readdirSync(place.folder).map((name) => readFileSync(place.path(name), 'utf8'))
    for (const secret of [ISSUED.slice(0, -1), ID_TOKEN, 'runtime-secret']) {
      expect(ran.stdout + ran.stderr + written.join('')).not.to.include(secret)
    }
  })

  it('in GitHub: gets another token before the first one ends', async () => {
    await run([...sign, '--timeout', '3h'], inGithub(), {
      pause: () => Promise.resolve(),
      now: () => (now = new Date(now.getTime() + 3_500_000)),
    })
    const exchanges = asked().filter((line) => line === 'POST /v1/token-exchange')
    expect(exchanges.length).to.be.greaterThan(1)
    expect(bearers(api.requests).at(-1)).not.to.equal(bearers(api.requests)[1])
  })

  it('takes an audience and the system from options, and from the file', async () => {
    const env = { ...inGithub(), COUNTERSIGN_OIDC: '' }
    await run([...sign, '--oidc', 'github', '--oidc-audience', 'countersign'], env)
    expect(github.requests[0]?.query.get('audience')).to.equal('countersign')
    const config = place.file('config.yaml', `server: ${api.url}\noidc: github\noidcAudience: from-file\n`)
    await run(sign, { ...env, COUNTERSIGN_CLIENT_CONFIG: config })
    expect(github.requests[1]?.query.get('audience')).to.equal('from-file')
    await run(sign, { ...env, COUNTERSIGN_CLIENT_CONFIG: config, COUNTERSIGN_OIDC_AUDIENCE: 'from-env' })
    expect(github.requests[2]?.query.get('audience')).to.equal('from-env')
  })

  it('in GitLab: takes the token of the variable, the usual one or another', async () => {
    expect((await run(sign, inGitlab())).exit).to.equal(0)
    const named = {
      ...inGitlab(),
      COUNTERSIGN_ID_TOKEN: '',
      COUNTERSIGN_OIDC_VARIABLE: 'SIGN_TOKEN',
      SIGN_TOKEN: 'a.b.c',
    }
    expect((await run(sign, named)).exit).to.equal(0)
    const subjects = api.requests.flatMap(
      ({ body }) => (body as { subject_token?: string } | undefined)?.subject_token ?? [],
    )
    expect(subjects).to.deep.equal([ID_TOKEN, 'a.b.c'])
    expect(github.requests).to.deep.equal([])
  })

  it('exchanges again where the server is not able to now, with a new token of GitHub', async () => {
    troubles = [
      problem(503, 'OIDC_PROVIDER_UNREACHABLE', { retry: true }),
      problem(429, 'OIDC_RATE_EXCEEDED', { retry: true }),
    ]
    expect((await run(sign, inGithub())).exit).to.equal(0)
    expect([github.requests.length, asked().length]).to.deep.equal([3, 5])
  })

  it('does not exchange again what the server refuses, and sends nothing after it', async () => {
    troubles = [problem(403, 'OIDC_IDENTITY_UNKNOWN')]
    const ran = await run(['sign', 'registry.example.com/team/app:1.4'], inGitlab())
    expect([ran.exit, ran.codes()]).to.deep.equal([3, ['OIDC_IDENTITY_UNKNOWN']])
    expect(asked()).to.deep.equal(['POST /v1/token-exchange'])
  })

  const unconfigured: Readonly<Record<string, () => Record<string, string>>> = {
    'a job of GitHub without the permission': () => ({ COUNTERSIGN_SERVER: api.url, COUNTERSIGN_OIDC: 'github' }),
    'GitHub without TLS': () => ({ ...inGithub(), ACTIONS_ID_TOKEN_REQUEST_URL: 'http://tokens.example.com/x' }),
    'GitHub without an address': () => ({ ...inGithub(), ACTIONS_ID_TOKEN_REQUEST_URL: 'x' }),
    'GitHub with a token that is two lines': () => ({ ...inGithub(), ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'a\nb' }),
    'a job of GitLab without a token': () => ({ ...inGitlab(), COUNTERSIGN_ID_TOKEN: '' }),
  }
  for (const [name, env] of Object.entries(unconfigured)) {
    it(`${name}: ID_TOKEN_NOT_CONFIGURED`, async () => {
      const ran = await run(['sign', 'registry.example.com/team/app:1.4'], env())
      expect([ran.exit, ran.codes()]).to.deep.equal([2, ['ID_TOKEN_NOT_CONFIGURED']])
      expect(api.requests).to.deep.equal([])
    })
  }

  const unavailable: Readonly<Record<string, Answer>> = {
    refuses: { status: 403, body: {} },
    redirects: { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
    'answers with no token': { body: { value: '' } },
    'answers with no JSON': { body: 'hello' },
    'answers without end': { body: { value: 'x'.repeat(100_000) } },
    'hangs up': { cut: true },
  }
  for (const [name, answer] of Object.entries(unavailable)) {
    it(`GitHub ${name}: ID_TOKEN_UNAVAILABLE`, async () => {
      githubAnswers = [answer]
      const ran = await run(['sign', 'registry.example.com/team/app:1.4'], inGithub())
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['ID_TOKEN_UNAVAILABLE']])
      expect(api.requests).to.deep.equal([])
    })
  }

  it('is refused for a system that is not known, and beside --token-file', async () => {
    const other = await run(['token', 'list'], { ...inGithub(), COUNTERSIGN_OIDC: 'jenkins' })
    expect([other.exit, other.codes()]).to.deep.equal([2, ['USAGE_INVALID']])
    const both = await run(['token', 'list', '--oidc', 'gitlab', '--token-file', place.file('t', TOKEN)], inGitlab())
    expect([both.exit, both.codes()]).to.deep.equal([2, ['USAGE_INVALID']])
  })

  it('gives way to --token-file, and a setting of the file to a token of the environment', async () => {
    await run(['token', 'list', '--token-file', place.file('t', TOKEN)], inGithub())
    const config = place.file('config.yaml', `server: ${api.url}\noidc: gitlab\n`)
    await run(['token', 'list'], { COUNTERSIGN_CLIENT_CONFIG: config, COUNTERSIGN_TOKEN: TOKEN })
    expect(bearers(api.requests)).to.deep.equal([`Bearer ${TOKEN}`, `Bearer ${TOKEN}`])
  })
})
