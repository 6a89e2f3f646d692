// /livez: the process answers. /readyz: it can sign. Neither tells names of repositories, keys or machines.
import * as z from 'zod'
import { HttpError } from './errors.ts'
import { openRoute, type Route } from './route.ts'

/** Looks at what signing needs. Each resolves to a word that is safe to show. */
export interface HealthProbes {
  /** Whether everything that a first start makes is there. */
  start(): 'ok' | 'pending'
  keyHolder(): Promise<'ok' | 'sealed' | 'unreachable'>
  /** Of the embedded trust server; absent where there is none. */
  trustServer?(): Promise<'ok' | 'not-signing' | 'unreachable'>
  database(): 'ok' | 'unwritable'
}

const aliveShape = z.strictObject({ status: z.literal('ok') })
const ok = z.literal('ok')
const readyShape = z.strictObject({ status: ok, keyHolder: ok, trustServer: ok.optional(), database: ok, start: ok })

export function healthRoutes(probes: HealthProbes): Route[] {
  return [
    openRoute(
      {
        method: 'GET',
        path: '/livez',
        operationId: 'isAlive',
        summary: 'Whether the process answers',
        replies: { 200: { description: 'It does.', schema: aliveShape } },
        codes: [],
      },
      () => ({ status: 200, body: { status: 'ok' } }),
    ),
    openRoute(
      {
        method: 'GET',
        path: '/readyz',
        operationId: 'isReady',
        summary:
          'Whether requests can be signed: key holder reachable and unsealed, embedded trust server ready, database writable',
        replies: { 200: { description: 'They can.', schema: readyShape } },
        codes: ['NOT_READY'],
      },
      async () => {
        const [keyHolder, trustServer] = await Promise.all([probes.keyHolder(), probes.trustServer?.()])
        const checks = {
          keyHolder,
          ...(trustServer !== undefined && { trustServer }),
          database: probes.database(),
          start: probes.start(),
        }
        if (Object.values(checks).some((check) => check !== 'ok')) {
          const of = trustServer === undefined ? '' : ` Trust server: ${trustServer}.`
          throw new HttpError(
            'NOT_READY',
            `Key holder: ${keyHolder}.${of} Database: ${checks.database}. Start: ${checks.start}.`,
            { facts: checks },
          )
        }
        return { status: 200, body: { status: 'ok', ...checks } }
      },
    ),
  ]
}
