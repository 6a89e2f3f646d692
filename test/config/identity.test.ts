import { expect } from 'chai'
import { workloadIssuer } from '../../src/config/identity-settings.ts'
import { parseConfig } from '../../src/config/parse.ts'

const GRANTS = [{ grant: 'submit', repositories: ['registry.example.com/team/*'] }]
const RULE = { match: { repository_id: '1' }, grants: GRANTS }
const GITHUB = {
  name: 'github',
  issuer: 'https://token.actions.githubusercontent.com',
  audience: 'https://countersign.example.com',
  provider: 'github',
  identities: [RULE],
}
const GITLAB = { ...GITHUB, name: 'gitlab', issuer: 'https://gitlab.com', provider: 'gitlab' }
const OTHER = { ...GITHUB, name: 'ci', issuer: 'https://ci.example.com', provider: 'other' }
const rules = (issuer: object, ...identities: readonly object[]) => ({ ...issuer, identities })
const matching = (issuer: object, match: object) => rules(issuer, { match, grants: GRANTS })

function parse(...issuers: readonly object[]) {
  return parseConfig(JSON.stringify({ identity: { issuers } }))
}

describe('identity.issuers', () => {
  it('has defaults, and rules in the words of the domain', () => {
    const parsed = parse(GITHUB)
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
    const [issuer] = parsed.config.identity.issuers.map(workloadIssuer)
    expect(issuer).to.deep.equal({
      name: 'github',
      issuer: 'https://token.actions.githubusercontent.com',
      audience: 'https://countersign.example.com',
      provider: 'github',
      algorithms: ['RS256', 'ES256'],
      clockSkewMs: 60_000,
      maxAgeMs: 3_600_000,
      tokenLifetimeMs: 3_600_000,
      exchangesPerMinute: 60,
      identities: [
        {
          match: new Map([['repository_id', ['1']]]),
          id: { claim: 'repository_id', kind: 'repository' },
          groups: [],
          grants: GRANTS,
        },
      ],
    })
  })

  const kinds: readonly (readonly [issuer: object, id: object, expected: object])[] = [
    [GITHUB, { claim: 'repository_owner_id' }, { claim: 'repository_owner_id', kind: 'owner' }],
    [matching(GITLAB, { project_id: '1' }), {}, { claim: 'project_id', kind: 'project' }],
    [matching(GITLAB, { project_id: '1' }), { claim: 'user_id' }, { claim: 'user_id', kind: 'user' }],
    [OTHER, {}, { claim: 'sub', kind: 'sub' }],
    [OTHER, { claim: 'sub', kind: 'user' }, { claim: 'sub', kind: 'user' }],
    [
      OTHER,
      { claim: 'https://x.example/Job_Name' },
      { claim: 'https://x.example/Job_Name', kind: 'https-x-example-job-name' },
    ],
  ]
  for (const [issuer, id, expected] of kinds) {
    it(`makes identities of ${JSON.stringify(expected)}`, () => {
      const { identities, ...rest } = issuer as typeof GITHUB
      const parsed = parse({ ...rest, identities: identities.map((rule) => ({ ...rule, id })) })
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
      expect(parsed.config.identity.issuers.map(workloadIssuer)[0]?.identities[0]?.id).to.deep.equal(expected)
    })
  }

  const AT = 'identity.issuers[0]'
  const refused: Readonly<Record<string, readonly [path: string, ...issuers: object[]]>> = {
    'a GitHub rule that names a repository by its name': [
      `${AT}.identities[0].match`,
      matching(GITHUB, { repository: 'team/app' }),
    ],
    'a GitHub rule over the subject alone': [
      `${AT}.identities[0].match`,
      matching(GITHUB, { sub: 'repo:team/app:ref:refs/heads/main' }),
    ],
    'a GitHub rule over any repository': [`${AT}.identities[0].match`, matching(GITHUB, { repository_id: '*' })],
    'a GitHub rule over one repository or any': [
      `${AT}.identities[0].match`,
      matching(GITHUB, { repository_id: ['1', '2*'] }),
    ],
    'a GitLab rule over a path': [`${AT}.identities[0].match`, matching(GITLAB, { project_path: 'team/app' })],
    'a rule that names nothing exactly': [`${AT}.identities[0].match`, matching(OTHER, { sub: 'job/*' })],
    'a rule without claims': [`${AT}.identities[0].match`, matching(GITHUB, {})],
    'a rule over what is checked anyway': [
      `${AT}.identities[0].match.iss`,
      matching(OTHER, { iss: 'https://ci.example.com' }),
    ],
    'a number in a rule': [`${AT}.identities[0].match.repository_id`, matching(GITHUB, { repository_id: 1 })],
    'the grant admin': [
      `${AT}.identities[0].grants[0].grant`,
      rules(GITHUB, { ...RULE, grants: [{ grant: 'admin', repositories: ['*'] }] }),
    ],
    'no grants': [`${AT}.identities[0].grants`, rules(GITHUB, { ...RULE, grants: [] })],
    'no rules': [`${AT}.identities`, rules(GITHUB)],
    'a group that is no name': [`${AT}.identities[0].groups[0]`, rules(GITHUB, { ...RULE, groups: ['A b'] })],
    'an identity made of a name': [
      `${AT}.identities[0].id.claim`,
      rules(GITHUB, { ...RULE, id: { claim: 'repository' } }),
    ],
    'a kind of identity for GitHub': [
      `${AT}.identities[0].id.kind`,
      rules(GITHUB, { ...RULE, id: { claim: 'repository_id', kind: 'user' } }),
    ],
    'one kind made of two claims': [
      `${AT}.identities[1].id`,
      rules(OTHER, { ...RULE, id: { claim: 'sub', kind: 'user' } }, { ...RULE, id: { claim: 'email', kind: 'user' } }),
    ],
    'a person made of another claim than the actor': [
      `${AT}.identities[0].id`,
      { ...rules(OTHER, { ...RULE, id: { claim: 'sub', kind: 'user' } }), actorClaim: 'started_by' },
    ],
    'an actor claim for GitHub': [`${AT}.actorClaim`, { ...GITHUB, actorClaim: 'actor' }],
    "GitHub's default audience": [`${AT}.audience`, { ...GITHUB, audience: 'https://github.com/team' }],
    'no audience': [`${AT}.audience`, { ...GITHUB, audience: undefined }],
    'GitHub as another provider, past the rules for it': [`${AT}.provider`, { ...GITHUB, provider: 'other' }],
    'GitLab as another provider': [`${AT}.provider`, { ...GITLAB, provider: 'other' }],
    'an issuer without TLS': [`${AT}.issuer`, { ...OTHER, issuer: 'http://ci.example.com' }],
    'an issuer that is no URL': [`${AT}.issuer`, { ...OTHER, issuer: 'accounts' }],
    'an issuer with a query': [`${AT}.issuer`, { ...OTHER, issuer: 'https://ci.example.com/?x' }],
    'a symmetric algorithm': [`${AT}.algorithms[0]`, { ...OTHER, algorithms: ['HS256'] }],
    'no algorithm': [`${AT}.algorithms[0]`, { ...OTHER, algorithms: ['none'] }],
    'two places for keys': [
      `${AT}.jwksFile`,
      { ...OTHER, jwksUrl: 'https://ci.example.com/jwks', jwksFile: '/etc/keys.json' },
    ],
    'a clock that is an hour off': [`${AT}.clockSkew`, { ...OTHER, clockSkew: '1h' }],
    'our token for a week': [`${AT}.tokenLifetime`, { ...OTHER, tokenLifetime: '7d' }],
    'people of GitHub': [`${AT}.login`, { ...GITHUB, login: { clientId: GITHUB.audience } }],
    'people whose tokens are for another client': [`${AT}.login.clientId`, { ...OTHER, login: { clientId: 'x' } }],
    'people of two providers': [
      'identity.issuers[1].login',
      { ...OTHER, login: { clientId: OTHER.audience } },
      { ...OTHER, name: 'b', issuer: 'https://b.example.com', login: { clientId: OTHER.audience } },
    ],
    'a name with a colon': [`${AT}.name`, { ...OTHER, name: 'a:b' }],
    'a name twice': ['identity.issuers[1].name', OTHER, { ...OTHER, issuer: 'https://b.example.com' }],
    'an issuer twice': ['identity.issuers[1].issuer', OTHER, { ...OTHER, name: 'b' }],
  }
  for (const [name, [path, ...issuers]] of Object.entries(refused)) {
    it(`refuses ${name}`, () => {
      const parsed = parse(...issuers)
      expect(parsed.ok ? [] : parsed.faults.map((fault) => fault.path)).to.include(path)
    })
  }
})
