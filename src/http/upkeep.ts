// Requests about a repository as a whole: publish the keys that an operator has staged, sign again what expires soon or has expired.
import { parseGun } from '@countersign/tuf'
import * as z from 'zod'
import type { PublicCode } from './problem.ts'
import type { RequestService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { dateText, gunParams, TRUST_SERVER_CODES } from './shapes.ts'
import { submittedReplies, submittedReply } from './submitted-reply.ts'

const repairPlanShape = z
  .strictObject({
    gun: z.string(),
    expired: z
      .array(
        z.strictObject({
          role: z.string(),
          version: z.number().int(),
          expiredAt: dateText,
          canRepair: z.boolean().meta({ description: 'Whether its keys are here.' }),
          obstacle: z.string().optional().meta({ description: 'Why it cannot be repaired here, and what would help.' }),
          keys: z.array(z.string()).meta({ description: 'Canonical IDs of the keys that may sign it.' }),
        }),
      )
      .meta({ description: 'Base targets first; empty: nothing has expired.' }),
  })
  .meta({ id: 'RepairPlan' })

export function upkeepRoutes(requests: RequestService): Route[] {
  const common = ['GUN_INVALID', 'NOT_PERMITTED', 'REPOSITORY_NOT_READY', 'KEY_HOLDER_UNREACHABLE'] as const
  const route = (
    o: { path: `/${string}`; operationId: string; summary: string; codes: readonly PublicCode[] },
    submit: RequestService['rotate'],
  ): Route =>
    tokenRoute(
      {
        ...o,
        method: 'POST',
        params: gunParams,
        body: z.strictObject({}).optional(),
        replies: submittedReplies('Such a request is under way for this repository.'),
        codes: [...common, ...o.codes],
      },
      async ({ principal, params }) => submittedReply(await submit(principal, parseGun(params.gun))),
    )
  return [
    route(
      {
        path: '/v1/repositories/:gun/key-rotations',
        operationId: 'rotateKeys',
        summary: 'Put the staged keys of a repository in the place of their predecessors',
        codes: ['ROTATION_NOT_STAGED'],
      },
      (principal, gun) => requests.rotate(principal, gun),
    ),
    route(
      {
        path: '/v1/repositories/:gun/renewals',
        operationId: 'renewRoles',
        summary: 'Sign the roles of a repository that expire soon again, as they are',
        codes: ['RENEWAL_NOT_DUE', ...TRUST_SERVER_CODES],
      },
      (principal, gun) => requests.renew(principal, gun),
    ),
    route(
      {
        path: '/v1/repositories/:gun/repairs',
        operationId: 'repairRepository',
        summary: 'Sign targets and delegations of a repository that have expired again, as they are',
        codes: ['REPAIR_NOT_NEEDED', 'REPAIR_NOT_POSSIBLE', ...TRUST_SERVER_CODES],
      },
      (principal, gun) => requests.repair(principal, gun),
    ),
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/repositories/:gun/repairs',
        operationId: 'planRepair',
        summary: 'What has expired in a repository, and what of it can be signed again here',
        params: gunParams,
        replies: { 200: { description: 'What a repair would do now.', schema: repairPlanShape } },
        codes: [...common, ...TRUST_SERVER_CODES],
      },
      async ({ principal, params }) => {
        const gun = parseGun(params.gun)
        const expired = await requests.planRepair(principal, gun)
        return {
          status: 200,
          body: {
            gun,
            expired: expired.map(({ expiredAt, keys, ...role }) => ({
              ...role,
              expiredAt: expiredAt.toISOString(),
              keys: [...keys],
            })),
          },
        }
      },
    ),
  ]
}
