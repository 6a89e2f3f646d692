// The resource signing-requests: submit, read, list, and wait for the end.
import { parseGun } from '@countersign/tuf'
import * as z from 'zod'
import { MAX_DESCRIPTION } from '../domain/signing-request.ts'
import type { RequestService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import {
  gunText,
  limitQuery,
  nextCursorText,
  REGISTRY_CODES,
  PROMOTION_CODES,
  requestIdParams,
  text,
  TRUST_SERVER_CODES,
  waitQuery,
} from './shapes.ts'
import { modeShape, requestStatusShape, signingRequestShape, signingRequestView } from './signing-request-view.ts'
import { submittedReplies, submittedReply } from './submitted-reply.ts'

export interface SigningRequestOptions {
  readonly requests: RequestService
  /** Milliseconds that an answer may wait at most. */
  readonly maxWaitMs: number
  readonly maxImages: number
}

const requestPage = z.strictObject({ requests: z.array(signingRequestShape), nextCursor: nextCursorText })

/** Items of a page where the client does not say. */
const DEFAULT_LIMIT = 50

export function signingRequestRoutes({ requests, maxWaitMs, maxImages }: SigningRequestOptions): Route[] {
  const submission = z
    .strictObject({
      kind: z.enum(['sign', 'unsign']).default('sign'),
      images: z
        .array(text(1024))
        .min(1)
        .max(maxImages)
        .meta({ description: 'References as registry/repository:tag@sha256:digest.' }),
      mode: modeShape,
      promotedFrom: text(1024).optional().meta({
        description:
          'Sign what is signed there, as registry/repository:tag, where the registries of the images serve the same digest. Grant `read` on it.',
      }),
      policy: text(128).optional().meta({ description: 'The signing policy that is meant.' }),
      description: text(MAX_DESCRIPTION).optional().meta({ description: 'For the people who read the request.' }),
    })
    .meta({ id: 'Submission' })

  const submit = tokenRoute(
    {
      method: 'POST',
      path: '/v1/signing-requests',
      operationId: 'submitSigningRequest',
      summary: 'Ask for images to be signed, or for tags to lose their signature',
      query: z.strictObject({ wait: waitQuery }),
      body: submission,
      takesIdempotencyKey: true,
      replies: submittedReplies('The same request was submitted before with this idempotency key.'),
      codes: [
        'IMAGE_REFERENCE_INVALID',
        'IMAGE_TAG_MISSING',
        'IMAGE_DIGEST_UNSUPPORTED',
        'REQUEST_IMAGE_REPEATED',
        'REQUEST_TOO_LARGE',
        'REQUEST_FIELD_INVALID',
        'IDEMPOTENCY_KEY_INVALID',
        'IDEMPOTENCY_KEY_REUSED',
        'NOT_PERMITTED',
        'REPOSITORY_NOT_READY',
        'DIGEST_MISMATCH',
        ...PROMOTION_CODES,
        ...REGISTRY_CODES,
        ...TRUST_SERVER_CODES,
      ],
    },
    async ({ principal, query, body, idempotencyKey, raw }) => {
      const submitted = await requests.submit(principal, {
        kind: body.kind,
        images: body.images,
        ...(body.mode === 'each' && { mode: body.mode }),
        ...(body.promotedFrom !== undefined && { promotedFrom: body.promotedFrom }),
        ...(body.policy !== undefined && { policy: body.policy }),
        ...(body.description !== undefined && { description: body.description }),
        ...(idempotencyKey !== undefined && { idempotencyKey }),
      })
      const waitMs = Math.min(query.wait ?? 0, maxWaitMs)
      if (waitMs === 0) return submittedReply(submitted)
      return submittedReply(submitted, await requests.waitFor(principal, submitted.request.id, waitMs, raw.signal))
    },
  )

  const show = tokenRoute(
    {
      method: 'GET',
      path: '/v1/signing-requests/:id',
      operationId: 'showSigningRequest',
      summary: 'Read a signing request, or wait for its end',
      params: requestIdParams,
      query: z.strictObject({ wait: waitQuery }),
      replies: { 200: { description: 'The request as it is now.', schema: signingRequestShape } },
      codes: ['REQUEST_NOT_FOUND'],
    },
    async ({ principal, params, query, raw }) => {
      const waitMs = Math.min(query.wait ?? 0, maxWaitMs)
      const request =
        waitMs > 0
          ? await requests.waitFor(principal, params.id, waitMs, raw.signal)
          : requests.find(principal, params.id)
      return { status: 200, body: signingRequestView(request) }
    },
  )

  const list = tokenRoute(
    {
      method: 'GET',
      path: '/v1/signing-requests',
      operationId: 'listSigningRequests',
      summary: 'List signing requests, newest first',
      query: z.strictObject({
        limit: limitQuery,
        cursor: text(512).optional(),
        gun: gunText.optional(),
        status: requestStatusShape.optional(),
      }),
      replies: { 200: { description: 'The requests that the identity may see.', schema: requestPage } },
      codes: ['CURSOR_INVALID', 'GUN_INVALID'],
    },
    ({ principal, query }) => {
      const { requests: found, nextCursor } = requests.list(principal, {
        limit: query.limit ?? DEFAULT_LIMIT,
        ...(query.cursor !== undefined && { cursor: query.cursor }),
        ...(query.gun !== undefined && { gun: parseGun(query.gun) }),
        ...(query.status !== undefined && { status: query.status }),
      })
      return {
        status: 200,
        body: { requests: found.map(signingRequestView), ...(nextCursor !== undefined && { nextCursor }) },
      }
    },
  )

  return [submit, show, list]
}
