// Takes up what a crash, a stop or an outage left: the same work as for new requests, asked for every repository that has any.
import type { GunWorker } from './advance-gun.ts'
import type { Approvals } from './approvals.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { Reconciler } from './services.ts'

export class UnfinishedWork implements Reconciler {
  readonly #requests
  readonly #worker: GunWorker
  readonly #waiting: Pick<Approvals, 'expire'>

  constructor(
    { requests }: Pick<ServiceDependencies, 'requests'>,
    worker: GunWorker,
    waiting: Pick<Approvals, 'expire'>,
  ) {
    this.#requests = requests
    this.#worker = worker
    this.#waiting = waiting
  }

  async run(): Promise<void> {
    const unfinished = this.#requests.unfinished()
    const ready = unfinished.filter(({ record }) => record.status !== 'awaiting-approval')
    const guns = new Set(ready.map(({ record }) => record.subject.gun))
    // Side by side: a log that takes no record of what has expired must not keep publications from being finished.
    await Promise.all([this.#waiting.expire(unfinished), ...[...guns].map((gun) => this.#worker.wake(gun))])
  }

  async stop(): Promise<void> {
    await this.#worker.stop()
  }
}
