// How much memory all uploads together may hold. A lease grows with what has come, never with what was announced.
import { ProtocolError } from './answers.ts'

export class MemoryBudget {
  readonly #maxBytes: number
  #used = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get used(): number {
    return this.#used
  }

  lease(): Lease {
    let held = 0
    return {
      grow: (bytes) => {
        if (this.#used + bytes > this.#maxBytes) {
          const facts = { reason: 'UPLOAD_MEMORY', used: this.#used }
          throw new ProtocolError('UNAVAILABLE', { headers: { 'retry-after': '5' }, facts })
        }
        this.#used += bytes
        held += bytes
      },
      release: () => {
        this.#used -= held
        held = 0
      },
    }
  }
}

export interface Lease {
  /** @throws ProtocolError UNAVAILABLE */
  grow(bytes: number): void
  release(): void
}
