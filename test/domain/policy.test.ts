import { parseGun, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { decide, grantsPolicy, type PolicyFacts, type Rule } from '../../src/domain/policy.ts'
import { parsePattern } from '../../src/domain/pattern.ts'

const at = new Date('2026-05-01T00:00:00Z')

function facts(pattern: string, policy?: string): PolicyFacts {
  return {
    kind: 'sign',
    principal: { id: 'p', name: 'p', grants: [{ grant: 'submit', repositories: [parsePattern(pattern)] }] },
    gun: parseGun('registry.example.com/app'),
    tag: parseTag('1.0'),
    sha256: 'a'.repeat(64),
    digestNamed: true,
    ...(policy === undefined ? {} : { policy }),
  }
}

describe('grantsPolicy', () => {
  it('allows who holds the grant, and says why', () => {
    const decision = grantsPolicy.evaluate(facts('*'), at)
    expect(decision.outcome).to.equal('allow')
    expect(decision.reasons).to.deep.include({
      rule: 'grant-submit',
      code: 'GRANT_HELD',
      subject: 'registry.example.com/app:1.0',
    })
    expect(decision.policyDigest).to.match(/^[0-9a-f]{64}$/)
    expect(decision.at).to.equal(at)
  })

  it('denies who does not', () => {
    expect(grantsPolicy.evaluate(facts('registry.example.com/other'), at).outcome).to.equal('deny')
  })

  it('denies a policy that it does not know', () => {
    const decision = grantsPolicy.evaluate(facts('*', 'release-signing'), at)
    expect(decision.outcome).to.equal('deny')
    expect(decision.reasons.map(({ code }) => code)).to.include('POLICY_UNKNOWN')
  })
})

describe('decide', () => {
  const rule = (outcome: 'allow' | 'deny' | undefined, index: number): Rule => ({
    name: `rule-${index}`,
    judge: () => (outcome === undefined ? undefined : { outcome, code: outcome.toUpperCase() }),
  })

  it('needs one allow and no deny, and every rule leaves a reason', () => {
    const outcome = fc.constantFrom('allow' as const, 'deny' as const, undefined)
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 6 }), (outcomes) => {
        const decision = decide(outcomes.map(rule), facts('*'), 'd', at)
        const expected = outcomes.includes('allow') && !outcomes.includes('deny') ? 'allow' : 'deny'
        expect(decision.outcome).to.equal(expected)
        expect(decision.reasons.map((reason) => reason.rule)).to.deep.equal(outcomes.map((_, index) => `rule-${index}`))
      }),
    )
  })

  it('denies without any rule', () => {
    expect(decide([], facts('*'), 'd', at).outcome).to.equal('deny')
  })
})
