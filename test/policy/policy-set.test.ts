import { parseGun, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import type { VerifiedOrigin } from '../../src/domain/origin.ts'
import type { PolicyFacts } from '../../src/domain/policy.ts'
import { without } from '../support/without.ts'
import { facts, identity, PEOPLE, policyOf, PROJECT } from '../support/policies.ts'

const at = new Date('2026-05-04T10:00:00Z')
const policy = policyOf({ 'people.yaml': PEOPLE, 'team.yaml': PROJECT })

const STRICT = `
project: strict
repositories: [registry.example.com/team/*]
default: release
policies:
  release:
    submitters: [identity:github:repository:74]
    tags: [v*]
    origin:
      issuers: [https://token.actions.githubusercontent.com]
      repositoryIds: ["74"]
      refs: [refs/heads/main, refs/tags/v*]
      workflows: [team/app/.github/workflows/release.yml@*]
      events: [push]
      environments: [release]
      runners: [hosted]
    windows: [{ days: [mon], from: "08:00", to: "18:00" }]
    limits: { identityPerHour: 3, repositoryPerHour: 5 }
deny:
  - { reason: "withdrawn release", tags: [v6.6.6] }
`
const strict = policyOf({ 'strict.yaml': STRICT })
const origin: VerifiedOrigin = {
  provider: 'github',
  issuer: 'https://token.actions.githubusercontent.com',
  repository: 'team/app',
  repositoryId: '74',
  ref: 'refs/heads/main',
  isRefProtected: true,
  workflow: 'team/app/.github/workflows/release.yml@refs/heads/main',
  event: 'push',
  environment: 'release',
  runner: 'hosted',
  attempt: 1,
  commit: 'c0ffee',
}
const run = (change: Partial<VerifiedOrigin>): Partial<PolicyFacts> => ({
  principal: identity('github:repository:74', { origin: { ...origin, ...change } }),
})
const saysNothingOf = (name: 'repositoryId' | 'ref' | 'isRefProtected' | 'environment' | 'attempt' | 'commit') => ({
  principal: identity('github:repository:74', { origin: without(origin, name) }),
})

/** Each rule of the strict policy, the facts that break it alone, and its reason. */
const REFUSALS: readonly (readonly [string, Partial<PolicyFacts>, string])[] = [
  ['a repository that no project owns', { gun: parseGun('registry.example.com/other') }, 'PROJECT_UNKNOWN'],
  ['a policy that does not exist', { policy: 'emergency' }, 'POLICY_UNKNOWN'],
  ['a policy named like a property of every object', { policy: 'constructor' }, 'POLICY_UNKNOWN'],
  ['another kind', { kind: 'unsign' }, 'KIND_REFUSED'],
  ['another submitter', { principal: identity('github:repository:75', { origin }) }, 'SUBMITTER_REFUSED'],
  ['a missing grant', { principal: identity('github:repository:74', { origin, grants: [] }) }, 'GRANT_MISSING'],
  ['another tag', { tag: parseTag('latest') }, 'TAG_REFUSED'],
  ['a tag that is denied whatever a policy allows', { tag: parseTag('v6.6.6') }, 'DENY_RULE'],
  ['a tag without its digest', { digestNamed: false }, 'DIGEST_REFUSED'],
  ['a tag that stands for another digest', { standing: 'b'.repeat(64) }, 'TAG_LOCK_REFUSED'],
  ['no origin', { principal: identity('github:repository:74') }, 'ORIGIN_MISSING'],
  ['another issuer', run({ issuer: 'https://ghes.example/_services/token' }), 'ORIGIN_ISSUER_REFUSED'],
  ['another repository of the same name', run({ repositoryId: '75' }), 'ORIGIN_REPOSITORY_REFUSED'],
  ['a repository without an id', saysNothingOf('repositoryId'), 'ORIGIN_REPOSITORY_REFUSED'],
  ['another branch', run({ ref: 'refs/heads/main2' }), 'ORIGIN_REF_REFUSED'],
  ['a tag that is a branch', run({ ref: 'refs/heads/refs/tags/v1' }), 'ORIGIN_REF_REFUSED'],
  ['no ref', saysNothingOf('ref'), 'ORIGIN_REF_REFUSED'],
  ['an unprotected ref', run({ isRefProtected: false }), 'ORIGIN_PROTECTED_REFUSED'],
  ['a ref of which nothing is known', saysNothingOf('isRefProtected'), 'ORIGIN_PROTECTED_REFUSED'],
  [
    'another workflow',
    run({ workflow: 'team/app/.github/workflows/test.yml@refs/heads/main' }),
    'ORIGIN_WORKFLOW_REFUSED',
  ],
  ['a pull request', run({ event: 'pull_request_target' }), 'ORIGIN_EVENT_REFUSED'],
  ['another environment', run({ environment: 'staging' }), 'ORIGIN_ENVIRONMENT_REFUSED'],
  ['no environment', saysNothingOf('environment'), 'ORIGIN_ENVIRONMENT_REFUSED'],
  ['a runner of their own', run({ runner: 'self-hosted' }), 'ORIGIN_RUNNER_REFUSED'],
  ['a repeated run', run({ attempt: 2 }), 'ORIGIN_FIRST_RUN_REFUSED'],
  ['a run that does not say which it is', saysNothingOf('attempt'), 'ORIGIN_FIRST_RUN_REFUSED'],
  ['an unknown commit', saysNothingOf('commit'), 'ORIGIN_COMMIT_REFUSED'],
  ['too many by one identity', { recent: { byIdentity: 4, inRepository: 4 } }, 'LIMIT_IDENTITY_REFUSED'],
  ['too many in one repository', { recent: { byIdentity: 1, inRepository: 6 } }, 'LIMIT_REPOSITORY_REFUSED'],
]

describe('a policy from files', () => {
  const allowed = { ...facts(), ...run({}) }

  it('allows what every rule allows, and every rule leaves a reason', () => {
    const decision = strict.evaluate(allowed, at)
    expect(decision).to.deep.include({ outcome: 'allow', project: 'strict', policy: 'release' })
    expect(decision.reasons.map(({ code }) => code).filter((code) => !/_(FITS|HELD)$/.test(code))).to.deep.equal([
      'NOT_APPLICABLE',
    ])
    expect(decision.reasons).to.have.length(20)
  })

  for (const [what, change, code] of REFUSALS) {
    it(`denies ${what}: ${code}`, () => {
      const decision = strict.evaluate({ ...allowed, ...change }, at)
      expect(decision.outcome).to.equal('deny')
      const denials = decision.reasons
        .map((reason) => reason.code)
        .filter((each) => /_(REFUSED|MISSING|UNKNOWN|RULE)$/.test(each))
      expect([...new Set(denials)]).to.deep.equal([code])
    })
  }

  it('denies out of its hours, and judges a stored request by the hour at which it came', () => {
    const sunday = new Date('2026-05-03T10:00:00Z')
    expect(strict.evaluate(allowed, sunday).reasons).to.deep.include({
      rule: 'window',
      code: 'WINDOW_REFUSED',
      subject: 'registry.example.com/team/app:v1',
    })
    expect(strict.evaluate({ ...allowed, isStored: true }, sunday).outcome).to.equal('allow')
  })

  it('denies where no policy is named and the project has no default', () => {
    const none = policyOf({ 'team.yaml': PROJECT.replace('default: release\n', '').replace(/ {4}approvals.*\n/, '') })
    const decision = none.evaluate(facts(), at)
    expect(decision.reasons.map(({ code }) => code)).to.deep.equal(['POLICY_NOT_NAMED'])
  })

  it('asks for approvals, with a time until they must have come', () => {
    const decision = policy.evaluate(facts(), at)
    expect(decision).to.have.deep.property('approvals', {
      required: 2,
      from: ['group:managers'],
      expiresAt: new Date('2026-05-11T10:00:00Z'),
    })
    const moved = policy.evaluate(facts({ policy: 'test', tag: parseTag('test-1'), standing: 'b'.repeat(64) }), at)
    expect(moved).to.deep.include({ outcome: 'allow', standing: 'b'.repeat(64) })
    expect(moved).to.not.have.property('approvals')
  })

  describe('the digest of its rules', () => {
    const digestOf = (people: string, project: string) =>
      policyOf({ 'people.yaml': people, 'team.yaml': project }).evaluate(facts(), at).policyDigest
    const before = digestOf(PEOPLE, PROJECT)

    it('changes with the rules that decide, and with the people whom they name', () => {
      expect(digestOf(PEOPLE, PROJECT.replace('[v*]', '[v*, w*]'))).to.not.equal(before)
      expect(digestOf(PEOPLE, `${PROJECT}deny: [{reason: none, tags: [v6]}]\n`)).to.not.equal(before)
      expect(digestOf(PEOPLE.replace('[ann, bob, cat]', '[ann, bob]'), PROJECT)).to.not.equal(before)
      expect(digestOf(PEOPLE.replace('github:user:2', 'github:user:3'), PROJECT)).to.not.equal(before)
    })

    it('stays where other rules and other people change', () => {
      expect(digestOf(PEOPLE, `# a remark\n${PROJECT}`)).to.equal(before)
      expect(digestOf(PEOPLE, PROJECT.replace('[test-*]', '[test-*, t-*]'))).to.equal(before)
      expect(digestOf(PEOPLE.replace('people:', 'people:\n  dan: { identities: [token_dan] }'), PROJECT)).to.equal(
        before,
      )
    })
  })
})
