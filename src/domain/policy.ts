// How one change is decided: the terms, and the built-in policy `grants` that holds where no policy files are configured. Default deny,
// deny wins, every rule leaves a reason. Pure: evaluate() fetches nothing.
import { createHash } from 'node:crypto'
import type { Gun, TargetName } from '@countersign/tuf'
import type { Decision } from './decision.ts'
import { isGranted, type Principal } from './principal.ts'
import type { ImageKind, Submitter, UpkeepKind } from './signing-request.ts'

/** Everything a policy may know of one change, fetched and checked beforehand. */
export interface PolicyFacts {
  readonly kind: ImageKind
  readonly principal: Principal
  readonly gun: Gun
  readonly tag: TargetName
  /** 64 hex digits, hashed by us from what the registry serves; absent for unsign. */
  readonly sha256?: string
  /** Whether the submitter named the digest, or only the tag. */
  readonly digestNamed: boolean
  /** The policy that the submitter asked for, if any. */
  readonly policy?: string
  /** 64 hex digits: the digest that the tag stands for now, verified from the pinned root. Absent: not signed, or never asked for. */
  readonly standing?: string
  /** What was asked for lately; absent: nothing. */
  readonly recent?: RecentRequests
  /** A stored request is looked at again: who asked, when and how often was judged when it came, and its grants are not kept. */
  readonly isStored?: true
}

export interface RecentRequests {
  /** Images that this identity asked for within the last hour, those of this request included. */
  readonly byIdentity: number
  /** Images of this repository that anybody asked for within the last hour, those of this request included. */
  readonly inRepository: number
}

export interface Policy {
  /** Whether decisions about this repository need `standing` and `recent`; the first costs a look at its trust server. */
  readsHistory(gun: Gun): boolean
  evaluate(facts: PolicyFacts, at: Date): Decision
  /** Whether this identity may approve what the decision waits for. Total: no answer is an exception. */
  judgeApprover(o: {
    readonly decision: Decision
    readonly gun: Gun
    readonly submitter: Submitter
    readonly approver: Principal
  }): ApproverVerdict
}

/** `person`: who it is, whichever identity was used; one person counts once. */
export type ApproverVerdict =
  | {
      readonly isAllowed: true
      readonly person: string
      /** `ed25519:...`, where the person has one. */
      readonly approvalKey?: string
    }
  | { readonly isAllowed: false; readonly code: ApproverRefusal }

export type ApproverRefusal =
  /** Nothing waits for approvals here, or the rules that asked for them are gone. */
  | 'APPROVAL_NOT_ASKED'
  /** Not in the list of people: nobody could tell it from the submitter. */
  | 'APPROVER_UNKNOWN'
  | 'APPROVER_NOT_LISTED'
  | 'APPROVER_IS_SUBMITTER'
  /** The run was started by a person at the workload's provider, and this approver is linked to none there. */
  | 'APPROVER_NOT_LINKED'

/** Where the policy in force is taken from: one call answers for all images of a request. */
export interface PolicySource {
  current(): Policy
}

/** What one rule says: `undefined` means that the rule does not apply, which never allows anything. */
export interface Rule {
  readonly name: string
  judge(facts: PolicyFacts): { readonly outcome: 'allow' | 'deny'; readonly code: string } | undefined
}

/** Applies all rules. No allow is a deny; one deny outweighs every allow. */
export function decide(rules: readonly Rule[], facts: PolicyFacts, policyDigest: string, at: Date): Decision {
  const subject = `${facts.gun}:${facts.tag}`
  const verdicts = rules.map((rule) => ({ rule: rule.name, verdict: rule.judge(facts) }))
  const isAllowed =
    verdicts.some(({ verdict }) => verdict?.outcome === 'allow') &&
    verdicts.every(({ verdict }) => verdict?.outcome !== 'deny')
  const reasons = verdicts.map(({ rule, verdict }) => ({ rule, code: verdict?.code ?? 'NOT_APPLICABLE', subject }))
  return { outcome: isAllowed ? 'allow' : 'deny', reasons, policyDigest, at }
}

/** Changing a rule of the built-in policy means raising this number: the digest is recorded with every decision. */
const GRANTS_POLICY = 'countersign built-in policy grants, version 1'

/** Whoever asks holds the grant `submit`; of a stored request it was judged when it came. */
export const grantRule: Rule = {
  name: 'grant-submit',
  judge: ({ principal, gun, isStored }) => {
    if (isStored === true) return { outcome: 'allow', code: 'GRANT_HELD_AT_SUBMISSION' }
    return isGranted(principal, 'submit', gun)
      ? { outcome: 'allow', code: 'GRANT_HELD' }
      : { outcome: 'deny', code: 'GRANT_MISSING' }
  },
}

const GRANTS_RULES: readonly Rule[] = [
  grantRule,
  {
    name: 'policy-known',
    judge: ({ policy }) =>
      policy === undefined || policy === 'grants' ? undefined : { outcome: 'deny', code: 'POLICY_UNKNOWN' },
  },
]

/**
 * A rotation: whoever asks holds the grant `operator`, and an operator has staged the keys at the key holder, which checks it again.
 * A renewal: whoever asks holds the grant `operator`, or Countersign itself asks because the time has come.
 * A repair: whoever asks holds the grant `operator`; the key holder signs nothing but what has expired.
 * A change of root: whoever asks holds the grant `operator`, and the root keys signed it; the key holder checks that again.
 */
const UPKEEP_POLICIES = {
  rotate: { text: 'countersign built-in policy rotation, version 1', rule: 'staged-by-operator', code: 'KEY_STAGED' },
  renew: { text: 'countersign built-in policy renewal, version 1', rule: 'renew-before-expiry', code: 'EXPIRES_SOON' },
  repair: { text: 'countersign built-in policy repair, version 1', rule: 'repair-of-expired', code: 'HAS_EXPIRED' },
  root: { text: 'countersign built-in policy root, version 1', rule: 'signed-by-root-keys', code: 'ROOT_KEYS_SIGNED' },
  move: { text: 'countersign built-in policy move, version 1', rule: 'signed-by-root-keys', code: 'ROOT_KEYS_SIGNED' },
} as const

/** @param subjects the keys or roles, one text each */
export function upkeepDecision(kind: UpkeepKind, subjects: readonly string[], at: Date): Decision {
  const { text, rule, code } = UPKEEP_POLICIES[kind]
  const policyDigest = createHash('sha256').update(text).digest('hex')
  return { outcome: 'allow', reasons: subjects.map((subject) => ({ rule, code, subject })), policyDigest, at }
}

/** Whoever holds the grant `submit` on the repository may sign and unsign in it. */
export const grantsPolicy: Policy = {
  readsHistory: () => false,
  judgeApprover: () => ({ isAllowed: false, code: 'APPROVAL_NOT_ASKED' }),
  evaluate: (facts, at) => decide(GRANTS_RULES, facts, createHash('sha256').update(GRANTS_POLICY).digest('hex'), at),
}
