// The resource verifications: what stock clients would find for each image. "unknown" is an outage, never "not signed".
import * as z from 'zod'
import type { Verification, VerificationService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { digestText, failure, printDigest, text } from './shapes.ts'

const verificationShape = z
  .strictObject({
    reference: z.string(),
    gun: z.string(),
    tag: z.string().optional(),
    verdict: z.enum(['signed', 'not-signed', 'digest-differs', 'unknown']),
    digest: digestText.optional().meta({ description: 'The digest that is signed for the tag.' }),
    length: z.int().optional(),
    role: z.string().optional().meta({ description: 'The role that clients take the tag from.' }),
    roleVersion: z.int().optional(),
    signers: z.array(z.string()),
    error: failure.optional().meta({ description: 'Why the verdict is unknown.' }),
  })
  .meta({ id: 'Verification' })

export function verificationRoutes(verifications: VerificationService, maxImages: number): Route[] {
  return [
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/verifications',
        operationId: 'verifyImages',
        summary: 'Verify tags from the pinned root down, as a stock client does',
        body: z.strictObject({ images: z.array(text(1024)).min(1).max(maxImages) }).meta({ id: 'VerificationRequest' }),
        replies: {
          200: {
            description: 'One verdict for each image, in the same order.',
            schema: z.strictObject({ images: z.array(verificationShape) }),
          },
        },
        codes: ['IMAGE_REFERENCE_INVALID', 'IMAGE_TAG_MISSING', 'IMAGE_DIGEST_UNSUPPORTED', 'NOT_PERMITTED'],
      },
      async ({ principal, body }) => {
        const verdicts = await verifications.verify(principal, body.images)
        return { status: 200, body: { images: verdicts.map(verificationView) } }
      },
    ),
  ]
}

function verificationView(o: Verification): z.output<typeof verificationShape> {
  return {
    reference: o.reference,
    gun: o.gun,
    ...(o.tag !== undefined && { tag: o.tag }),
    verdict: o.verdict,
    ...(o.digest !== undefined && { digest: printDigest(o.digest) }),
    ...(o.length !== undefined && { length: o.length }),
    ...(o.role !== undefined && { role: o.role }),
    ...(o.roleVersion !== undefined && { roleVersion: o.roleVersion }),
    signers: [...o.signers],
    ...(o.error !== undefined && { error: { code: o.error.code, detail: o.error.detail } }),
  }
}
