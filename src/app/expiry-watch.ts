// Looks at every repository from time to time, so that metrics and log tell what expires before clients find out.
import { parsePattern } from '../domain/pattern.ts'
import type { Clock } from '../domain/ports.ts'
import type { Principal } from '../domain/principal.ts'
import type { Log } from '../log.ts'
import type { RepositoryService } from '../service/services.ts'

const DAY_MS = 86_400_000

/** The daemon itself, which may look at everything and do nothing. */
const WATCHER: Principal = {
  id: 'countersign',
  name: 'Countersign itself',
  grants: [{ grant: 'read', repositories: [parsePattern('*')] }],
}

export class ExpiryWatch {
  readonly #repositories: Pick<RepositoryService, 'list' | 'report'>
  readonly #clock: Clock
  readonly #log: Log
  /** The earliest expiry of each repository, as last seen. */
  readonly #expiries = new Map<string, number>()

  constructor(repositories: Pick<RepositoryService, 'list' | 'report'>, clock: Clock, log: Log) {
    this.#repositories = repositories
    this.#clock = clock
    this.#log = log
  }

  daysToNextExpiry(): number | undefined {
    if (this.#expiries.size === 0) return undefined
    return (Math.min(...this.#expiries.values()) - this.#clock.now().getTime()) / DAY_MS
  }

  /** One look at each repository, one after the other. What cannot be seen keeps what was seen last. */
  async look(stopping: AbortSignal): Promise<void> {
    for (const { gun, state } of this.#repositories.list(WATCHER)) {
      if (stopping.aborted) return
      if (state !== 'ready') continue
      try {
        const { roles, warnings, trouble } = await this.#repositories.report(WATCHER, gun)
        for (const warning of warnings) this.#log.warn({ gun, ...warning }, 'a repository needs attention')
        if (trouble !== undefined) this.#log.error({ gun, ...trouble }, 'a repository could not be loaded')
        const times = roles.map(({ expiresAt }) => expiresAt.getTime())
        if (times.length > 0) this.#expiries.set(gun, Math.min(...times))
      } catch (error) {
        this.#log.error({ gun, error }, 'a repository could not be looked at')
      }
    }
  }
}
