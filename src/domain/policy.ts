// How one change is decided. The full engine comes behind the same interface; here stand its terms and the
// built-in policy `grants`. Default deny, deny wins, every rule leaves a reason. Pure: evaluate() fetches nothing.
import { createHash } from 'node:crypto'
import type { Gun, TargetName } from '@countersign/tuf'
import type { Decision } from './decision.ts'
import { isGranted, type Principal } from './principal.ts'
import type { ImageKind, UpkeepKind } from './signing-request.ts'

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
}

export interface Policy {
  evaluate(facts: PolicyFacts, at: Date): Decision
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

const GRANTS_RULES: readonly Rule[] = [
  {
    name: 'grant-submit',
    judge: ({ principal, gun }) =>
      isGranted(principal, 'submit', gun)
        ? { outcome: 'allow', code: 'GRANT_HELD' }
        : { outcome: 'deny', code: 'GRANT_MISSING' },
  },
  {
    name: 'policy-known',
    judge: ({ policy }) =>
      policy === undefined || policy === 'grants' ? undefined : { outcome: 'deny', code: 'POLICY_UNKNOWN' },
  },
]

/**
 * A rotation: whoever asks holds the grant `operator`, and an operator has staged the keys at the key holder, which checks it again.
 * A renewal: whoever asks holds the grant `operator`, or Countersign itself asks because the time has come.
 * A change of root: whoever asks holds the grant `operator`, and the root keys signed it; the key holder checks that again.
 */
const UPKEEP_POLICIES = {
  rotate: { text: 'countersign built-in policy rotation, version 1', rule: 'staged-by-operator', code: 'KEY_STAGED' },
  renew: { text: 'countersign built-in policy renewal, version 1', rule: 'renew-before-expiry', code: 'EXPIRES_SOON' },
  root: { text: 'countersign built-in policy root, version 1', rule: 'signed-by-root-keys', code: 'ROOT_KEYS_SIGNED' },
} as const

/** @param subjects the keys or roles, one text each */
export function upkeepDecision(kind: UpkeepKind, subjects: readonly string[], at: Date): Decision {
  const { text, rule, code } = UPKEEP_POLICIES[kind]
  const policyDigest = createHash('sha256').update(text).digest('hex')
  return { outcome: 'allow', reasons: subjects.map((subject) => ({ rule, code, subject })), policyDigest, at }
}

/** Whoever holds the grant `submit` on the repository may sign and unsign in it. */
export const grantsPolicy: Policy = {
  evaluate: (facts, at) => decide(GRANTS_RULES, facts, createHash('sha256').update(GRANTS_POLICY).digest('hex'), at),
}
