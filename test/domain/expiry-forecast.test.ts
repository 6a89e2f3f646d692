// The forecast: every role is either signed again by itself in time, or a person is named who has to, with a plan and a date.
import { parseGun, parseRoleName, TARGETS_LIFETIME_MS } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  FORECAST_MS,
  forecastExpiry,
  isLeftToPeople,
  NOTICE_DAYS,
  noticeDue,
  planOf,
} from '../../src/domain/expiry-forecast.ts'
import { lifetimeOf } from '../../src/domain/lifetimes.ts'
import { RE_SIGNERS, type ReSigner, type RoleClass, type RoleOutlook } from '../../src/domain/expiry-outlook.ts'
import { renewalDue, renewalEnd, renewalFor, windowOf } from '../../src/domain/renewal.ts'

const DAY_MS = 86_400_000
const gun = parseGun('registry.example.com/team/app')
const now = new Date('2026-05-01T00:00:00Z')
const settings = renewalFor({ targetsMs: 270 * DAY_MS, delegationsMs: 270 * DAY_MS, spreadMs: 30 * DAY_MS }, {})
const inDays = (days: number) => new Date(now.getTime() + days * DAY_MS)
const daysOf = (at: Date) => Math.round((at.getTime() - now.getTime()) / DAY_MS)

function role(name: string, days: number, by: ReSigner, o: Partial<RoleOutlook> = {}): RoleOutlook {
  const classes: readonly RoleClass[] = ['root', 'targets', 'snapshot', 'timestamp']
  return {
    role: parseRoleName(name),
    roleClass: classes.find((one) => one === name) ?? 'delegation',
    version: 3,
    expiresAt: inDays(days),
    by,
    keyIds: ['ab'.repeat(32)],
    threshold: 1,
    ...o,
  }
}

