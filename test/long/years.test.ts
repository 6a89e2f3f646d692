// Twelve years of a repository on the embedded trust server under the autopilot: a signature each week, holidays each summer, and no act of
// people but two root ceremonies. Our own verifier looks at every quarter; so does the stock notary client, where its clock can be moved.
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { app } from '../support/fakes/world.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { missingPeers } from '../support/peers/require-peers.ts'
import { atClock, faketimeLibrary } from '../support/peers/shifted-clock.ts'
import { Scope } from '../support/scope.ts'
import { SimulatedYears } from '../support/simulated-years.ts'

const YEARS = 12
const WEEKS_PER_YEAR = 52
const WEEKS_PER_QUARTER = 13
const tell = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

/** Six weeks in which nobody signs: longer than a timestamp lives. */
function isHoliday(week: number): boolean {
  const ofYear = week % WEEKS_PER_YEAR
  return ofYear >= 27 && ofYear < 33
}

describe(`${YEARS} years of a repository`, function () {
  this.timeout(3_600_000)
  let scope: Scope
  let life: SimulatedYears

  beforeEach(async () => {
    scope = new Scope()
    life = await SimulatedYears.begin(scope)
  })
  afterEach(() => scope.close())

  /** A stock client that keeps its cache from quarter to quarter; undefined, and told, where its clock cannot be moved. */
  function stockClient(): NotaryClient | undefined {
    const missing = missingPeers(['notary', 'shifted-clock'])
    if (missing === undefined && faketimeLibrary() !== undefined) {
      return new NotaryClient(scope, {
        notary: life.served,
        wrapped: (program, args) => atClock(life.now, program, args),
      })
    }
    const remedy = missing?.remedy ?? 'apt-get install -y --no-install-recommends libfaketime'
    const sentence = `the stock notary client did not look: its clock cannot be moved here. To do it: ${remedy}`
    if ((process.env['CI'] ?? '') !== '') throw new Error(sentence)
    tell(`    skipped: ${sentence}`)
    return undefined
  }

  it('pass without an act of people but two root ceremonies', async () => {
    const began = performance.now()
    const notary = stockClient()
    let looks = 0
    for (let week = 1; week <= YEARS * WEEKS_PER_YEAR; week++) {
      expect(await life.live(true, isHoliday(week)), `the signature of week ${week}`).to.equal('published')
      // The keys of the targets role and of the server are given new ones once, halfway through the life of the root certificate.
      if (week === 5 * WEEKS_PER_YEAR) {
        const rotate = ['targets', 'snapshot', 'timestamp'] as const
        expect(await life.holdCeremony({ rotate, hasNewRootKey: false })).to.equal('published')
      }
      if (week % WEEKS_PER_QUARTER !== 0) continue
      await life.verify()
      if (notary !== undefined) {
        const listed = await notary.list(app, RELEASES)
        expect(new Map(listed.map(({ name, sha256 }) => [name, sha256])), `week ${week}`).to.deep.equal(life.signed)
        looks++
      }
      const asked = await life.asked()
      expect(asked.filter(({ by }) => by !== 'ceremony')).to.deep.equal([])
      if (asked.length === 0) continue
      expect(asked.map(({ role, plan }) => [role, plan.includes('another root key')])).to.deep.equal([['root', true]])
      expect(await life.holdCeremony({ rotate: [], hasNewRootKey: true })).to.equal('published')
      await life.verify()
    }
    expect(life.ceremonies, 'weeks of the ceremonies').to.have.length(2)
    expect(await life.asked(), 'what people are asked for at the end').to.deep.equal([])
    const kinds = new Map<string, number>()
    for (const { kind } of life.served.holder.log()) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    const seconds = Math.round((performance.now() - began) / 1000)
    tell(
      `years: ${life.years.toFixed(1)} simulated in ${seconds} s; ${life.signed.size} signatures, stock client ${looks} times`,
    )
    tell(`years: ${kinds.get('roles-renewal')} renewals, ceremonies in weeks ${life.ceremonies.join(', ')}`)
    expect(kinds.get('roles-renewal'), 'base targets, which nobody else signs').to.be.within(4, 8)
  })

  it('end in the third without the autopilot, so that the test above is known to bite', async () => {
    let end = 'published'
    while (end === 'published' && life.years < 4) end = await life.live(false, isHoliday(life.week + 1))
    expect(end).to.equal('failed ROLE_EXPIRED')
    expect(life.years).to.be.within(2.9, 3.1)
  })
})
