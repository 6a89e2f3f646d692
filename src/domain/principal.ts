// An identity and what it may do. "Grant" is the word here; "role" is a TUF role. Pure.
import type { Gun } from '@countersign/tuf'
import { DomainError } from './errors.ts'
import type { VerifiedOrigin } from './origin.ts'
import { matchesPattern, type Pattern, patternCovers } from './pattern.ts'

/** admin: tokens. operator: repositories. submit: signing requests. read: see, verify and inspect. */
export const GRANT_KINDS = ['admin', 'operator', 'submit', 'read'] as const
export type GrantKind = (typeof GRANT_KINDS)[number]

export interface Grant {
  readonly grant: GrantKind
  /** Patterns over GUNs; the grant holds where one of them matches. */
  readonly repositories: readonly Pattern[]
}

/** The daemon itself, where it asks for something: no identity that comes from outside has this ID. */
export const DAEMON_ID = 'countersign'

export interface Principal {
  /** Stable, at most 256 characters; recorded as evidence beside every signature. */
  readonly id: string
  /** For people; may be given to somebody else later, so it decides nothing. */
  readonly name: string
  readonly grants: readonly Grant[]
  /** Names that policies know groups of identities by. */
  readonly groups?: readonly string[]
  /** The person behind a workload, in the form of an identity's id: who started the run approves nothing that it asks for. */
  readonly actor?: string
  /** Of a workload that proved itself by a token of its issuer. */
  readonly origin?: VerifiedOrigin
}

/** How a group is called. */
export const GROUP_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/

/** Who may act on a repository may also see it. `admin` gives out tokens and implies nothing else. */
const IMPLIED_BY: Readonly<Record<GrantKind, readonly GrantKind[]>> = {
  admin: ['admin'],
  operator: ['operator'],
  submit: ['submit'],
  read: ['read', 'submit', 'operator'],
}

export function isGranted(principal: Principal, kind: GrantKind, gun: Gun): boolean {
  return principal.grants.some(
    ({ grant, repositories }) =>
      IMPLIED_BY[kind].includes(grant) && repositories.some((pattern) => matchesPattern(pattern, gun)),
  )
}

/** Whether the principal has this grant on any repository at all. */
export function isGrantedAnywhere(principal: Principal, kind: GrantKind): boolean {
  return principal.grants.some(({ grant }) => IMPLIED_BY[kind].includes(grant))
}

/**
 * One refusal for "not registered" and "not granted": who may not see a repository does not learn whether it exists.
 * @throws DomainError NOT_PERMITTED
 */
export function requireGrant(principal: Principal, kind: GrantKind, gun: Gun): void {
  if (!isGranted(principal, kind, gun)) throw notPermitted(kind, gun)
}

export function notPermitted(kind: GrantKind, gun: Gun): DomainError {
  return new DomainError(
    'NOT_PERMITTED',
    `The repository is not registered, or this identity has no grant "${kind}" on it. Ask an operator.`,
    { grant: kind, gun },
  )
}

/** Whether an administrator with these grants may hand out (or revoke) those: each within one of the own admin patterns. */
export function mayHandOut(principal: Principal, grants: readonly Grant[]): boolean {
  const own = principal.grants.filter(({ grant }) => grant === 'admin').flatMap(({ repositories }) => repositories)
  return (
    own.length > 0 &&
    grants.every(({ repositories }) => repositories.every((inner) => own.some((outer) => patternCovers(outer, inner))))
  )
}
