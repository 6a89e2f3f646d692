import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import type { ApproverVerdict } from '../../src/domain/policy.ts'
import type { Principal } from '../../src/domain/principal.ts'
import type { Submitter } from '../../src/domain/signing-request.ts'
import { without } from '../support/without.ts'
import { facts, identity, PEOPLE, policyOf, PROJECT } from '../support/policies.ts'

const at = new Date('2026-05-04T10:00:00Z')
const gun = parseGun('registry.example.com/team/app')
const set = policyOf({ 'people.yaml': PEOPLE, 'team.yaml': PROJECT })
const decision = set.evaluate(facts(), at)
const workload = (...actors: string[]): Submitter => ({ id: 'github:repository:74', name: 'team/app', actors })
const token = (id: string, ...actors: string[]): Submitter => ({ id, name: id, ...(actors.length > 0 && { actors }) })

/** Who asked, who approves, and the answer: a person, or the refusal. */
const TABLE: readonly (readonly [string, Submitter, Principal, string])[] = [
  ['another person', token('token_bot'), identity('token_ann'), 'ann'],
  ['the same person by another identity counts as that person', token('token_bot'), identity('github:user:1'), 'ann'],
  ['the submitter', token('token_ann'), identity('token_ann'), 'APPROVER_IS_SUBMITTER'],
  ['the submitter by another identity', token('token_ann'), identity('github:user:1'), 'APPROVER_IS_SUBMITTER'],
  ['somebody else for a run', workload('github:user:2'), identity('token_ann'), 'ann'],
  ['who started the run', workload('github:user:1'), identity('token_ann'), 'APPROVER_IS_SUBMITTER'],
  [
    'who started the run, by the identity at its provider',
    workload('github:user:1'),
    identity('github:user:1'),
    'APPROVER_IS_SUBMITTER',
  ],
  [
    'one who is linked at the provider, for a run by a stranger',
    workload('github:user:99'),
    identity('token_ann'),
    'ann',
  ],
  [
    'one who is linked nowhere, for a run by a stranger',
    workload('github:user:99'),
    identity('token_cat'),
    'APPROVER_NOT_LINKED',
  ],
  ['one who is linked nowhere, for a run by a known person', workload('github:user:2'), identity('token_cat'), 'cat'],
  [
    'one who is linked at another issuer of users',
    workload('gitlab:user:1'),
    identity('token_ann'),
    'APPROVER_NOT_LINKED',
  ],
  ['an identity of nobody', token('token_bot'), identity('token_eve'), 'APPROVER_UNKNOWN'],
  [
    'nobody, though its token names a group of approvers',
    token('token_bot'),
    identity('token_eve', { groups: ['managers'] }),
    'APPROVER_UNKNOWN',
  ],
  [
    'who asked first, where another asked again',
    token('token_bob', 'token_ann'),
    identity('token_ann'),
    'APPROVER_IS_SUBMITTER',
  ],
  ['who asked again', token('token_bob', 'token_ann'), identity('corp:user:bob'), 'APPROVER_IS_SUBMITTER'],
  ['a third person, where two asked', token('token_bob', 'token_ann'), identity('token_cat'), 'cat'],
  [
    'one of several people behind a run',
    workload('github:user:2', 'github:user:1'),
    identity('token_ann'),
    'APPROVER_IS_SUBMITTER',
  ],
]

const print = (verdict: ApproverVerdict): string => (verdict.isAllowed ? verdict.person : verdict.code)

describe('who may approve (attack: Approver = submitter, or admin grants himself)', () => {
  for (const [who, submitter, approver, answer] of TABLE) {
    it(`${who}: ${answer}`, () => {
      expect(print(set.judgeApprover({ decision, gun, submitter, approver }))).to.equal(answer)
    })
  }

  it('is a matter of the policy that decided', () => {
    const ask = (o: { policy?: string }) =>
      print(
        set.judgeApprover({
          decision: { ...decision, ...o },
          gun,
          submitter: token('token_bot'),
          approver: identity('token_ann'),
        }),
      )
    expect(ask({ policy: 'test' })).to.equal('APPROVAL_NOT_ASKED')
    expect(ask({ policy: 'gone' })).to.equal('APPROVAL_NOT_ASKED')
    const unnamed = without(decision, 'policy')
    const submitter = token('token_bot')
    expect(print(set.judgeApprover({ decision: unnamed, gun, submitter, approver: identity('token_ann') }))).to.equal(
      'APPROVAL_NOT_ASKED',
    )
    const narrow = policyOf({
      'people.yaml': PEOPLE,
      'team.yaml': PROJECT.replace('required: 2, from: [group:managers]', 'from: [person:bob]'),
    })
    const asked = { decision: narrow.evaluate(facts(), at), gun, submitter }
    expect(print(narrow.judgeApprover({ ...asked, approver: identity('token_ann') }))).to.equal('APPROVER_NOT_LISTED')
    expect(print(narrow.judgeApprover({ ...asked, approver: identity('token_bob') }))).to.equal('bob')
  })
})
