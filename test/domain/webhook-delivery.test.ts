import { expect } from 'chai'
import fc from 'fast-check'
import { afterAttempt, type Attempt, MAX_RETRY_AFTER_MS, RETRY_PAUSES_MS } from '../../src/domain/webhook-delivery.ts'

const now = new Date('2026-05-01T10:00:00Z')
const refused: Attempt = { outcome: 'failed', code: 'WEBHOOK_REFUSED', status: 500 }
const pauseOf = (attempts: number, attempt: Attempt, chance = 0): number | undefined => {
  const { nextTryAt } = afterAttempt({ attempts }, attempt, now, chance)
  return nextTryAt === undefined ? undefined : nextTryAt.getTime() - now.getTime()
}

describe('what becomes of a delivery', () => {
  it('an attempt that is accepted ends it', () => {
    expect(afterAttempt({ attempts: 3 }, { outcome: 'accepted', status: 204 }, now, 0)).to.deep.equal({
      state: 'delivered',
      attempts: 4,
      lastTryAt: now,
      lastStatus: 204,
    })
  })

  it('pauses grow, and the eighth failure is the last', () => {
    expect([0, 1, 2, 3, 4, 5, 6].map((attempts) => (pauseOf(attempts, refused) ?? 0) / 1000)).to.deep.equal([
      5, 30, 120, 600, 3600, 21_600, 86_400,
    ])
    expect(afterAttempt({ attempts: 7 }, refused, now, 0)).to.deep.equal({
      state: 'dead',
      attempts: 8,
      lastTryAt: now,
      lastStatus: 500,
      lastCode: 'WEBHOOK_REFUSED',
    })
  })

  it('a receiver may ask for more time, up to a bound, and not for less', () => {
    expect(pauseOf(0, { ...refused, retryAfterMs: 90_000 })).to.equal(90_000)
    expect(pauseOf(3, { ...refused, retryAfterMs: 1_000 })).to.equal(600_000)
    expect(pauseOf(0, { ...refused, retryAfterMs: 1e12 })).to.equal(MAX_RETRY_AFTER_MS)
  })

  it('whatever the answers, it ends after a bounded number of attempts and time', () => {
    const attempt = fc.oneof(
      fc.record({
        outcome: fc.constant('failed' as const),
        code: fc.constant('NET_TIMEOUT'),
        retryAfterMs: fc.nat(2 ** 40),
      }),
      fc.constant({ outcome: 'gone' as const, status: 410, code: 'WEBHOOK_GONE' }),
    )
    fc.assert(
      fc.property(
        fc.array(attempt, { minLength: 8, maxLength: 8 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (all, chance) => {
          let [attempts, time] = [0, now.getTime()]
          for (const [index, one] of all.entries()) {
            const update = afterAttempt({ attempts }, one, new Date(time), chance)
            expect(update.attempts).to.equal(index + 1)
            expect(update.state).to.equal(index === RETRY_PAUSES_MS.length ? 'dead' : 'pending')
            expect(update.nextTryAt === undefined).to.equal(update.state === 'dead')
            if (update.nextTryAt !== undefined) {
              const pause = update.nextTryAt.getTime() - time
              expect(pause).to.be.within(RETRY_PAUSES_MS[index] ?? 0, 1.2 * MAX_RETRY_AFTER_MS)
              time += pause
            }
            attempts = update.attempts
          }
        },
      ),
    )
  })
})
