// Has the tags looked at that registries told of, at an even pace, and says in the log which have been unsigned for too long.
import { failureOf } from '../domain/port-faults.ts'
import type { Log } from '../log.ts'
import type { PushService } from '../service/services.ts'

/** Tags that are looked at at the same time. */
const PARALLEL = 8
/** How long nothing is looked for where nothing was due, in milliseconds. */
const IDLE_MS = 500
/** The same where no registry tells of pushes any more, and what is left is forgotten. */
const OFF_MS = 60_000

export class PushPoll {
  readonly #pushes: Pick<PushService, 'look' | 'tellOverdue'>
  readonly #log: Log
  readonly #looksPerMinute: number
  readonly #idleMs: number
  /** The code of the last failure. */
  #trouble: string | undefined

  constructor(
    pushes: Pick<PushService, 'look' | 'tellOverdue'>,
    log: Log,
    { looksPerMinute, sources }: { readonly looksPerMinute: number; readonly sources: readonly unknown[] },
  ) {
    this.#pushes = pushes
    this.#log = log
    this.#looksPerMinute = looksPerMinute
    this.#idleMs = sources.length === 0 ? OFF_MS : IDLE_MS
  }

  /** How long to wait until the next call, in milliseconds. */
  async look(): Promise<number> {
    const looked = await this.#noted('pushed tags could not be looked at', () =>
      this.#pushes.look(Math.min(PARALLEL, this.#looksPerMinute)),
    )
    return looked === undefined || looked === 0 ? this.#idleMs : (looked * 60_000) / this.#looksPerMinute
  }

  async tellOverdue(): Promise<void> {
    const told = await this.#noted('what is pushed and unsigned could not be told', () => this.#pushes.tellOverdue())
    for (const { gun, tag, source, since, sha256, request, status, trouble } of told ?? []) {
      const line = { gun, tag, source, since: since.toISOString(), sha256, request, status, trouble }
      this.#log.warn(line, 'a pushed tag is not signed')
    }
  }

  async #noted<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await work()
      this.#trouble = undefined
      return result
    } catch (error) {
      const { code } = failureOf(error)
      if (code !== this.#trouble) this.#log.error({ error }, `${what}; it is tried again`)
      this.#trouble = code
      return undefined
    }
  }
}
