// Who may do what: every operation, for every grant, on a repository that the grant is for and on another one. A route without a row
// fails; a cell says how the call ends, and each is tried over HTTP on the real services. What is refused asks nobody and writes nothing.
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { GRANT_KINDS, type GrantKind } from '../../src/domain/principal.ts'
import { webhooksOf } from '../support/fakes/webhooks.ts'
import { everybody, World } from '../support/fakes/world.ts'
import { expectProblem, startFixture, type Answer, type Ask, type Fixture } from './fixture.ts'

/**
 * Columns: the identity that submitted the request and has lost all grants; then each grant, given for `registry.example.com/team/*`,
 * with two cells: for what is there, and for what is elsewhere.
 *
 * A number: the call succeeds. `seen`, `none`: it succeeds, and the list has it or not. NP: NOT_PERMITTED. NF: not found, as if it did not
 * exist. Any other code: permitted, and refused later because of the state that it meets.
 */
const TABLE = `
operation              | submitter           | admin                | operator               | submit                      | read
submitSigningRequest   | NP                  | NP NP                | NP NP                  | 201 NP                      | NP NP
showSigningRequest     | 200                 | NF NF                | 200 NF                 | 200 NF                      | 200 NF
listSigningRequests    | seen                | none none            | seen none              | seen none                   | seen none
approveSigningRequest  | APPROVAL_NOT_ASKED  | NF NF                | APPROVAL_NOT_ASKED NF  | APPROVAL_NOT_ASKED NF       | APPROVAL_NOT_ASKED NF
denySigningRequest     | APPROVAL_NOT_ASKED  | NF NF                | APPROVAL_NOT_ASKED NF  | APPROVAL_NOT_ASKED NF       | APPROVAL_NOT_ASKED NF
withdrawSigningRequest | WITHDRAWAL_TOO_LATE | NF NF                | WITHDRAWAL_TOO_LATE NF | WITHDRAWAL_NOT_PERMITTED NF | WITHDRAWAL_NOT_PERMITTED NF
resubmitSigningRequest | NP                  | NF NF                | NP NF                  | 201 NF                      | NP NF
explainPolicy          | NP                  | NP NP                | NP NP                  | 200 NP                      | NP NP
readReceipt            | RECORD_NOT_FOUND    | NF NF                | RECORD_NOT_FOUND NF    | RECORD_NOT_FOUND NF         | RECORD_NOT_FOUND NF
listRepositories       | none                | none none            | seen none              | seen none                   | seen none
initializeRepository   | NP                  | NP NP                | 201 NP                 | NP NP                       | NP NP
showRepository         | NP                  | NP NP                | 200 NP                 | 200 NP                      | 200 NP
forecastExpiry         | NP                  | NP NP                | 200 NP                 | 200 NP                      | 200 NP
showDrift              | NP                  | NP NP                | 200 NP                 | 200 NP                      | 200 NP
planPruning            | NP                  | NP NP                | 200 NP                 | 200 NP                      | 200 NP
pruneRepository        | NP                  | NP NP                | NP NP                  | 201 NP                      | NP NP
listUnsignedTags       | NP                  | NP NP                | 200 NP                 | 200 NP                      | 200 NP
removeRepository       | NP                  | NP NP                | 204 NP                 | NP NP                       | NP NP
addRootSignatures      | NP                  | NP NP                | 200 NP                 | NP NP                       | NP NP
adoptRepository        | NP                  | NP NP                | 201 NP                 | NP NP                       | NP NP
rotateKeys             | NP                  | NP NP                | ROTATION_NOT_STAGED NP | NP NP                       | NP NP
renewRoles             | NP                  | NP NP                | RENEWAL_NOT_DUE NP     | NP NP                       | NP NP
planRepair             | NP                  | NP NP                | 200 NP                 | NP NP                       | NP NP
repairRepository       | NP                  | NP NP                | REPAIR_NOT_NEEDED NP   | NP NP                       | NP NP
planRootChange         | NP                  | NP NP                | 200 NP                 | NP NP                       | NP NP
changeRoot             | NP                  | NP NP                | ROOT_CHANGE_INVALID NP | NP NP                       | NP NP
planMove               | NP                  | NP NP                | 200 NP                 | NP NP                       | NP NP
moveRepository         | NP                  | NP NP                | ROOT_CHANGE_INVALID NP | NP NP                       | NP NP
verifyImages           | NP                  | NP NP                | 200 NP                 | 200 NP                      | 200 NP
inspectImage           | NP                  | NP NP                | 200 NP                 | 200 NP                      | 200 NP
readPublishedMetadata  | NP                  | NP NP                | 200 NP                 | 200 NP                      | 200 NP
readAuditPublicKey     | 200                 | 200 200              | 200 200                | 200 200                     | 200 200
listWebhooks           | NP                  | NP NP                | NP NP                  | NP NP                       | NP NP
listWebhookDeliveries  | NP                  | NP NP                | NP NP                  | NP NP                       | NP NP
redeliverWebhook       | NP                  | NP NP                | NP NP                  | NP NP                       | NP NP
enableWebhook          | NP                  | NP NP                | NP NP                  | NP NP                       | NP NP
testWebhook            | NP                  | NP NP                | NP NP                  | NP NP                       | NP NP
listTokens             | NP                  | seen none            | NP NP                  | NP NP                       | NP NP
createToken            | NP                  | 201 GRANT_ESCALATION | NP NP                  | NP NP                       | NP NP
rotateToken            | NP                  | 200 GRANT_ESCALATION | NP NP                  | NP NP                       | NP NP
revokeToken            | NP                  | 204 GRANT_ESCALATION | NP NP                  | NP NP                       | NP NP
`

