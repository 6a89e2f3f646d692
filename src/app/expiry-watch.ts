// Looks at every repository from time to time, so that metrics and log tell what expires before clients find out; and has signed again
// what we can sign, long before.
import { TIMESTAMP, type Gun } from '@countersign/tuf'
import { parsePattern } from '../domain/pattern.ts'
import { codeOf } from '../domain/port-faults.ts'
import type { Clock } from '../domain/ports.ts'
import type { Principal } from '../domain/principal.ts'
import type { Log } from '../log.ts'
import type { RepositoryService, RequestService } from '../service/services.ts'

const DAY_MS = 86_400_000

/** The daemon itself, which may look at everything. */
const WATCHER: Principal = {
  id: 'countersign',
  name: 'Countersign itself',
  grants: [{ grant: 'read', repositories: [parsePattern('*')] }],
}
/** And for renewals alone, which change nothing but dates. */
const RENEWER: Principal = { ...WATCHER, grants: [{ grant: 'operator', repositories: [parsePattern('*')] }] }

type WatchedServices = {
  readonly repositories: Pick<RepositoryService, 'list' | 'report'>
  readonly requests: Pick<RequestService, 'renew'>
}

export class ExpiryWatch {
  readonly #services: WatchedServices
  readonly #renewBeforeMs: number
  readonly #clock: Clock
  readonly #log: Log
  /** The earliest expiry of each repository, as last seen. */
  readonly #expiries = new Map<string, number>()

  /** @param renewBeforeMs roles that expire within this time are renewed; 0: none are */
  constructor(services: WatchedServices, clock: Clock, log: Log, renewBeforeMs: number) {
    this.#services = services
    this.#renewBeforeMs = renewBeforeMs
    this.#clock = clock
    this.#log = log
  }

  daysToNextExpiry(): number | undefined {
    if (this.#expiries.size === 0) return undefined
    return (Math.min(...this.#expiries.values()) - this.#clock.now().getTime()) / DAY_MS
  }

  /** One look at each repository, one after the other. What cannot be seen keeps what was seen last. */
  async look(stopping: AbortSignal): Promise<void> {
    for (const { gun, state } of this.#services.repositories.list(WATCHER)) {
      if (stopping.aborted) return
      if (state !== 'ready') continue
      try {
        const { roles, warnings, trouble } = await this.#services.repositories.report(WATCHER, gun)
        for (const warning of warnings) this.#log.warn({ gun, ...warning }, 'a repository needs attention')
        if (trouble !== undefined) this.#log.error({ gun, ...trouble }, 'a repository could not be loaded')
        // The server renews the timestamp a fortnight at a time: it would hide everything else.
        const times = roles.filter(({ role }) => role !== TIMESTAMP).map(({ expiresAt }) => expiresAt.getTime())
        if (times.length > 0) this.#expiries.set(gun, Math.min(...times))
        const until = this.#clock.now().getTime() + this.#renewBeforeMs
        if (
          this.#renewBeforeMs > 0 &&
          roles.some(({ entries, expiresAt }) => entries !== undefined && expiresAt.getTime() < until)
        ) {
          await this.#renew(gun)
        }
      } catch (error) {
        this.#log.error({ gun, error }, 'a repository could not be looked at')
      }
    }
  }

  /** Where only somebody else could sign the role, that is no fault: the warning says what expires. */
  async #renew(gun: Gun): Promise<void> {
    try {
      const { request, isRepeated } = await this.#services.requests.renew(RENEWER, gun)
      if (!isRepeated) this.#log.info({ gun, request: request.id }, 'roles expire soon and are signed again')
    } catch (error) {
      if (codeOf(error) !== 'RENEWAL_NOT_DUE') throw error
    }
  }
}
