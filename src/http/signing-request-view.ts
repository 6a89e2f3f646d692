// A signing request as the API shows it.
import * as z from 'zod'
import { approvalDigest } from '../domain/approval-digest.ts'
import type { Decision } from '../domain/decision.ts'
import {
  type Approval,
  IMAGE_STATUSES,
  imageOf,
  isFinal,
  type PromotionSource,
  type RequestImage,
  requestStatus,
  type SigningRequest,
  type Submitter,
  updatedAt,
} from '../domain/signing-request.ts'
import { dateText, digestText, failure, hex64, printDigest } from './shapes.ts'

export const originShape = z
  .strictObject({
    provider: z.enum(['github', 'gitlab', 'other']),
    issuer: z.string().max(2048),
    repository: z.string().max(2048).exactOptional(),
    repositoryId: z.string().max(2048).exactOptional(),
    ownerId: z.string().max(2048).exactOptional(),
    ref: z.string().max(2048).exactOptional(),
    isRefProtected: z.boolean().exactOptional(),
    workflow: z.string().max(2048).exactOptional(),
    event: z.string().max(2048).exactOptional(),
    environment: z.string().max(2048).exactOptional(),
    runner: z.enum(['hosted', 'self-hosted']).exactOptional(),
    attempt: z.int().exactOptional(),
    commit: z.string().max(2048).exactOptional(),
    run: z.string().max(2048).exactOptional(),
  })
  .meta({ description: 'Where the workload ran, by the word of its issuer.' })

/** Of a submission. */
export const modeShape = z.enum(['all', 'each']).default('all').meta({
  description:
    '`all`: an image that its registry refuses (missing, or another digest) refuses the request. `each`: it fails alone, with its code. Decisions and approvals are for all images in both.',
})

const imageStatus = z.enum(IMAGE_STATUSES)
export const requestStatusShape = z.enum([...IMAGE_STATUSES, 'partial'])

export const decisionShape = z.strictObject({
  outcome: z
    .enum(['allow', 'deny'])
    .meta({ description: '`allow` with `approvals`: only after people have approved.' }),
  reasons: z.array(z.strictObject({ rule: z.string(), code: z.string(), subject: z.string() })),
  policyDigest: hex64.meta({ description: 'Over the rules in force for the project of this image.' }),
  at: dateText,
  project: z.string().optional(),
  policy: z.string().optional().meta({ description: 'The signing policy that applied.' }),
  standing: digestText.optional().meta({ description: 'What the tag stood for then. Absent: it was not signed.' }),
  approvals: z
    .strictObject({
      required: z.int().meta({ description: 'How many different people.' }),
      from: z.array(z.string()),
      signed: z.boolean().optional().meta({ description: 'Each with the own key of the approver.' }),
      expiresAt: dateText,
    })
    .optional(),
})

const imageShape = z.strictObject({
  reference: z.string(),
  gun: z.string(),
  tag: z.string().optional().meta({ description: 'Absent where the request is about the repository as a whole.' }),
  digest: digestText.optional(),
  length: z.int().optional().meta({ description: 'Bytes of the manifest or index.' }),
  mediaType: z.string().optional(),
  promotedFrom: z
    .strictObject({ gun: z.string(), tag: z.string(), digest: digestText, role: z.string(), version: z.int() })
    .optional()
    .meta({ description: 'Of a promotion: what was signed at its source, in which version of which role.' }),
  status: imageStatus,
  decision: decisionShape.optional(),
  approvals: z
    .array(
      z.strictObject({
        person: z.string(),
        approver: z.string().meta({ description: 'The identity that was used.' }),
        at: dateText,
        comment: z.string().optional(),
        signature: z.string().optional().meta({ description: 'By their own key, base64.' }),
      }),
    )
    .optional(),
  denial: z
    .strictObject({ person: z.string(), approver: z.string(), reason: z.string() })
    .optional()
    .meta({ description: 'By a person. Absent where the policy denied it.' }),
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
    kind: z.enum(['sign', 'unsign', 'rotate', 'renew', 'repair', 'root', 'move']),
    status: requestStatusShape,
    isFinal: z.boolean(),
    createdAt: dateText,
    updatedAt: dateText,
    submitter: z.strictObject({
      id: z.string(),
      name: z.string(),
      actors: z
        .array(z.string())
        .optional()
        .meta({ description: 'The people behind it: who started the run, or asked before.' }),
      origin: originShape.optional(),
    }),
    description: z.string().optional(),
    policy: z.string().optional(),
    resubmits: z.string().optional().meta({ description: 'The request that this one repeats.' }),
    approvalDigest: hex64
      .optional()
      .meta({ description: 'What an approval names: it changes with everything that an approver looks at.' }),
    images: z.array(imageShape),
  })
  .meta({ id: 'SigningRequest' })

