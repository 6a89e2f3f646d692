// The audit log as far as the API tells of it: receipts of what was published, and the key to verify them with.
import * as z from 'zod'
import { RECEIPT_FORMAT } from '../domain/receipt.ts'
import type { AuditService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { hex64, requestIdParams } from './shapes.ts'

const receiptShape = z
  .strictObject({
    format: z.literal(RECEIPT_FORMAT),
    image: z.strictObject({
      gun: z.string(),
      tag: z.string(),
      change: z.enum(['put', 'drop']),
      sha256: hex64.optional().meta({ description: 'Of a put: what was signed for the tag.' }),
      length: z.int().optional().meta({ description: 'Bytes of the manifest or index.' }),
    }),
    record: z.strictObject({
      index: z.int().min(0).meta({ description: 'Its place in the log.' }),
      bytes: z.base64().meta({ description: 'The record as it was logged.' }),
      leafHash: z.base64().meta({ description: 'RFC 6962: the hash of the record in the tree.' }),
    }),
    inclusionProof: z.array(z.base64()).meta({ description: 'RFC 6962, leaf side first.' }),
    checkpoint: z.string().meta({ description: 'The signed note that the proof leads to.' }),
    logKey: z.string().meta({ description: "The log's public key, as signed-note verifiers take it." }),
  })
  .meta({ id: 'Receipt' })

const keyShape = z.strictObject({
  origin: z.string(),
  publicKey: z.string().meta({ description: 'As signed-note verifiers take it: origin+hash+base64.' }),
})

export function auditRoutes(audit: AuditService): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/signing-requests/:id/receipts/:position',
        operationId: 'readReceipt',
        summary: 'Read the receipt of a published image: its record in the audit log, with the proof',
        params: requestIdParams.extend({
          position: z
            .string()
            .regex(/^(0|[1-9][0-9]{0,4})$/, 'must be the position of an image in the request, from 0')
            .transform(Number),
        }),
        replies: { 200: { description: 'The receipt. It can be verified offline.', schema: receiptShape } },
        codes: ['REQUEST_NOT_FOUND', 'RECEIPT_NOT_AVAILABLE', 'RECORD_NOT_FOUND', 'KEY_HOLDER_UNREACHABLE'],
      },
      async ({ principal, params }) => ({
        status: 200,
        body: await audit.receipt(principal, params.id, params.position),
      }),
    ),
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/audit/public-key',
        operationId: 'readAuditPublicKey',
        summary: 'Read the public key of the audit log',
        replies: { 200: { description: 'The key that checkpoints are signed with.', schema: keyShape } },
        codes: ['KEY_HOLDER_UNREACHABLE'],
      },
      async ({ principal }) => {
        const { origin, publicKey } = await audit.publicKey(principal)
        return { status: 200, body: { origin, publicKey } }
      },
    ),
  ]
}
