// From the claims of a token to where its workload runs, for each provider that is known. Pure.
// GitHub: docs.github.com, "OpenID Connect reference"; GitLab: docs.gitlab.com, "ID token authentication". Both write numbers and truth
// values as text.
import { invalidClaim, optionalTextClaim, textClaim, type Claims } from './id-token.ts'
import type { VerifiedOrigin } from './origin.ts'

export type Provider = VerifiedOrigin['provider']

/** @throws OidcError OIDC_CLAIM_MISSING, OIDC_CLAIM_INVALID */
export function originOf(provider: Provider, issuer: string, claims: Claims): VerifiedOrigin {
  if (provider === 'github') return githubOrigin(issuer, claims)
  return provider === 'gitlab' ? gitlabOrigin(issuer, claims) : { provider, issuer }
}

function githubOrigin(issuer: string, claims: Claims): VerifiedOrigin {
  const repository = optionalTextClaim(claims, 'repository')
  const runId = optionalNumberText(claims, 'run_id')
  const attempt = optionalNumberText(claims, 'run_attempt')
  return {
    provider: 'github',
    issuer,
    repositoryId: numberText(claims, 'repository_id'),
    ownerId: numberText(claims, 'repository_owner_id'),
    event: textClaim(claims, 'event_name'),
    ...present('repository', repository),
    ...present('ref', optionalTextClaim(claims, 'ref')),
    ...present('isRefProtected', truth(claims, 'ref_protected')),
    ...present('workflow', optionalTextClaim(claims, 'job_workflow_ref')),
    ...present('environment', optionalTextClaim(claims, 'environment')),
    ...present('runner', runner(claims, 'github-hosted')),
    ...present('attempt', attempt === undefined ? undefined : Number(attempt)),
    ...present('commit', optionalTextClaim(claims, 'sha')),
    ...present(
      'run',
      repository === undefined || runId === undefined
        ? runId
        : `${githubServer(issuer)}/${repository}/actions/runs/${runId}`,
    ),
  }
}

/** github.com and GHE.com have their tokens made by a host of their own, an Enterprise Server by a path of its own. */
function githubServer(issuer: string): string {
  const { protocol, host } = new URL(issuer)
  const server = host.replace(/^token\.actions\./, '')
  return `${protocol}//${server === 'githubusercontent.com' ? 'github.com' : server}`
}

function gitlabOrigin(issuer: string, claims: Claims): VerifiedOrigin {
  const repository = optionalTextClaim(claims, 'project_path')
  const job = optionalNumberText(claims, 'job_id')
  return {
    provider: 'gitlab',
    issuer,
    repositoryId: numberText(claims, 'project_id'),
    ownerId: numberText(claims, 'namespace_id'),
    event: textClaim(claims, 'pipeline_source'),
    ...present('repository', repository),
    ...present('ref', gitlabRef(claims)),
    ...present('isRefProtected', truth(claims, 'ref_protected')),
    ...present('workflow', optionalTextClaim(claims, 'ci_config_ref_uri')),
    ...present('environment', optionalTextClaim(claims, 'environment')),
    ...present('runner', runner(claims, 'gitlab-hosted')),
    ...present('commit', optionalTextClaim(claims, 'sha')),
    ...present(
      'run',
      repository === undefined || job === undefined ? job : `${issuer.replace(/\/$/, '')}/${repository}/-/jobs/${job}`,
    ),
  }
}

/** Always with its prefix: a branch may be called `refs/heads/main` itself. */
function gitlabRef(claims: Claims): string | undefined {
  const [ref, type] = [optionalTextClaim(claims, 'ref'), optionalTextClaim(claims, 'ref_type')]
  if (ref === undefined || type === undefined) return undefined
  if (type !== 'branch' && type !== 'tag') throw invalidClaim('ref_type', 'is neither branch nor tag')
  return `refs/${type === 'branch' ? 'heads' : 'tags'}/${ref}`
}

function truth(claims: Claims, name: string): boolean | undefined {
  const text = optionalTextClaim(claims, name)
  if (text !== undefined && text !== 'true' && text !== 'false')
    throw invalidClaim(name, 'is neither "true" nor "false"')
  return text === undefined ? undefined : text === 'true'
}

/** What is not said to be hosted is taken for somebody's own machine. */
function runner(claims: Claims, hosted: string): VerifiedOrigin['runner'] {
  const text = optionalTextClaim(claims, 'runner_environment')
  return text === undefined ? undefined : text === hosted ? 'hosted' : 'self-hosted'
}

/** The identifiers of both are numbers from 1, written as text. */
export function numberText(claims: Claims, name: string): string {
  const text = textClaim(claims, name)
  if (!/^[1-9][0-9]{0,15}$/.test(text)) throw invalidClaim(name, 'is no number in text')
  return text
}

function optionalNumberText(claims: Claims, name: string): string | undefined {
  return optionalTextClaim(claims, name) === undefined ? undefined : numberText(claims, name)
}

function present<K extends string, V>(name: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, V>)
}
