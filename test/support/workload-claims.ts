// What pipelines of GitHub and GitLab say of themselves, and a configuration that knows some of them.
import { randomUUID } from 'node:crypto'

export const AUDIENCE = 'https://countersign.example.com'

/** As the public documentation of GitHub shows them, for a push to the branch main. */
export function githubClaims(issuer: string, now: Date, more: object = {}): Record<string, unknown> {
  return {
    ...common(issuer, now),
    sub: 'repo:team/app:ref:refs/heads/main',
    ref: 'refs/heads/main',
    ref_type: 'branch',
    ref_protected: 'true',
    sha: 'a'.repeat(40),
    repository: 'team/app',
    repository_id: '1296269',
    repository_owner: 'team',
    repository_owner_id: '4711',
    repository_visibility: 'private',
    run_id: '9000000001',
    run_number: '10',
    run_attempt: '1',
    runner_environment: 'github-hosted',
    actor: 'octocat',
    actor_id: '583231',
    workflow: 'release',
    head_ref: '',
    base_ref: '',
    event_name: 'push',
    job_workflow_ref: 'team/ci/.github/workflows/sign.yml@refs/heads/main',
    environment: 'production',
    ...more,
  }
}

/** Likewise of GitLab, for a pipeline of a tag. */
export function gitlabClaims(issuer: string, now: Date, more: object = {}): Record<string, unknown> {
  return {
    ...common(issuer, now),
    sub: 'project_path:team/app:ref_type:tag:ref:v1.4',
    namespace_id: '72',
    namespace_path: 'team',
    project_id: '20',
    project_path: 'team/app',
    user_id: '1',
    user_login: 'sidney',
    user_email: 'sidney@example.com',
    pipeline_id: '574',
    pipeline_source: 'push',
    job_id: '302',
    ref: 'v1.4',
    ref_type: 'tag',
    ref_path: 'refs/tags/v1.4',
    ref_protected: 'true',
    runner_id: 1,
    runner_environment: 'self-hosted',
    sha: 'b'.repeat(40),
    ci_config_ref_uri: 'gitlab.example.com/team/app//.gitlab-ci.yml@refs/tags/v1.4',
    groups_direct: ['team'],
    ...more,
  }
}

function common(issuer: string, now: Date): Record<string, unknown> {
  const seconds = Math.floor(now.getTime() / 1000)
  return { iss: issuer, aud: AUDIENCE, jti: randomUUID(), iat: seconds, nbf: seconds, exp: seconds + 300 }
}

/** The repository 1296269 signs from main and, in its own way, from a pull request into main; project 20 from protected tags. */
export function identityConfig(issuers: {
  readonly github: string
  readonly gitlab: string
  readonly other: string
}): string {
  return JSON.stringify({
    identity: {
      issuers: [
        {
          name: 'github',
          issuer: issuers.github,
          audience: AUDIENCE,
          provider: 'github',
          exchangesPerMinute: 20,
          identities: [
            {
              match: { repository_id: '1296269', ref: ['refs/heads/main', 'refs/tags/v*'] },
              groups: ['releases'],
              grants: [{ grant: 'submit', repositories: ['registry.example.com/team/*'] }],
            },
            {
              match: { repository_owner_id: '4711', event_name: ['pull_request', 'merge_group'], base_ref: 'main' },
              id: { claim: 'repository_owner_id' },
              grants: [{ grant: 'read', repositories: ['registry.example.com/team/*'] }],
            },
          ],
        },
        {
          name: 'gitlab',
          issuer: issuers.gitlab,
          audience: AUDIENCE,
          provider: 'gitlab',
          identities: [
            {
              match: { project_id: '20', ref_protected: 'true', runner_id: '1' },
              grants: [{ grant: 'submit', repositories: ['registry.example.com/team/app'] }],
            },
          ],
        },
        {
          name: 'people',
          issuer: issuers.other,
          audience: AUDIENCE,
          provider: 'other',
          algorithms: ['RS256', 'EdDSA'],
          actorClaim: 'sub',
          identities: [
            {
              match: { email_verified: 'true', sub: '*', team: 'signers' },
              id: { claim: 'sub', kind: 'user' },
              groups: ['approvers'],
              grants: [{ grant: 'read', repositories: ['*'] }],
            },
          ],
        },
      ],
    },
  })
}