/** Operations that anybody may call, without a token. */
const OPEN = ['isAlive', 'isReady', 'readMetrics', 'readOpenApi', 'exchangeToken', 'readLoginProvider']

/** The codes of refusals for want of a grant, with their status. */
const REFUSALS: Readonly<Record<string, readonly [status: number, code: string]>> = {
  NP: [403, 'NOT_PERMITTED'],
  NF: [404, 'REQUEST_NOT_FOUND'],
  GRANT_ESCALATION: [403, 'GRANT_ESCALATION'],
  WITHDRAWAL_NOT_PERMITTED: [403, 'WITHDRAWAL_NOT_PERMITTED'],
}

/** A repository with what the calls are about. */
interface Place {
  readonly pattern: string
  readonly gun: string
  /** Where nothing is yet. */
  readonly newGun: string
  /** Published, with one image. */
  readonly request: string
  /** With a grant here. */
  readonly token: string
}

const encoded = encodeURIComponent
const ofRepository = (o: Place, path: string) => `/v1/repositories/${encoded(o.gun)}${path}`
const ofRequest = (o: Place, path: string, body: object) => ({
  method: 'POST',
  path: `/v1/signing-requests/${o.request}${path}`,
  body,
})
const signature = { keyId: 'a'.repeat(64), method: 'ecdsa', signature: 'AAAA' }

