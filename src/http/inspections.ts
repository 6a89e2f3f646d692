// The resource inspections: the JSON of `docker trust inspect`, member for member.
import * as z from 'zod'
import type { VerificationService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { text } from './shapes.ts'

const namedKeys = z.strictObject({ Name: z.string(), Keys: z.array(z.strictObject({ ID: z.string() })) })

const inspectionShape = z
  .strictObject({
    Name: z.string(),
    SignedTags: z.array(z.strictObject({ SignedTag: z.string(), Digest: z.string(), Signers: z.array(z.string()) })),
    Signers: z.array(namedKeys),
    AdministrativeKeys: z.array(namedKeys),
  })
  .meta({ id: 'TrustInspection' })

export function inspectionRoutes(verifications: VerificationService): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/inspections',
        operationId: 'inspectImage',
        summary: 'See signed tags, signers and keys, as `docker trust inspect` prints them',
        query: z.strictObject({ image: text(1024) }),
        replies: { 200: { description: 'As `docker trust inspect`.', schema: z.array(inspectionShape) } },
        codes: ['IMAGE_REFERENCE_INVALID', 'NOT_PERMITTED', 'REPOSITORY_NOT_PUBLISHED'],
      },
      async ({ principal, query }) => ({ status: 200, body: await verifications.inspect(principal, query.image) }),
    ),
  ]
}
