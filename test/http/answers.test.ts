import { expect } from 'chai'
import type { Route } from '../../src/http/route.ts'
import { type Answer, type Ask, type Fixture, gun, PUSH_SECRET, startFixture, TOKEN } from './fixture.ts'

/** With a provider where people sign in. */
const LOGIN = JSON.stringify({
  http: { listen: '127.0.0.1:0' },
  identity: {
    issuers: [
      {
        name: 'people',
        issuer: 'https://login.example.com',
        audience: 'countersign',
        provider: 'other',
        login: { clientId: 'countersign' },
        identities: [{ match: { hd: 'example.com' }, grants: [{ grant: 'read', repositories: ['*'] }] }],
      },
    ],
  },
})

const encodedGun = encodeURIComponent(gun)

/** One good call for every operation, and the service call that it must lead to. */
const CALLS: Readonly<Record<string, Ask & { readonly status: number; readonly call?: string }>> = {
  submitSigningRequest: {
    method: 'POST',
    path: '/v1/signing-requests',
    body: { images: [`${gun}:1.4`], mode: 'each', promotedFrom: `${gun}:rc1`, description: 'release' },
    status: 201,
    call: 'submit',
  },
  showSigningRequest: { path: '/v1/signing-requests/req-1', status: 200, call: 'find' },
  listSigningRequests: {
    path: `/v1/signing-requests?limit=200&cursor=x&gun=${encodedGun}&status=partial`,
    status: 200,
    call: 'list',
  },
  approveSigningRequest: {
    method: 'POST',
    path: '/v1/signing-requests/req-1/approvals',
    body: { digest: 'a'.repeat(64), comment: 'looked at' },
    status: 200,
    call: 'approve',
  },
  denySigningRequest: {
    method: 'POST',
    path: '/v1/signing-requests/req-1/denial',
    body: { reason: 'not this one' },
    status: 200,
    call: 'deny',
  },
  withdrawSigningRequest: {
    method: 'POST',
    path: '/v1/signing-requests/req-1/withdrawal',
    status: 200,
    call: 'withdraw',
  },
  resubmitSigningRequest: {
    method: 'POST',
    path: '/v1/signing-requests/req-1/resubmission',
    body: { policy: 'emergency', mode: 'each' },
    status: 201,
    call: 'resubmit',
  },
  explainPolicy: {
    method: 'POST',
    path: '/v1/policy-explanations',
    body: {
      images: [`${gun}:1.4`],
      policy: 'release',
      identity: { id: 'github:repository:74', grants: [{ grant: 'submit', repositories: ['*'] }] },
    },
    status: 200,
    call: 'explain',
  },
  listRepositories: { path: '/v1/repositories', status: 200, call: 'listRepositories' },
  initializeRepository: {
    method: 'POST',
    path: '/v1/repositories',
    body: { gun, root: { kind: 'offline', certificatePem: 'PEM' }, delegations: true, keyType: 'ecdsa' },
    status: 201,
    call: 'initialize',
  },
  showRepository: { path: `/v1/repositories/${encodedGun}`, status: 200, call: 'report' },
  forecastExpiry: { path: `/v1/repositories/${encodedGun}/expiry-forecast`, status: 200, call: 'forecast' },
  planPruning: {
    path: `/v1/repositories/${encodedGun}/prune-plan?gone=true&olderThan=90d&keepLast=3&cursor=1.0`,
    status: 200,
    call: 'planPruning',
  },
  pruneRepository: {
    method: 'POST',
    path: `/v1/repositories/${encodedGun}/prunings`,
    body: {
      madeAt: '2026-01-01T00:00:00.000Z',
      entries: [{ tag: '1.0', digest: `sha256:${'a'.repeat(64)}`, reason: 'old' }],
      policy: 'test',
      description: 'old',
    },
    status: 201,
    call: 'submit',
  },
  showDrift: { path: `/v1/repositories/${encodedGun}/drift`, status: 200, call: 'drift' },
  tellOfPush: {
    method: 'POST',
    path: '/v1/events/hub',
    token: PUSH_SECRET,
    body: { push_data: { tag: '1.4' }, repository: { repo_name: 'team/app' } },
    status: 202,
    call: 'accept',
  },
  tellOfPushBySecretAddress: {
    method: 'POST',
    path: `/v1/events/hub/${PUSH_SECRET}`,
    token: null,
    body: { push_data: { tag: '1.4' }, repository: { repo_name: 'team/app' } },
    status: 202,
    call: 'accept',
  },
  listUnsignedTags: { path: `/v1/repositories/${encodedGun}/unsigned-tags`, status: 200, call: 'unsigned' },
  removeRepository: { method: 'DELETE', path: `/v1/repositories/${encodedGun}`, status: 204, call: 'remove' },
  addRootSignatures: {
    method: 'POST',
    path: `/v1/repositories/${encodedGun}/root-signatures`,
    body: { signatures: [{ keyId: 'a'.repeat(64), method: 'ecdsa', signature: 'AAAA' }] },
    status: 200,
    call: 'addRootSignatures',
  },
  adoptRepository: { method: 'POST', path: `/v1/repositories/${encodedGun}/adoption`, status: 201, call: 'adopt' },
  rotateKeys: { method: 'POST', path: `/v1/repositories/${encodedGun}/key-rotations`, status: 201, call: 'rotate' },
  planRootChange: {
    method: 'POST',
    path: `/v1/repositories/${encodedGun}/root-plans`,
    body: { rotate: ['targets', 'snapshot'] },
    status: 200,
    call: 'planRootChange',
  },
  changeRoot: {
    method: 'POST',
    path: `/v1/repositories/${encodedGun}/root-changes`,
    body: { next: 'AAAA', signatures: [{ keyId: 'a'.repeat(64), method: 'ecdsa', signature: 'AAAA' }] },
    status: 201,
    call: 'changeRoot',
  },
  planMove: {
    method: 'POST',
    path: `/v1/repositories/${encodedGun}/move-plans`,
    body: { to: 'new' },
    status: 200,
    call: 'planMove',
  },
  moveRepository: {
    method: 'POST',
    path: `/v1/repositories/${encodedGun}/moves`,
    body: { to: 'new', next: 'AAAA', signatures: [{ keyId: 'a'.repeat(64), method: 'ecdsa', signature: 'AAAA' }] },
    status: 201,
    call: 'move',
  },
  renewRoles: { method: 'POST', path: `/v1/repositories/${encodedGun}/renewals`, status: 201, call: 'renew' },
  planRepair: { path: `/v1/repositories/${encodedGun}/repairs`, status: 200, call: 'planRepair' },
  repairRepository: { method: 'POST', path: `/v1/repositories/${encodedGun}/repairs`, status: 201, call: 'repair' },
  verifyImages: {
    method: 'POST',
    path: '/v1/verifications',
    body: { images: [`${gun}:1.4`] },
    status: 200,
    call: 'verify',
  },
  inspectImage: { path: `/v1/inspections?image=${encodedGun}%3A1.4`, status: 200, call: 'inspect' },
  readPublishedMetadata: { path: `/v1/repositories/${encodedGun}/metadata`, status: 200, call: 'published' },
  readReceipt: { path: '/v1/signing-requests/req-1/receipts/0', status: 200, call: 'receipt' },
  readAuditPublicKey: { path: '/v1/audit/public-key', status: 200, call: 'publicKey' },
  listTokens: { path: '/v1/tokens', status: 200, call: 'listTokens' },
  createToken: {
    method: 'POST',
    path: '/v1/tokens',
    body: { name: 'auditor', grants: [{ grant: 'read', repositories: ['*'] }], expiresAt: '2030-01-01T00:00:00+02:00' },
    status: 201,
    call: 'create',
  },
  revokeToken: { method: 'DELETE', path: '/v1/tokens/tok_2', status: 204, call: 'revoke' },
  listWebhooks: { path: '/v1/webhooks', status: 200, call: 'listWebhooks' },
  listWebhookDeliveries: {
    path: '/v1/webhooks/chat/deliveries?state=dead&limit=200&cursor=d7',
    status: 200,
    call: 'deliveries',
  },
  redeliverWebhook: {
    method: 'POST',
    path: '/v1/webhooks/chat/deliveries/event-1/redeliver',
    status: 202,
    call: 'redeliver',
  },
  enableWebhook: { method: 'POST', path: '/v1/webhooks/chat/enable', status: 200, call: 'enable' },
  testWebhook: { method: 'POST', path: '/v1/webhooks/chat/test', status: 200, call: 'testWebhook' },
  rotateToken: {
    method: 'POST',
    path: '/v1/tokens/tok_2/rotate',
    body: { overlap: '30m' },
    status: 200,
    call: 'rotateToken',
  },
  exchangeToken: {
    method: 'POST',
    path: '/v1/token-exchange',
    token: null,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: 'a.b.c',
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
    }).toString(),
    status: 200,
    call: 'exchange',
  },
  readLoginProvider: { path: '/v1/login-provider', token: null, status: 200 },
  isAlive: { path: '/livez', token: null, status: 200 },
  isReady: { path: '/readyz', token: null, status: 200 },
  readMetrics: { path: '/metrics', token: null, status: 200 },
  readOpenApi: { path: '/v1/openapi.json', token: null, status: 200 },
}

