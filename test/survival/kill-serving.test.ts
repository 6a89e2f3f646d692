// The trust server and its key holder, real processes, die by SIGKILL at every step of an update.
import { DEATHS, itSurvives } from '../support/serving-deaths.ts'

describe('killed at every step of an update', function () {
  this.timeout(60_000)
  // Together only once each here; test/long has every step.
  itSurvives(DEATHS.filter(({ together, step }) => !together || step === 'log-ahead' || step === 'staged'))
})
