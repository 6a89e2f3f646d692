// What the audit log keeps of a submission and of the decision on it.
import type { Decision } from '../domain/decision.ts'
import { imageOf, type PromotionSource, type SigningRequest } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'

/** Characters of reasons in a record. */
const MAX_REASONS = 2000

/** One record for each image: the auditor asks by tag. @throws KeyHolderError */
export async function recordSubmission({ keyHolder }: ServiceDependencies, request: SigningRequest): Promise<void> {
  // What the registry refused is told with the others, and changes nothing of what was decided on them.
  const isDenied = request.images.some(({ record }) => record.status === 'denied')
  for (const { record } of request.images) {
    const { gun } = record.subject
    const { tag, sha256, promotedFrom } = imageOf(record) ?? {}
    const decision = 'decision' in record ? record.decision : undefined
    await keyHolder.appendRecord(isDenied ? 'request-denied' : 'request-submitted', {
      request: request.id,
      kind: request.kind,
      principal: request.submitter.id,
      gun,
      ...(tag === undefined ? {} : { tag }),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(decision === undefined ? {} : decisionFacts(decision)),
      ...(record.status === 'failed' && { code: record.error.code }),
      ...(promotedFrom !== undefined && sourceFacts(promotedFrom)),
      ...(request.description === undefined ? {} : { description: request.description }),
      ...(request.origin === undefined ? {} : { origin: request.origin }),
      ...(request.submitter.actors === undefined ? {} : { actors: request.submitter.actors.join(', ') }),
      ...(request.resubmits === undefined ? {} : { resubmits: request.resubmits }),
    })
  }
}

/** Where a promotion came from, with what was signed there. */
function sourceFacts({ gun, tag, sha256, role, version }: PromotionSource) {
  return { promotedFrom: `${gun}:${tag}@sha256:${sha256}`, promotedFromRole: role, promotedFromVersion: version }
}

/** What the log keeps of a decision: the rules by their digest, and the reason that each of them gave. */
function decisionFacts({ policyDigest, project, policy, standing, approvals, reasons }: Decision) {
  return {
    policyDigest,
    ...(project !== undefined && { project }),
    ...(policy !== undefined && { policy }),
    ...(standing !== undefined && { standing }),
    ...(approvals !== undefined && { approvalsRequired: approvals.required }),
    reasons: reasons
      .map(({ rule, code }) => `${rule} ${code}`)
      .join(', ')
      .slice(0, MAX_REASONS),
  }
}
