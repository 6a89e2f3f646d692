// A workload from its issuer's token to a signed image, over HTTP; and what the exchange refuses before it looks at any token.
import { expect } from 'chai'
import type { Metrics } from '../../src/http/metrics.ts'
import { createLog } from '../../src/log.ts'
import { app } from '../support/fakes/world.ts'
import { githubClaims } from '../support/workload-claims.ts'
import { Scope } from '../support/scope.ts'
import { serveOverHttp, startWorkloads, type Workloads } from '../support/workloads.ts'
import { type Ask, expectProblem, type Fixture, startFixture } from './fixture.ts'

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token'
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

function form(more: Readonly<Record<string, string>> = {}): string {
  const members = { grant_type: GRANT, subject_token: 'a.b.c', subject_token_type: ID_TOKEN, ...more }
  return new URLSearchParams(members).toString()
}

describe('POST /v1/token-exchange', () => {
  describe('end to end', () => {
    const scope = new Scope()
    const lines: string[] = []
    let metrics: Metrics
    let o: Workloads
    let url: string

    before(async () => {
      o = await startWorkloads(scope)
      await o.world.initialize(app)
      const log = createLog('debug', { write: (line) => lines.push(line) })
      ;({ url, metrics } = await serveOverHttp(scope, o.world, log))
    })
    after(() => scope.close())

    const post = (body: string) => fetch(`${url}/v1/token-exchange`, { method: 'POST', headers: FORM, body })
    const token = () => o.github.sign(githubClaims(o.github.url, o.world.time.now()))

    it('a pipeline exchanges its token, signs with what it gets, and reads the request', async () => {
      const subject = await token()
      const answer = await post(form({ subject_token: subject, subject_token_type: ID_TOKEN }))
      expect(answer.status).to.equal(200)
      expect(answer.headers.get('cache-control')).to.equal('no-store')
      const { access_token: secret, ...rest } = (await answer.json()) as Record<string, unknown>
      expect(rest).to.deep.equal({
        issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        token_type: 'Bearer',
        expires_in: 3600,
        identity: 'github:repository:1296269',
      })
      const digest = o.world.registry.push(app, '1.4', 'a')
      const headers = { authorization: `Bearer ${String(secret)}`, 'content-type': 'application/json' }
      const submitted = await fetch(`${url}/v1/signing-requests`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ images: [`${app}:1.4@sha256:${digest}`] }),
      })
      expect(submitted.status).to.equal(201)
      const read = await fetch(`${url}${submitted.headers.get('location') ?? ''}?wait=5s`, { headers })
      const request = (await read.json()) as { status: string; submitter: Record<string, unknown> }
      expect(request.status).to.equal('published')
      expect(request.submitter).to.deep.include({
        id: 'github:repository:1296269',
        name: 'team/app',
        actors: ['github:user:583231'],
      })
      expect(request.submitter['origin']).to.include({ repositoryId: '1296269', ref: 'refs/heads/main', attempt: 1 })
      const again = await post(form({ subject_token: subject }))
      expect([again.status, ((await again.json()) as { code: string }).code]).to.deep.equal([403, 'OIDC_TOKEN_SPENT'])
      const text = lines.join('')
      for (const hidden of [String(secret), subject]) expect(text).not.to.include(hidden)
      expect(text).to.include('"code":"OIDC_TOKEN_SPENT"')
    })

    it('refusals are counted by reason; of a flood the log names some, the metric all', async () => {
      const before = lines.length
      for (let count = 0; count < 100; count++) await post(form())
      const named = lines.slice(before).filter((line) => line.includes('a token of an issuer was refused'))
      expect(named.length).to.be.within(1, 120)
      const text = await metrics.print()
      expect(text).to.include('countersign_oidc_refusals_total{code="OIDC_TOKEN_MALFORMED"} 100')
      expect(text).to.include('countersign_oidc_exchanges_total{issuer="github"} 1')
    })

    it('too many tell when to come again', async () => {
      const answers = await Promise.all(
        Array.from({ length: 25 }, async () => post(form({ subject_token: await token() }))),
      )
      const refused = answers.filter(({ status }) => status === 429)
      expect(refused.length).to.be.greaterThan(3)
      expect(refused[0]?.headers.get('retry-after')).to.equal('5')
    })
  })

  describe('the form', () => {
    let fixture: Fixture
    before(async () => {
      fixture = await startFixture()
    })
    after(() => fixture.stop())

    const ask = (body: string, headers: Readonly<Record<string, string>> = FORM): Ask => ({
      method: 'POST',
      path: '/v1/token-exchange',
      token: null,
      headers,
      body,
    })
    const table: readonly (readonly [name: string, status: number, code: string, ask: Ask])[] = [
      ['JSON', 415, 'CONTENT_TYPE_UNSUPPORTED', ask('{}', { 'content-type': 'application/json' })],
      [
        'several parts',
        415,
        'CONTENT_TYPE_UNSUPPORTED',
        ask('', { 'content-type': 'multipart/form-data; boundary=x' }),
      ],
      [
        'another charset',
        415,
        'CONTENT_TYPE_UNSUPPORTED',
        ask(form(), { 'content-type': `${FORM['content-type']}; charset=latin1` }),
      ],
      ['a compressed form', 415, 'CONTENT_ENCODING_UNSUPPORTED', ask(form(), { ...FORM, 'content-encoding': 'gzip' })],
      ['an empty form', 422, 'BODY_INVALID', ask('')],
      ['another grant type', 422, 'BODY_INVALID', ask(form({ grant_type: 'client_credentials' }))],
      [
        'another kind of token',
        422,
        'BODY_INVALID',
        ask(form({ subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' })),
      ],
      ['another token asked for', 422, 'BODY_INVALID', ask(form({ requested_token_type: ID_TOKEN }))],
      ['somebody acting for somebody', 422, 'BODY_INVALID', ask(form({ actor_token: 'a.b.c' }))],
      ['a wish for a scope', 422, 'BODY_INVALID', ask(form({ scope: 'admin' }))],
      ['a member twice', 422, 'BODY_INVALID', ask(`${form()}&subject_token=d.e.f`)],
      ['a member named __proto__', 422, 'BODY_INVALID', ask(`${form()}&__proto__=x`)],
      ['a member without a name', 422, 'BODY_INVALID', ask(`${form()}&=x`)],
      ['a token of nothing', 422, 'BODY_INVALID', ask(form({ subject_token: '' }))],
      ['a token of forty kilobytes', 422, 'BODY_INVALID', ask(form({ subject_token: 'x'.repeat(40_000) }))],
      ['a percent sign of nothing', 400, 'BODY_MALFORMED', ask(`${form()}%`)],
      ['bytes that are no UTF-8', 400, 'BODY_MALFORMED', ask(`${form()}%ff`)],
      ['raw bytes', 400, 'BODY_MALFORMED', ask(`${form()}é`)],
      ['a line break', 400, 'BODY_MALFORMED', ask(`${form()}\n`)],
      ['very many members', 400, 'BODY_MALFORMED', ask('a=b&'.repeat(40))],
      ['a form of a megabyte', 413, 'BODY_TOO_LARGE', ask(form({ x: 'y'.repeat(1_000_000) }))],
    ]
    for (const [name, status, code, one] of table) {
      it(`${name}: ${status} ${code}`, async () => {
        expectProblem(await fixture.ask(one), status, code)
        expect(fixture.calls).to.deep.equal([])
      })
    }

    it('and nobody is told of a provider for people where there is none', async () => {
      expectProblem(await fixture.ask({ path: '/v1/login-provider', token: null }), 404, 'OIDC_LOGIN_NOT_CONFIGURED')
    })

    it('takes a plus sign for a space, and names a token that was announced as a JWT', async () => {
      const body = form({ subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }).replace('a.b.c', 'a+b%20c')
      expect((await fixture.ask(ask(body))).status).to.equal(200)
      expect(fixture.calls).to.deep.equal(['exchange'])
    })
  })
})
