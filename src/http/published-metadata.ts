// The resource metadata of a repository: the files as they are published, for whoever serves a copy of them.
import { encodeBase64, parseGun } from '@countersign/tuf'
import * as z from 'zod'
import type { VerificationService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { dateText, gunParams, hex64 } from './shapes.ts'

const metadataShape = z
  .strictObject({
    gun: z.string(),
    verifiedAt: dateText,
    files: z
      .array(
        z.strictObject({
          name: z.string().meta({ description: 'As clients ask for it: 1.root.json, targets.<hex of sha256>.json.' }),
          sha256: hex64,
          content: z.base64(),
        }),
      )
      .meta({ description: 'Roots oldest first, then the timestamp, then what it leads to.' }),
  })
  .meta({ id: 'PublishedMetadata' })

export function publishedMetadataRoutes(verifications: VerificationService): Route[] {
  return [
    tokenRoute(
      {
        method: 'GET',
        path: '/v1/repositories/:gun/metadata',
        operationId: 'readPublishedMetadata',
        summary: 'Read the published metadata of a repository, verified from the pinned root',
        params: gunParams,
        replies: { 200: { description: 'Every file that a stock client asks for.', schema: metadataShape } },
        codes: ['GUN_INVALID', 'NOT_PERMITTED', 'REPOSITORY_NOT_READY', 'ROOT_PIN_MISMATCH', 'KEY_HOLDER_UNREACHABLE'],
      },
      async ({ principal, params }) => {
        const { gun, verifiedAt, files } = await verifications.published(principal, parseGun(params.gun))
        const body: z.input<typeof metadataShape> = {
          gun,
          verifiedAt: verifiedAt.toISOString(),
          files: files.map(({ name, sha256, bytes }) => ({ name, sha256, content: encodeBase64(bytes) })),
        }
        return { status: 200, body }
      },
    ),
  ]
}
