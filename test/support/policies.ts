// Policy folders for tests, written as operators write them.
import { parseGun, parseTag } from '@countersign/tuf'
import { parsePattern } from '../../src/domain/pattern.ts'
import type { PolicyFacts } from '../../src/domain/policy.ts'
import type { Principal } from '../../src/domain/principal.ts'
import { type PolicyFault, readPolicyFolder } from '../../src/policy/policy-folder.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'

export const PEOPLE = `
people:
  ann: { identities: [token_ann, github:user:1] }
  bob: { identities: [token_bob, github:user:2, corp:user:bob] }
  cat: { identities: [token_cat] }
groups:
  managers: [ann, bob, cat]
`

export const PROJECT = `
project: team
repositories: [registry.example.com/team/*]
default: release
policies:
  release:
    submitters: [group:bots, identity:github:repository:*]
    tags: [v*]
    approvals: { required: 2, from: [group:managers] }
  test:
    submitters: [anyone]
    tags: [test-*]
    digest: optional
    moveTags: true
    kinds: [sign, unsign]
`

/** @throws where the folder has faults */
export function policyOf(files: Readonly<Record<string, string>>): PolicySet {
  const read = readPolicyFolder(filesOf(files))
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  return read.policy
}

export function faultsOf(files: Readonly<Record<string, string>>): readonly PolicyFault[] {
  const read = readPolicyFolder(filesOf(files))
  return read.ok ? [] : read.faults
}

export function filesOf(files: Readonly<Record<string, string>>) {
  return Object.entries(files).map(([name, text]) => ({ name, bytes: Buffer.from(text) }))
}

/** An identity with every grant on every repository. */
export function identity(id: string, more: Partial<Principal> = {}): Principal {
  const all = [parsePattern('*')]
  return {
    id,
    name: id,
    grants: [
      { grant: 'submit', repositories: all },
      { grant: 'read', repositories: all },
    ],
    ...more,
  }
}

/** A request that the policy `release` of `PROJECT` allows, once it is approved. */
export function facts(more: Partial<PolicyFacts> = {}): PolicyFacts {
  return {
    kind: 'sign',
    principal: identity('token_bot', { groups: ['bots'] }),
    gun: parseGun('registry.example.com/team/app'),
    tag: parseTag('v1'),
    sha256: 'a'.repeat(64),
    digestNamed: true,
    ...more,
  }
}
