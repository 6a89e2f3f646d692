// As test/survival/kill-serving.test.ts, with both processes dying at every step, and each again.
import { DEATHS, itSurvives } from '../support/serving-deaths.ts'

describe('killed together at every step of an update', function () {
  this.timeout(60_000)
  for (const round of ['first', 'second']) {
    describe(`the ${round} time`, () => {
      itSurvives(DEATHS.filter(({ together }) => together))
    })
  }
})