export type SigningRequestView = z.output<typeof signingRequestShape>

export function decisionView(decision: Decision): z.output<typeof decisionShape> {
  const { outcome, reasons, policyDigest, at, project, policy, standing, approvals } = decision
  return {
    outcome,
    reasons: reasons.map(({ rule, code, subject }) => ({ rule, code, subject })),
    policyDigest,
    at: at.toISOString(),
    ...(project !== undefined && { project }),
    ...(policy !== undefined && { policy }),
    ...(standing !== undefined && { standing: printDigest(standing) }),
    ...(approvals !== undefined && {
      approvals: {
        required: approvals.required,
        from: [...approvals.from],
        ...(approvals.areSigned === true && { signed: true }),
        expiresAt: approvals.expiresAt.toISOString(),
      },
    }),
  }
}

function approvalView({ person, approver, at, comment, signed }: Approval) {
  return {
    person,
    approver,
    at: at.toISOString(),
    ...(comment !== undefined && { comment }),
    ...(signed !== undefined && { signature: signed.signature }),
  }
}

function submitterView({ id, name, actors, origin }: Submitter): SigningRequestView['submitter'] {
  return {
    id,
    name,
    ...(actors !== undefined && { actors: [...actors] }),
    ...(origin !== undefined && { origin: { ...origin } }),
  }
}

export function signingRequestView(request: SigningRequest): SigningRequestView {
  const status = requestStatus(request.images)
  return {
    id: request.id,
    kind: request.kind,
    status,
    isFinal: isFinal(status),
    createdAt: request.createdAt.toISOString(),
    updatedAt: updatedAt(request).toISOString(),
    submitter: submitterView(request.submitter),
    ...(request.description !== undefined && { description: request.description }),
    ...(request.policy !== undefined && { policy: request.policy }),
    ...(request.resubmits !== undefined && { resubmits: request.resubmits }),
    ...(status === 'awaiting-approval' && { approvalDigest: approvalDigest(request) }),
    images: request.images.map(imageView),
  }
}

function sourceView({ gun, tag, sha256, role, version }: PromotionSource) {
  return { gun, tag, digest: printDigest(sha256), role, version }
}

function imageView({ record, waiting }: RequestImage): SigningRequestView['images'][number] {
  const { reference, gun } = record.subject
  const { tag, sha256, length, mediaType, promotedFrom } = imageOf(record) ?? {}
  return {
    reference,
    gun,
    ...(tag !== undefined && { tag }),
    ...(sha256 !== undefined && { digest: printDigest(sha256) }),
    ...(length !== undefined && { length }),
    ...(mediaType !== undefined && { mediaType }),
    ...(promotedFrom !== undefined && { promotedFrom: sourceView(promotedFrom) }),
    status: record.status,
    ...('decision' in record && { decision: decisionView(record.decision) }),
    ...('approvals' in record && { approvals: record.approvals.map(approvalView) }),
    ...('denial' in record && { denial: { ...record.denial } }),
    ...(record.status === 'published' && {
      roles: record.roles.map((role) => ({ role: role.role, version: role.version, sha256: role.sha256 })),
      unchanged: record.unchanged,
    }),
    ...(waiting !== undefined && { waiting: { code: waiting.code, detail: waiting.detail } }),
    ...(record.status === 'failed' && { error: { code: record.error.code, detail: record.error.detail } }),
  }
}
