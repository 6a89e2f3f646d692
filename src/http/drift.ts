// The tags of a repository that stand in the registry for something else than what is signed.
import { parseGun } from '@countersign/tuf'
import * as z from 'zod'
import type { DriftReport, DriftService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { dateText, gunParams } from './shapes.ts'

const driftShape = z
  .strictObject({
    gun: z.string(),
    signed: z.int().meta({ description: 'Tags that were signed here and are asked for.' }),
    moved: z.int(),
    gone: z.int(),
    unknown: z.int().meta({ description: 'Tags of which the last question had no answer.' }),
    tags: z
      .array(
        z.strictObject({
          tag: z.string(),
          state: z.enum(['moved', 'gone']).meta({ description: 'Another digest, or not in the registry at all.' }),
          signed: z.string().optional().meta({ description: 'The signed digest; absent once it is unsigned.' }),
          found: z.string().optional().meta({ description: 'What the registry serves for it.' }),
          since: dateText.meta({ description: 'When it was found so.' }),
          checkedAt: dateText.meta({ description: 'When the registry answered last.' }),
          trouble: z.string().optional().meta({ description: 'The code with which the last question failed.' }),
        }),
      )
      .meta({ description: 'The drifted ones, newest first, at most 1,000.' }),
    hasMore: z.boolean(),
  })
  .meta({ id: 'Drift' })

export function driftRoutes(drift: Pick<DriftService, 'list'>): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/repositories/:gun/drift',
        operationId: 'showDrift',
        summary: 'See which signed tags stand in the registry for something else, or not at all',
        params: gunParams,
        replies: { 200: { description: 'As last seen.', schema: driftShape } },
        codes: ['GUN_INVALID', 'NOT_PERMITTED'],
      },
      ({ principal, params }) => ({ status: 200, body: driftView(drift.list(principal, parseGun(params.gun))) }),
    ),
  ]
}

function driftView({ gun, signed, moved, gone, unknown, tags, hasMore }: DriftReport): z.output<typeof driftShape> {
  return {
    gun,
    signed,
    moved,
    gone,
    unknown,
    tags: tags.flatMap(({ tag, state, sha256, found, since, checkedAt, trouble }) =>
      state === 'matches'
        ? []
        : [
            {
              tag,
              state,
              ...(sha256 !== undefined && { signed: `sha256:${sha256}` }),
              ...(found !== undefined && { found: `sha256:${found}` }),
              since: since.toISOString(),
              checkedAt: checkedAt.toISOString(),
              ...(trouble !== undefined && { trouble }),
            },
          ],
    ),
    hasMore,
  }
}
