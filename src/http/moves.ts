// A repository moves to another trust server: planned here, its root signed elsewhere, taken as a request like any other change.
import { decodeBase64, encodeBase64, parseGun } from '@countersign/tuf'
import * as z from 'zod'
import type { MovePlan, RequestService } from '../service/services.ts'
import { signedRoot } from './root-changes.ts'
import { type Route, tokenRoute } from './route.ts'
import { dateText, gunParams, text, TRUST_SERVER_CODES } from './shapes.ts'
import { submittedReplies, submittedReply } from './submitted-reply.ts'

const to = text(2048).meta({
  description: 'The trust server, as the configuration names it: a name, a URL, or embedded.',
})

const planRequest = z.strictObject({ to }).meta({ id: 'MovePlanRequest' })

const planShape = z
  .strictObject({
    gun: z.string(),
    from: z.string(),
    to: z.string(),
    current: z.base64().meta({ description: 'The published root file.' }),
    next: z.base64().meta({ description: 'The next root: the bytes that its keys sign.' }),
    roots: z.array(z.int()).meta({ description: 'The versions of root that the old server has.' }),
    takesOlderRoots: z
      .boolean()
      .meta({ description: 'Whether the new server serves them, too, for clients that know an old one alone.' }),
    moved: z
      .array(z.strictObject({ role: z.string(), version: z.int(), expiresAt: dateText }))
      .meta({ description: 'Go along as they are.' }),
    left: z
      .array(z.strictObject({ role: z.string(), code: z.string() }))
      .meta({ description: 'Delegations that stay behind, since clients pass over them now, and why they do.' }),
    raises: z.int().meta({
      description:
        'Updates without files that a notary-server gets until its versions are above those of the old server.',
    }),
    oldTimestampExpiresAt: dateText.meta({
      description: 'Until then clients that have the old server in their cache need no server at all.',
    }),
    oldRootExpiresAt: dateText.meta({ description: 'From then on clients refuse what the old server has.' }),
  })
  .meta({ id: 'MovePlan' })

const moveRequest = z.strictObject({ to, ...signedRoot }).meta({ id: 'Move' })

const COMMON_CODES = [
  'GUN_INVALID',
  'NOT_PERMITTED',
  'REPOSITORY_NOT_READY',
  'MOVE_DESTINATION_UNKNOWN',
  'MOVE_DESTINATION_OCCUPIED',
  'MOVE_NOT_POSSIBLE',
  'ROOT_CHANGE_OUTDATED',
  'ROOT_CHANGE_INVALID',
  ...TRUST_SERVER_CODES,
  'KEY_HOLDER_UNREACHABLE',
] as const

export function moveRoutes(requests: RequestService): Route[] {
  return [
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories/:gun/move-plans',
        operationId: 'planMove',
        summary: 'What a move to another trust server does, and the root for it, to be signed by its offline keys',
        params: gunParams,
        body: planRequest,
        replies: {
          200: { description: 'Nothing is published. The keys of the new server wait there.', schema: planShape },
        },
        codes: [...COMMON_CODES],
      },
      async ({ principal, params, body }) => {
        return { status: 200, body: planView(await requests.planMove(principal, parseGun(params.gun), body.to)) }
      },
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories/:gun/moves',
        operationId: 'moveRepository',
        summary: 'Move a repository to another trust server, with a root that the root keys have signed',
        params: gunParams,
        body: moveRequest,
        replies: submittedReplies('The same move is under way.'),
        codes: [...COMMON_CODES, 'MOVE_INVALID', 'ROOT_CHANGE_UNDER_WAY'],
      },
      async ({ principal, params, body }) => {
        const move = { to: body.to, next: decodeBase64(body.next), signatures: body.signatures }
        return submittedReply(await requests.move(principal, parseGun(params.gun), move))
      },
    ),
  ]
}

function planView(plan: MovePlan): z.output<typeof planShape> {
  return {
    ...plan,
    current: encodeBase64(plan.current),
    next: encodeBase64(plan.next),
    roots: [...plan.roots],
    moved: plan.moved.map((role) => ({ ...role, expiresAt: role.expiresAt.toISOString() })),
    left: [...plan.left],
    oldTimestampExpiresAt: plan.oldTimestampExpiresAt.toISOString(),
    oldRootExpiresAt: plan.oldRootExpiresAt.toISOString(),
  }
}