/** A call that is right in itself; for a list also whether it has what is there. */
const ASKS: Readonly<Record<string, (o: Place) => Ask & { readonly has?: (answer: Answer) => boolean }>> = {
  submitSigningRequest: (o) => ({ method: 'POST', path: '/v1/signing-requests', body: { images: [`${o.gun}:2.0`] } }),
  showSigningRequest: (o) => ({ path: `/v1/signing-requests/${o.request}` }),
  listSigningRequests: (o) => ({
    path: '/v1/signing-requests',
    has: (answer) => answer.text.includes(`"${o.request}"`),
  }),
  approveSigningRequest: (o) => ofRequest(o, '/approvals', { digest: 'a'.repeat(64) }),
  denySigningRequest: (o) => ofRequest(o, '/denial', { reason: 'no' }),
  withdrawSigningRequest: (o) => ofRequest(o, '/withdrawal', {}),
  resubmitSigningRequest: (o) => ofRequest(o, '/resubmission', {}),
  explainPolicy: (o) => ({ method: 'POST', path: '/v1/policy-explanations', body: { images: [`${o.gun}:2.0`] } }),
  readReceipt: (o) => ({ path: `/v1/signing-requests/${o.request}/receipts/0` }),
  listRepositories: (o) => ({ path: '/v1/repositories', has: (answer) => answer.text.includes(`"${o.gun}"`) }),
  initializeRepository: (o) => ({
    method: 'POST',
    path: '/v1/repositories',
    body: { gun: o.newGun, root: { kind: 'online' }, delegations: true },
  }),
  showRepository: (o) => ({ path: ofRepository(o, '') }),
  forecastExpiry: (o) => ({ path: ofRepository(o, '/expiry-forecast') }),
  showDrift: (o) => ({ path: ofRepository(o, '/drift') }),
  planPruning: (o) => ({ path: ofRepository(o, '/prune-plan?olderThan=90d') }),
  pruneRepository: (o) => ({
    method: 'POST',
    path: ofRepository(o, '/prunings'),
    body: {
      madeAt: '2026-01-01T00:00:00.000Z',
      all: true,
      entries: [{ tag: '1.0', digest: `sha256:${'0'.repeat(64)}`, reason: 'old' }],
    },
  }),
  listUnsignedTags: (o) => ({ path: ofRepository(o, '/unsigned-tags') }),
  removeRepository: (o) => ({ method: 'DELETE', path: ofRepository(o, '') }),
  addRootSignatures: (o) => ({
    method: 'POST',
    path: ofRepository(o, '/root-signatures'),
    body: { signatures: [signature] },
  }),
  adoptRepository: (o) => ({ method: 'POST', path: ofRepository(o, '/adoption') }),
  rotateKeys: (o) => ({ method: 'POST', path: ofRepository(o, '/key-rotations') }),
  renewRoles: (o) => ({ method: 'POST', path: ofRepository(o, '/renewals') }),
  planRepair: (o) => ({ path: ofRepository(o, '/repairs') }),
  repairRepository: (o) => ({ method: 'POST', path: ofRepository(o, '/repairs') }),
  planRootChange: (o) => ({ method: 'POST', path: ofRepository(o, '/root-plans'), body: {} }),
  changeRoot: (o) => ({
    method: 'POST',
    path: ofRepository(o, '/root-changes'),
    body: { next: 'AAAA', signatures: [signature] },
  }),
  planMove: (o) => ({ method: 'POST', path: ofRepository(o, '/move-plans'), body: { to: 'new' } }),
  moveRepository: (o) => ({
    method: 'POST',
    path: ofRepository(o, '/moves'),
    body: { to: 'new', next: 'AAAA', signatures: [signature] },
  }),
  verifyImages: (o) => ({ method: 'POST', path: '/v1/verifications', body: { images: [`${o.gun}:1.0`] } }),
  inspectImage: (o) => ({ path: `/v1/inspections?image=${encoded(`${o.gun}:1.0`)}` }),
  readPublishedMetadata: (o) => ({ path: ofRepository(o, '/metadata') }),
  readAuditPublicKey: () => ({ path: '/v1/audit/public-key' }),
  listWebhooks: () => ({ path: '/v1/webhooks' }),
  listWebhookDeliveries: () => ({ path: '/v1/webhooks/chat/deliveries' }),
  redeliverWebhook: () => ({ method: 'POST', path: '/v1/webhooks/chat/deliveries/event-1/redeliver' }),
  enableWebhook: () => ({ method: 'POST', path: '/v1/webhooks/chat/enable' }),
  testWebhook: () => ({ method: 'POST', path: '/v1/webhooks/chat/test' }),
  listTokens: (o) => ({ path: '/v1/tokens', has: (answer) => answer.text.includes(`"${o.token}"`) }),
  createToken: (o) => ({
    method: 'POST',
    path: '/v1/tokens',
    body: { name: 'another', grants: [{ grant: 'read', repositories: [o.pattern] }] },
  }),
  rotateToken: (o) => ({ method: 'POST', path: `/v1/tokens/${o.token}/rotate` }),
  revokeToken: (o) => ({ method: 'DELETE', path: `/v1/tokens/${o.token}` }),
  exchangeToken: () => ({
    method: 'POST',
    path: '/v1/token-exchange',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'subject_token=none',
  }),
  readLoginProvider: () => ({ path: '/v1/login-provider' }),
  isAlive: () => ({ path: '/livez' }),
  isReady: () => ({ path: '/readyz' }),
  readMetrics: () => ({ path: '/metrics' }),
  readOpenApi: () => ({ path: '/v1/openapi.json' }),
}

