// The decision on one change, as data: stored with the image, recorded beside the signature. Pure.

export interface Reason {
  readonly rule: string
  readonly code: string
  readonly subject: string
}

export interface Decision {
  readonly outcome: 'allow' | 'deny'
  readonly reasons: readonly Reason[]
  /** 64 hex digits over the rules that were in force. */
  readonly policyDigest: string
  readonly at: Date
}
