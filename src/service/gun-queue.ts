// One piece of work at a time per GUN; GUNs run in parallel. Every update of any role also moves snapshot and timestamp, so two
// publications in one repository would only conflict (notary-v1 5.10).
import type { Gun } from '@countersign/tuf'

export class GunQueue {
  /** The end of the line of each GUN that has work. */
  readonly #tails = new Map<Gun, Promise<void>>()
  /** Work that waits in line and has not started: a second wish for the same work is the same work. */
  readonly #waiting = new Map<Gun, Promise<void>>()

  /** Runs after all work on this GUN that was asked for before. Failures reach the caller and stop nobody else. */
  run<T>(gun: Gun, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(gun) ?? Promise.resolve()
    const result = before.then(work)
    const tail = result.then(ignore, ignore)
    this.#tails.set(gun, tail)
    void tail.then(() => {
      if (this.#tails.get(gun) === tail) this.#tails.delete(gun)
    })
    return result
  }

  /** Like `run`, for work that looks up itself what there is to do: while it waits in line, it is not put in line again. */
  wake(gun: Gun, work: () => Promise<void>): Promise<void> {
    const waiting = this.#waiting.get(gun)
    if (waiting !== undefined) return waiting
    const result = this.run(gun, () => {
      this.#waiting.delete(gun)
      return work()
    })
    this.#waiting.set(gun, result)
    return result
  }

  /** Resolves when nothing is in line. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values())
  }
}

function ignore(): void {
  // The failure was given to whoever asked for the work.
}
