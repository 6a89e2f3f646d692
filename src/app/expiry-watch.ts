// Looks at every repository from time to time, so that metrics and log tell what expires before clients find out; and has signed again
// what we can sign, long before.
import { TIMESTAMP, type Gun } from '@countersign/tuf'
import { noticeDue } from '../domain/expiry-forecast.ts'
import { ROLE_CLASSES, type RoleClass, type RoleOutlook } from '../domain/expiry-outlook.ts'
import { parsePattern } from '../domain/pattern.ts'
import { codeOf } from '../domain/port-faults.ts'
import type { Clock, ExpiryMemory, RepositoryCustody } from '../domain/ports.ts'
import { DAEMON_ID, type Principal } from '../domain/principal.ts'
import { renewalDue, renewalFor, type RenewalSettings } from '../domain/renewal.ts'
import { expiryNews } from '../domain/expiry-news.ts'
import type { Log } from '../log.ts'
import type { RepositoryService, RequestService } from '../service/services.ts'

const DAY_MS = 86_400_000

/** The daemon itself, which may look at everything. */
const WATCHER: Principal = {
  id: DAEMON_ID,
  name: 'Countersign itself',
  grants: [{ grant: 'read', repositories: [parsePattern('*')] }],
}
/** And for renewals alone, which change nothing but dates. */
const RENEWER: Principal = { ...WATCHER, grants: [{ grant: 'operator', repositories: [parsePattern('*')] }] }

export interface ExpiryWatchOptions {
  readonly services: {
    readonly repositories: Pick<RepositoryService, 'list' | 'report'>
    readonly requests: Pick<RequestService, 'renew'>
  }
  readonly clock: Clock
  readonly log: Log
  readonly renewal: RenewalSettings
  /** Remembers which expiries others were told of. */
  readonly notices: ExpiryMemory
}

export class ExpiryWatch {
  readonly #o: ExpiryWatchOptions
  /** The expiries of each repository, as last seen. */
  readonly #expiries = new Map<Gun, readonly Pick<RoleOutlook, 'role' | 'roleClass' | 'expiresAt'>[]>()

  constructor(o: ExpiryWatchOptions) {
    this.#o = o
  }

  /** Timestamps aside: the server renews them a fortnight at a time, so that they would hide everything else. */
  daysToNextExpiry(): number | undefined {
    return this.#days((role) => role.role !== TIMESTAMP)
  }

  daysToNextExpiryByClass(): ReadonlyMap<RoleClass, number> {
    return new Map(
      ROLE_CLASSES.flatMap((name) => {
        const days = this.#days(({ roleClass }) => roleClass === name)
        return days === undefined ? [] : [[name, days]]
      }),
    )
  }

  /** One look at each repository, one after the other. What cannot be seen keeps what was seen last. */
  async look(stopping: AbortSignal): Promise<void> {
    const { services, log } = this.#o
    const repositories = services.repositories.list(WATCHER)
    const registered = new Set(repositories.map(({ gun }) => gun))
    for (const gun of this.#expiries.keys()) if (!registered.has(gun)) this.#expiries.delete(gun)
    for (const { gun, state } of repositories) {
      if (stopping.aborted) return
      if (state !== 'ready') continue
      try {
        const { custody, outlook, warnings, trouble } = await services.repositories.report(WATCHER, gun)
        for (const warning of warnings) log.warn({ gun, ...warning }, 'a repository needs attention')
        if (trouble !== undefined) log.error({ gun, ...trouble }, 'a repository could not be loaded')
        if (outlook.length > 0) this.#expiries.set(gun, outlook)
        const renewal = renewalFor(this.#o.renewal, custody)
        this.#tell(gun, outlook, renewal)
        // A frozen one would only be refused.
        if (
          custody.state !== 'frozen' &&
          (hasDisowned(custody) || outlook.some((role) => this.#isDue(gun, role, renewal)))
        )
          await this.#renew(gun)
      } catch (error) {
        log.error({ gun, error }, 'a repository could not be looked at')
      }
    }
  }

  #days(counts: (role: Pick<RoleOutlook, 'role' | 'roleClass'>) => boolean): number | undefined {
    const times = [...this.#expiries.values()].flatMap((roles) =>
      roles.filter(counts).map(({ expiresAt }) => expiresAt.getTime()),
    )
    if (times.length === 0) return undefined
    const first = times.reduce((one, other) => Math.min(one, other))
    return (first - this.#o.clock.now().getTime()) / DAY_MS
  }

  #isDue(gun: Gun, { role, by, expiresAt }: RoleOutlook, renewal: RenewalSettings): boolean {
    const due = by === 'countersign' ? renewalDue(gun, role, expiresAt, renewal) : undefined
    return due !== undefined && due <= this.#o.clock.now()
  }

  /** What nobody here will prevent, at 180, 90, 30 and 7 days. */
  #tell(gun: Gun, outlook: readonly RoleOutlook[], renewal: RenewalSettings): void {
    const { clock, notices } = this.#o
    const now = clock.now()
    for (const role of outlook) {
      const days = noticeDue(gun, role, renewal, now)
      if (days === undefined) continue
      const { expiresAt } = role
      notices.noteExpiry({ gun, role: role.role, expiresAt, days }, () => expiryNews(gun, role, days, now))
    }
  }

  /** Where only somebody else could sign the role, that is no fault: the warning says what expires. */
  async #renew(gun: Gun): Promise<void> {
    try {
      const { request, isRepeated } = await this.#o.services.requests.renew(RENEWER, gun)
      if (!isRepeated) this.#o.log.info({ gun, request: request.id }, 'roles expire soon and are signed again')
    } catch (error) {
      if (codeOf(error) !== 'RENEWAL_NOT_DUE') throw error
    }
  }
}

/** A renewal brings back what we signed last. */
function hasDisowned({ disowned }: Pick<RepositoryCustody, 'disowned'>): boolean {
  return (disowned ?? []).length > 0
}
