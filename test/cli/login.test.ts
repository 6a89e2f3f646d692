// `login`: at a real provider with the device flow, and at scripted ones that misbehave.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { expect } from 'chai'
import { Scope } from '../support/scope.ts'
import { serveOverHttp, startWorkloads, type Workloads } from '../support/workloads.ts'
import { type Answer, FakeApi, problem, type Received } from './support/fake-api.ts'
import { type Ran, TOKEN, Workplace } from './support/run-cli.ts'

const ISSUED = `cs_${'i'.repeat(43)}`

describe('cli login', () => {
  describe('at a real provider', function () {
    this.timeout(20_000)
    const scope = new Scope()
    let o: Workloads
    let url: string
    let place: Workplace

    before(async () => {
      o = await startWorkloads(scope)
      o.world.time.advance(Date.now() - o.world.time.now().getTime())
      ;({ url } = await serveOverHttp(scope, o.world, undefined, o.other))
      place = new Workplace()
    })
    after(async () => {
      place.remove()
      await scope.close()
    })

    it('shows address and code, waits for the browser, and keeps the token in a file of mode 0600', async () => {
      const argv = ['login', '--server', url, '--out', place.path('token'), '--json']
      let polls = 0
      const ran = await place.run(argv, {
        pause: async () => {
          // The person comes after the first question.
          if (++polls === 2) await o.other.approveDevice(o.other.lastUserCode, 'alice')
        },
      })
      expect(ran.stderr).to.include(o.other.lastUserCode)
      expect(ran.exit, ran.stderr).to.equal(0)
      expect(ran.json()).to.deep.include({ identity: 'people:user:alice', tokenFile: place.path('token') })
      expect(statSync(place.path('token')).mode & 0o777).to.equal(0o600)
      const secret = readFileSync(place.path('token'), 'utf8').trim()
      expect(ran.stdout + ran.stderr).not.to.include(secret)
      const who = o.world.services.tokens.authenticate(secret)
      expect(who).to.deep.include({ id: 'people:user:alice', groups: ['approvers'] })
      const used = await place.run(['request', 'list', '--server', url, '--token-file', place.path('token')])
      expect(used.exit).to.equal(0)
    })

    it('replaces the token of a login before', async () => {
      const before = readFileSync(place.path('token'), 'utf8')
      const ran = await place.run(['login', '--server', url, '--out', place.path('token')], {
        pause: () => o.other.approveDevice(o.other.lastUserCode, 'bob'),
      })
      expect(ran.exit, ran.stderr).to.equal(0)
      expect(readFileSync(place.path('token'), 'utf8')).not.to.equal(before)
    })
  })

  describe('at a provider as a test says', () => {
    let api: FakeApi
    let provider: FakeApi
    let place: Workplace
    let answers: Readonly<Record<string, (asked: Received) => Answer>>
    let now: Date
    let waited: number[]

    beforeEach(async () => {
      now = new Date('2026-11-24T10:00:00.000Z')
      waited = []
      answers = {}
      provider = await new FakeApi((asked) => (answers[asked.path] ?? usual(asked.path))(asked)).start()
      api = await new FakeApi((asked) => (answers[`api ${asked.path}`] ?? usual(`api ${asked.path}`))(asked)).start()
      place = new Workplace()
    })
    afterEach(async () => {
      await api.stop()
      await provider.stop()
      place.remove()
    })

    const usual = (path: string) => (): Answer => {
      const good: Readonly<Record<string, unknown>> = {
        'api /v1/login-provider': { issuer: provider.url, clientId: 'countersign', scopes: ['openid', 'groups'] },
        'api /v1/token-exchange': {
          access_token: ISSUED,
          token_type: 'Bearer',
          expires_in: 3600,
          identity: 'people:user:alice',
        },
        '/.well-known/openid-configuration': {
          issuer: provider.url,
          device_authorization_endpoint: `${provider.url}/device`,
          token_endpoint: `${provider.url}/token`,
        },
        '/device': {
          device_code: 'device-secret',
          user_code: 'ABCD-EFGH',
          verification_uri: `${provider.url}/enter`,
          expires_in: 600,
          interval: 2,
        },
        '/token': { id_token: 'head.claims.signature' },
      }
      return { body: good[path] }
    }
    const login = (): Promise<Ran> =>
      place.run(['login', '--server', api.url, '--out', place.path('token')], {
        now: () => now,
        pause: (milliseconds) => {
          waited.push(milliseconds)
          now = new Date(now.getTime() + milliseconds)
          return Promise.resolve()
        },
      })
    const refusing = (...errors: readonly string[]) => {
      const left = [...errors]
      return (): Answer => {
        const error = left.shift()
        return error === undefined ? { body: { id_token: 'a.b.c' } } : { status: 400, body: { error } }
      }
    }

    it('asks for what the server says, and exchanges what comes of it', async () => {
      const ran = await login()
      expect([ran.exit, ran.stdout]).to.deep.equal([0, `${place.path('token')}\n`])
      expect(ran.stderr).to.include(`${provider.url}/enter`).and.to.include('ABCD-EFGH')
      expect(provider.requests.map(({ body }) => body)).to.deep.equal([
        undefined,
        { client_id: 'countersign', scope: 'openid groups' },
        {
          grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
          device_code: 'device-secret',
          client_id: 'countersign',
        },
      ])
      expect(api.requests.map(({ path, headers }) => [path, headers.authorization])).to.deep.equal([
        ['/v1/login-provider', undefined],
        ['/v1/token-exchange', undefined],
      ])
      expect(readFileSync(place.path('token'), 'utf8')).to.equal(`${ISSUED}\n`)
      for (const secret of [ISSUED, 'device-secret', 'head.claims']) {
        expect(ran.stdout + ran.stderr).not.to.include(secret)
      }
    })

    it('keeps the pace that it is given, and slows down when it is told to', async () => {
      answers = { '/token': refusing('authorization_pending', 'slow_down', 'authorization_pending') }
      expect((await login()).exit).to.equal(0)
      expect(waited).to.deep.equal([2000, 2000, 7000, 7000])
    })

    const failing: Readonly<Record<string, () => typeof answers>> = {
      'nobody comes': () => ({ '/token': () => ({ status: 400, body: { error: 'authorization_pending' } }) }),
      'the person refuses': () => ({ '/token': refusing('access_denied') }),
      'the code has expired': () => ({ '/token': refusing('expired_token') }),
      'the provider gives no ID token': () => ({ '/token': () => ({ body: { access_token: 'x' } }) }),
      'the provider breaks': () => ({ '/token': () => ({ status: 500, body: 'oops' }) }),
      'the provider hangs up': () => ({ '/token': () => ({ cut: true }) }),
      'the provider redirects': () => ({ '/device': () => ({ status: 302, headers: { location: '/other' } }) }),
      'the client is not known there': () => ({
        '/device': () => ({ status: 401, body: { error: 'invalid_client' } }),
      }),
      'the provider has no device flow': () => ({
        '/.well-known/openid-configuration': () => ({
          body: { issuer: provider.url, token_endpoint: `${provider.url}/token` },
        }),
      }),
      'somebody else answers in its place': () => ({
        '/.well-known/openid-configuration': () => ({
          body: {
            issuer: 'https://evil.example.com',
            device_authorization_endpoint: `${provider.url}/device`,
            token_endpoint: `${provider.url}/token`,
          },
        }),
      }),
      'its address for browsers is a script': () => ({
        '/device': () => ({
          body: { device_code: 'x', user_code: 'y', verification_uri: 'javascript:alert(1)', expires_in: 600 },
        }),
      }),
      'its token endpoint has no TLS': () => ({
        '/.well-known/openid-configuration': () => ({
          body: {
            issuer: provider.url,
            device_authorization_endpoint: `${provider.url}/device`,
            token_endpoint: 'http://login.example.com/token',
          },
        }),
      }),
      'its address has no TLS': () => ({
        'api /v1/login-provider': () => ({
          body: { issuer: 'http://login.example.com', clientId: 'countersign', scopes: [] },
        }),
      }),
    }
    for (const [name, make] of Object.entries(failing)) {
      it(`${name}: LOGIN_FAILED, and nothing is exchanged`, async () => {
        answers = make()
        const ran = await login()
        expect([ran.exit, ran.codes()]).to.deep.equal([1, ['LOGIN_FAILED']])
        expect(api.requests).to.have.length(1)
        expect(existsSync(place.path('token'))).to.equal(false)
      })
    }

    it('is what the server refuses where nobody can sign in, or the person has no identity', async () => {
      answers = { 'api /v1/login-provider': () => problem(404, 'OIDC_LOGIN_NOT_CONFIGURED') }
      expect((await login()).codes()).to.deep.equal(['OIDC_LOGIN_NOT_CONFIGURED'])
      answers = { 'api /v1/token-exchange': () => problem(403, 'OIDC_IDENTITY_UNKNOWN') }
      const ran = await login()
      expect([ran.exit, ran.codes()]).to.deep.equal([3, ['OIDC_IDENTITY_UNKNOWN']])
      expect(existsSync(place.path('token'))).to.equal(false)
    })

    it('replaces a file that holds a token, and no other', async () => {
      place.file('token', 'my notes\n')
      expect((await login()).codes()).to.deep.equal(['FILE_EXISTS'])
      expect(readFileSync(place.path('token'), 'utf8')).to.equal('my notes\n')
      place.file('token', `${TOKEN}\n`)
      expect((await login()).exit).to.equal(0)
      expect(readFileSync(place.path('token'), 'utf8')).to.equal(`${ISSUED}\n`)
    })
  })
})
