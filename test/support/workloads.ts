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
import { fakeServices } from '../http/fixture.ts'
import { World } from './fakes/world.ts'
import { OidcIssuer } from './oidc-issuer.ts'
import type { Scope } from './scope.ts'
import { AUDIENCE, identityConfig } from './workload-claims.ts'

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

/** The HTTP API over the services of the world, until the scope closes. `people`: where they sign in. */
export async function serveOverHttp(
  scope: Scope,
  world: World,
  log: Log = silentLog,
  people?: OidcIssuer,
): Promise<{ readonly url: string; readonly metrics: Metrics }> {
  const rule = { match: { team: 'signers' }, grants: [{ grant: 'read', repositories: ['*'] }] }
  const login = { clientId: AUDIENCE }
  const issuers =
    people === undefined
      ? []
      : [{ name: 'people', issuer: people.url, audience: AUDIENCE, provider: 'other', login, identities: [rule] }]
  const config = parseConfig(JSON.stringify({ http: { listen: '127.0.0.1:0' }, identity: { issuers } }))
  if (!config.ok) throw new Error('no configuration')
  const metrics = new Metrics('0.0.0', {
    unfinishedImages: () => new Map(),
    oldestUnfinishedSeconds: () => 0,
    isKeyHolderUp: () => Promise.resolve(true),
    daysToNextExpiry: () => undefined,
  })
  const server = new HttpServer({
    services: {
      ...createServices({ ...world.dependencies, observer: observe(log, metrics) }),
      webhooks: fakeServices([]).webhooks,
    },
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
