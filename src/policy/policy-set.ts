// All projects and people of one policy folder, as one policy. Immutable: a change of the folder makes another set. Pure.
import { createHash } from 'node:crypto'
import type { Gun } from '@countersign/tuf'
import type { Decision } from '../domain/decision.ts'
import { matchesGlob } from '../domain/pattern.ts'
import { type ApproverVerdict, decide, type Policy, type PolicyFacts, type Rule } from '../domain/policy.ts'
import type { Principal } from '../domain/principal.ts'
import type { Submitter } from '../domain/signing-request.ts'
import { judgeApprover } from './approvers.ts'
import type { People } from './people.ts'
import { denyRules, policyRules } from './policy-rules.ts'
import type { ProjectFile, SigningPolicy } from './project-file.ts'

interface Project extends ProjectFile {
  /** By policy: 64 hex digits over everything that decides under it. */
  readonly digests: ReadonlyMap<string, string>
  /** Where none of its policies applies. */
  readonly digestOfNone: string
  readonly denials: readonly Rule[]
}

/** Digest of the decision "no project owns this repository". */
const NO_PROJECT = createHash('sha256').update('countersign policy files, no project, version 1').digest('hex')

export class PolicySet implements Policy {
  readonly #projects: readonly Project[]
  readonly #people: People

  /** Projects must not meet: see `readPolicyFolder`. */
  constructor(projects: readonly ProjectFile[], people: People) {
    this.#people = people
    this.#projects = projects.map((file) => ({
      ...file,
      digests: new Map(Object.keys(file.policies).map((name) => [name, digestOf(file, name, people)])),
      digestOfNone: digestOf(file, undefined, people),
      denials: denyRules(file.deny, people),
    }))
  }

  readsHistory(gun: Gun): boolean {
    return this.#projectOf(gun) !== undefined
  }

  evaluate(facts: PolicyFacts, at: Date): Decision {
    const project = this.#projectOf(facts.gun)
    if (project === undefined) return decide([denial('project', 'PROJECT_UNKNOWN')], facts, NO_PROJECT, at)
    const name = facts.policy ?? project.default
    const policy = name === undefined ? undefined : policyOf(project, name)
    if (name === undefined || policy === undefined) {
      const code = name === undefined ? 'POLICY_NOT_NAMED' : 'POLICY_UNKNOWN'
      const decision = decide([denial('policy', code)], facts, project.digestOfNone, at)
      return { ...decision, project: project.project }
    }
    const rules = [...policyRules(policy, this.#people, at), ...project.denials]
    const decision = decide(rules, facts, project.digests.get(name) ?? NO_PROJECT, at)
    return {
      ...decision,
      project: project.project,
      policy: name,
      ...(facts.standing !== undefined && { standing: facts.standing }),
      ...(decision.outcome === 'allow' && policy.approvals !== undefined && { approvals: waitFor(policy, at) }),
    }
  }

  judgeApprover(o: {
    readonly decision: Decision
    readonly gun: Gun
    readonly submitter: Submitter
    readonly approver: Principal
  }): ApproverVerdict {
    const project = this.#projectOf(o.gun)
    const { policy: name } = o.decision
    const approvals = project === undefined || name === undefined ? undefined : policyOf(project, name)?.approvals
    if (approvals === undefined) return { isAllowed: false, code: 'APPROVAL_NOT_ASKED' }
    return judgeApprover(this.#people, approvals.from, o.submitter, o.approver)
  }

  #projectOf(gun: Gun): Project | undefined {
    return this.#projects.find(({ repositories }) => repositories.some((pattern) => matchesGlob(pattern, gun)))
  }
}

function policyOf(project: ProjectFile, name: string): SigningPolicy | undefined {
  return Object.hasOwn(project.policies, name) ? project.policies[name] : undefined
}

function denial(name: string, code: string): Rule {
  return { name, judge: () => ({ outcome: 'deny', code }) }
}

function waitFor(policy: SigningPolicy, at: Date) {
  const { required = 1, from = [], signed = false } = policy.approvals ?? {}
  const expiresAt = new Date(at.getTime() + policy.lifetime)
  return { required, from, ...(signed && { areSigned: true as const }), expiresAt }
}

/** Over the policy, what its project denies, and the people whom both name: what else stands in the folder decides nothing here. */
function digestOf(file: ProjectFile, name: string | undefined, people: People): string {
  const policy = name === undefined ? undefined : policyOf(file, name)
  const named = [
    ...(policy?.submitters ?? []),
    ...(policy?.approvals?.from ?? []),
    ...file.deny.flatMap(({ submitters = [] }) => submitters),
  ]
  const groups = [...new Set(named.filter((entry) => entry.startsWith('group:')).map((entry) => entry.slice(6)))].sort()
  const members = groups.map((group) => [group, [...(people.membersOf(group) ?? [])].sort()] as const)
  const persons = new Set([
    ...named.filter((entry) => entry.startsWith('person:')).map((entry) => entry.slice(7)),
    ...members.flatMap(([, persons]) => persons),
  ])
  const identities = [...persons]
    .sort()
    .map((person) => [person, [...people.identitiesOf(person)].sort(), people.approvalKeyOf(person) ?? null])
  const effective = ['countersign policy, version 1', file.project, file.default ?? null, name ?? null, policy ?? null]
  return createHash('sha256')
    .update(JSON.stringify([...effective, file.deny, members, identities]))
    .digest('hex')
}
