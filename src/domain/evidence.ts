// What goes to the key holder with a request: who asked, on what ground it was decided, and who approved.
import type { Decision } from './decision.ts'
import type { Evidence, PendingImage } from './ports.ts'
import type { SignedApproval } from './signed-approval.ts'

/** The approvals that carry a signature of their own, for the key holder to check. */
export function signedApprovals({ record }: PendingImage): readonly SignedApproval[] {
  const given = 'approvals' in record ? record.approvals : []
  return given.flatMap(({ person, signed }) => (signed === undefined ? [] : [{ approver: person, ...signed }]))
}

/** What the audit log says of a request beside each signature. */
export function evidenceOf({ request, submitter, origin, record }: PendingImage): Evidence {
  const decision = 'decision' in record ? record.decision : undefined
  return {
    request,
    principal: submitter.id,
    ...(decision === undefined ? {} : { decision: printDecision(decision, record) }),
    ...(origin === undefined ? {} : { origin }),
  }
}

/** At most what the key holder takes. */
function printDecision({ outcome, policyDigest }: Decision, record: PendingImage['record']): string {
  const people = 'approvals' in record ? record.approvals.map(({ person }) => person) : []
  const approved = people.length === 0 ? '' : `, approved by ${people.join(', ')}`
  return `${outcome} by policy ${policyDigest}${approved}`.slice(0, 256)
}
