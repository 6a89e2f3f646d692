// Taking a permission away never allows more: for random policies, identities and requests, and every way to take one away.
import { parseGun, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import type { Decision } from '../../src/domain/decision.ts'
import { parsePattern } from '../../src/domain/pattern.ts'
import type { PolicyFacts } from '../../src/domain/policy.ts'
import type { Principal } from '../../src/domain/principal.ts'
import { readPolicyFolder } from '../../src/policy/policy-folder.ts'
import { without as omit } from '../support/without.ts'
import { filesOf, PEOPLE } from '../support/policies.ts'

const at = new Date('2026-05-04T10:00:00Z')

interface Folder {
  project: string
  repositories: string[]
  default?: string
  policies: Record<string, Record<string, unknown>>
  deny: Record<string, unknown>[]
}

/** All of them as often as a part of them, so that requests are allowed often enough to be denied by what is taken away. */
const some = <T>(...items: T[]) => fc.oneof(fc.constant(items), fc.subarray(items, { minLength: 1 }))
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 1 })

const policyArbitrary = fc
  .record({
    kinds: some('sign', 'unsign'),
    submitters: some(
      'anyone',
      'person:ann',
      'group:bots',
      'group:managers',
      'identity:token_*',
      'identity:github:repository:74',
    ),
    tags: some('v*', '*', 'latest', '*-rc'),
    digest: fc.constantFrom('required', 'optional'),
    moveTags: fc.boolean(),
    approvals: maybe(
      fc.record({ required: fc.integer({ min: 1, max: 3 }), from: some('group:managers', 'person:ann', 'person:cat') }),
    ),
    origin: maybe(
      fc.record({
        issuers: some('https://a.example', 'https://b.example'),
        repositoryIds: some('74', '75'),
        refs: some('refs/heads/main', 'refs/tags/*'),
        protectedRef: fc.boolean(),
        reRuns: fc.boolean(),
        commit: fc.boolean(),
      }),
    ),
    windows: maybe(fc.constant([{ from: '08:00', to: '18:00' }])),
    limits: maybe(fc.record({ identityPerHour: fc.integer({ min: 1, max: 4 }) })),
  })
  .map(
    (policy) =>
      JSON.parse(JSON.stringify({ ...policy, moveTags: policy.moveTags || policy.kinds.includes('unsign') })) as Record<
        string,
        unknown
      >,
  )

const folderArbitrary: fc.Arbitrary<Folder> = fc
  .record({
    repositories: some('registry.example.com/team/*', 'registry.example.com/other'),
    default: fc.constantFrom(undefined, 'one', 'two', 'two'),
    one: policyArbitrary,
    two: policyArbitrary,
    deny: fc.array(
      fc.record({
        reason: fc.constant('no'),
        tags: some('v1', 'latest'),
        submitters: some('person:ann', 'group:bots'),
      }),
      { maxLength: 2 },
    ),
  })
  .map(({ one, two, default: named, repositories, deny }) => ({
    project: 'team',
    repositories,
    ...(named !== undefined && { default: named }),
    policies: { one, two },
    deny,
  }))

const factsArbitrary: fc.Arbitrary<PolicyFacts> = fc.record({
  kind: fc.constantFrom('sign' as const, 'sign' as const, 'unsign' as const),
  principal: fc.record({
    id: fc.constantFrom('token_ann', 'token_bot', 'github:repository:74'),
    name: fc.constant('who'),
    grants: fc.constant([{ grant: 'submit' as const, repositories: [parsePattern('*')] }]),
    groups: fc.subarray(['bots', 'managers']),
    origin: fc.record({
      provider: fc.constant('github' as const),
      issuer: fc.constantFrom('https://a.example', 'https://b.example'),
      repositoryId: fc.constantFrom('74', '75'),
      ref: fc.constantFrom('refs/heads/main', 'refs/tags/v1'),
      isRefProtected: fc.boolean(),
      attempt: fc.constantFrom(1, 2),
      commit: fc.constant('c0ffee'),
    }),
  }),
  gun: fc.constantFrom(parseGun('registry.example.com/team/app'), parseGun('registry.example.com/other')),
  tag: fc.constantFrom('v1', 'latest', 'v2-rc').map(parseTag),
  sha256: fc.constant('a'.repeat(64)),
  digestNamed: fc.boolean(),
  recent: fc.record({ byIdentity: fc.integer({ min: 1, max: 5 }), inRepository: fc.constant(1) }),
})

/** More is more: denied, so many approvals, allowed. */
function allowance({ outcome, approvals }: Decision): number {
  if (outcome === 'deny') return -Infinity
  return approvals === undefined ? 1 : -approvals.required
}

