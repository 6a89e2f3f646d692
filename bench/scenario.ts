// One thing that is measured.
import type { Comparison } from './comparison.ts'
import type { Stage } from './stage.ts'

export interface Scenario {
  readonly name: string
  readonly about: string
  /** Not part of a run that names no scenario. */
  readonly isOnDemand?: boolean
  run(stage: Stage, tell: (line: string) => void): Promise<Comparison | readonly Comparison[]>
}
