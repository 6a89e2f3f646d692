// Takes up what a crash, a stop or an outage left: the same work as for new requests, asked for every repository that has any.
import type { GunWorker } from './advance-gun.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { Reconciler } from './services.ts'

export class UnfinishedWork implements Reconciler {
  readonly #requests
  readonly #worker: GunWorker
  readonly #waiting: { expire(): Promise<void> }

  constructor(
    { requests }: Pick<ServiceDependencies, 'requests'>,
    worker: GunWorker,
    waiting: { expire(): Promise<void> },
  ) {
    this.#requests = requests
    this.#worker = worker
    this.#waiting = waiting
  }

  async run(): Promise<void> {
    await this.#waiting.expire()
    const guns = new Set(this.#requests.unfinished().map(({ record }) => record.subject.gun))
    await Promise.all([...guns].map((gun) => this.#worker.wake(gun)))
  }

  async stop(): Promise<void> {
    await this.#worker.stop()
  }
}
