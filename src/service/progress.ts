// Passes events on to the observer, and wakes those who wait for a request.
import type { Observer, PendingImage } from '../domain/ports.ts'
import { type Failure, isFinal } from '../domain/signing-request.ts'

export class Progress {
  readonly #observer: Observer
  readonly #waiting = new Map<string, Set<() => void>>()
  /** Why images wait, by request and position; until they move. */
  readonly #reasons = new Map<string, Map<number, Failure>>()

  constructor(observer: Observer) {
    this.#observer = observer
  }

  requestChanged(event: Parameters<Observer['requestChanged']>[0]): void {
    this.#reasons.get(event.request)?.delete(event.position)
    if (this.#reasons.get(event.request)?.size === 0) this.#reasons.delete(event.request)
    this.#tell(() => {
      this.#observer.requestChanged(event)
    })
    if (isFinal(event.to)) for (const wake of this.#waiting.get(event.request) ?? []) wake()
  }

  /** These images stay as they are until somebody is back in reach. */
  waits(images: readonly PendingImage[], reason: Failure): void {
    for (const { request, position } of images) {
      this.#reasons.set(request, (this.#reasons.get(request) ?? new Map<number, Failure>()).set(position, reason))
    }
  }

  /** Why the image waits, if it does. */
  reason(request: string, position: number): Failure | undefined {
    return this.#reasons.get(request)?.get(position)
  }

  publicationFinished(event: Parameters<Observer['publicationFinished']>[0]): void {
    this.#tell(() => {
      this.#observer.publicationFinished(event)
    })
  }

  publicationConflict(event: Parameters<Observer['publicationConflict']>[0]): void {
    this.#tell(() => {
      this.#observer.publicationConflict(event)
    })
  }

  repositoryTroubled(event: Parameters<Observer['repositoryTroubled']>[0]): void {
    this.#tell(() => {
      this.#observer.repositoryTroubled(event)
    })
  }

  foreignVersion(event: Parameters<Observer['foreignVersion']>[0]): void {
    this.#tell(() => {
      this.#observer.foreignVersion(event)
    })
  }

  /** Calls `wake` whenever an image of the request has come to its end, until the returned function is called. */
  watch(request: string, wake: () => void): () => void {
    const watchers = this.#waiting.get(request) ?? new Set()
    this.#waiting.set(request, watchers.add(wake))
    return () => {
      watchers.delete(wake)
      if (watchers.size === 0 && this.#waiting.get(request) === watchers) this.#waiting.delete(request)
    }
  }

  /** What happened is durable already; a listener that fails must not undo it. */
  #tell(listener: () => void): void {
    try {
      listener()
    } catch {
      // The observer's own trouble, by its contract dropped here.
    }
  }
}
