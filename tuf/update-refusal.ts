// Why a trust server does not accept an update.
import { CodedError, TufError, type ErrorFacts } from './errors.ts'
import type { RoleName } from './role.ts'

/** In the order in which a server finds them (notary v0.7.0 server/handlers/validation.go validateUpdate). */
export const UPDATE_REFUSAL_CODES = [
  /** Neither stored nor sent. */
  'UPDATE_NO_ROOT',
  'UPDATE_BAD_ROOT',
  'UPDATE_BAD_TARGETS',
  /** A role that others hang from does not verify any more. */
  'UPDATE_PARENT_UNUSABLE',
  /** After it, targets would no longer verify. */
  'UPDATE_ORPHANS_TARGETS',
  'UPDATE_NO_TARGETS',
  'UPDATE_BAD_SNAPSHOT',
  /** A client holds the snapshot key, and sent none. */
  'UPDATE_NO_SNAPSHOT',
  /** The root lists timestamp keys that the server does not hold. */
  'UPDATE_NO_TIMESTAMP_KEY',
  /** Not above every version of the role so far. */
  'UPDATE_VERSION',
] as const

export type UpdateRefusalCode = (typeof UPDATE_REFUSAL_CODES)[number]

/** Facts: `role`, and `reason`, the code of the rule that failed, with that rule's own facts; another role of these is `named`. */
export class UpdateRefusal extends CodedError<UpdateRefusalCode> {}

/** Runs a check; what fails in it is a refusal for this role. @throws UpdateRefusal */
export function refusing<T>(code: UpdateRefusalCode, role: RoleName, check: () => T, facts: ErrorFacts = {}): T {
  try {
    return check()
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    throw refusal(code, role, cause.code, { ...cause.facts, ...facts }, cause)
  }
}

export function refusal(
  code: UpdateRefusalCode,
  role: RoleName,
  reason: string,
  facts: ErrorFacts = {},
  cause?: Error,
): UpdateRefusal {
  const { role: named, ...others } = facts
  const sentence = cause?.message ?? 'The update is not one that clients could use'
  const about = { ...others, ...(named !== undefined && named !== role && { named }), role, reason }
  return new UpdateRefusal(code, `${sentence} (${role}).`, about, { cause })
}
