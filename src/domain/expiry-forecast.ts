// What will be signed again in the next three years, by whom and when, and what a person has to do by when. Pure.
import type { Gun } from '@countersign/tuf'
import type { ReSigner, RoleClass, RoleOutlook } from './expiry-outlook.ts'
import { lifetimeOf } from './lifetimes.ts'
import { renewalDue, type RenewalSettings, type RepositoryRenewal, windowOf } from './renewal.ts'

const DAY_MS = 86_400_000
/** Three years of 365 days. */
export const FORECAST_MS = 3 * 365 * DAY_MS
/** A person is asked from here on. */
export const ASK_BEFORE_MS = 180 * DAY_MS
/** So long after its moment a renewal by itself counts as one that did not happen; a quarter of its window where that is shorter. */
const LATE_AFTER_MS = 7 * DAY_MS
/** The shortest life, 30 days with half of it as window, needs 73. */
const MAX_RENEWALS = 100

export interface ExpiryAct {
  readonly role: RoleOutlook['role']
  readonly roleClass: RoleClass
  /** `renewal`: Countersign does it by itself. `person`: somebody has to. */
  readonly kind: 'renewal' | 'person'
  readonly by: ReSigner
  /** When it is done by itself; for a person, from when on it is time. */
  readonly at: Date
  /** By when it has to be done: clients refuse the role from then on. */
  readonly expiresAt: Date
  /** What to do, in one sentence. */
  readonly plan: string
}

export interface ExpiryForecast {
  readonly gun: Gun
  readonly from: Date
  readonly until: Date
  readonly roles: readonly RoleOutlook[]
  /** By their time. */
  readonly acts: readonly ExpiryAct[]
}

export function forecastExpiry(
  gun: Gun,
  roles: readonly RoleOutlook[],
  settings: RepositoryRenewal,
  now: Date,
): ExpiryForecast {
  const until = new Date(now.getTime() + FORECAST_MS)
  const acts = roles
    .flatMap((role) => actsOf(gun, role, settings, now))
    .filter(({ at }) => at < until)
    .sort((one, other) => one.at.getTime() - other.at.getTime())
  return { gun, from: now, until, roles, acts }
}

/** Whether nobody here will sign the role again in time: a person has to act, or what should have happened by itself did not. */
export function isLeftToPeople(gun: Gun, role: RoleOutlook, settings: RenewalSettings, now: Date): boolean {
  if (role.by === 'trust-server') return false
  const due = role.by === 'countersign' ? renewalDue(gun, role.role, role.expiresAt, settings) : undefined
  if (due === undefined) return true
  return now.getTime() > due.getTime() + Math.min(LATE_AFTER_MS, windowOf(settings, role.role) / 4)
}

/** What a person has to do about a role. */
export function planOf(gun: Gun, role: RoleOutlook): string {
  const keys = role.keyIds.map((id) => id.slice(0, 12)).join(', ')
  const some = role.keyIds.length === 1 ? `the key ${keys}` : `${role.threshold} of the keys ${keys}`
  switch (role.by) {
    case 'countersign':
      return `Sign it again: countersign repo renew ${gun}.`
    case 'trust-server':
      return 'The trust server signs it again by itself.'
    case 'ceremony':
      return role.isOfCertificate === true
        ? `A root ceremony with another root key, since the certificate ends: countersign root create --gun ${gun}, root export ${gun} --root-certificate, root sign with both keys, root apply.`
        : `A root ceremony: countersign root export ${gun}, root sign where the root key is, root apply.`
    case 'elsewhere':
      return elsewhere(gun, role, some)
  }
}

function elsewhere(gun: Gun, { roleClass, role }: RoleOutlook, some: string): string {
  switch (roleClass) {
    case 'root':
      return `Its owner signs a next root with ${some}: notary key rotate ${gun} root.`
    case 'snapshot':
      return `Its owner moves the key to the trust server: notary key rotate ${gun} snapshot -r.`
    default:
      return `Whoever holds ${some} signs it again: notary witness ${gun} ${role} -p.`
  }
}

function actsOf(gun: Gun, role: RoleOutlook, settings: RepositoryRenewal, now: Date): readonly ExpiryAct[] {
  if (role.by === 'trust-server') return []
  const due = role.by === 'countersign' ? renewalDue(gun, role.role, role.expiresAt, settings) : undefined
  if (due !== undefined) return renewals(gun, role, settings, now)
  const { expiresAt } = role
  const at = new Date(Math.max(now.getTime(), expiresAt.getTime() - ASK_BEFORE_MS))
  return [{ ...named(role), kind: 'person', at, expiresAt, plan: planOf(gun, role) }]
}

/** One after the other, each with a new expiry. */
function renewals(gun: Gun, role: RoleOutlook, settings: RepositoryRenewal, now: Date): readonly ExpiryAct[] {
  const acts: ExpiryAct[] = []
  let { expiresAt } = role
  while (acts.length < MAX_RENEWALS) {
    const due = renewalDue(gun, role.role, expiresAt, settings)
    if (due === undefined) break
    const at = new Date(Math.max(now.getTime(), due.getTime()))
    if (at.getTime() >= now.getTime() + FORECAST_MS) break
    acts.push({ ...named(role), kind: 'renewal', at, expiresAt, plan: 'Countersign signs it again by itself.' })
    expiresAt = new Date(at.getTime() + lifetimeOf(settings.lifetimes, role.role))
  }
  return acts
}

function named({ role, roleClass, by }: RoleOutlook): Pick<ExpiryAct, 'role' | 'roleClass' | 'by'> {
  return { role, roleClass, by }
}

/** Days before an expiry at which others are told of it, once each. */
export const NOTICE_DAYS = [180, 90, 30, 7] as const

/** The nearest of these that has passed, for an expiry that nobody here will prevent; undefined: nobody is told yet. */
export function noticeDue(gun: Gun, role: RoleOutlook, settings: RenewalSettings, now: Date): number | undefined {
  const left = role.expiresAt.getTime() - now.getTime()
  if (left <= 0 || !isLeftToPeople(gun, role, settings, now)) return undefined
  return NOTICE_DAYS.findLast((days) => left <= days * DAY_MS)
}
