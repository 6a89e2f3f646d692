// What has expired in a repository, what we can sign again, and in words what we cannot and whose key is needed. Pure.
// Clients refuse the whole repository where targets have expired, and pass over an expired delegation, so that its tags are gone (notary
// v0.7.0 client/tufclient.go).
import { ROOT, signingRole, TARGETS, targetsOf, type RoleName, type TrustedRepository } from '@countersign/tuf'
import type { RepositoryCustody } from './ports.ts'
import { signingObstacle } from './publication-roles.ts'

export interface ExpiredRole {
  readonly role: RoleName
  readonly version: number
  readonly expiredAt: Date
  readonly canRepair: boolean
  /** Where it cannot be repaired: why, and what would help. */
  readonly obstacle?: string
  /** Canonical IDs of the keys that may sign it. */
  readonly keys: readonly string[]
}

/** @param repository verified with `acceptsExpired` */
export function expiredRoles(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys'>,
): readonly ExpiredRole[] {
  return [...repository.expired].flatMap((role): ExpiredRole[] => {
    if (role === ROOT) return [expiredRoot(repository)]
    const file = targetsOf(repository, role)
    if (file === undefined) return []
    const why = signingObstacle(repository, custody, role)
    const keys = (signingRole(repository, role)?.keys ?? []).map(({ canonicalKeyId }) => canonicalKeyId as string)
    const { version, expiresAt } = file.metadata
    const found = { role, version, expiredAt: expiresAt, canRepair: why === undefined, keys }
    return [{ ...found, ...(why !== undefined && { obstacle: wordsFor(role, why, keys) }) }]
  })
}

/** Those that can be signed again, base targets first; nothing helps while root or targets stay expired. */
export function rolesToRepair(expired: readonly ExpiredRole[]): readonly RoleName[] {
  const isLost = expired.some(({ role, canRepair }) => (role === ROOT || role === TARGETS) && !canRepair)
  return isLost ? [] : expired.filter(({ canRepair }) => canRepair).map(({ role }) => role)
}

export function isRepaired(repository: TrustedRepository, roles: readonly RoleName[]): boolean {
  return roles.every((role) => !repository.expired.has(role) && targetsOf(repository, role) !== undefined)
}

/** Its key is never here: it says what comes next, and then the rest can be repaired. */
function expiredRoot({ gun, root }: TrustedRepository): ExpiredRole {
  const { version, expiresAt, roles } = root.metadata
  const keys = roles.get(ROOT)?.keyIds ?? []
  return {
    role: ROOT,
    version,
    expiredAt: expiresAt,
    canRepair: false,
    obstacle: `root has to be signed again first, with the root key ${keys.join(', or ')}: countersign root export ${gun} --out FILE, then root sign and root apply. What else has expired is repaired afterwards.`,
    keys,
  }
}

function wordsFor(role: RoleName, why: string, keys: readonly string[]): string {
  const whose = keys.length === 0 ? 'No key may sign it.' : `It needs the key ${keys.join(', or ')}.`
  const how =
    role === TARGETS
      ? 'Import it (countersign key import), or give targets another key with the root key.'
      : 'Import it (countersign key import), or let its owner run: notary witness.'
  return `${role} cannot be signed again here: ${why}. ${whose} ${how}`
}
