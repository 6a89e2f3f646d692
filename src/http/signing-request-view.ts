// A signing request as the API shows it.
import { z } from 'zod'
import {
  IMAGE_STATUSES,
  imageOf,
  isFinal,
  type RequestImage,
  requestStatus,
  type SigningRequest,
  updatedAt,
} from '../domain/signing-request.ts'
import { dateText, digestText, failure, hex64, printDigest } from './shapes.ts'

const imageStatus = z.enum(IMAGE_STATUSES)
export const requestStatusShape = z.enum([...IMAGE_STATUSES, 'partial'])

const decisionShape = z.strictObject({
  outcome: z.enum(['allow', 'deny']),
  reasons: z.array(z.strictObject({ rule: z.string(), code: z.string(), subject: z.string() })),
  policyDigest: hex64,
  at: dateText,
})

const imageShape = z.strictObject({
  reference: z.string(),
  gun: z.string(),
  tag: z.string().optional().meta({ description: 'Absent where the request is about the repository as a whole.' }),
  digest: digestText.optional(),
  length: z.int().optional().meta({ description: 'Bytes of the manifest or index.' }),
  mediaType: z.string().optional(),
  status: imageStatus,
  decision: decisionShape.optional(),
  roles: z
    .array(z.strictObject({ role: z.string(), version: z.int(), sha256: hex64 }))
    .optional()
    .meta({ description: 'The published role files, read back and verified.' }),
  unchanged: z.boolean().optional().meta({ description: 'True: the repository said so already, nothing was signed.' }),
  waiting: failure
    .optional()
    .meta({ description: 'Why nothing moves now: who is out of reach. The request goes on when it is back.' }),
  error: failure.optional(),
})

export const signingRequestShape = z
  .strictObject({
    id: z.string(),
    kind: z.enum(['sign', 'unsign', 'rotate', 'renew', 'root']),
    status: requestStatusShape,
    isFinal: z.boolean(),
    createdAt: dateText,
    updatedAt: dateText,
    submitter: z.strictObject({ id: z.string(), name: z.string() }),
    description: z.string().optional(),
    policy: z.string().optional(),
    images: z.array(imageShape),
  })
  .meta({ id: 'SigningRequest' })

export type SigningRequestView = z.output<typeof signingRequestShape>

export function signingRequestView(request: SigningRequest): SigningRequestView {
  const status = requestStatus(request.images)
  return {
    id: request.id,
    kind: request.kind,
    status,
    isFinal: isFinal(status),
    createdAt: request.createdAt.toISOString(),
    updatedAt: updatedAt(request).toISOString(),
    submitter: { id: request.submitter.id, name: request.submitter.name },
    ...(request.description !== undefined && { description: request.description }),
    ...(request.policy !== undefined && { policy: request.policy }),
    images: request.images.map(imageView),
  }
}

function imageView({ record, waiting }: RequestImage): SigningRequestView['images'][number] {
  const { reference, gun } = record.subject
  const { tag, sha256, length, mediaType } = imageOf(record) ?? {}
  return {
    reference,
    gun,
    ...(tag !== undefined && { tag }),
    ...(sha256 !== undefined && { digest: printDigest(sha256) }),
    ...(length !== undefined && { length }),
    ...(mediaType !== undefined && { mediaType }),
    status: record.status,
    ...('decision' in record && {
      decision: {
        outcome: record.decision.outcome,
        reasons: record.decision.reasons.map(({ rule, code, subject }) => ({ rule, code, subject })),
        policyDigest: record.decision.policyDigest,
        at: record.decision.at.toISOString(),
      },
    }),
    ...(record.status === 'published' && {
      roles: record.roles.map((role) => ({ role: role.role, version: role.version, sha256: role.sha256 })),
      unchanged: record.unchanged,
    }),
    ...(waiting !== undefined && { waiting: { code: waiting.code, detail: waiting.detail } }),
    ...(record.status === 'failed' && { error: { code: record.error.code, detail: record.error.detail } }),
  }
}
