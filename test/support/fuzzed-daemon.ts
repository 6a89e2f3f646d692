// The running daemon beside the real notary-server and registry, furnished with what calls can be about: repositories, requests at their
// end and waiting for an approval, tokens, an endpoint of webhooks, an issuer of identities.
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GRANT_KINDS } from '../../src/domain/principal.ts'
import type { ApiDocument, FuzzTarget } from './api-fuzz.ts'
import { Countersign, DAEMON_UID, SHARED_GID } from './countersign.ts'
import { OidcIssuer } from './oidc-issuer.ts'
import { startDockerRegistry } from './peers/docker-registry.ts'
import { ImageMaker } from './peers/images.ts'
import { startNotaryServer } from './peers/notary-server.ts'
import { waitFor } from './polling.ts'
import type { Scope } from './scope.ts'
import { startScriptedServer } from './scripted-server.ts'
import { createTestCa } from './tls.ts'
import { webhookSecretFile } from './webhook-receiver.ts'
import { AUDIENCE } from './workload-claims.ts'

export interface FuzzedDaemon {
  readonly target: FuzzTarget
  /** What the daemon wrote of failures inside. */
  readonly failures: () => readonly string[]
}

/** What all answers that make something have. */
interface Made {
  readonly id: string
  readonly token: string
  readonly status: string
  readonly approvalDigest: string
}

/** One project; requests under `release` wait for the approver. */
const project = (host: string, approver?: string): string => `
project: team
repositories: ['${host}/team/*']
default: test
policies:
  test: { submitters: [anyone], tags: ['*'], digest: optional, moveTags: true, kinds: [sign, unsign] }
${approver === undefined ? '' : `  release: { submitters: [anyone], tags: ['*'], digest: optional, approvals: { required: 1, from: [person:ann] } }`}
`

export async function startFuzzedDaemon(scope: Scope): Promise<FuzzedDaemon> {
  const registry = await startDockerRegistry(scope)
  const images = new ImageMaker(registry)
  scope.add(() => images.close())
  const { gun: app, sha256 } = await images.pushIndex('team/app', '1.0')
  for (const tag of ['1.1', '1.2', '2.0']) await images.pushManifest('team/app', tag)
  const notary = await startNotaryServer(scope, { ca: createTestCa() })
  const issuer = await OidcIssuer.start(scope)
  const folder = scope.folder('policies')
  chmodSync(folder, 0o755)
  const policies = (text: string, people?: string) => {
    if (people !== undefined) writeFileSync(join(folder, 'people.yaml'), people, { mode: 0o644 })
    writeFileSync(join(folder, 'project.yaml'), text, { mode: 0o644 })
  }
  policies(project(registry.host))
  const secretFile = webhookSecretFile(folder, '.chat.secret')
  if (process.getuid?.() === 0) chownSync(secretFile, DAEMON_UID, SHARED_GID)
  const receiver = await startScriptedServer(scope, (_heard, response) => response.end())
  const countersign = await Countersign.start(scope, {
    notary,
    registry,
    config: {
      policies: { folder },
      webhooks: { endpoints: [{ name: 'chat', url: receiver.url, secretFile, allowPrivateAddresses: true }] },
      identity: {
        issuers: [
          {
            name: 'github',
            issuer: issuer.url,
            audience: AUDIENCE,
            provider: 'github',
            identities: [{ match: { repository_id: '74' }, grants: [{ grant: 'submit', repositories: ['*'] }] }],
          },
        ],
      },
      requests: { wait: '1s' },
      log: { level: 'warn' },
    },
  })

  const admin = readFileSync(countersign.clientEnvironment['COUNTERSIGN_TOKEN_FILE'] ?? '', 'utf8').trim()
  const post = (path: string, body: unknown) => call(`${countersign.url}${path}`, admin, body) as Promise<Made>
  const everything = GRANT_KINDS.map((grant) => ({ grant, repositories: ['*'] }))
  const make = (name: string) => post('/v1/tokens', { name, grants: everything })
  const approver = await make('approver')
  const [rotated, revoked] = [await make('first'), await make('second')]
  await countersign.must(['repo', 'init', app])
  policies(project(registry.host, approver.id), `people: { ann: { identities: [${approver.id}] } }`)
  const submit = (tag: string, policy: string, wait: string) =>
    post(`/v1/signing-requests?wait=${wait}`, { images: [`${app}:${tag}`], policy })
  // From the moment on in which the folder is taken over.
  // Of a tag that no other call moves: what it stands for is part of what is approved.
  const wait = async () => {
    const made = await submit('2.0', 'release', '0s')
    return made.status === 'awaiting-approval' ? made : undefined
  }
  const approved = await waitFor('the approver is known', wait)
  const [denied, withdrawn] = [(await wait()) ?? approved, (await wait()) ?? approved]
  const ended = [await submit('1.0', 'test', '30s'), await submit('1.1', 'test', '30s')]
  /** What an operation ends, no other one is told of. */
  const own: Readonly<Record<string, readonly Made[]>> = {
    approveSigningRequest: [approved],
    denySigningRequest: [denied],
    withdrawSigningRequest: [withdrawn],
    rotateToken: [rotated],
    revokeToken: [revoked],
  }
  const digest = `sha256:${sha256}`
  const document = (await call(`${countersign.url}/v1/openapi.json`, admin)) as ApiDocument
  return {
    failures: () =>
      countersign.daemon
        .output()
        .split('\n')
        .filter((line) => line.includes('"level":"error"')),
    target: {
      url: countersign.url,
      tokens: [admin, approver.token],
      document,
      known: (operationId) => ({
        gun: [
          ...[app, app, `${registry.host}/team/other`, `${registry.host}/elsewhere/app`],
          ...['registry.example.com/team/none', 'docker.io/library/alpine', 'localhost:5000/x', 'UPPER/x'],
        ],
        id: (own[operationId] ?? ended).map(({ id }) => id),
        digest: [approved.approvalDigest],
        policy: ['test', 'release', 'none'],
        images: [
          ...[`${app}:1.0`, `${app}:1.1`, `${app}:1.2`, `${app}:1.0@${digest}`],
          ...[`${app}:9`, app, `${app}@${digest}`, 'alpine:3'],
        ],
        name: ['chat', 'none'],
        image: [app, `${app}:1.0`, `${app}:9`, `${registry.host}/team/other:1`, 'alpine'],
        position: ['0', '1', '2'],
        wait: ['0s', '1ms', '1s', '999999m'],
        limit: ['1', '2', '200', '201', '999'],
        repositories: ['*', 'registry.example.com/*', app, '**', 'registry.example.com/team/a*b'],
        grant: [...GRANT_KINDS],
        signature: ['AAAA', 'not base64', Buffer.alloc(64, 1).toString('base64')],
        method: ['ecdsa', 'rsapss', 'ed25519', 'none'],
        'Idempotency-Key': ['key-1', 'key-2', '"quoted"'],
      }),
    },
  }
}

/** The document that the daemon answers with. @throws Error on any other status than of success */
async function call(url: string, secret: string, body?: unknown): Promise<unknown> {
  const response = await fetch(url, {
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return response.json()
}