/** The real services with two places, over HTTP. */
class Office {
  readonly world: World
  readonly fixture: Fixture
  readonly here: Place
  readonly elsewhere: Place

  private constructor(world: World, fixture: Fixture, here: Place, elsewhere: Place) {
    this.world = world
    this.fixture = fixture
    this.here = here
    this.elsewhere = elsewhere
  }

  static async open(): Promise<Office> {
    const world = new World()
    const here = await Office.#furnish(world, 'registry.example.com/team')
    const elsewhere = await Office.#furnish(world, 'registry.example.com/other')
    return new Office(
      world,
      await startFixture({ realServices: { ...world.services, webhooks: webhooksOf(world) } }),
      here,
      elsewhere,
    )
  }

  static async #furnish(world: World, folder: string): Promise<Place> {
    const gun = parseGun(`${folder}/app`)
    await world.initialize(gun)
    for (const tag of ['1.0', '2.0']) world.registry.push(gun, tag, 'a')
    const pattern = `${folder}/*`
    const { id: request } = await world.sign(`${gun}:1.0`)
    const grants = [{ grant: 'read', repositories: [pattern] }]
    const { token } = await world.services.tokens.create(everybody, { name: 'reader', grants })
    return { pattern, gun, newGun: `${folder}/new`, request, token: token.id }
  }

  /** The secret of a new token with this grant here. */
  async holder(grant: GrantKind): Promise<string> {
    const grants = [{ grant, repositories: [this.here.pattern] }]
    return (await this.world.services.tokens.create(everybody, { name: grant, grants })).secret
  }

  /** The secret of who submitted both requests, and may do nothing any more. */
  async submitter(): Promise<string> {
    const { token, secret } = await this.world.services.tokens.create(everybody, {
      name: 'gone',
      grants: [{ grant: 'read', repositories: ['registry.example.com/none/*'] }],
    })
    const { database } = this.world
    database.sqlite.prepare('UPDATE tokens SET id = ? WHERE id = ?').run(everybody.id, token.id)
    return secret
  }

  async revoked(): Promise<string> {
    const grants = GRANT_KINDS.map((grant) => ({ grant, repositories: ['*'] }))
    const { token, secret } = await this.world.services.tokens.create(everybody, { name: 'revoked', grants })
    await this.world.services.tokens.revoke(everybody, token.id)
    return secret
  }

  async close(): Promise<void> {
    await this.fixture.stop()
    await this.world.settled()
    this.world.close()
  }
}

interface Cell {
  readonly operation: string
  readonly who: 'submitter' | GrantKind
  readonly where: 'here' | 'elsewhere'
  readonly expected: string
}

const [header = [], ...rows] = TABLE.trim()
  .split('\n')
  .map((line) => line.split('|').map((part) => part.trim()))

const CELLS: readonly Cell[] = rows.flatMap(([operation = '', ...cells]) =>
  cells.flatMap((text, column) =>
    text.split(' ').map((expected, second): Cell => {
      const who = header[column + 1] as Cell['who']
      return { operation, who, where: second === 0 ? 'here' : 'elsewhere', expected }
    }),
  ),
)

/** Calls to anybody outside, and writes. */
function actsOf({ faults }: World): readonly string[] {
  return faults.calls.filter(
    (call) =>
      /^(source|publisher|resolver|keyHolder)\./.test(call) ||
      /\.(create|createAll|update|remove|save|revoke)$/.test(call),
  )
}

