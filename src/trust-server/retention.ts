// Lets go of versions that nobody can need any more, where the operator says so: in the background, a few files at a time. Never a root, never
// the newest version of a role, nothing that the newest snapshot names, and nothing that a timestamp leads to which has not ended.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../log.ts'
import type { Removal, SupersededVersions } from './superseded-versions.ts'

export interface RetentionSettings {
  /** Versions of each role that stay, the newest; at least one. */
  readonly versions?: number
  /** How long a version stays after it was replaced, in milliseconds. */
  readonly ageMs?: number
  /** How often the background looks, in milliseconds. */
  readonly everyMs: number
}

export interface RetentionOptions {
  readonly superseded: SupersededVersions
  /** Without a number or an age everything stays. */
  readonly settings: RetentionSettings
  readonly log: Log
  readonly now: () => Date
  readonly removed?: (removal: Removal) => void
}

/** What one transaction removes at most: a moment's work. */
const BATCH = { files: 64, bytes: 16 * 1024 ** 2 } as const

export class Retention {
  readonly #options: RetentionOptions

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  /** Looks through all repositories once. */
  async round(stopping: AbortSignal): Promise<void> {
    const { superseded, settings } = this.#options
    if (settings.versions === undefined && settings.ageMs === undefined) return
    for (
      let repository = superseded.repositoryAfter(0);
      repository !== undefined;
      repository = superseded.repositoryAfter(repository)
    ) {
      while (!stopping.aborted && this.#removeSome(repository)) await breath()
      if (stopping.aborted) return
      await breath()
    }
  }

  async run(stopping: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      await this.round(stopping).catch((error: unknown) => {
        this.#options.log.error({ error }, 'old versions could not be removed; it is tried again')
      })
      await sleep(this.#options.settings.everyMs, undefined, { signal: stopping }).catch(() => undefined)
    }
  }

  /** Whether there may be more of this repository. */
  #removeSome(repository: number): boolean {
    const { superseded, settings, log, now, removed } = this.#options
    const at = now()
    const removal = superseded.remove(repository, {
      keptVersions: settings.versions ?? 1,
      replacedBefore: new Date(at.getTime() - (settings.ageMs ?? 0)),
      endedBefore: at,
      ...BATCH,
    })
    if (removal === undefined) return false
    log.info({ ...removal }, 'removed old versions')
    removed?.(removal)
    return true
  }
}

/** Requests that came meanwhile go first. */
async function breath(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
