// Loaded by Mocha: says how to repeat a run in which a test failed.
import { RUN_SEED } from './chance.ts'
import { WEATHER_RATE } from './weather.ts'

let isTold = false

export const mochaHooks = {
  afterEach(this: Mocha.Context): void {
    if (this.currentTest?.state !== 'failed' || isTold) return
    isTold = true
    process.stderr.write(
      `repeat with COUNTERSIGN_TEST_SEED=${RUN_SEED} COUNTERSIGN_TEST_WEATHER=${WEATHER_RATE * 100}\n`,
    )
  },
}
