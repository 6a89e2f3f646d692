// The next version of root: the received value with the keys of base roles changed, and nothing else. Takes verified state only;
// signs nothing. The check is verify-next-root.ts.
import { encodeCanonical } from './canonical.ts'
import { TufError } from './errors.ts'
import { formatExpires } from './expires.ts'
import { verifyNotExpired, verifyPlausible } from './freshness.ts'
import type { JsonObject } from './json.ts'
import { encodePublicKey, type PublicKey } from './key.ts'
import { asObject } from './members.ts'
import { verifyNormalForm } from './normal-form.ts'
import { verifyRootCertificate } from './root-certificate.ts'
import { ROOT, type Role, type RoleName, type TufKeyId } from './role.ts'
import type { UnsignedMetadata } from './signed.ts'
import { roleKeys, type RoleKeys } from './threshold.ts'
import { TrustedRepository } from './trusted.ts'

/** The keys that a base role shall have from the next root on: all of them, in order. Its threshold stays. */
export interface BaseRoleChange {
  readonly role: RoleName
  readonly keys: readonly PublicKey[]
}

/**
 * The root that follows the verified one, with these base roles given other keys; without changes the same root with a later
 * expiry. The expiry is cut to whole seconds.
 *
 * The version is one higher: trust servers take no other (notary v0.7.0 server/handlers/validation.go validateUpdate), and clients
 * walk from one to the next. As Go's writers do, certificates of former root keys stay listed without a role; any other key that no
 * role lists any more goes.
 * @throws TufError CHANGES_CONFLICT (a role named twice, or not a base role), METADATA_THRESHOLD (fewer keys than the role's
 * threshold), CERTIFICATE_*, ROLE_EXPIRED, METADATA_EXPIRES, VERSION_IMPLAUSIBLE, NORMAL_FORM_*
 */
export function nextRoot(
  repository: TrustedRepository,
  changes: readonly BaseRoleChange[],
  expiresAt: Date,
): UnsignedMetadata {
  TrustedRepository.require(repository)
  const { root, gun, verifiedAt } = repository
  const version = root.metadata.version + 1
  verifyPlausible(ROOT, version)
  verifyNotExpired(ROOT, { version, expiresAt }, verifiedAt)
  const roles = new Map(asObject(root.signed.get('roles'), 'roles'))
  const keys = new Map(asObject(root.signed.get('keys'), 'keys'))
  for (const [name, { keys: given }] of changesByRole(root.metadata.roles, changes)) {
    if (name === ROOT) for (const key of given) verifyRootCertificate(key, gun, verifiedAt)
    const keyIds = [...new Set(given.map(({ tufKeyId }) => tufKeyId))]
    roles.set(name, new Map([...asObject(roles.get(name), 'role'), ['keyids', keyIds]]))
    for (const key of given) keys.set(key.tufKeyId, encodePublicKey(key))
  }
  for (const keyId of goneKeys(root.metadata.roles, changes)) keys.delete(keyId)
  const signed: JsonObject = new Map([
    ...root.signed,
    ['expires', formatExpires(expiresAt)],
    ['keys', keys],
    ['roles', roles],
    ['version', version],
  ])
  verifyNormalForm(signed)
  return { role: ROOT, version, signed, message: encodeCanonical(signed) }
}

/**
 * Who has to sign the root that follows: enough keys of the verified root, and enough of the root keys that it will list. A key that
 * stands in both signs once; a new certificate of the same key is a key of its own, and signs again.
 * TUF 1.0.34, 5.3.4; notary v0.7.0 tuf/tuf.go SignRoot.
 * @throws TufError CHANGES_CONFLICT, METADATA_THRESHOLD
 */
export function signersOfNextRoot(
  repository: TrustedRepository,
  changes: readonly BaseRoleChange[],
): { readonly current: RoleKeys; readonly next: RoleKeys } {
  TrustedRepository.require(repository)
  const { roles, keys } = repository.root.metadata
  const current = roleKeys(roles.get(ROOT) ?? missing(ROOT), keys)
  const change = changesByRole(roles, changes).get(ROOT)
  if (change === undefined) return { current, next: current }
  return { current, next: { ...current, keys: new Map(change.keys.map((key) => [key.tufKeyId, key])) } }
}

/** @throws TufError CHANGES_CONFLICT, METADATA_THRESHOLD */
function changesByRole(
  roles: ReadonlyMap<RoleName, Role>,
  changes: readonly BaseRoleChange[],
): ReadonlyMap<RoleName, BaseRoleChange> {
  const byRole = new Map<RoleName, BaseRoleChange>()
  for (const change of changes) {
    const listed = roles.get(change.role)
    if (listed === undefined || byRole.has(change.role)) {
      throw new TufError('CHANGES_CONFLICT', 'A change of root names a role twice, or one that root does not list', {
        role: change.role,
      })
    }
    // Distinct keys, as we count signatures; Notary takes thresholds that nobody can reach.
    const distinct = new Set(change.keys.map(({ canonicalKeyId }) => canonicalKeyId)).size
    if (distinct < listed.threshold) {
      throw new TufError('METADATA_THRESHOLD', 'A role would have fewer keys than have to sign', {
        role: change.role,
        threshold: listed.threshold,
        keys: distinct,
      })
    }
    byRole.set(change.role, change)
  }
  return byRole
}

/** Keys that lose their last role, those of root excepted: they say from which certificate the repository comes. */
function goneKeys(roles: ReadonlyMap<RoleName, Role>, changes: readonly BaseRoleChange[]): readonly TufKeyId[] {
  const changed = new Map(changes.map(({ role, keys }) => [role, keys.map(({ tufKeyId }) => tufKeyId)]))
  const kept = new Set([...roles].flatMap(([name, { keyIds }]) => [...(changed.get(name) ?? keyIds)]))
  for (const keyId of roles.get(ROOT)?.keyIds ?? []) kept.add(keyId)
  return [...changed.keys()].flatMap((name) => (roles.get(name)?.keyIds ?? []).filter((keyId) => !kept.has(keyId)))
}

function missing(role: RoleName): never {
  throw new TufError('METADATA_ROLE_MISSING', 'Root lacks a role', { role })
}
