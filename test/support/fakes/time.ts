// Clock, pauses, identifiers and randomness that tests can foresee.
import type { Clock, IdentifierSource, Pause, RandomSource } from '../../../src/domain/ports.ts'

/** Stands still until it is moved; waiting moves it. */
export class ManualTime implements Clock, Pause {
  readonly waits: number[] = []
  #now: Date

  constructor(start = new Date('2026-05-01T12:00:00.000Z')) {
    this.#now = start
  }

  now(): Date {
    return new Date(this.#now)
  }

  advance(milliseconds: number): void {
    this.#now = new Date(this.#now.getTime() + milliseconds)
  }

  wait(milliseconds: number): Promise<void> {
    if (!Number.isFinite(milliseconds) || milliseconds < 0) throw new Error(`Nobody can wait ${milliseconds} ms.`)
    this.waits.push(milliseconds)
    this.advance(milliseconds)
    return new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}

export class CountingIdentifiers implements IdentifierSource {
  #count = 0

  next(prefix: string): string {
    this.#count++
    return `${prefix}-${String(this.#count).padStart(6, '0')}`
  }
}

/** A different value at each call, and the same sequence in each run. */
export class CountingRandom implements RandomSource {
  #count = 0

  bytes(count: number): Uint8Array {
    this.#count++
    const bytes = Buffer.alloc(count)
    if (count >= 4) bytes.writeUInt32BE(this.#count, 0)
    else bytes.fill(this.#count)
    return bytes
  }
}
