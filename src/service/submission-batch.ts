// New requests that come in one turn of the event loop are stored in one transaction; each is acknowledged when that is durable.
import type { CreationOutcome, IdempotencyKey, RequestStore } from '../domain/ports.ts'
import type { SigningRequest } from '../domain/signing-request.ts'

interface Waiting {
  readonly submission: readonly [SigningRequest, IdempotencyKey | undefined]
  readonly stored: (outcome: CreationOutcome) => void
  readonly failed: (error: unknown) => void
}

export class SubmissionBatch {
  readonly #requests: Pick<RequestStore, 'createAll'>
  #waiting: Waiting[] = []

  constructor(requests: Pick<RequestStore, 'createAll'>) {
    this.#requests = requests
  }

  /** As `RequestStore.create`. @throws DomainError IDEMPOTENCY_KEY_REUSED, RECORD_EXISTS; StoreError */
  async create(
    request: SigningRequest,
    idempotency?: IdempotencyKey,
  ): Promise<{ readonly request: SigningRequest; readonly isRepeated: boolean }> {
    if (this.#waiting.length === 0) {
      setImmediate(() => {
        this.#store()
      })
    }
    const outcome = await new Promise<CreationOutcome>((stored, failed) =>
      this.#waiting.push({ submission: [request, idempotency], stored, failed }),
    )
    if ('refusal' in outcome) throw outcome.refusal
    return outcome
  }

  /** A crash before the transaction leaves none of them, after it all; nobody was answered before. */
  #store(): void {
    const batch = this.#waiting
    this.#waiting = []
    try {
      const outcomes = this.#requests.createAll(batch.map(({ submission }) => submission))
      for (const [index, { stored, failed }] of batch.entries()) {
        const outcome = outcomes[index]
        if (outcome === undefined) failed(new Error('A submission has no outcome.'))
        else stored(outcome)
      }
    } catch (error) {
      for (const { failed } of batch) failed(error)
    }
  }
}
