// Has one signed tag after the other asked for in its registry, at an even pace, and says in the log what was found.
import { failureOf } from '../domain/port-faults.ts'
import type { Log } from '../log.ts'
import type { DriftService } from '../service/services.ts'

export class DriftPoll {
  readonly #drift: Pick<DriftService, 'look'>
  readonly #log: Log
  /** The code of the last failure. */
  #trouble: string | undefined

  constructor(drift: Pick<DriftService, 'look'>, log: Log) {
    this.#drift = drift
    this.#log = log
  }

  async look(): Promise<void> {
    try {
      const change = await this.#drift.look()
      this.#trouble = undefined
      if (change === undefined) return
      if (change.state === 'moved' || change.state === 'gone') {
        this.#log.warn({ ...change }, 'a signed tag stands in its registry for something else, or not at all')
      } else this.#log.info({ ...change }, 'the drift of a tag has ended')
    } catch (error) {
      const { code } = failureOf(error)
      if (code === this.#trouble) return
      this.#trouble = code
      this.#log.error({ error }, 'signed tags could not be compared with their registries; it is tried again')
    }
  }
}
