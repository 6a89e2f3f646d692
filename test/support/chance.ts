// Randomness that can be repeated: one seed for the whole run, printed where a test fails (seed-on-failure.ts).
import { createHash, randomInt } from 'node:crypto'

const UINT32 = 2 ** 32

/** COUNTERSIGN_TEST_SEED, or one drawn for this run. */
export const RUN_SEED = Number(process.env['COUNTERSIGN_TEST_SEED'] ?? randomInt(UINT32))
if (!Number.isInteger(RUN_SEED) || RUN_SEED < 0 || RUN_SEED >= UINT32) {
  throw new Error('COUNTERSIGN_TEST_SEED is an integer from 0 to 4294967295.')
}

/** A sequence of numbers that depends on its seed alone; fast rather than good (Mulberry32). */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A sequence of its own for each name, so that one test's draws do not move another's. */
  static named(name: string, seed = RUN_SEED): Chance {
    return new Chance(createHash('sha256').update(`${seed} ${name}`).digest().readUInt32BE(0))
  }

  /** From 0, below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / UINT32
  }

  /** An integer from 0, below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  /** True with this probability. */
  happens(rate: number): boolean {
    return this.next() < rate
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error('Nothing to pick from.')
    return list[this.below(list.length)] as T
  }
}
