// Looks from time to time at what happens without any request: repositories that somebody froze, and an audit log that grew.
import { CodedError } from '@countersign/tuf'
import type { Clock, KeyHolder, RepositoryStore, WebhookStore } from '../domain/ports.ts'
import { checkpointNews } from '../domain/webhook-event.ts'
import type { Log } from '../log.ts'
import { custodyOf } from '../service/custody.ts'

export interface WatchedForWebhooks {
  readonly keyHolder: KeyHolder
  readonly repositories: Pick<RepositoryStore, 'list'>
  readonly store: WebhookStore
  readonly clock: Clock
  readonly log: Log
  readonly checkpointEveryMs: number
}

export class WebhookWatch {
  readonly #o: WatchedForWebhooks
  #lastCheckpointAt = -Infinity

  constructor(o: WatchedForWebhooks) {
    this.#o = o
  }

  /** A key holder that is away is no news here: it is asked again at the next look. */
  async look(stopping: AbortSignal): Promise<void> {
    await this.#lookForFreezes(stopping)
    await this.#tolerant(() => this.#lookAtLog())
  }

  async #lookForFreezes(stopping: AbortSignal): Promise<void> {
    const { keyHolder, repositories, store, clock } = this.#o
    if (!store.isWanted('repository.frozen')) return
    for (const { gun, state } of repositories.list()) {
      if (stopping.aborted) return
      if (state === 'ready') await this.#tolerant(() => custodyOf({ keyHolder, freezes: store, clock }, gun))
    }
  }

  async #tolerant(look: () => Promise<unknown>): Promise<void> {
    try {
      await look()
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      this.#o.log.debug({ error }, 'something new for webhooks could not be found out')
    }
  }

  /** A checkpoint that has left this machine shows that the log was cut, or rewritten, up to there. */
  async #lookAtLog(): Promise<void> {
    const { keyHolder, store, clock, checkpointEveryMs } = this.#o
    const now = clock.now()
    if (!store.isWanted('audit.checkpoint') || now.getTime() - this.#lastCheckpointAt < checkpointEveryMs) return
    const { log } = await keyHolder.status()
    const news = checkpointNews(log, now)
    if (store.newest('audit.checkpoint') !== news.subject) store.record(news)
    this.#lastCheckpointAt = now.getTime()
  }
}