describe('the expiry forecast', () => {
  it('tells renewals by themselves with the ones that follow, and for people by when and what', () => {
    const roles = [
      role('root', 400, 'ceremony'),
      role('targets', 1000, 'elsewhere'),
      role('targets/releases', 300, 'countersign'),
      role('snapshot', 1000, 'trust-server'),
      role('timestamp', 10, 'trust-server'),
    ]
    const { acts, until } = forecastExpiry(gun, roles, { ...settings, spreadMs: 0 }, now)
    expect(until.getTime() - now.getTime()).to.equal(FORECAST_MS)
    expect(acts.map((act) => [act.kind, act.role, daysOf(act.at), daysOf(act.expiresAt)])).to.deep.equal([
      ['renewal', 'targets/releases', 30, 300],
      ['person', 'root', 220, 400],
      ['person', 'targets', 820, 1000],
      ['renewal', 'targets/releases', 855, 1125],
    ])
    expect(acts[1]?.plan).to.include('countersign root export registry.example.com/team/app')
    expect(acts[2]?.plan)
      .to.include('notary witness registry.example.com/team/app targets -p')
      .and.include('abababababab')
  })

  it('leaves nothing out: every role that ends within three years has an act before it ends', () => {
    const roleOf = fc
      .tuple(fc.constantFrom('root', 'targets', 'targets/a', 'snapshot'), fc.nat(1500), fc.constantFrom(...RE_SIGNERS))
      .map(([name, days, by]) => role(name, days + 1, by))
    const windows = fc.record({ targetsMs: days(900), delegationsMs: days(900), spreadMs: days(180) })
    fc.assert(
      fc.property(roleOf, windows, (one, chosen) => {
        const { acts } = forecastExpiry(gun, [one], renewalFor(chosen, {}), now)
        if (one.by === 'trust-server') return acts.length === 0
        if (daysOf(one.expiresAt) >= 1095) return true
        const ends = [one.expiresAt, ...acts.map(({ at }) => new Date(at.getTime() + TARGETS_LIFETIME_MS))]
        return acts.length > 0 && acts.every(({ at, expiresAt }, index) => at < expiresAt && expiresAt <= ends[index]!)
      }),
    )
  })

  it('with other lives: each renewal comes in the window, and gains what the key holder asks for', () => {
    const life = fc.integer({ min: 30, max: 3650 }).map((count) => count * DAY_MS)
    const lives = fc.record({ rootMs: life, targetsMs: life, delegationsMs: life, snapshotMs: life })
    const windows = fc.record({ targetsMs: days(900), delegationsMs: days(900), spreadMs: days(180) })
    fc.assert(
      fc.property(lives, windows, fc.constantFrom('targets', 'targets/a'), (lifetimes, chosen, name) => {
        const renewal = renewalFor(chosen, { lifetimes })
        const lifeMs = lifetimeOf(lifetimes, parseRoleName(name))
        const windowMs = windowOf(renewal, parseRoleName(name))
        const one = { ...role(name, 0, 'countersign'), expiresAt: new Date(now.getTime() + lifeMs) }
        if (windowMs === 0) return isLeftToPeople(gun, one, renewal, now)
        const { acts } = forecastExpiry(gun, [one], renewal, now)
        expect(isLeftToPeople(gun, one, renewal, now)).to.equal(false)
        // Renewed, the role lies behind the end that the renewal promised, and is not due again at once.
        const promised = renewalEnd(renewal, [parseRoleName('targets'), parseRoleName('targets/a')], now)
        expect(one.expiresAt.getTime()).to.be.at.least(promised.getTime())
        expect(renewalDue(gun, one.role, one.expiresAt, renewal)!.getTime()).to.be.at.least(now.getTime() + lifeMs / 2)
        for (const { kind, at, expiresAt } of acts) {
          expect(kind).to.equal('renewal')
          expect(expiresAt.getTime() - at.getTime()).to.be.within(windowMs / 2 - 1, windowMs)
          expect(at.getTime() + lifeMs - expiresAt.getTime(), 'gained').to.be.at.least(
            Math.min(30 * DAY_MS, lifeMs / 4),
          )
        }
        expect(acts.length).to.be.at.least(Math.floor((FORECAST_MS - windowMs) / lifeMs))
        return true
      }),
    )
  })

  function days(max: number) {
    return fc.nat(max).map((count) => count * DAY_MS)
  }

  it('a thousand repositories that were made at once are taken up over the whole spread, each always at the same time', () => {
    const moments = Array.from({ length: 1000 }, (_, index) => {
      const one = parseGun(`registry.example.com/team/app-${index}`)
      const due = renewalDue(one, parseRoleName('targets'), inDays(1095), settings)!
      expect(renewalDue(one, parseRoleName('targets/releases'), inDays(1095), settings)).to.deep.equal(due)
      return due.getTime()
    })
    const days = moments.map((moment) => Math.floor((moment - inDays(1095 - 270).getTime()) / DAY_MS))
    expect(Math.min(...days)).to.equal(0)
    expect(Math.max(...days)).to.equal(29)
    const perMinute = new Map<number, number>()
    for (const moment of moments) {
      const minute = Math.floor(moment / 60_000)
      perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1)
    }
    expect(Math.max(...perMinute.values()), 'in one minute').to.be.at.most(3)
  })

  it('a short window keeps half of itself, however wide the spread is', () => {
    const close = { targetsMs: 10 * DAY_MS, delegationsMs: 0, spreadMs: 180 * DAY_MS }
    const due = renewalDue(gun, parseRoleName('targets'), inDays(100), close)!
    expect(daysOf(due)).to.be.within(90, 95)
    expect(renewalDue(gun, parseRoleName('targets/a'), inDays(100), close), 'delegations: never').to.equal(undefined)
  })

  it('without the autopilot even our own roles are left to people', () => {
    const off = { ...settings, targetsMs: 0, delegationsMs: 0, spreadMs: 0 }
    const one = role('targets', 100, 'countersign')
    expect(isLeftToPeople(gun, one, off, now)).to.equal(true)
    expect(isLeftToPeople(gun, one, settings, inDays(-365))).to.equal(false)
    const [act] = forecastExpiry(gun, [one], off, now).acts
    expect(act).to.include({ kind: 'person', plan: `Sign it again: countersign repo renew ${gun}.` })
  })

  it('notices come at 180, 90, 30 and 7 days, for what nobody here prevents or did not', () => {
    const told = (by: ReSigner, left: number) => noticeDue(gun, role('targets', left, by), settings, now)
    expect([200, 180, 91, 90, 31, 30, 8, 7, 1].map((left) => told('elsewhere', left))).to.deep.equal([
      undefined,
      180,
      180,
      90,
      90,
      30,
      30,
      7,
      7,
    ])
    expect(told('elsewhere', 0)).to.equal(undefined)
    expect(told('trust-server', 1)).to.equal(undefined)
    expect(told('countersign', 180), 'it should have been renewed long ago').to.equal(180)
    const short = { targetsMs: 20 * DAY_MS, delegationsMs: 0, spreadMs: 0 }
    expect(noticeDue(gun, role('targets', 25, 'countersign'), short, now), 'its time comes').to.equal(undefined)
    expect(NOTICE_DAYS).to.deep.equal([180, 90, 30, 7])
  })

  it('every plan names the repository, and a certificate that ends asks for another key', () => {
    for (const by of ['countersign', 'ceremony', 'elsewhere'] as const) {
      for (const name of ['root', 'targets', 'targets/a', 'snapshot']) {
        expect(planOf(gun, role(name, 1, by)), `${name} ${by}`).to.include(gun)
      }
    }
    expect(planOf(gun, role('root', 1, 'ceremony', { isOfCertificate: true }))).to.include('root create')
  })
})
