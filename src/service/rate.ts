// How often something may happen: a bucket that fills again at an even pace.

export class Rate {
  readonly #perMinute: number
  #left: number
  #at: number

  constructor(perMinute: number, now: number) {
    this.#perMinute = perMinute
    this.#left = perMinute
    this.#at = now
  }

  /** Takes one, where there is one left. */
  take(now: number): boolean {
    const refilled = this.#left + (Math.max(0, now - this.#at) * this.#perMinute) / 60_000
    this.#left = Math.min(this.#perMinute, refilled)
    this.#at = now
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}
