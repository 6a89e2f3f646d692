// The rules of one signing policy of one project. Default deny: each of these that applies must allow. Pure.
import { matchesGlob } from '../domain/pattern.ts'
import { grantRule, type PolicyFacts, type Rule } from '../domain/policy.ts'
import type { People } from './people.ts'
import { originRules } from './origin-rules.ts'
import type { DenyRule, SigningPolicy } from './project-file.ts'
import { isWithin } from './time-window.ts'

export function policyRules(policy: SigningPolicy, people: People, at: Date): readonly Rule[] {
  const { kinds, submitters, tags, digest, moveTags, origin, windows, limits } = policy
  return [
    grantRule,
    judged('kind', 'KIND', ({ kind }) => kinds.includes(kind)),
    judged('submitter', 'SUBMITTER', ({ principal }) => people.isAmong(principal, submitters)),
    judged('tag', 'TAG', ({ tag }) => matchesOne(tags, tag)),
    ...(digest === 'required' ? [judged('digest-named', 'DIGEST', isDigestNamed)] : []),
    ...(moveTags ? [] : [judged('tag-lock', 'TAG_LOCK', keepsTag)]),
    ...(origin === undefined ? [] : originRules(origin)),
    // A stored request came in its time; how long it waits for approvals is another rule.
    ...(windows === undefined
      ? []
      : [judged('window', 'WINDOW', ({ isStored }) => isStored === true || isWithin(windows, at))]),
    ...limit('limit-identity', 'LIMIT_IDENTITY', limits.identityPerHour, ({ recent }) => recent?.byIdentity ?? 0),
    ...limit(
      'limit-repository',
      'LIMIT_REPOSITORY',
      limits.repositoryPerHour,
      ({ recent }) => recent?.inRepository ?? 0,
    ),
  ]
}

/** What denies whatever a policy allows; says nothing where it does not apply. */
export function denyRules(rules: readonly DenyRule[], people: People): readonly Rule[] {
  return rules.map(({ submitters, tags, repositories, kinds }, index) => ({
    name: `deny-${index + 1}`,
    judge: ({ kind, principal, gun, tag }) => {
      const applies =
        (kinds === undefined || kinds.includes(kind)) &&
        (tags === undefined || matchesOne(tags, tag)) &&
        (repositories === undefined || matchesOne(repositories, gun)) &&
        (submitters === undefined || people.isAmong(principal, submitters))
      return applies ? { outcome: 'deny', code: 'DENY_RULE' } : undefined
    },
  }))
}

function judged(name: string, code: string, isFitting: (facts: PolicyFacts) => boolean): Rule {
  return {
    name,
    judge: (facts) =>
      isFitting(facts) ? { outcome: 'allow', code: `${code}_FITS` } : { outcome: 'deny', code: `${code}_REFUSED` },
  }
}

function limit(
  name: string,
  code: string,
  perHour: number | undefined,
  used: (facts: PolicyFacts) => number,
): readonly Rule[] {
  return perHour === undefined ? [] : [judged(name, code, (facts) => used(facts) <= perHour)]
}

/** A tag that loses its signature is named by its tag alone: what is dropped is what stands there. */
function isDigestNamed({ kind, digestNamed }: PolicyFacts): boolean {
  return kind === 'unsign' || digestNamed
}

/** A tag that is signed keeps its digest. */
function keepsTag({ kind, standing, sha256 }: PolicyFacts): boolean {
  return standing === undefined || (kind === 'sign' && standing === sha256)
}

function matchesOne(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matchesGlob(pattern, text))
}
