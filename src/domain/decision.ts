// The decision on one change, as data: stored with the image, recorded beside the signature. Pure.

export interface Reason {
  readonly rule: string
  readonly code: string
  readonly subject: string
}

export interface Decision {
  /** `allow` with `approvals`: only after people have approved. */
  readonly outcome: 'allow' | 'deny'
  readonly reasons: readonly Reason[]
  /** 64 hex digits over the rules that were in force for this project: another project's rules may change without a trace here. */
  readonly policyDigest: string
  readonly at: Date
  readonly project?: string
  /** The signing policy that applied; the submitter may have named none. */
  readonly policy?: string
  /** 64 hex digits: the digest that the tag stood for when this was decided. Absent: it was not signed, or nobody needed to know. */
  readonly standing?: string
  readonly approvals?: ApprovalRequirement
}

export interface ApprovalRequirement {
  /** How many different people; at least 1. */
  readonly required: number
  /** Who may approve, in the words of the policy file. */
  readonly from: readonly string[]
  /** Each with the person's own key, which the key holder checks too. */
  readonly areSigned?: true
  /** Without them until then, the request expires. */
  readonly expiresAt: Date
}

/** Whether what an approver saw under one decision is what the other one says: the rules, and what the tag stands for. */
export function isSameGround(one: Decision, other: Decision): boolean {
  return one.policyDigest === other.policyDigest && one.standing === other.standing
}
