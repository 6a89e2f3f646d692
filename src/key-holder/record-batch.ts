// Records of the daemon that came in one turn of the event loop: they become durable together, and each waits for that.
import { CodedError } from '@countersign/tuf'
import { commitForLater, type AuditRecord, type Holder } from './holder.ts'

interface Waiting {
  readonly record: AuditRecord
  readonly taken: (index: number) => void
  readonly refused: (error: unknown) => void
}

export class RecordBatch {
  readonly #onCommit: (records: number) => void
  #waiting: Waiting[] = []

  /** @param onCommit called inside the transaction, with the number of records */
  constructor(onCommit: (records: number) => void) {
    this.#onCommit = onCommit
  }

  /** Records that wait for the commit. */
  get size(): number {
    return this.#waiting.length
  }

  /** Resolves with the record's place in the log when it is durable. @throws as `commitForLater` */
  add(holder: Holder, record: AuditRecord): Promise<number> {
    if (this.#waiting.length === 0) {
      setImmediate(() => {
        const batch = this.#waiting
        this.#waiting = []
        this.#commit(holder, batch)
      })
    }
    return new Promise((taken, refused) => this.#waiting.push({ record, taken, refused }))
  }

  /** A crash before the commit leaves none of them, after it all; nobody was answered before. */
  #commit(holder: Holder, batch: readonly Waiting[]): void {
    // Nothing else is appended between: all of this is synchronous.
    const first = holder.log.size
    const records = batch.map(({ record }) => record)
    try {
      commitForLater(holder, records, () => {
        this.#onCommit(batch.length)
      })
    } catch (error) {
      // One that is too large was found before anything was committed, and does not take the others with it.
      const isOneOfMany = batch.length > 1 && error instanceof CodedError && error.code === 'OPERATION_MALFORMED'
      for (const one of batch) {
        if (isOneOfMany) this.#commit(holder, [one])
        else one.refused(error)
      }
      return
    }
    for (const [position, { taken }] of batch.entries()) taken(first + position)
  }
}
