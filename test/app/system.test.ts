import { expect } from 'chai'
import fc from 'fast-check'
import { systemPause, systemRandom, timeSortedIdentifiers } from '../../src/app/system.ts'

describe('identifiers', () => {
  const at = (milliseconds: number) => timeSortedIdentifiers({ now: () => new Date(milliseconds) }, systemRandom)

  it('are plain, short and different', () => {
    const identifiers = at(1_767_323_045_678)
    const made = Array.from({ length: 1000 }, () => identifiers.next('req'))
    for (const id of made) expect(id).to.match(/^req-[0-9a-z]{26}$/)
    expect(new Set(made).size).to.equal(1000)
  })

  it('sort by the time they were made', () => {
    const time = fc.integer({ min: 0, max: Date.UTC(3000, 0) })
    fc.assert(
      fc.property(time, time, (a, b) => {
        fc.pre(a < b)
        expect(at(a).next('p') < at(b).next('p')).to.equal(true)
      }),
    )
  })
})

describe('pauses', () => {
  it('end when the daemon stops', async () => {
    const stopping = new AbortController()
    const pause = systemPause(stopping.signal)
    const paused = pause.wait(3_600_000)
    stopping.abort()
    await paused
    await pause.wait(3_600_000)
    expect(stopping.signal.aborted).to.equal(true)
  })
})
