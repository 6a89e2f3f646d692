// Work on one GUN is serial: each piece starts when the one before it has ended, however it ended.

export class GunQueue {
  readonly #tails = new Map<string, Promise<void>>()
  readonly #beside = new Set<Promise<unknown>>()

  run<T>(gun: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(gun) ?? Promise.resolve()
    const result = before.then(work)
    const tail = result.then(
      () => undefined,
      () => undefined,
    )
    this.#tails.set(gun, tail)
    void tail.then(() => {
      if (this.#tails.get(gun) === tail) this.#tails.delete(gun)
    })
    return result
  }

  /** For work that waits for nothing and that nothing waits for. */
  beside<T>(work: () => Promise<T>): Promise<T> {
    const result = work()
    this.#beside.add(result)
    const ended = (): void => {
      this.#beside.delete(result)
    }
    result.then(ended, ended)
    return result
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#tails.size + this.#beside.size > 0) {
      await Promise.allSettled([...this.#tails.values(), ...this.#beside])
    }
  }
}
