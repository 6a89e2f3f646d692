// What an operator should know of a repository before it hurts. Pure: verified state, custody and the time in, warnings out.
import {
  RELEASES,
  type RoleName,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  targetsOf,
  type TrustedRepository,
} from '@countersign/tuf'
import type { DriftCounts, SignedTag } from './drift.ts'
import type { RoleOutlook } from './expiry-outlook.ts'
import { lifetimeOf, USUAL_LIFETIMES } from './lifetimes.ts'
import { hasDelegations, unusableReason } from './publication-roles.ts'
import type { RepositoryCustody } from './ports.ts'
import type { RepositoryWarning, RoleReport } from './repository.ts'

/** Stock clients warn from here on: six months (notary v0.7.0 client/helpers.go warnRolesNearExpiry). */
const EXPIRES_SOON_MS = 182 * 86_400_000
/** Of what is signed again here by itself and lives shorter than three years: a sixth of its life, which comes after its renewal. */
const SHARE_OF_LIFE = 6
/** The server renews the timestamp itself, a fortnight at a time (notary-v1 5.7): its nearness is no news. */
const isRenewedByServer = (role: RoleName): boolean => role === TIMESTAMP

export function roleReports(repository: TrustedRepository): readonly RoleReport[] {
  const { root, timestamp, snapshot } = repository
  const report = (
    role: RoleName,
    received: { sha256: string; metadata: { version: number; expiresAt: Date } },
  ): RoleReport => ({
    role,
    version: received.metadata.version,
    expiresAt: received.metadata.expiresAt,
    sha256: received.sha256,
  })
  const targetsRoles = [TARGETS, ...repository.delegations.keys()].flatMap((role): RoleReport[] => {
    const received = targetsOf(repository, role)
    return received === undefined ? [] : [{ ...report(role, received), entries: received.metadata.targets.size }]
  })
  return [report(ROOT, root), ...targetsRoles, report(SNAPSHOT, snapshot), report(TIMESTAMP, timestamp)]
}

export function repositoryWarnings(
  repository: TrustedRepository,
  outlook: readonly RoleOutlook[],
  { lifetimes = USUAL_LIFETIMES }: Pick<RepositoryCustody, 'lifetimes'>,
  now: Date,
): readonly RepositoryWarning[] {
  const byItself = new Set(
    outlook.filter(({ by }) => by === 'countersign' || by === 'trust-server').map(({ role }) => role),
  )
  const soonMs = (role: RoleName): number =>
    byItself.has(role) ? Math.min(EXPIRES_SOON_MS, lifetimeOf(lifetimes, role) / SHARE_OF_LIFE) : EXPIRES_SOON_MS
  const isSnapshotKeyOnServer = byItself.has(SNAPSHOT)
  return [
    ...roleReports(repository).flatMap((report) => expiryWarning(report, soonMs(report.role), now)),
    ...entryWarnings(repository),
    ...delegationWarnings(repository),
    ...(isSnapshotKeyOnServer
      ? []
      : [
          {
            code: 'SNAPSHOT_KEY_HELD_BY_CLIENT' as const,
            detail: 'The trust server does not hold the snapshot key, so nothing can be published from here.',
          },
        ]),
  ]
}

/** @param sharesUid whether key holder and daemon run as the same user: one purse instead of two */
export function custodyWarnings(
  { rootCustody, state, frozenBecause }: RepositoryCustody,
  sharesUid: boolean,
): readonly RepositoryWarning[] {
  const warnings: RepositoryWarning[] = []
  if (rootCustody === 'online') {
    warnings.push({
      code: 'ROOT_KEY_ONLINE',
      detail: 'The root key is held online. Take it out of the key holder with: countersign root take-offline.',
    })
  }
  if (sharesUid) {
    warnings.push({
      code: 'KEYS_SHARE_UID_WITH_DAEMON',
      detail: 'The key holder runs as the same user as the daemon, so a thief of the daemon can read the keys.',
    })
  }
  if (state === 'frozen') {
    warnings.push({
      code: 'REPOSITORY_FROZEN',
      detail: `Signing is frozen: ${frozenBecause ?? 'no reason was given'}.`,
    })
  }
  return warnings
}

/** @param some the newest of the drifted tags */
export function driftWarnings({ moved, gone }: DriftCounts, some: readonly SignedTag[]): readonly RepositoryWarning[] {
  if (moved + gone === 0) return []
  const names = some.map(({ tag }) => tag).join(', ')
  const detail = `${moved + gone} signed tags stand in the registry for something else, or not at all, for example ${names}. See: countersign repo drift.`
  return [{ code: 'TAGS_DRIFTED', detail }]
}

function expiryWarning({ role, expiresAt }: RoleReport, soonMs: number, now: Date): readonly RepositoryWarning[] {
  const left = expiresAt.getTime() - now.getTime()
  if (left <= 0) return [{ code: 'ROLE_EXPIRED', detail: `${role} expired at ${expiresAt.toISOString()}.`, role }]
  if (left > soonMs || isRenewedByServer(role)) return []
  return [{ code: 'ROLE_EXPIRES_SOON', detail: `${role} expires at ${expiresAt.toISOString()}.`, role }]
}

/** notary-v1 traps Q6 to Q8: what stands in base `targets` comes back when `targets/releases` is invalid, or after a revocation. */
function entryWarnings(repository: TrustedRepository): readonly RepositoryWarning[] {
  if (!hasDelegations(repository)) return []
  const base = [...repository.targets.metadata.targets.keys()]
  const released = targetsOf(repository, RELEASES)?.metadata.targets
  const both = base.filter((name) => released?.has(name) === true)
  const outside = base.filter((name) => released?.has(name) !== true)
  const warnings: RepositoryWarning[] = []
  if (both.length > 0) {
    warnings.push({
      code: 'TAGS_IN_TARGETS_AND_RELEASES',
      detail: `${both.length} tags stand in targets and in targets/releases, for example ${some(both)}. Removing one from releases brings back the other.`,
      role: TARGETS,
    })
  }
  if (outside.length > 0) {
    warnings.push({
      code: 'TAGS_OUTSIDE_RELEASES',
      detail: `${outside.length} tags stand in targets only, for example ${some(outside)}.`,
      role: TARGETS,
    })
  }
  return warnings
}

function delegationWarnings(repository: TrustedRepository): readonly RepositoryWarning[] {
  return [...repository.unusable.keys()].flatMap((role): RepositoryWarning[] => {
    const reason = unusableReason(repository, role)
    if (reason === undefined) return []
    return [{ code: 'DELEGATION_UNUSABLE', detail: `Clients treat ${role} as absent: ${reason}.`, role }]
  })
}

function some(names: readonly string[]): string {
  return names.slice(0, 3).join(', ')
}
