// What holds for every request that an event brought about, whatever the policy in force says. Pure.
import type { Decision } from './decision.ts'
import { isPushIdentity } from './push-event.ts'
import type { Submitter } from './signing-request.ts'

/** Whether the person who pushed is somebody whom nobody knows: an event came from a registry, or a person asks again for what it asked. */
export function isPusherUnknown({ id, actors = [] }: Pick<Submitter, 'id' | 'actors'>): boolean {
  return [id, ...actors].some(isPushIdentity)
}

/**
 * A signed tag is never moved by an event, and one of the approvers may be the person who pushed: so there has to be one more of them than
 * the policy asks for, and at least as many as it asks for are other people.
 * @param standing the digest that the tag stands for now
 */
export function guardPushed(
  decision: Decision,
  submitter: Pick<Submitter, 'id' | 'actors'>,
  o: { readonly subject: string; readonly sha256: string | undefined; readonly standing: string | undefined },
): Decision {
  if (isPushIdentity(submitter.id) && o.standing !== undefined && o.standing !== o.sha256) {
    const reason = { rule: 'push-moves-no-tag', code: 'TAG_SIGNED_ALREADY', subject: o.subject }
    return { ...withoutApprovals(decision), outcome: 'deny', reasons: [...decision.reasons, reason] }
  }
  const { approvals } = decision
  if (approvals === undefined || !isPusherUnknown(submitter)) return decision
  return { ...decision, approvals: { ...approvals, required: approvals.required + 1 } }
}

/** What is denied waits for nobody. */
function withoutApprovals({ outcome, reasons, policyDigest, at, project, policy, standing }: Decision): Decision {
  return {
    outcome,
    reasons,
    policyDigest,
    at,
    ...(project !== undefined && { project }),
    ...(policy !== undefined && { policy }),
    ...(standing !== undefined && { standing }),
  }
}