describe('the answers of the API', () => {
  let fixture: Fixture

  before(async () => {
    fixture = await startFixture({ config: LOGIN })
  })
  after(async () => {
    await fixture.stop()
  })
  beforeEach(() => {
    fixture.calls.length = 0
  })

  it('are tried for every operation', () => {
    expect(Object.keys(CALLS)).to.have.members(fixture.routes.map(({ operationId }) => operationId))
  })

  for (const [operationId, { status, call, ...ask }] of Object.entries(CALLS)) {
    it(`${operationId} answers ${status} in the shape that is documented`, async () => {
      const route = fixture.routes.find((one) => one.operationId === operationId)!
      const answer = await fixture.ask(ask)
      expect(answer.status).to.equal(status)
      expectShape(route, answer)
      expect(fixture.calls).to.deep.equal(call === undefined ? [] : [call])
      expect(answer.headers['cache-control']).to.equal('no-store')
      expect(answer.headers['x-content-type-options']).to.equal('nosniff')
      expect(answer.headers['content-security-policy']).to.include("default-src 'none'")
      expect(answer.headers['x-request-id']).to.match(/^req_[A-Za-z0-9_-]{20}$/)
    })

    if (ask.token === undefined) {
      it(`${operationId} needs a token`, async () => {
        const answer = await fixture.ask({ ...ask, token: null })
        expect(answer.status).to.equal(401)
        expect(fixture.calls).to.deep.equal([])
      })
    }
  }

  it('show the signing request in full', async () => {
    const { json } = await fixture.ask({ path: '/v1/signing-requests/req-1' })
    expect(json).to.nested.include({
      status: 'partial',
      isFinal: true,
      createdAt: '2026-01-02T03:04:05.678Z',
      'submitter.name': 'release-bot',
      'images[0].roles[0].role': 'targets/releases',
      'images[0].roles[0].version': 7,
      'images[1].error.code': 'DIGEST_MISMATCH',
      'images[2].decision.outcome': 'deny',
    })
    expect(json)
      .to.have.nested.property('images[0].digest')
      .that.matches(/^sha256:[0-9a-f]{64}$/)
  })

  it('name the new resource', async () => {
    expect((await fixture.ask(CALLS['submitSigningRequest']!)).headers.location).to.equal('/v1/signing-requests/req-1')
    expect((await fixture.ask(CALLS['createToken']!)).headers.location).to.equal('/v1/tokens/tok_2')
    expect((await fixture.ask(CALLS['initializeRepository']!)).headers.location).to.equal(
      `/v1/repositories/${encodedGun}`,
    )
  })

  it('show a token once, and never its hash', async () => {
    expect((await fixture.ask(CALLS['createToken']!)).json).to.include({ token: TOKEN })
    const list = await fixture.ask({ path: '/v1/tokens' })
    expect(list.text).not.to.include(TOKEN)
    expect(list.text).not.to.match(/sha256|secret/i)
  })

  it('leave the body out for HEAD', async () => {
    const answer = await fixture.ask({ method: 'HEAD', path: '/livez' })
    expect([answer.status, answer.text]).to.deep.equal([200, ''])
  })

  it('accept an empty object where no body is needed', async () => {
    const answer = await fixture.ask({ ...CALLS['adoptRepository']!, body: {} })
    expect(answer.status).to.equal(201)
  })
})

/** Holds an answer against the schema that the OpenAPI document shows for it. */
function expectShape(route: Route, answer: Answer): void {
  const described = route.replies[answer.status]
  expect(described, `status ${answer.status} is documented`).not.to.equal(undefined)
  if (described?.schema === undefined) {
    expect(answer.text).to.equal('')
    return
  }
  const type = described.type ?? 'application/json'
  expect(answer.headers['content-type']).to.match(new RegExp(`^${type.replace('/', '\\/')}(;|$)`))
  const parsed = described.schema.safeParse(type === 'application/json' ? answer.json : answer.text)
  expect(parsed.error?.issues ?? []).to.deep.equal([])
}
