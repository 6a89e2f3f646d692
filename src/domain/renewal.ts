// Which roles of a repository are to be signed again before they expire, and whether they have been. Pure.
// Stock clients never do it: they sign a role again only where it changes, so that base targets of a repository that delegates sign
// daily expires after three years, and every command fails (notary v0.7.0 client/client.go signTargets).
import { type Gun, sha256Hex, TARGETS, targetsOf, type RoleName, type TrustedRepository } from '@countersign/tuf'
import { USUAL_LIFETIMES, type Lifetimes } from './lifetimes.ts'
import type { RepositoryCustody } from './ports.ts'
import { DAEMON_ID } from './principal.ts'
import { isSignable } from './publication-roles.ts'

/** How long before its expiry a role is signed again, in milliseconds; 0: never unasked. */
export interface RenewalWindows {
  readonly targetsMs: number
  readonly delegationsMs: number
}

/** How repositories are kept from expiring without anybody asking. */
export interface RenewalSettings extends RenewalWindows {
  /** Repositories are taken up over this time, each at its own moment, so that many do not come at once. */
  readonly spreadMs: number
}

/** The same for one repository: no window is longer than half of a life. */
export interface RepositoryRenewal extends RenewalSettings {
  readonly lifetimes: Lifetimes
}

/** Nine months: before anybody is warned, which is half a year before. */
export const USUAL_WINDOW_MS = 270 * 86_400_000

/** A renewal that somebody asks for has a window also where none is made unasked; the daemon's own keeps to the settings, role by role. */
export function windowsFor(asker: { readonly id: string }, windows: RenewalWindows): RenewalWindows {
  if (asker.id === DAEMON_ID) return windows
  const { targetsMs, delegationsMs } = windows
  return { targetsMs: targetsMs || USUAL_WINDOW_MS, delegationsMs: delegationsMs || USUAL_WINDOW_MS }
}

/**
 * At most half of a life, so that each version is the newest for as long as half of its life at least, however short the limits file
 * makes it.
 */
export function windowsWithin(
  windows: RenewalWindows,
  { lifetimes = USUAL_LIFETIMES }: Pick<RepositoryCustody, 'lifetimes'>,
): RenewalWindows {
  return {
    targetsMs: Math.min(windows.targetsMs, lifetimes.targetsMs / 2),
    delegationsMs: Math.min(windows.delegationsMs, lifetimes.delegationsMs / 2),
  }
}

export function renewalFor(
  settings: RenewalSettings,
  custody: Pick<RepositoryCustody, 'lifetimes'>,
): RepositoryRenewal {
  return { ...settings, ...windowsWithin(settings, custody), lifetimes: custody.lifetimes ?? USUAL_LIFETIMES }
}

/** Whether whoever renews within the first windows renews all that is renewed within the others. */
export function coversWindows(windows: RenewalWindows, others: RenewalWindows): boolean {
  return windows.targetsMs >= others.targetsMs && windows.delegationsMs >= others.delegationsMs
}

export function windowOf({ targetsMs, delegationsMs }: RenewalWindows, role: RoleName): number {
  return role === TARGETS ? targetsMs : delegationsMs
}

/**
 * When a role is signed again by itself; undefined where nobody does it unasked. Each repository has its own moment in the spread, always
 * the same one: all its roles come in one publication. At least half of the window is left after it.
 */
export function renewalDue(gun: Gun, role: RoleName, expiresAt: Date, settings: RenewalSettings): Date | undefined {
  const window = windowOf(settings, role)
  if (window === 0) return undefined
  const spread = Math.min(settings.spreadMs, window / 2)
  return new Date(expiresAt.getTime() - window + Math.floor(spread * placeOf(gun)))
}

/** From 0 to 1, evenly. */
function placeOf(gun: Gun): number {
  return Number.parseInt(sha256Hex(Buffer.from(gun)).slice(0, 12), 16) / 2 ** 48
}

/** The roles that we can sign whose file expires within its window, or was disowned; base targets first. */
export function rolesToRenew(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys' | 'disowned'>,
  windows: RenewalWindows,
  now: Date,
): readonly RoleName[] {
  const roles = [TARGETS, ...repository.delegations.keys()]
  const isDue = (role: RoleName) => expiresBefore(repository, role, renewalEnd(windows, [role], now))
  const isDisowned = (role: RoleName) => custody.disowned?.includes(role) === true
  return roles.filter((role) => (isDue(role) || isDisowned(role)) && isSignable(repository, custody, role))
}

/** Behind this moment each of the roles expires once it has been signed again now, whatever its window and its life are. */
export function renewalEnd(windows: RenewalWindows, roles: readonly RoleName[], now: Date): Date {
  return new Date(now.getTime() + Math.min(...roles.map((role) => windowOf(windows, role))))
}

export function isRenewed(repository: TrustedRepository, roles: readonly RoleName[], until: Date): boolean {
  return roles.every((role) => !expiresBefore(repository, role, until))
}

function expiresBefore(repository: TrustedRepository, role: RoleName, until: Date): boolean {
  const expiresAt = targetsOf(repository, role)?.metadata.expiresAt
  return expiresAt !== undefined && expiresAt.getTime() < until.getTime()
}
