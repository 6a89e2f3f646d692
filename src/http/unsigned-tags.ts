// The tags of a repository that were pushed and are not signed.
import { parseGun } from '@countersign/tuf'
import * as z from 'zod'
import type { PushService, UnsignedReport } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { dateText, digestText, gunParams, printDigest } from './shapes.ts'
import { requestStatusShape } from './signing-request-view.ts'

const unsignedShape = z
  .strictObject({
    gun: z.string(),
    unsigned: z.int().meta({ description: 'Tags that were pushed and are not signed, as far as is known.' }),
    waiting: z.int().meta({ description: 'Those of them that have not been looked at.' }),
    oldest: dateText.optional().meta({ description: 'When the oldest of them was told of.' }),
    tags: z
      .array(
        z.strictObject({
          tag: z.string(),
          source: z.string().meta({ description: 'The source that told of it first.' }),
          since: dateText.meta({ description: 'When that was.' }),
          digest: digestText.optional().meta({ description: 'What the registry served when it was asked last.' }),
          request: z.string().optional().meta({ description: 'The signing request for that digest.' }),
          status: requestStatusShape.optional().meta({ description: 'Its status.' }),
          trouble: z.string().optional().meta({ description: 'The code with which the last look failed.' }),
        }),
      )
      .meta({ description: 'Oldest first, at most 1,000.' }),
    hasMore: z.boolean(),
  })
  .meta({ id: 'UnsignedTags' })

export function unsignedTagRoutes(pushes: Pick<PushService, 'list'>): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/repositories/:gun/unsigned-tags',
        operationId: 'listUnsignedTags',
        summary: 'See which tags were pushed and are not signed',
        params: gunParams,
        replies: { 200: { description: 'As last seen.', schema: unsignedShape } },
        codes: ['GUN_INVALID', 'NOT_PERMITTED'],
      },
      ({ principal, params }) => ({ status: 200, body: unsignedView(pushes.list(principal, parseGun(params.gun))) }),
    ),
  ]
}

function unsignedView(report: UnsignedReport): z.output<typeof unsignedShape> {
  const { gun, unsigned, waiting, oldest, tags, hasMore } = report
  return {
    gun,
    unsigned,
    waiting,
    ...(oldest !== undefined && { oldest: oldest.toISOString() }),
    tags: tags.map(({ tag, source, since, sha256, request, status, trouble }) => ({
      tag,
      source,
      since: since.toISOString(),
      ...(sha256 !== undefined && { digest: printDigest(sha256) }),
      ...(request !== undefined && { request }),
      ...(status !== undefined && { status }),
      ...(trouble !== undefined && { trouble }),
    })),
    hasMore,
  }
}
