// Which roles of a repository are to be signed again before they expire, and whether they have been. Pure.
// Stock clients never do it: they sign a role again only where it changes, so that base targets of a repository that delegates sign
// daily expires after three years, and every command fails (notary v0.7.0 client/client.go signTargets).
import { TARGETS, targetsOf, type RoleName, type TrustedRepository } from '@countersign/tuf'
import type { RepositoryCustody } from './ports.ts'
import { isSignable } from './publication-roles.ts'

/** The roles with a file that expires before `until` and that we can sign, base targets first. */
export function rolesToRenew(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys'>,
  until: Date,
): readonly RoleName[] {
  const roles = [TARGETS, ...repository.delegations.keys()]
  return roles.filter((role) => expiresBefore(repository, role, until) && isSignable(repository, custody, role))
}

export function isRenewed(repository: TrustedRepository, roles: readonly RoleName[], until: Date): boolean {
  return roles.every((role) => !expiresBefore(repository, role, until))
}

function expiresBefore(repository: TrustedRepository, role: RoleName, until: Date): boolean {
  const expiresAt = targetsOf(repository, role)?.metadata.expiresAt
  return expiresAt !== undefined && expiresAt.getTime() < until.getTime()
}
