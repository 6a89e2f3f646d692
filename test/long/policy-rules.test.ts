// What a decision costs: one request against 1,000 rules. Says figures; they are in docs/performance.md.
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import type { PolicyFacts } from '../../src/domain/policy.ts'
import { facts, PEOPLE, policyOf, PROJECT } from '../support/policies.ts'

const RULES = 1000
const RUNS = 2000
const at = new Date('2026-05-04T10:00:00Z')

/** Rules that all have to be looked at to the end: tag and submitter match, the repository does not. */
const denials = Array.from({ length: RULES }, (_, index) => ({
  reason: `withdrawn ${index}`,
  tags: ['v*'],
  submitters: ['group:bots'],
  repositories: [`registry.example.com/team/*-${index}`],
}))
/** Projects before the one that owns the repository, and none that meets it. */
const others = Object.fromEntries(
  Array.from({ length: RULES }, (_, index) => [
    `p${index}.yaml`,
    PROJECT.replace('project: team', `project: p${index}`).replace('/team/*', `/p${index}/*`),
  ]),
)

describe('what a decision costs', function () {
  this.timeout(120_000)
  const figures: string[] = []
  after(() => {
    console.log(['', ...figures.map((line) => `    ${line}`), ''].join('\n'))
  })

  function measure(what: string, decide: () => unknown): void {
    for (let warm = 0; warm < 200; warm++) decide()
    const times = Array.from({ length: RUNS }, () => {
      const start = performance.now()
      decide()
      return performance.now() - start
    }).sort((one, other) => one - other)
    const [median = 0, high = 0] = [times[RUNS / 2], times[Math.floor(RUNS * 0.99)]]
    figures.push(`${what}: median ${median.toFixed(3)} ms, 99 of 100 below ${high.toFixed(3)} ms`)
  }

  it(`of one project with ${RULES} deny rules`, () => {
    const policy = policyOf({
      'people.yaml': PEOPLE,
      'team.yaml': `${PROJECT}deny: ${JSON.stringify(denials)}\n`,
    })
    const asked: PolicyFacts = facts()
    const decision = policy.evaluate(asked, at)
    expect(decision.outcome).to.equal('allow')
    expect(decision.reasons).to.have.length.greaterThan(RULES)
    measure(`${RULES} rules of one project`, () => policy.evaluate(asked, at))
  })

  it(`of the last of ${RULES} projects`, () => {
    const most = Object.fromEntries(Object.entries(others).slice(2))
    const policy = policyOf({ ...most, 'people.yaml': PEOPLE, 'z.yaml': PROJECT })
    const asked = facts({ gun: parseGun('registry.example.com/team/app') })
    expect(policy.evaluate(asked, at).outcome).to.equal('allow')
    measure(`${RULES} projects`, () => policy.evaluate(asked, at))
  })
})
