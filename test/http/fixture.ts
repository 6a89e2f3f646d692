// The HTTP server on a free port of this machine, over services that note every call and keep nothing.
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { parseGun, parseRoleName, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import { Agent, request } from 'undici'
import { parseConfig } from '../../src/config/parse.ts'
import type { Principal } from '../../src/domain/principal.ts'
import { parsePattern } from '../../src/domain/pattern.ts'
import type { PushSource } from '../../src/domain/push-event.ts'
import { makeReceipt } from '../../src/domain/receipt.ts'
import type { Repository } from '../../src/domain/repository.ts'
import type { SigningRequest } from '../../src/domain/signing-request.ts'
import type { HealthProbes } from '../../src/http/health.ts'
import { Metrics } from '../../src/http/metrics.ts'
import { problemShape } from '../../src/http/openapi.ts'
import { apiRoutes, HttpServer, type HttpServerOptions } from '../../src/http/server.ts'
import { type Log, silentLog } from '../../src/log.ts'

export const TOKEN = `cs_${'a'.repeat(43)}`
/** Of the source of events `hub`. */
export const PUSH_SECRET = 'p'.repeat(43)
export const gun = parseGun('registry.example.com/team/app')
export const at = new Date('2026-01-02T03:04:05.678Z')
const hex = (text: string) => createHash('sha256').update(text).digest('hex')

export const principal: Principal = {
  id: 'tok_1',
  name: 'release-bot',
  grants: [{ grant: 'submit', repositories: [parsePattern('*')] }],
}

const subject = {
  reference: `${gun}:1.4@sha256:${hex('image')}`,
  gun,
  tag: parseTag('1.4'),
  sha256: hex('image'),
  length: 428,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
}
const decision = {
  outcome: 'allow' as const,
  reasons: [{ rule: 'grant-submit', code: 'GRANT_HELD', subject: `${gun}:1.4` }],
  policyDigest: hex('policy'),
  at,
}

export const signingRequest: SigningRequest = {
  id: 'req-1',
  kind: 'sign',
  submitter: { id: principal.id, name: principal.name },
  description: 'release 1.4',
  createdAt: at,
  images: [
    {
      revision: 3,
      record: {
        status: 'published',
        subject,
        at,
        decision,
        conflicts: 0,
        publication: 'pub-1',
        roles: [{ role: parseRoleName('targets/releases'), version: 7, sha256: hex('role') }],
        unchanged: false,
      },
    },
    { revision: 1, record: { status: 'failed', subject, at, error: { code: 'DIGEST_MISMATCH', detail: 'another' } } },
    { revision: 1, record: { status: 'denied', subject, at, decision: { ...decision, outcome: 'deny' } } },
  ],
}

const needed = { required: 2, from: ['group:release-managers'], expiresAt: at }

const promotedFrom = {
  gun: parseGun('staging.example.com/team/app'),
  tag: parseTag('rc1'),
  sha256: subject.sha256,
  role: parseRoleName('targets/releases'),
  version: 7,
}

/** Everything that a request for approvals can show. */
export const waitingRequest: SigningRequest = {
  id: 'request_3',
  kind: 'sign',
  submitter: {
    id: 'github:repository:74',
    name: 'team/app',
    groups: ['bots'],
    actors: ['github:user:1'],
    origin: {
      provider: 'github',
      issuer: 'https://token.actions.githubusercontent.com',
      repository: 'team/app',
      repositoryId: '74',
      ref: 'refs/heads/main',
      isRefProtected: true,
      attempt: 1,
      commit: 'c0ffee',
    },
  },
  policy: 'release',
  resubmits: 'request_1',
  createdAt: at,
  images: [
    {
      revision: 2,
      record: {
        status: 'awaiting-approval',
        subject: { ...subject, promotedFrom },
        at,
        decision: { ...decision, project: 'team', policy: 'release', standing: hex('standing'), approvals: needed },
        approvals: [{ person: 'ann', approver: 'tok_1', at, digest: hex('seen'), comment: 'fine' }],
        conflicts: 0,
      },
    },
  ],
}

export const repository: Repository = {
  gun,
  state: 'ready',
  rootKind: 'offline',
  signer: 'countersign',
  keyType: 'ecdsa',
  rootKeyIds: [hex('root')],
  createdAt: at,
  createdBy: 'tok_1',
  revision: 1,
}

const rotation: SigningRequest = {
  id: 'request_2',
  kind: 'rotate',
  submitter: { id: 'tok_1', name: 'operator' },
  createdAt: at,
  images: [
    { revision: 1, record: { status: 'approved', subject: { reference: gun, gun }, at, decision, conflicts: 0 } },
  ],
}

const report = {
  repository,
  custody: {
    gun,
    state: 'ready' as const,
    rootCustody: 'offline' as const,
    pinnedRoot: { version: 1, sha256: hex('root file'), certificateKeyIds: [hex('root')] },
    keys: [
      {
        role: parseRoleName('targets'),
        keyType: 'ecdsa',
        tufKeyId: hex('k'),
        canonicalKeyId: hex('k'),
        custody: 'file',
        createdAt: at.toISOString(),
        state: 'active' as const,
      },
    ],
    roles: [{ role: parseRoleName('targets'), highestSeen: { version: 2, sha256: hex('t') } }],
    foreign: {
      versions: [{ role: parseRoleName('targets'), version: 2, decision: 'none' as const }],
      leftOut: 3,
    },
  },
  keyRoles: new Map([[hex('k'), [parseRoleName('targets')]]]),
  roles: [{ role: parseRoleName('targets'), version: 2, expiresAt: at, sha256: hex('t'), entries: 3 }],
  warnings: [{ code: 'ROLE_EXPIRES_SOON' as const, detail: 'soon', role: parseRoleName('targets') }],
  outlook: [],
}

const root = {
  role: parseRoleName('root'),
  roleClass: 'root' as const,
  version: 2,
  expiresAt: at,
  isOfCertificate: true as const,
  by: 'ceremony' as const,
  keyIds: [hex('root')],
  threshold: 1,
}
const forecast = {
  gun,
  from: at,
  until: at,
  roles: [root],
  acts: [
    {
      role: root.role,
      roleClass: root.roleClass,
      kind: 'person' as const,
      by: root.by,
      at,
      expiresAt: at,
      plan: 'A root ceremony.',
    },
  ],
}

const drift = {
  gun,
  signed: 2,
  moved: 1,
  gone: 0,
  unknown: 1,
  tags: [
    {
      gun,
      tag: parseTag('1.4'),
      sha256: hex('image'),
      state: 'moved' as const,
      found: hex('other'),
      since: at,
      checkedAt: at,
      trouble: 'REGISTRY_UNAVAILABLE',
    },
  ],
  hasMore: false,
}

const pushSource: PushSource = {
  name: 'hub',
  kind: 'docker-hub',
  registry: 'docker.io',
  repositories: [{ gun: parsePattern('docker.io/*'), tags: ['*'] }],
  eventsPerMinute: 60,
}

const unsigned = {
  gun,
  unsigned: 2,
  waiting: 1,
  oldest: at,
  tags: [
    {
      gun,
      tag: parseTag('1.5'),
      source: 'hub',
      since: at,
      claims: [{ sha256: '', source: 'hub' }],
      trouble: 'REGISTRY_UNAVAILABLE',
    },
    {
      gun,
      tag: parseTag('1.6'),
      source: 'hub',
      since: at,
      claims: [],
      sha256: hex('image'),
      request: 'req-1',
      status: 'denied' as const,
    },
  ],
  hasMore: false,
}

const tokenRecord = {
  id: 'tok_2',
  name: 'auditor',
  secretSha256: hex('secret'),
  grants: [{ grant: 'read' as const, repositories: [parsePattern('registry.example.com/*')] }],
  groups: ['auditors'],
  createdAt: at,
  createdBy: 'tok_1',
  expiresAt: at,
  lastUsedAt: at,
}

const webhookReport = {
  name: 'chat',
  origin: 'https://hooks.example.com',
  events: ['request.published' as const],
  repositories: [parsePattern('*')],
  state: 'active' as const,
  since: at,
  counts: { pending: 1, delivered: 2, dead: 0 },
}

const pending = {
  endpoint: 'chat',
  id: 'event-1',
  type: 'request.published' as const,
  subject: 'req-1',
  createdAt: at,
  state: 'pending' as const,
  attempts: 0,
  nextTryAt: at,
}
const delivery = {
  endpoint: 'chat',
  id: 'event-2',
  type: 'audit.checkpoint' as const,
  subject: '7/abc',
  createdAt: at,
  state: 'dead' as const,
  attempts: 8,
  lastTryAt: at,
  lastStatus: 302,
  lastCode: 'WEBHOOK_REDIRECTED',
}

const receipt = makeReceipt('sign', subject, {
  index: 7,
  bytes: Buffer.from('{}'),
  leafHash: Buffer.alloc(32),
  proof: [Buffer.alloc(32, 1)],
  checkpoint: 'a note',
  logKey: `test+00000000+${'A'.repeat(44)}`,
})

type Fakes = HttpServerOptions['services']

/** Services that answer with the examples above and note the name of every call. */
export function fakeServices(calls: string[], overrides: { [K in keyof Fakes]?: Partial<Fakes[K]> } = {}): Fakes {
  const note = <T>(name: string, answer: T) => {
    calls.push(name)
    return answer
  }
  return {
    requests: {
      submit: () => Promise.resolve(note('submit', { request: signingRequest, isRepeated: false })),
      explain: () =>
        Promise.resolve(
          note('explain', [{ subject, decision: { ...decision, approvals: needed, standing: hex('standing') } }]),
        ),
      approve: () => Promise.resolve(note('approve', waitingRequest)),
      deny: () => Promise.resolve(note('deny', signingRequest)),
      withdraw: () => Promise.resolve(note('withdraw', signingRequest)),
      planPruning: () =>
        Promise.resolve(
          note('planPruning', {
            gun,
            madeAt: at,
            signed: 3,
            stays: 1,
            entries: [{ tag: parseTag('1.0'), sha256: hex('image'), reason: 'old' as const, signedAt: at }],
            kept: [{ tag: '1.1', code: 'REGISTRY_UNAUTHORIZED', detail: 'no' }],
            nextCursor: '1.1',
          }),
        ),
      resubmit: () => Promise.resolve(note('resubmit', { request: waitingRequest, isRepeated: false })),
      rotate: () => Promise.resolve(note('rotate', { request: rotation, isRepeated: false })),
      renew: () => Promise.resolve(note('renew', { request: rotation, isRepeated: false })),
      planRepair: () =>
        Promise.resolve(
          note('planRepair', [
            {
              role: parseRoleName('targets'),
              version: 3,
              expiredAt: at,
              canRepair: false,
              obstacle: 'none of its keys is held here',
              keys: [hex('key')],
            },
          ]),
        ),
      repair: () => Promise.resolve(note('repair', { request: rotation, isRepeated: false })),
      planRootChange: () =>
        Promise.resolve(note('planRootChange', { gun, current: Buffer.from('{}'), next: Buffer.from('{}') })),
      changeRoot: () => Promise.resolve(note('changeRoot', { request: rotation, isRepeated: false })),
      planMove: () =>
        Promise.resolve(
          note('planMove', {
            gun,
            from: 'old',
            to: 'new',
            current: Buffer.from('{}'),
            next: Buffer.from('{}'),
            roots: [1, 2],
            takesOlderRoots: true,
            moved: [{ role: parseRoleName('targets'), version: 3, expiresAt: at }],
            left: [{ role: parseRoleName('targets/alice'), code: 'ROLE_EXPIRED' as const }],
            raises: 0,
            oldTimestampExpiresAt: at,
            oldRootExpiresAt: at,
          }),
        ),
      move: () => Promise.resolve(note('move', { request: rotation, isRepeated: false })),
      find: () => note('find', signingRequest),
      list: () => note('list', { requests: [signingRequest], nextCursor: 'next' }),
      waitFor: () => Promise.resolve(note('waitFor', signingRequest)),
      ...overrides.requests,
    },
    repositories: {
      remove: () => {
        note('remove', undefined)
        return Promise.resolve()
      },
      initialize: () =>
        Promise.resolve(
          note('initialize', {
            gun,
            state: 'awaiting-root-signature' as const,
            rootKeyIds: [hex('root')],
            rootSigned: Buffer.from('{}'),
          }),
        ),
      addRootSignatures: () =>
        Promise.resolve(note('addRootSignatures', { gun, state: 'ready' as const, rootKeyIds: [hex('root')] })),
      adopt: () => Promise.resolve(note('adopt', report)),
      list: () => note('listRepositories', [repository]),
      report: () => Promise.resolve(note('report', report)),
      forecast: () => Promise.resolve(note('forecast', forecast)),
      ...overrides.repositories,
    },
    drift: {
      list: () => note('drift', drift),
      ...overrides.drift,
    },
    pushes: {
      identify: (name, secret) => (name === 'hub' && secret === PUSH_SECRET ? pushSource : undefined),
      accept: () => note('accept', { accepted: 1, ignored: 2 }),
      list: () => note('unsigned', unsigned),
      ...overrides.pushes,
    },
    verifications: {
      verify: () =>
        Promise.resolve(
          note('verify', [
            {
              reference: subject.reference,
              gun,
              tag: '1.4',
              verdict: 'signed' as const,
              digest: hex('image'),
              length: 428,
              role: parseRoleName('targets/releases'),
              roleVersion: 7,
              signers: ['countersign'],
            },
            {
              reference: subject.reference,
              gun,
              verdict: 'unknown' as const,
              signers: [],
              error: { code: 'NOTARY_UNREACHABLE', detail: 'no answer' },
            },
          ]),
        ),
      inspect: () =>
        Promise.resolve(
          note('inspect', [
            {
              Name: gun,
              SignedTags: [{ SignedTag: '1.4', Digest: hex('image'), Signers: ['countersign'] }],
              Signers: [{ Name: 'countersign', Keys: [{ ID: hex('k') }] }],
              AdministrativeKeys: [{ Name: 'Root', Keys: [{ ID: hex('root') }] }],
            },
          ]),
        ),
      published: () =>
        Promise.resolve(
          note('published', {
            gun,
            verifiedAt: at,
            files: [{ name: '1.root.json', sha256: hex('{}'), bytes: Buffer.from('{}') }],
          }),
        ),
      ...overrides.verifications,
    },
    tokens: {
      authenticate: (secret) => (secret === TOKEN ? principal : undefined),
      create: () => Promise.resolve(note('create', { token: tokenRecord, secret: TOKEN })),
      createFirst: () => Promise.resolve(undefined),
      list: () => note('listTokens', [tokenRecord]),
      revoke: () => {
        calls.push('revoke')
        return Promise.resolve()
      },
      rotate: () => Promise.resolve(note('rotateToken', { token: tokenRecord, secret: TOKEN })),
      ...overrides.tokens,
    },
    webhooks: {
      list: () => note('listWebhooks', [webhookReport]),
      deliveries: () => note('deliveries', { deliveries: [delivery, pending], nextCursor: 'd1' }),
      redeliver: () => Promise.resolve(note('redeliver', pending)),
      enable: () => Promise.resolve(note('enable', webhookReport)),
      test: () =>
        Promise.resolve(
          note('testWebhook', {
            id: 'event-9',
            attempt: { outcome: 'failed' as const, code: 'WEBHOOK_REFUSED', status: 500 },
          }),
        ),
      ...overrides.webhooks,
    },
    exchange: {
      exchange: () =>
        Promise.resolve(
          note('exchange', {
            token: {
              ...tokenRecord,
              workload: {
                id: 'github:repository:1',
                issuer: 'github',
                origin: { provider: 'github' as const, issuer: 'https://issuer.example.com' },
              },
            },
            secret: TOKEN,
          }),
        ),
      ...overrides.exchange,
    },
    audit: {
      receipt: () => Promise.resolve(note('receipt', receipt)),
      publicKey: () => Promise.resolve(note('publicKey', { origin: 'test', publicKey: receipt.logKey })),
      ...overrides.audit,
    },
  }
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: unknown
}

export interface Ask {
  readonly method?: string
  readonly path: string
  readonly token?: string | null
  readonly headers?: Readonly<Record<string, string>>
  /** Text as it is, anything else as JSON. */
  readonly body?: unknown
}

export interface Fixture {
  readonly url: string
  readonly calls: string[]
  readonly server: HttpServer
  readonly metrics: Metrics
  readonly routes: ReturnType<typeof apiRoutes>
  readonly ask: (o: Ask) => Promise<Answer>
  stop(): Promise<void>
}

export interface FixtureOptions {
  readonly config?: string
  readonly services?: Parameters<typeof fakeServices>[1]
  /** In the place of the fakes. */
  readonly realServices?: Fakes
  readonly probes?: Partial<HealthProbes>
  readonly log?: Log
  readonly tls?: NonNullable<HttpServerOptions['tls']>
  readonly certificates?: NonNullable<HttpServerOptions['certificates']>
  readonly now?: () => Date
}

export async function startFixture(o: FixtureOptions = {}): Promise<Fixture> {
  const calls: string[] = []
  const parsed = parseConfig(o.config ?? 'http: { listen: "127.0.0.1:0" }')
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const metrics = new Metrics('0.0.0', {
    unfinishedImages: () => new Map([['approved', 2]]),
    oldestUnfinishedSeconds: () => 4,
    isKeyHolderUp: () => Promise.resolve(true),
    daysToNextExpiry: () => 30,
    daysToNextExpiryByClass: () => new Map([['root', 3000]]),
  })
  const options: HttpServerOptions = {
    services: o.realServices ?? fakeServices(calls, o.services),
    probes: { keyHolder: () => Promise.resolve('ok'), database: () => 'ok', start: () => 'ok', ...o.probes },
    metrics,
    log: o.log ?? silentLog,
    settings: parsed.config,
    version: '0.0.0',
    ...(o.tls !== undefined && { tls: o.tls }),
    ...(o.certificates !== undefined && { certificates: o.certificates }),
    ...(o.now !== undefined && { now: o.now }),
  }
  const server = new HttpServer(options)
  const { url } = await server.start()
  const agent = new Agent()
  return {
    url,
    calls,
    server,
    metrics,
    routes: apiRoutes(options),
    ask: (ask) => send(url, agent, ask),
    stop: async () => {
      await agent.destroy()
      await server.stop()
    },
  }
}

async function send(url: string, dispatcher: Agent, o: Ask): Promise<Answer> {
  const isText = typeof o.body === 'string'
  const answer = await request(url + o.path, {
    dispatcher,
    method: o.method ?? 'GET',
    headers: {
      ...(o.token !== null && { authorization: `Bearer ${o.token ?? TOKEN}` }),
      ...(o.body !== undefined && { 'content-type': 'application/json' }),
      ...o.headers,
    },
    ...(o.body !== undefined && { body: isText ? o.body : JSON.stringify(o.body) }),
  })
  const text = await answer.body.text()
  const isJson = (answer.headers['content-type'] ?? '').includes('json')
  return {
    status: answer.statusCode,
    headers: answer.headers,
    text,
    json: isJson && text !== '' ? (JSON.parse(text) as unknown) : undefined,
  }
}

/** Holds a refusal to its form: media type, shape, status, code, and that nothing may keep it. */
export function expectProblem(answer: Answer, status: number, code: string) {
  expect(answer.text).to.include(`"code":"${code}"`)
  expect(answer.status).to.equal(status)
  expect(answer.headers['content-type']).to.equal('application/problem+json')
  expect(answer.headers['cache-control']).to.equal('no-store')
  const problem = problemShape.parse(answer.json)
  expect(problem.code).to.equal(code)
  expect(problem.status).to.equal(status)
  return problem
}
