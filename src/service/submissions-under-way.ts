// Images of submissions that were decided upon and are not stored yet: limits count them, so that many at the same moment are not each
// the first one.
import type { Gun } from '@countersign/tuf'

export class SubmissionsUnderWay {
  readonly #counts = new Map<string, number>()

  byIdentity(id: string): number {
    return this.#counts.get(`identity ${id}`) ?? 0
  }

  inRepository(gun: Gun): number {
    return this.#counts.get(`repository ${gun}`) ?? 0
  }

  /** Counts one image for each GUN given, until the returned function is called. */
  begin(id: string, guns: readonly Gun[]): () => void {
    const names = guns.flatMap((gun) => [`identity ${id}`, `repository ${gun}`])
    for (const name of names) this.#add(name, 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      for (const name of names) this.#add(name, -1)
    }
  }

  #add(name: string, count: number): void {
    const sum = (this.#counts.get(name) ?? 0) + count
    if (sum > 0) this.#counts.set(name, sum)
    else this.#counts.delete(name)
  }
}
