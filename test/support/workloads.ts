// The services with three issuers, each a real provider on loopback: one that makes tokens as GitHub does, one as GitLab, and another.
import { observe } from '../../src/app/observation.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { workloadIssuer } from '../../src/config/identity-settings.ts'
import { Metrics } from '../../src/http/metrics.ts'
import { HttpServer } from '../../src/http/server.ts'
import { discoveredKeys } from '../../src/identity/key-loaders.ts'
import { IdTokenVerifier } from '../../src/identity/verifier.ts'
import { type Log, silentLog } from '../../src/log.ts'
import { HttpClient } from '../../src/net/http-client.ts'
import { createServices } from '../../src/service/create-services.ts'
import { World } from './fakes/world.ts'
import { AUDIENCE, OidcIssuer } from './oidc-issuer.ts'
import type { Scope } from './scope.ts'

const TIMEOUTS = { connectMs: 2_000, headersMs: 2_000, totalMs: 5_000 }

export interface Workloads {
  readonly world: World
  readonly github: OidcIssuer
  readonly gitlab: OidcIssuer
  readonly other: OidcIssuer
}

export async function startWorkloads(scope: Scope): Promise<Workloads> {
  const [github, gitlab, other] = [
    await OidcIssuer.start(scope),
    await OidcIssuer.start(scope),
    await OidcIssuer.start(scope),
  ]
  const parsed = parseConfig(identityConfig({ github: github.url, gitlab: gitlab.url, other: other.url }))
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const { issuers } = parsed.config.identity
  const world = new World({}, undefined, undefined, ({ time }) => ({
    verifier: new IdTokenVerifier(
      issuers.map((config) => {
        const client = new HttpClient(config.issuer, {}, TIMEOUTS)
        scope.add(() => client.close())
        const load = discoveredKeys(client, config.issuer)
        return { issuer: workloadIssuer(config), load, observe: () => undefined }
      }),
      time,
    ),
  }))
  scope.add(() => {
    world.close()
  })
  return { world, github, gitlab, other }
}

/** The HTTP API over the services of the world, until the scope closes. */
export async function serveOverHttp(
  scope: Scope,
  world: World,
  log: Log = silentLog,
): Promise<{ readonly url: string; readonly metrics: Metrics }> {
  const config = parseConfig('http: { listen: "127.0.0.1:0" }')
  if (!config.ok) throw new Error('no configuration')
  const metrics = new Metrics('0.0.0', {
    unfinishedImages: () => new Map(),
    oldestUnfinishedSeconds: () => 0,
    isKeyHolderUp: () => Promise.resolve(true),
    daysToNextExpiry: () => undefined,
  })
  const server = new HttpServer({
    services: createServices({ ...world.dependencies, observer: observe(log, metrics) }),
    probes: { keyHolder: () => Promise.resolve('ok'), database: () => 'ok', start: () => 'ok' },
    metrics,
    log,
    settings: config.config,
    version: '0.0.0',
  })
  const { url } = await server.start()
  scope.add(() => server.stop())
  return { url, metrics }
}

/** The repository 1296269 signs from main and, in its own way, from a pull request into main; project 20 from protected tags. */
export function identityConfig(issuers: {
  readonly github: string
  readonly gitlab: string
  readonly other: string
}): string {
  return JSON.stringify({
    identity: {
      issuers: [
        {
          name: 'github',
          issuer: issuers.github,
          audience: AUDIENCE,
          provider: 'github',
          exchangesPerMinute: 20,
          identities: [
            {
              match: { repository_id: '1296269', ref: ['refs/heads/main', 'refs/tags/v*'] },
              groups: ['releases'],
              grants: [{ grant: 'submit', repositories: ['registry.example.com/team/*'] }],
            },
            {
              match: { repository_owner_id: '4711', event_name: ['pull_request', 'merge_group'], base_ref: 'main' },
              id: { claim: 'repository_owner_id' },
              grants: [{ grant: 'read', repositories: ['registry.example.com/team/*'] }],
            },
          ],
        },
        {
          name: 'gitlab',
          issuer: issuers.gitlab,
          audience: AUDIENCE,
          provider: 'gitlab',
          identities: [
            {
              match: { project_id: '20', ref_protected: 'true', runner_id: '1' },
              grants: [{ grant: 'submit', repositories: ['registry.example.com/team/app'] }],
            },
          ],
        },
        {
          name: 'people',
          issuer: issuers.other,
          audience: AUDIENCE,
          provider: 'other',
          algorithms: ['RS256', 'EdDSA'],
          actorClaim: 'sub',
          identities: [
            {
              match: { email_verified: 'true', sub: '*', team: 'signers' },
              id: { claim: 'sub', kind: 'user' },
              groups: ['approvers'],
              grants: [{ grant: 'read', repositories: ['*'] }],
            },
          ],
        },
      ],
    },
  })
}
