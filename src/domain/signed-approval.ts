// An approval that a person signed, as it travels to the key holder. Pure.

/** See `approval-statement.ts` for what is signed. */
export interface SignedApproval {
  /** The person's name, as policy files and the key holder's limits file have it. */
  readonly approver: string
  /** RFC 3339, UTC, with milliseconds. */
  readonly expiresAt: string
  /** Ed25519, base64. */
  readonly signature: string
}
