// Whose work a version of a role is, as far as its keys and signatures tell.
import { signingRole } from './resolve.ts'
import { ROOT, TARGETS, type RoleName } from './role.ts'
import { verifySignature } from './signature.ts'
import type { TrustedRepository } from './trusted.ts'

/**
 * Whether the published version of a role needed these keys: no other key can sign the role, or one of them has signed it. Of root never: whoever
 * holds root decides about everything else.
 * @param canonicalKeyIds whoever has these keys and did not sign the version knows that somebody else has one of them
 */
export function isSignedWith(
  repository: TrustedRepository,
  role: RoleName,
  canonicalKeyIds: ReadonlySet<string>,
): boolean {
  const listed = signingRole(repository, role)?.keys ?? []
  const held = listed.filter(({ canonicalKeyId }) => canonicalKeyIds.has(canonicalKeyId))
  if (role === ROOT || held.length === 0) return false
  if (held.length === listed.length) return true
  // Of targets roles alone: in one that others sign as well, only a signature tells.
  const file = role === TARGETS ? repository.targets : repository.delegations.get(role)
  return (file?.signatures ?? []).some(({ keyId, method, signature }) =>
    held.some(
      (key) => key.tufKeyId === keyId && file !== undefined && verifySignature(key, method, file.message, signature),
    ),
  )
}
