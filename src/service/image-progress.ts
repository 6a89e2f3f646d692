// The one way by which images move: the state machine says what follows, the store keeps it, then listeners hear of it.
import { failureOf } from '../domain/port-faults.ts'
import type { ImageUpdate, PendingImage } from '../domain/ports.ts'
import type { Publication } from '../domain/publication.ts'
import { advance, type RequestEvent } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { Progress } from './progress.ts'

export class ImageProgress {
  readonly #dependencies
  readonly #progress: Progress

  constructor(dependencies: Pick<ServiceDependencies, 'requests' | 'clock'>, progress: Progress) {
    this.#dependencies = dependencies
    this.#progress = progress
  }

  /** Somebody who must be asked is out of reach; the images stay as they are, and whoever asks is told why. */
  wait(images: readonly PendingImage[], error: unknown): void {
    this.#progress.waits(images, failureOf(error))
  }

  /**
   * Applies one event to all images in one transaction, together with the publication where one is given.
   * A crash before the transaction leaves every image as it was, a crash after it leaves all of them moved.
   * @throws DomainError RECORD_CHANGED, TRANSITION_INVALID; StoreError. Then nothing was moved.
   */
  move(images: readonly PendingImage[], event: RequestEvent, publication?: Publication): readonly PendingImage[] {
    const at = this.#dependencies.clock.now()
    const moved = images.map((image) => ({
      ...image,
      record: advance(image.record, event, at),
      revision: image.revision + 1,
    }))
    const updates = moved.map(({ request, position, revision, record }): ImageUpdate => ({
      request,
      position,
      revision: revision - 1,
      record,
    }))
    this.#dependencies.requests.save(updates, publication)
    for (const [index, { request, position, kind, record }] of moved.entries()) {
      this.#progress.requestChanged({
        request,
        position,
        kind,
        gun: record.subject.gun,
        from: images[index]?.record.status,
        to: record.status,
        ...(record.status === 'failed' ? { code: record.error.code } : {}),
      })
    }
    return moved
  }
}
