// Who asks, and what that identity may do here. Pure.
import type { Pattern } from '../domain/pattern.ts'
import { matchesPattern } from '../domain/pattern.ts'

/** As in the scopes of registry tokens: `*` stands for all of them, and is needed to delete and to rotate keys. */
export const ACTIONS = ['pull', 'push', '*'] as const
export type Action = (typeof ACTIONS)[number]

/** What somebody may do with the repositories that one of the patterns matches. */
export interface Grant {
  readonly repositories: readonly Pattern[]
  readonly actions: readonly Action[]
}

export interface Caller {
  /** Recorded beside every signature; at most 256 characters. */
  readonly principal: string
  /** True: no credential was accepted. */
  readonly isAnonymous: boolean
  /** `gun` is the name as it was asked for. */
  may(gun: string, action: Action): boolean
  /** Whether it may see the names of all repositories. */
  readonly mayList: boolean
}

export function callerWith(principal: string, grants: readonly Grant[]): Caller {
  return {
    principal,
    isAnonymous: false,
    may: (gun, action) =>
      grants.some(
        ({ repositories, actions }) =>
          allows(actions, action) && repositories.some((pattern) => matchesPattern(pattern, gun)),
      ),
    mayList: grants.some(({ repositories, actions }) => allows(actions, 'pull') && repositories.some((p) => p === '*')),
  }
}

export const NOBODY: Caller = { principal: 'anonymous', isAnonymous: true, may: () => false, mayList: false }

/** Everything that one of them may do. */
export function together(first: Caller, second: Caller): Caller {
  if (second.isAnonymous) return first
  if (first.isAnonymous) return second
  return {
    principal: `${first.principal}, ${second.principal}`.slice(0, 256),
    isAnonymous: false,
    may: (gun, action) => first.may(gun, action) || second.may(gun, action),
    mayList: first.mayList || second.mayList,
  }
}

export function allows(granted: readonly string[], action: Action): boolean {
  return granted.includes('*') || granted.includes(action)
}