describe('authorisation', function () {
  this.timeout(30_000)
  let office: Office

  before(async () => {
    office = await Office.open()
  })
  after(() => office.close())

  it('has a row for every operation that needs a token, and the others are a closed list', () => {
    const { routes } = office.fixture
    const needing = routes.filter(({ access }) => access === 'token').map(({ operationId }) => operationId)
    expect(rows.map(([operation]) => operation)).to.have.members(needing)
    expect(routes.filter(({ access }) => access === 'open').map(({ operationId }) => operationId)).to.have.members(OPEN)
    const senders = routes.filter(({ access }) => access === 'sender').map(({ operationId }) => operationId)
    expect(senders, 'tried in push-events.test.ts').to.have.members(['tellOfPush', 'tellOfPushBySecretAddress'])
    expect(Object.keys(ASKS)).to.have.members([...needing, ...OPEN])
  })

  it('has a cell for every grant, here and elsewhere', () => {
    expect(header).to.deep.equal(['operation', 'submitter', ...GRANT_KINDS])
    for (const [operation = '', submitter = '', ...cells] of rows) {
      expect(submitter.split(' '), operation).to.have.length(1)
      expect(
        cells.map((text) => text.split(' ').length),
        operation,
      ).to.deep.equal(GRANT_KINDS.map(() => 2))
    }
  })

  for (const operation of Object.keys(ASKS)) {
    const ask = ASKS[operation]!
    if (OPEN.includes(operation)) {
      it(`${operation}: open to everybody`, async () => {
        const answer = await office.fixture.ask({ ...ask(office.here), token: null })
        // Where nobody can sign in that is what is said, and no token is asked for.
        const status = { exchangeToken: 422, readLoginProvider: 404 }[operation] ?? 200
        expect(answer.status).to.equal(status)
      })
      continue
    }
    it(`${operation}: no token, and a revoked one`, async () => {
      const revoked = await office.revoked()
      office.world.faults.plan(undefined)
      expectProblem(await office.fixture.ask({ ...ask(office.here), token: null }), 401, 'TOKEN_MISSING')
      expectProblem(await office.fixture.ask({ ...ask(office.here), token: revoked }), 401, 'TOKEN_INVALID')
      expect(actsOf(office.world)).to.deep.equal([])
    })
  }

  for (const { operation, who, where, expected } of CELLS) {
    it(`${operation}: ${who} ${where}: ${expected}`, async () => {
      // Who changes something has a place of his own.
      const refusal = REFUSALS[expected]
      const { method = 'GET' } = ASKS[operation]!(office.here)
      const own = refusal === undefined && method !== 'GET' ? await Office.open() : office
      try {
        const token = who === 'submitter' ? await submitterOf(own) : await own.holder(who)
        const { has, ...ask } = ASKS[operation]!(own[where])
        own.world.faults.plan(undefined)
        const answer = await own.fixture.ask({ ...ask, token })
        if (refusal !== undefined) {
          expectProblem(answer, ...refusal)
          expect(actsOf(own.world)).to.deep.equal([])
        } else if (/^\d+$/.test(expected)) {
          expect(answer.status, answer.text).to.equal(Number(expected))
        } else if (expected === 'seen' || expected === 'none') {
          expect([answer.status, has?.(answer)]).to.deep.equal([200, expected === 'seen'])
        } else {
          expect(answer.text).to.include(`"code":"${expected}"`)
          expect(answer.status).to.be.oneOf([409, 422])
        }
      } finally {
        if (own !== office) await own.close()
      }
    })
  }

  it('webhooks: for who may do everything as an operator', async () => {
    const outcomes: Readonly<Record<string, number>> = {
      listWebhooks: 200,
      listWebhookDeliveries: 200,
      redeliverWebhook: 404,
      enableWebhook: 200,
      testWebhook: 200,
    }
    for (const grant of GRANT_KINDS) {
      const grants = [{ grant, repositories: ['*'] }]
      const { secret } = await office.world.services.tokens.create(everybody, { name: grant, grants })
      for (const [operation, status] of Object.entries(outcomes)) {
        const answer = await office.fixture.ask({ ...ASKS[operation]!(office.here), token: secret })
        expect(answer.status, `${grant} ${operation}`).to.equal(grant === 'operator' ? status : 403)
      }
    }
  })

  it('readMetrics: from elsewhere for every grant, not without one', async () => {
    const ask = { path: '/metrics', headers: { 'x-forwarded-for': '192.0.2.1' } }
    expectProblem(await office.fixture.ask({ ...ask, token: null }), 401, 'TOKEN_MISSING')
    for (const grant of GRANT_KINDS) {
      expect((await office.fixture.ask({ ...ask, token: await office.holder(grant) })).status, grant).to.equal(200)
    }
  })

  let gone: string | undefined
  /** Of the common place there is one. */
  async function submitterOf(own: Office): Promise<string> {
    if (own !== office) return own.submitter()
    gone ??= await own.submitter()
    return gone
  }
})
