// Where a workload runs, as the issuer of its token signed it. Evidence for origin rules; never what a submitter says of itself. Pure.

/** Each field as the issuer says it; absent where it says nothing. */
export interface VerifiedOrigin {
  readonly provider: 'github' | 'gitlab' | 'other'
  /** `iss` of the token, exactly. */
  readonly issuer: string
  /** For people: names can be given to somebody else, so rules read `repositoryId`. */
  readonly repository?: string
  /** GitHub `repository_id`, GitLab `project_id`. */
  readonly repositoryId?: string
  /** GitHub `repository_owner_id`, GitLab `namespace_id`. */
  readonly ownerId?: string
  /** Full: `refs/heads/main`, `refs/tags/v1`. */
  readonly ref?: string
  readonly isRefProtected?: boolean
  /** GitHub `job_workflow_ref`, GitLab `ci_config_ref_uri`. */
  readonly workflow?: string
  /** GitHub `event_name`, GitLab `pipeline_source`. */
  readonly event?: string
  readonly environment?: string
  readonly runner?: 'hosted' | 'self-hosted'
  /** 1 for the first run, more for a re-run. */
  readonly attempt?: number
  /** Commit that the run was started for. */
  readonly commit?: string
  /** The run, as its page or its id. */
  readonly run?: string
}

/** In one line, for the record beside a signature: what the issuer said, and nothing that the submitter did. At most 1000 characters. */
export function describeOrigin(origin: VerifiedOrigin): string {
  const { issuer, repository, repositoryId, ref, commit, workflow, event, run, attempt } = origin
  const parts = [
    ['issuer', issuer],
    ['repository', repositoryId],
    ['name', repository],
    ['ref', ref],
    ['commit', commit],
    ['workflow', workflow],
    ['event', event],
    ['run', run],
    ['attempt', attempt?.toString()],
  ]
  const text = parts.flatMap(([name, value]) => (value === undefined ? [] : [`${name ?? ''} ${value}`])).join(', ')
  return text.slice(0, 1000)
}
