// The base of every error with a stable code, and the codes of this library.
// Codes are API: never reused, listed in docs/errors.md. Facts carry no secrets.

/** Facts of an error: names, versions, digests, limits. Never key bytes, tokens or passphrases. */
export type ErrorFacts = Readonly<Record<string, string | number>>

/** An error whose `code` is stable and may be asserted on; `message` is prose and may change. */
export class CodedError<C extends string> extends Error {
  readonly code: C
  readonly facts: ErrorFacts

  constructor(code: C, message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.facts = facts
  }
}
