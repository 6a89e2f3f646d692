// One piece of work at a time per repository; repositories run in parallel. A line that is too long is refused, so that a flood on one
// repository holds neither memory nor the others.
import type { Gun } from '@countersign/tuf'
import { ProtocolError } from './answers.ts'

/** Work of one repository that may wait. */
const MAX_WAITING = 64

export class GunQueue {
  readonly #tails = new Map<Gun, Promise<void>>()
  readonly #lengths = new Map<Gun, number>()

  /** Runs after all work on this repository that was asked for before. @throws ProtocolError TOOMANYREQUESTS */
  async run<T>(gun: Gun, work: () => Promise<T>): Promise<T> {
    const waiting = this.#lengths.get(gun) ?? 0
    if (waiting >= MAX_WAITING) {
      throw new ProtocolError('TOOMANYREQUESTS', { headers: { 'retry-after': '1' }, facts: { gun, waiting } })
    }
    this.#lengths.set(gun, waiting + 1)
    const before = this.#tails.get(gun) ?? Promise.resolve()
    const result = before.then(work)
    const tail = result.then(ignore, ignore).then(() => {
      this.#leave(gun, tail)
    })
    this.#tails.set(gun, tail)
    return result
  }

  /** Resolves when nothing is in line. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values())
  }

  #leave(gun: Gun, tail: Promise<void>): void {
    const left = (this.#lengths.get(gun) ?? 1) - 1
    if (left > 0) this.#lengths.set(gun, left)
    else this.#lengths.delete(gun)
    if (this.#tails.get(gun) === tail) this.#tails.delete(gun)
  }
}

function ignore(): void {
  // The failure was given to whoever asked for the work.
}
