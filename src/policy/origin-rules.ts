// What the issuer of a workload's token said of its run, held against a policy. Every rule leaves its own reason. Pure.
import type { VerifiedOrigin } from '../domain/origin.ts'
import { matchesGlob } from '../domain/pattern.ts'
import type { Rule } from '../domain/policy.ts'
import type { OriginRules } from './project-file.ts'

/** Every one of them must allow. Claims that the issuer left out are never taken for fitting. */
export function originRules(origin: OriginRules): readonly Rule[] {
  const { issuers, repositoryIds, refs, protectedRef, workflows, events, environments, runners, reRuns, commit } =
    origin
  return [
    rule('origin-issuer', 'ORIGIN_ISSUER', ({ issuer }) => issuers.includes(issuer)),
    rule('origin-repository', 'ORIGIN_REPOSITORY', ({ repositoryId }) => isOneOf(repositoryIds, repositoryId)),
    ...optional(refs, (all) => rule('origin-ref', 'ORIGIN_REF', ({ ref }) => matches(all, ref))),
    ...(protectedRef
      ? [rule('origin-protected', 'ORIGIN_PROTECTED', ({ isRefProtected }) => isRefProtected === true)]
      : []),
    ...optional(workflows, (all) => rule('origin-workflow', 'ORIGIN_WORKFLOW', (o) => matches(all, o.workflow))),
    ...optional(events, (all) => rule('origin-event', 'ORIGIN_EVENT', ({ event }) => matches(all, event))),
    ...optional(environments, (all) =>
      rule('origin-environment', 'ORIGIN_ENVIRONMENT', ({ environment }) => matches(all, environment)),
    ),
    ...optional(runners, (all) => rule('origin-runner', 'ORIGIN_RUNNER', ({ runner }) => isOneOf(all, runner))),
    ...(reRuns ? [] : [rule('origin-first-run', 'ORIGIN_FIRST_RUN', isFirstRun)]),
    ...(commit ? [rule('origin-commit', 'ORIGIN_COMMIT', (o) => o.commit !== undefined)] : []),
  ]
}

function rule(name: string, code: string, isFitting: (origin: VerifiedOrigin) => boolean): Rule {
  return {
    name,
    judge: ({ principal: { origin } }) => {
      if (origin === undefined) return { outcome: 'deny', code: 'ORIGIN_MISSING' }
      return isFitting(origin)
        ? { outcome: 'allow', code: `${code}_FITS` }
        : { outcome: 'deny', code: `${code}_REFUSED` }
    },
  }
}

function optional<T>(setting: T | undefined, make: (setting: T) => Rule): readonly Rule[] {
  return setting === undefined ? [] : [make(setting)]
}

function matches(patterns: readonly string[], value: string | undefined): boolean {
  return value !== undefined && patterns.some((pattern) => matchesGlob(pattern, value))
}

function isOneOf(values: readonly string[], value: string | undefined): boolean {
  return value !== undefined && values.includes(value)
}

/** GitLab has no attempts: each repetition is a job of its own, and its token says nothing of an earlier one. */
function isFirstRun({ attempt, provider }: VerifiedOrigin): boolean {
  return attempt === 1 || (attempt === undefined && provider === 'gitlab')
}
