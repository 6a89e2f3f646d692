// What people say to a signing request: approve, deny, withdraw, submit again.
import * as z from 'zod'
import { APPROVER_SIGNATURE } from '../approval-statement.ts'
import { MAX_DESCRIPTION } from '../domain/signing-request.ts'
import { MAX_PRUNED } from '../domain/pruning.ts'
import type { RequestService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { hex64, PROMOTION_CODES, REGISTRY_CODES, requestIdParams, text, TRUST_SERVER_CODES } from './shapes.ts'
import { modeShape, signingRequestShape, signingRequestView } from './signing-request-view.ts'

const replies = { 200: { description: 'The request as it is now.', schema: signingRequestShape } }
const approverCodes = [
  'REQUEST_NOT_FOUND',
  'APPROVAL_NOT_ASKED',
  'APPROVER_UNKNOWN',
  'APPROVER_NOT_LISTED',
  'APPROVER_IS_SUBMITTER',
  'APPROVER_NOT_LINKED',
] as const

export function approvalRoutes(requests: RequestService): Route[] {
  return [
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/signing-requests/:id/approvals',
        operationId: 'approveSigningRequest',
        summary: 'Approve a signing request, as it was looked at',
        params: requestIdParams,
        body: z.strictObject({
          digest: hex64.meta({ description: '`approvalDigest` of the request that was looked at.' }),
          comment: text(MAX_DESCRIPTION).optional(),
          signatures: z
            .strictObject({
              expiresAt: z.iso.datetime({ precision: 3 }),
              images: z
                .array(
                  z.strictObject({
                    position: z.int().min(0).max(999),
                    signature: z.string().regex(APPROVER_SIGNATURE),
                  }),
                )
                .min(1)
                .max(MAX_PRUNED),
            })
            .optional()
            .meta({ description: 'With the own key of the approver, image by image: docs/policies.md.' }),
        }),
        replies,
        codes: [
          ...approverCodes,
          'APPROVAL_OUTDATED',
          'APPROVAL_SIGNATURE_MISSING',
          'APPROVAL_SIGNATURE_INVALID',
          ...TRUST_SERVER_CODES,
          'KEY_HOLDER_UNREACHABLE',
        ],
      },
      async ({ principal, params, body }) => {
        const { digest, comment, signatures } = body
        const input = {
          digest,
          ...(comment !== undefined && { comment }),
          ...(signatures !== undefined && { signatures }),
        }
        return { status: 200, body: signingRequestView(await requests.approve(principal, params.id, input)) }
      },
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/signing-requests/:id/denial',
        operationId: 'denySigningRequest',
        summary: 'Deny a signing request: one denial ends it',
        params: requestIdParams,
        body: z.strictObject({ reason: text(MAX_DESCRIPTION).meta({ description: 'For the submitter.' }) }),
        replies,
        codes: [...approverCodes, 'KEY_HOLDER_UNREACHABLE'],
      },
      async ({ principal, params, body }) => ({
        status: 200,
        body: signingRequestView(await requests.deny(principal, params.id, body)),
      }),
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/signing-requests/:id/withdrawal',
        operationId: 'withdrawSigningRequest',
        summary: 'Take a signing request back, while nothing of it is being signed',
        params: requestIdParams,
        body: z.strictObject({}).optional(),
        replies,
        codes: ['REQUEST_NOT_FOUND', 'WITHDRAWAL_NOT_PERMITTED', 'WITHDRAWAL_TOO_LATE', 'KEY_HOLDER_UNREACHABLE'],
      },
      async ({ principal, params }) => ({
        status: 200,
        body: signingRequestView(await requests.withdraw(principal, params.id)),
      }),
    ),
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/signing-requests/:id/resubmission',
        operationId: 'resubmitSigningRequest',
        summary: 'Ask for the same images at the same digests again, under another policy',
        params: requestIdParams,
        body: z.strictObject({
          mode: modeShape,
          policy: text(128).optional().meta({ description: 'Default: the default of the project.' }),
          description: text(MAX_DESCRIPTION).optional(),
        }),
        replies: { 201: { description: 'The new request. Location names it.', schema: signingRequestShape } },
        codes: [
          'REQUEST_NOT_FOUND',
          'RESUBMISSION_NOT_POSSIBLE',
          'NOT_PERMITTED',
          'REPOSITORY_NOT_READY',
          'DIGEST_MISMATCH',
          ...PROMOTION_CODES,
          ...REGISTRY_CODES,
          ...TRUST_SERVER_CODES,
        ],
      },
      async ({ principal, params, body }) => {
        const { mode, policy, description } = body
        const { request } = await requests.resubmit(principal, params.id, {
          ...(mode === 'each' && { mode }),
          ...(policy !== undefined && { policy }),
          ...(description !== undefined && { description }),
        })
        return {
          status: 201,
          headers: { location: `/v1/signing-requests/${request.id}` },
          body: signingRequestView(request),
        }
      },
    ),
  ]
}
