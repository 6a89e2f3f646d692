// Records of the daemon that came in one turn of the event loop: they become durable together, and each waits for that.
import { CodedError } from '@countersign/tuf'

interface Waiting<T> {
  readonly record: T
  readonly taken: (index: number) => void
  readonly refused: (error: unknown) => void
}

/** Commits all of them or throws; the place of the first one in the log. */
type Commit<T> = (records: readonly T[]) => number

export class RecordBatch<T> {
  #waiting: Waiting<T>[] = []

  /** Records that wait for the commit. */
  get size(): number {
    return this.#waiting.length
  }

  /** Resolves with the record's place in the log when it is durable. @throws what `commit` throws */
  add(record: T, commit: Commit<T>): Promise<number> {
    if (this.#waiting.length === 0) {
      setImmediate(() => {
        const batch = this.#waiting
        this.#waiting = []
        settle(batch, commit)
      })
    }
    return new Promise((taken, refused) => this.#waiting.push({ record, taken, refused }))
  }
}

/** A crash before the commit leaves none of them, after it all; nobody was answered before. */
function settle<T>(batch: readonly Waiting<T>[], commit: Commit<T>): void {
  try {
    const first = commit(batch.map(({ record }) => record))
    for (const [position, { taken }] of batch.entries()) taken(first + position)
  } catch (error) {
    // One that is too large was found before anything was committed, and does not take the others with it.
    const isOneOfMany = batch.length > 1 && error instanceof CodedError && error.code === 'OPERATION_MALFORMED'
    for (const one of batch) {
      if (isOneOfMany) settle([one], commit)
      else one.refused(error)
    }
  }
}
