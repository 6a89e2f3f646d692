// Key rotations of a repository: an operator has staged the keys at the key holder; this asks that they be published.
import { parseGun } from '@countersign/tuf'
import { z } from 'zod'
import type { RequestService } from '../service/services.ts'
import { type Route, tokenRoute } from './route.ts'
import { gunParams } from './shapes.ts'
import { signingRequestShape, signingRequestView } from './signing-request-view.ts'

export function keyRotationRoutes(requests: RequestService): Route[] {
  return [
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/repositories/:gun/key-rotations',
        operationId: 'rotateKeys',
        summary: 'Put the staged keys of a repository in the place of their predecessors',
        params: gunParams,
        body: z.strictObject({}).optional(),
        replies: {
          200: { description: 'A rotation of this repository is under way already.', schema: signingRequestShape },
          201: { description: 'The request is stored. Location names it.', schema: signingRequestShape },
        },
        codes: [
          'GUN_INVALID',
          'NOT_PERMITTED',
          'REPOSITORY_NOT_READY',
          'ROTATION_NOT_STAGED',
          'KEY_HOLDER_UNREACHABLE',
        ],
      },
      async ({ principal, params }) => {
        const { request, isRepeated } = await requests.rotate(principal, parseGun(params.gun))
        return {
          status: isRepeated ? 200 : 201,
          headers: { location: `/v1/signing-requests/${request.id}` },
          body: signingRequestView(request),
        }
      },
    ),
  ]
}