/** A folder that is refused keeps the former policies at work; as a permission it is worth nothing. */
function ask(folder: Folder, facts: PolicyFacts): number {
  const read = readPolicyFolder(filesOf({ 'people.yaml': PEOPLE, 'team.yaml': JSON.stringify(folder) }))
  return read.ok ? allowance(read.policy.evaluate(facts, at)) : -Infinity
}

/** Every way to take one thing away from this folder. */
function* lessFolders(folder: Folder): Generator<Folder> {
  for (let index = 0; index < folder.repositories.length; index++) {
    yield { ...folder, repositories: folder.repositories.filter((_, each) => each !== index) }
  }
  const unnamed = omit(folder, 'default')
  yield unnamed
  yield { ...folder, deny: [...folder.deny, { reason: 'more', tags: ['v*'] }] }
  for (const [name, policy] of Object.entries(folder.policies)) {
    const others = Object.fromEntries(Object.entries(folder.policies).filter(([each]) => each !== name))
    yield { ...(folder.default === name ? unnamed : folder), policies: others }
    for (const less of lessPolicies(policy)) yield { ...folder, policies: { ...folder.policies, [name]: less } }
  }
}

function* lessPolicies(policy: Record<string, unknown>): Generator<Record<string, unknown>> {
  yield { ...policy, moveTags: false, kinds: (policy['kinds'] as string[]).filter((kind) => kind === 'sign') }
  yield { ...policy, digest: 'required' }
  yield { ...policy, windows: [{ from: '03:00', to: '03:01' }] }
  yield { ...policy, limits: { identityPerHour: 1 } }
  const approvals = policy['approvals'] as { required: number; from: string[] } | undefined
  yield {
    ...policy,
    approvals: { required: (approvals?.required ?? 0) + 1, from: approvals?.from ?? ['group:managers'] },
  }
  const origin = policy['origin'] as Record<string, unknown> | undefined
  yield {
    ...policy,
    origin: { issuers: ['https://a.example'], repositoryIds: ['74'], ...origin, protectedRef: true, reRuns: false },
  }
  for (const name of ['kinds', 'submitters', 'tags']) for (const less of without(policy, name)) yield less
  for (const name of ['issuers', 'repositoryIds', 'refs']) {
    if (origin !== undefined) for (const less of without(origin, name)) yield { ...policy, origin: less }
  }
  if (approvals !== undefined) for (const less of without(approvals, 'from')) yield { ...policy, approvals: less }
}

function* without(object: object, name: string): Generator<Record<string, unknown>> {
  const given = object as Record<string, unknown>
  const list = given[name] as readonly unknown[]
  for (let index = 0; index < list.length; index++) {
    yield { ...given, [name]: list.filter((_, each) => each !== index) }
  }
}

function* lessPrincipals(principal: Principal): Generator<Principal> {
  yield { ...principal, grants: [] }
  for (const group of principal.groups ?? []) {
    yield { ...principal, groups: (principal.groups ?? []).filter((each) => each !== group) }
  }
  const { origin, ...bare } = principal
  yield bare
  if (origin === undefined) return
  for (const name of Object.keys(origin)) {
    if (name === 'provider' || name === 'issuer') continue
    const rest = Object.fromEntries(Object.entries(origin).filter(([each]) => each !== name))
    yield { ...bare, origin: { provider: origin.provider, issuer: origin.issuer, ...rest } }
  }
}

describe('a policy', () => {
  it('never allows more when a permission is taken away from it', () => {
    let allowed = 0
    fc.assert(
      fc.property(folderArbitrary, factsArbitrary, (folder, facts) => {
        const before = ask(folder, facts)
        if (before > -Infinity) allowed++
        for (const less of lessFolders(folder)) {
          expect(ask(less, facts), JSON.stringify(less)).to.be.at.most(before)
        }
      }),
      { numRuns: 40 },
    )
    expect(allowed, 'how many were allowed to begin with').to.be.at.least(5)
  })

  it('never allows more when a permission or a proof is taken away from who asks', () => {
    fc.assert(
      fc.property(folderArbitrary, factsArbitrary, (folder, facts) => {
        // A denial that names a group would be lifted with it: whoever may leave a group may not be denied by it.
        const undenied = { ...folder, deny: [] }
        const before = ask(undenied, facts)
        for (const principal of lessPrincipals(facts.principal)) {
          expect(ask(undenied, { ...facts, principal }), JSON.stringify(principal)).to.be.at.most(before)
        }
      }),
      { numRuns: 40 },
    )
  })
})
