// The real services over the real key holder, behind the real HTTP server, furnished with what calls can be about: repositories, requests
// at their end and waiting for approval, tokens, a plan of a next root.
import { silentLog, type Log } from '../../src/log.ts'
import { GRANT_KINDS } from '../../src/domain/principal.ts'
import { startFixture } from '../http/fixture.ts'
import type { ApiDocument, FuzzTarget } from './api-fuzz.ts'
import { startHeldWorld } from './fakes/held-world.ts'
import { webhooksOf } from './fakes/webhooks.ts'
import { app, everybody, type World } from './fakes/world.ts'
import type { Scope } from './scope.ts'

const OTHER = 'registry.example.com/team/other'

export interface FuzzedOffice {
  readonly target: FuzzTarget
  readonly world: World
  /** What the server wrote of failures inside. */
  readonly failures: readonly unknown[]
}

export async function openFuzzedOffice(scope: Scope): Promise<FuzzedOffice> {
  const { world } = await startHeldWorld(scope)
  const failures: unknown[] = []
  const log: Log = { ...silentLog, error: (facts: unknown) => failures.push(facts) }
  const fixture = await startFixture({ realServices: { ...world.services, webhooks: webhooksOf(world) }, log })
  scope.add(() => fixture.stop())
  await world.initialize(app)
  for (const tag of ['1.0', '1.1', '1.2']) world.registry.push(app, tag, 'a')
  const signed = await world.sign(`${app}:1.0`, `${app}:1.1`)
  const dropped = await world.unsign(`${app}:1.1`)
  const all = GRANT_KINDS.map((grant) => ({ grant, repositories: ['*'] }))
  const make = (name: string, grants: typeof all) => world.services.tokens.create(everybody, { name, grants })
  const admin = await make('everything', all)
  const victims = [await make('first', all.slice(3)), await make('second', all.slice(3))]
  const document = (await fixture.ask({ path: '/v1/openapi.json' })).json as ApiDocument
  const digest = `sha256:${'a'.repeat(64)}`
  return {
    world,
    failures,
    target: {
      url: fixture.url,
      tokens: [admin.secret],
      document,
      known: {
        gun: [
          app,
          app,
          OTHER,
          'registry.example.com/team/none',
          'docker.io/library/alpine',
          'localhost:5000/x',
          'UPPER/x',
        ],
        id: [signed.id, dropped.id, ...victims.map(({ token }) => token.id), 'request_9999'],
        images: [
          `${app}:1.0`,
          `${app}:1.1`,
          `${app}:1.2`,
          `${app}:1.0@${digest}`,
          `${app}:9`,
          app,
          `${app}@${digest}`,
          'alpine:3',
        ],
        name: ['chat', 'none'],
        image: [app, `${app}:1.0`, `${app}:9`, `${OTHER}:1`, 'alpine'],
        position: ['0', '1', '2'],
        wait: ['0s', '1ms', '10m', '999999m'],
        limit: ['1', '2', '200', '201', '999'],
        repositories: ['*', 'registry.example.com/*', app, '**', 'registry.example.com/team/a*b'],
        grant: [...GRANT_KINDS],
        signature: ['AAAA', 'not base64', Buffer.alloc(64, 1).toString('base64')],
        method: ['ecdsa', 'rsapss', 'ed25519', 'none'],
        'Idempotency-Key': ['key-1', 'key-2', '"quoted"'],
      },
    },
  }
}
