// /metrics: for this machine, for holders of a read grant, or for everybody where the configuration says so.
import * as z from 'zod'
import { isLoopback } from '../config/fields.ts'
import { isGrantedAnywhere, type Principal } from '../domain/principal.ts'
import { DomainError } from '../domain/errors.ts'
import type { Metrics } from './metrics.ts'
import { openRoute, type RawCall, type Route } from './route.ts'

export function metricsRoutes(metrics: Metrics, isOpen: boolean): Route[] {
  return [
    openRoute(
      {
        method: 'GET',
        path: '/metrics',
        operationId: 'readMetrics',
        summary: 'Metrics in the text format of Prometheus',
        replies: { 200: { description: 'Metrics.', schema: z.string(), type: 'text/plain' } },
        codes: ['TOKEN_MISSING', 'TOKEN_INVALID', 'NOT_PERMITTED'],
      },
      async ({ raw }) => {
        if (!isOpen && !isLocal(raw)) requireReader(raw.identify())
        return { status: 200, body: await metrics.print(), type: metrics.contentType }
      },
    ),
  ]
}

/** From this machine, and not passed on by a proxy that stands on it. */
function isLocal({ request }: RawCall): boolean {
  const address = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
  const { headers } = request
  const isForwarded = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'].some((name) => headers[name] !== undefined)
  return isLoopback(address) && !isForwarded
}

function requireReader(principal: Principal): void {
  if (isGrantedAnywhere(principal, 'read') || isGrantedAnywhere(principal, 'admin')) return
  throw new DomainError('NOT_PERMITTED', 'Metrics need a read grant.', { grant: 'read' })
}
