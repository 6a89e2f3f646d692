// The whole service with an issuer that is down when it starts: the exchange says so, works when the issuer is back, and its tokens live
// on through a restart.
import { expect } from 'chai'
import { OidcIssuer } from '../support/oidc-issuer.ts'
import { AUDIENCE } from '../support/workload-claims.ts'
import { Scope } from '../support/scope.ts'
import { ELSEWHERE, HTTP, Serving } from '../support/serving.ts'

describe('serve with an issuer', function () {
  this.timeout(90_000)
  const scope = new Scope()
  let issuer: OidcIssuer
  let place: Serving

  before(async () => {
    issuer = await OidcIssuer.start(scope)
    place = new Serving(scope)
  })
  after(() => scope.close())

  const settings = () => {
    const rule = { match: { team: 'signers' }, grants: [{ grant: 'read', repositories: ['*'] }] }
    const one = { name: 'ci', issuer: issuer.url, audience: AUDIENCE, provider: 'other', identities: [rule] }
    return `${HTTP}, ${ELSEWHERE}, identity: ${JSON.stringify({ issuers: [one] })}`
  }
  async function exchange(
    url: string,
    token: string,
  ): Promise<{ status: number; retryAfter: string | null; body: Record<string, unknown> }> {
    const answer = await fetch(`${url}/v1/token-exchange`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      }),
    })
    const body = (await answer.json()) as Record<string, unknown>
    return { status: answer.status, retryAfter: answer.headers.get('retry-after'), body }
  }

  it('starts without it, and goes on with it', async () => {
    issuer.isDown = true
    const first = await place.ready(settings())
    const token = await issuer.issue('build-4711', { team: 'signers' })
    const refused = await exchange(first.url, token)
    expect(refused).to.deep.include({ status: 503, retryAfter: '5' })
    expect(refused.body).to.include({ code: 'OIDC_PROVIDER_UNREACHABLE', retry: true })

    issuer.isDown = false
    let secret = ''
    await place.until('the token is exchanged', async () => {
      const { status, body } = await exchange(first.url, token)
      secret = String(body['access_token'])
      return status === 200
    })
    const list = (url: string) =>
      fetch(`${url}/v1/signing-requests`, { headers: { authorization: `Bearer ${secret}` } })
    expect((await list(first.url)).status).to.equal(200)

    await place.stop()
    const second = await place.ready(settings())
    expect((await list(second.url)).status).to.equal(200)
    expect((await exchange(second.url, token)).body).to.include({ code: 'OIDC_TOKEN_SPENT' })
    await place.stop()

    const third = await place.ready()
    expect((await list(third.url)).status, 'the issuer is configured no longer').to.equal(401)
  })
})
