// The dry run: what would happen to these images, asked for by this identity, and why. Nothing is stored and nothing is signed.
import * as z from 'zod'
import { GRANT_KINDS, type Principal } from '../domain/principal.ts'
import type { Explanation, RequestService } from '../service/services.ts'
import { parseGrants } from '../service/tokens.ts'
import { type Route, tokenRoute } from './route.ts'
import { digestText, printDigest, REGISTRY_CODES, text, TRUST_SERVER_CODES } from './shapes.ts'
import { decisionShape, decisionView, originShape } from './signing-request-view.ts'

const identity = z
  .strictObject({
    id: text(256),
    name: text(128).optional(),
    groups: z.array(text(128)).max(64).optional(),
    origin: originShape.optional(),
    grants: z
      .array(z.strictObject({ grant: z.enum(GRANT_KINDS), repositories: z.array(text(300)).min(1).max(50) }))
      .min(1)
      .max(50),
  })
  .meta({ description: 'Another identity. Absent: the own one.' })

const explanationShape = z
  .strictObject({
    outcome: z.enum(['allow', 'deny', 'awaiting-approval']).meta({ description: 'Of the request as a whole.' }),
    images: z.array(
      z.strictObject({
        reference: z.string(),
        gun: z.string(),
        tag: z.string(),
        digest: digestText.optional(),
        decision: decisionShape,
      }),
    ),
  })
  .meta({ id: 'PolicyExplanation' })

export function policyExplanationRoutes(requests: RequestService, maxImages: number): Route[] {
  return [
    tokenRoute(
      {
        method: 'POST',
        path: '/v1/policy-explanations',
        operationId: 'explainPolicy',
        summary: 'Say what would happen to a submission, and why',
        body: z
          .strictObject({
            kind: z.enum(['sign', 'unsign']).default('sign'),
            images: z.array(text(1024)).min(1).max(maxImages),
            policy: text(128).optional(),
            identity: identity.optional(),
          })
          .meta({ id: 'PolicyQuestion' }),
        replies: { 200: { description: 'The decisions, image by image.', schema: explanationShape } },
        codes: [
          'IMAGE_REFERENCE_INVALID',
          'IMAGE_TAG_MISSING',
          'IMAGE_DIGEST_UNSUPPORTED',
          'REQUEST_IMAGE_REPEATED',
          'REQUEST_TOO_LARGE',
          ...REGISTRY_CODES,
          'GRANT_INVALID',
          'NOT_PERMITTED',
          'REPOSITORY_NOT_READY',
          'DIGEST_MISMATCH',
          ...TRUST_SERVER_CODES,
        ],
      },
      async ({ principal, body }) => {
        const { kind, images, policy } = body
        const submission = { kind, images, ...(policy !== undefined && { policy }) }
        const as = body.identity === undefined ? undefined : principalOf(body.identity)
        const explanations = await requests.explain(principal, submission, as)
        return { status: 200, body: { outcome: outcomeOf(explanations), images: explanations.map(view) } }
      },
    ),
  ]
}

function principalOf({ id, name = id, groups, origin, grants }: z.output<typeof identity>): Principal {
  return {
    id,
    name,
    grants: parseGrants(grants),
    ...(groups !== undefined && { groups }),
    ...(origin !== undefined && { origin: { ...origin } }),
  }
}

function outcomeOf(explanations: readonly Explanation[]): 'allow' | 'deny' | 'awaiting-approval' {
  if (explanations.some(({ decision }) => decision.outcome === 'deny')) return 'deny'
  return explanations.some(({ decision }) => decision.approvals !== undefined) ? 'awaiting-approval' : 'allow'
}

function view({ subject: { reference, gun, tag, sha256 }, decision }: Explanation) {
  return {
    reference,
    gun,
    tag,
    ...(sha256 !== undefined && { digest: printDigest(sha256) }),
    decision: decisionView(decision),
  }
}
