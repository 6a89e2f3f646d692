// Who may approve what somebody else asked for. Four eyes are two people, not two identities. Pure.
import type { ApproverVerdict } from '../domain/policy.ts'
import type { Principal } from '../domain/principal.ts'
import { isPushIdentity } from '../domain/push-event.ts'
import type { Submitter } from '../domain/signing-request.ts'
import type { People } from './people.ts'

/** Never the submitter, nor the person behind it: what cannot be told from them is refused. */
export function judgeApprover(
  people: People,
  from: readonly string[],
  submitter: Submitter,
  approver: Principal,
): ApproverVerdict {
  const person = people.personOf(approver.id)
  if (person === undefined) return { isAllowed: false, code: 'APPROVER_UNKNOWN' }
  if (!people.isAmong(approver, from)) return { isAllowed: false, code: 'APPROVER_NOT_LISTED' }
  const identities = [approver.id, ...people.identitiesOf(person)]
  if (identities.includes(submitter.id)) return { isAllowed: false, code: 'APPROVER_IS_SUBMITTER' }
  // An event names nobody who could be told from this approver; that is what one more approval is for (`push-rules.ts`).
  const actors = (submitter.actors ?? []).filter((actor) => !isPushIdentity(actor))
  if (actors.some((actor) => identities.includes(actor))) return { isAllowed: false, code: 'APPROVER_IS_SUBMITTER' }
  const isTold = (actor: string): boolean =>
    // Somebody listed as another person started it: then this one did not.
    people.personOf(actor) !== undefined || identities.some((identity) => isOfSameIssuer(identity, actor))
  if (!actors.every(isTold)) return { isAllowed: false, code: 'APPROVER_NOT_LINKED' }
  const approvalKey = people.approvalKeyOf(person)
  return { isAllowed: true, person, ...(approvalKey !== undefined && { approvalKey }) }
}

/** `github:user:583231` and `github:user:1` come from one issuer: whoever is listed with one of them is not the other. */
function isOfSameIssuer(identity: string, actor: string): boolean {
  const issuer = actor.slice(0, actor.lastIndexOf(':') + 1)
  // A token of our own has no issuer: it is listed under a person, or it is a machine's.
  return issuer === '' || identity.startsWith(issuer)
}
