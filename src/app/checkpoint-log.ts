// Checkpoints of the audit log on the daemon's log stream: wherever that is kept, a log that was cut or rewritten later shows.
import type { KeyHolder } from '../domain/ports.ts'
import type { Log } from '../log.ts'

export class CheckpointLog {
  readonly #keyHolder: Pick<KeyHolder, 'status'>
  readonly #log: Log
  #told: string | undefined

  constructor(keyHolder: Pick<KeyHolder, 'status'>, log: Log) {
    this.#keyHolder = keyHolder
    this.#log = log
  }

  /** Called again and again; tells each checkpoint once. A key holder that is away is no news: others tell of it. */
  async look(): Promise<void> {
    const status = await this.#keyHolder.status().catch(() => undefined)
    if (status === undefined || status.log.checkpoint === this.#told) return
    const { origin, size, rootHash, checkpoint } = status.log
    this.#log.info({ origin, size, rootHash, checkpoint }, 'a checkpoint of the audit log')
    this.#told = checkpoint
  }
}
