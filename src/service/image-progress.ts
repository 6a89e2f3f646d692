// The one way by which images move: the state machine says what follows, the store keeps it, then listeners hear of it.
import { failureOf } from '../domain/port-faults.ts'
import type { ImageUpdate, PendingImage } from '../domain/ports.ts'
import type { Publication } from '../domain/publication.ts'
import { advance, type ImageRecord, type ImageStatus, type RequestEvent } from '../domain/signing-request.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { Progress } from './progress.ts'

/** What is stored in the same transaction. */
export interface Alongside {
  readonly publication?: Publication
  /** The publication whose signed bytes nobody will ask for any more. */
  readonly forgetFilesOf?: string
}

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
   * Applies events to all images, one after the other, in one transaction, together with what is said of their publication.
   * A crash before the transaction leaves every image as it was, a crash after it leaves all of them moved.
   * @throws DomainError RECORD_CHANGED, TRANSITION_INVALID; StoreError. Then nothing was moved.
   */
  move(images: readonly PendingImage[], events: readonly RequestEvent[], o: Alongside = {}): readonly PendingImage[] {
    return this.moveEach(
      images.map((image) => [image, events] as const),
      o,
    )
  }

  /** As `move`, with events of its own for each image. */
  moveEach(
    moves: readonly (readonly [image: PendingImage, events: readonly RequestEvent[]])[],
    o: Alongside = {},
  ): readonly PendingImage[] {
    const at = this.#dependencies.clock.now()
    const walks = moves.map(([image, events]) => {
      const records = [image.record]
      for (const event of events) records.push(advance(records.at(-1) ?? image.record, event, at))
      return {
        image,
        records,
        moved: { ...image, record: records.at(-1) ?? image.record, revision: image.revision + 1 },
      }
    })
    const updates = walks.map(({ image, moved }): ImageUpdate => ({
      request: image.request,
      position: image.position,
      revision: image.revision,
      record: moved.record,
    }))
    this.#dependencies.requests.save(updates, o.publication, o.forgetFilesOf)
    for (const { image, records } of walks) {
      for (const [index, record] of records.slice(1).entries()) this.#tell(image, records[index]?.status, record)
    }
    return walks.map(({ moved }) => moved)
  }

  #tell({ request, position, kind }: PendingImage, from: ImageStatus | undefined, record: ImageRecord): void {
    this.#progress.requestChanged({
      request,
      position,
      kind,
      gun: record.subject.gun,
      from,
      to: record.status,
      ...(record.status === 'failed' ? { code: record.error.code } : {}),
    })
  }
}
