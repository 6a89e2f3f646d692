// Has every repository looked at for versions that somebody else published, and says where that cannot be done: once, until it changes.
import type { Gun } from '@countersign/tuf'
import { failureOf } from '../domain/port-faults.ts'
import type { RepositoryStore } from '../domain/ports.ts'
import type { Log } from '../log.ts'
import type { ForeignWatch } from '../service/services.ts'
import { settleEach } from '../service/settle.ts'

/** Repositories that are looked at side by side. */
const MAX_PARALLEL = 4

export class ForeignPoll {
  readonly #watch: ForeignWatch
  readonly #repositories: Pick<RepositoryStore, 'list'>
  readonly #log: Log
  /** The code of the last failure. */
  readonly #troubles = new Map<Gun, string>()

  constructor(watch: ForeignWatch, repositories: Pick<RepositoryStore, 'list'>, log: Log) {
    this.#watch = watch
    this.#repositories = repositories
    this.#log = log
  }

  async look(stopping: AbortSignal): Promise<void> {
    const guns = this.#repositories.list().flatMap(({ gun, state }) => (state === 'ready' ? [gun] : []))
    const results = await settleEach(guns, MAX_PARALLEL, async (gun) => {
      if (!stopping.aborted) await this.#watch.look(gun)
    })
    for (const { item: gun, result } of results) {
      if (result.status === 'fulfilled') this.#troubles.delete(gun)
      else this.#trouble(gun, result.reason)
    }
  }

  #trouble(gun: Gun, error: unknown): void {
    const { code } = failureOf(error)
    if (this.#troubles.get(gun) === code) return
    this.#troubles.set(gun, code)
    this.#log.error({ gun, error }, 'what is published in a repository could not be looked at')
  }
}
