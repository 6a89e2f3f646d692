// Tidying: which signed tags are gone from the registry or older than a rule, and the request that unsigns exactly those that were shown.
import { parseGun } from '@countersign/tuf'
import * as z from 'zod'
import { MAX_PRUNED } from '../domain/pruning.ts'
import { MAX_DESCRIPTION } from '../domain/signing-request.ts'
import { parseDuration } from '../config/units.ts'
import type { PrunePage, RequestService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import {
  dateText,
  digestText,
  gunParams,
  nextCursorText,
  printDigest,
  REGISTRY_CODES,
  text,
  TRUST_SERVER_CODES,
} from './shapes.ts'
import { submittedReplies, submittedReply } from './submitted-reply.ts'

const planShape = z
  .strictObject({
    gun: z.string(),
    madeAt: dateText.meta({
      description: 'By the clock of the daemon. Of several pages that of the first one counts.',
    }),
    signed: z.int().meta({ description: 'Tags that clients find signed, all of them.' }),
    stays: z.int().meta({
      description: 'How many of this page stay for certain: served still, where the registry was asked, and not old.',
    }),
    entries: z
      .array(
        z.strictObject({
          tag: z.string(),
          digest: digestText,
          reason: z.enum(['gone', 'old']),
          signedAt: dateText
            .optional()
            .meta({ description: 'When it was signed here; absent where that is not known.' }),
        }),
      )
      .meta({ description: 'Those of this page that the rules name.' }),
    kept: z
      .array(z.strictObject({ tag: z.string(), code: z.string(), detail: z.string() }))
      .meta({ description: 'Those of which nothing could be found out, or that cannot be unsigned completely.' }),
    nextCursor: nextCursorText,
  })
  .meta({ id: 'PrunePlan' })

const flag = z.enum(['true', 'false']).default('false')
const count = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,6})$/, 'must be a number from 0 to 9,999,999')
  .transform(Number)
const age = z
  .string()
  .regex(/^[0-9]{1,9}(s|m|h|d)$/, 'must be a duration, as 90d')
  .transform((value, context) => {
    const milliseconds = parseDuration(value.replace(/^0+(?=[0-9])/, ''))
    if (milliseconds !== undefined) return milliseconds
    context.addIssue('must be a duration, as 90d')
    return z.NEVER
  })
const cursor = z.string().regex(/^\w[\w.-]{0,127}$/, 'must be the cursor of the previous page')

export function pruningRoutes(requests: RequestService): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/repositories/:gun/prune-plan',
        operationId: 'planPruning',
        summary: 'See which signed tags are gone from the registry, or older than a rule',
        params: gunParams,
        query: z.strictObject({
          gone: flag.meta({ description: '`true`: tags that the registry does not have.' }),
          olderThan: age.optional().meta({ description: 'Tags that were signed here longer ago, as 90d.' }),
          keepLast: count.optional().meta({ description: 'So many that were signed last are never too old.' }),
          cursor: cursor.optional(),
        }),
        replies: { 200: { description: 'A page of at most 500 signed tags, looked at.', schema: planShape } },
        codes: ['GUN_INVALID', 'NOT_PERMITTED', 'REPOSITORY_NOT_READY', ...REGISTRY_CODES, ...TRUST_SERVER_CODES],
      },
      async ({ principal, params, query }) => {
        const rules = {
          gone: query.gone === 'true',
          ...(query.olderThan !== undefined && { olderThanMs: query.olderThan }),
          ...(query.keepLast !== undefined && { keepLast: query.keepLast }),
        }
        return {
          status: 200,
          body: view(await requests.planPruning(principal, parseGun(params.gun), rules, query.cursor)),
        }
      },
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories/:gun/prunings',
        operationId: 'pruneRepository',
        summary: 'Ask for tags to lose their signature, in one publication: exactly those named, at the digests named',
        params: gunParams,
        body: z.strictObject({
          entries: z
            .array(z.strictObject({ tag: text(128), digest: digestText, reason: z.enum(['gone', 'old']) }))
            .min(1)
            .max(MAX_PRUNED),
          madeAt: z.iso
            .datetime({ precision: 3 })
            .meta({ description: 'Of the plan: what was signed here later stays.' }),
          all: z.boolean().optional().meta({ description: '`true`: even where no signed tag is left.' }),
          policy: text(128).optional(),
          description: text(MAX_DESCRIPTION).optional(),
        }),
        takesIdempotencyKey: true,
        replies: submittedReplies('The same request was submitted before with this idempotency key.'),
        codes: [
          'GUN_INVALID',
          'IMAGE_REFERENCE_INVALID',
          'REQUEST_IMAGE_REPEATED',
          'REQUEST_TOO_LARGE',
          'REQUEST_FIELD_INVALID',
          'IDEMPOTENCY_KEY_INVALID',
          'IDEMPOTENCY_KEY_REUSED',
          'NOT_PERMITTED',
          'REPOSITORY_NOT_READY',
          'PRUNING_LEAVES_NOTHING',
          ...TRUST_SERVER_CODES,
        ],
      },
      async ({ principal, params, body, idempotencyKey }) => {
        const gun = parseGun(params.gun)
        const { entries, madeAt, all = false, policy, description } = body
        const submitted = await requests.submit(principal, {
          kind: 'unsign',
          pruning: entries.map(({ reason }) => ({ reason, plannedAt: new Date(madeAt) })),
          ...(all && { mayLeaveNothing: true }),
          images: entries.map(({ tag, digest }) => `${gun}:${tag}@${digest}`),
          ...(policy !== undefined && { policy }),
          ...(description !== undefined && { description }),
          ...(idempotencyKey !== undefined && { idempotencyKey }),
        })
        return submittedReply(submitted)
      },
    ),
  ]
}

function view({ gun, madeAt, signed, stays, entries, kept, nextCursor }: PrunePage): z.output<typeof planShape> {
  return {
    gun,
    madeAt: madeAt.toISOString(),
    signed,
    stays,
    entries: entries.map(({ tag, sha256, reason, signedAt }) => ({
      tag,
      digest: printDigest(sha256),
      reason,
      ...(signedAt !== undefined && { signedAt: signedAt.toISOString() }),
    })),
    kept: kept.map(({ tag, code, detail }) => ({ tag, code, detail })),
    ...(nextCursor !== undefined && { nextCursor }),
  }
}
