// Moves all waiting images of one repository, one publication after the other, until none waits or nobody can be asked.
// It always looks into the store for what there is to do, so a start after a crash and a new request are the same work.
import { CodedError, type Gun } from '@countersign/tuf'
import { codeOf, failureOf } from '../domain/port-faults.ts'
import type { PendingImage } from '../domain/ports.ts'
import { backOff } from './backoff.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { IntentFormer } from './form-intent.ts'
import { GunQueue } from './gun-queue.ts'
import { ImageProgress } from './image-progress.ts'
import type { Progress } from './progress.ts'
import { type Outcome, PublicationSteps } from './sign.ts'
import type { SnapshotKeyCheck } from './snapshot-key.ts'

export class GunWorker {
  readonly #dependencies: ServiceDependencies
  readonly #queue: GunQueue
  readonly #progress: Progress
  readonly #images: ImageProgress
  readonly #intents: IntentFormer
  readonly #steps: PublicationSteps
  /** Images whose company was refused together with them; they are tried alone. */
  readonly #alone = new Set<string>()
  #isStopping = false

  constructor(dependencies: ServiceDependencies, queue: GunQueue, progress: Progress, snapshotKey: SnapshotKeyCheck) {
    this.#dependencies = dependencies
    this.#queue = queue
    this.#progress = progress
    this.#images = new ImageProgress(dependencies, progress)
    this.#intents = new IntentFormer(dependencies, this.#images, snapshotKey)
    this.#steps = new PublicationSteps(dependencies, this.#images, progress)
  }

  /** Asks for the repository's waiting images to be moved. Never rejects; resolves when this round is over. */
  wake(gun: Gun): Promise<void> {
    return this.#queue.wake(gun, async () => {
      try {
        await this.#advance(gun)
      } catch (error) {
        this.#progress.repositoryTroubled({ gun, error })
      }
    })
  }

  /** Takes no new publication up; resolves when those at hand are done. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#queue.idle()
  }

  async #advance(gun: Gun): Promise<void> {
    while (!this.#isStopping) {
      const images = this.#dependencies.requests
        .unfinished(gun)
        .filter(({ record }) => record.status !== 'awaiting-approval')
      const [first] = images
      if (first === undefined) return
      const outcome = await this.#tolerant(() => this.#step(gun, first, images))
      if (outcome === 'later') return
    }
  }

  /** Somebody else moved an image meanwhile (withdrawn, say): look again. */
  async #tolerant(step: () => Promise<Outcome>): Promise<Outcome> {
    try {
      return await step()
    } catch (error) {
      if (codeOf(error) === 'RECORD_CHANGED') return 'again'
      throw error
    }
  }

  async #step(gun: Gun, first: PendingImage, images: readonly PendingImage[]): Promise<Outcome> {
    // What was begun comes first: nothing may be built upon a repository that one of our own publications may still change.
    const publication = images.map(publicationOf).find((id) => id !== undefined)
    if (publication !== undefined) {
      return this.#steps.resume(
        publication,
        images.filter((image) => publicationOf(image) === publication),
      )
    }
    const group = this.#notWorn(this.#group(first, images))
    if (group.length === 0) return 'ended'
    const conflicts = Math.max(...group.map(conflictsOf))
    if (conflicts > 0) await backOff(this.#dependencies, conflicts)
    return this.#publish(gun, group)
  }

  async #publish(gun: Gun, group: readonly PendingImage[]): Promise<Outcome> {
    try {
      const intent = await this.#intents.form(gun, group)
      if (intent === 'ended' || intent === 'later') return intent
      const outcome = await this.#steps.sign(intent)
      if (outcome === 'split') for (const image of intent.images) this.#alone.add(nameOf(image))
      return outcome
    } catch (error) {
      if (error instanceof CodedError) throw error
      return this.#defect(gun, group, error)
    }
  }

  /** An error without a code is our own defect. The requests that met it fail, so that it cannot block the repository. */
  #defect(gun: Gun, group: readonly PendingImage[], error: unknown): Outcome {
    this.#progress.repositoryTroubled({ gun, error })
    const names = new Set(group.map(nameOf))
    const unsent = this.#dependencies.requests
      .unfinished(gun)
      .filter((image) => names.has(nameOf(image)) && image.record.status !== 'publishing')
    if (unsent.length === 0) return 'later'
    this.#images.move(unsent, [{ type: 'failed', error: failureOf(error) }])
    return 'ended'
  }

  #group(first: PendingImage, images: readonly PendingImage[]): readonly PendingImage[] {
    // Roots exclude each other: the next one is looked at again when this one has ended.
    if (this.#alone.delete(nameOf(first)) || first.kind === 'root' || first.kind === 'move') return [first]
    return images.filter((image) => image.kind === first.kind && !this.#alone.has(nameOf(image)))
  }

  #notWorn(images: readonly PendingImage[]): readonly PendingImage[] {
    const { settings, clock } = this.#dependencies
    const now = clock.now().getTime()
    // By time, so that a rival who publishes all the time is met often enough; by number, so that an outage does not count for tries.
    const worn = images.filter(({ record }) => {
      if (!('conflicts' in record) || record.contendedSince === undefined) return false
      return record.conflicts >= settings.attempts && now - record.contendedSince.getTime() >= settings.contentionMs
    })
    if (worn.length > 0) {
      const error = {
        code: 'PUBLICATION_CONFLICT',
        detail: `Given up ${Math.max(...worn.map(conflictsOf))} times: others changed the repository, or a crash interrupted. Nothing was published; ask again.`,
      }
      this.#images.move(worn, [{ type: 'failed', error }])
    }
    return images.filter((image) => !worn.includes(image))
  }
}

function publicationOf({ record }: PendingImage): string | undefined {
  return 'publication' in record ? record.publication : undefined
}

function conflictsOf({ record }: PendingImage): number {
  return 'conflicts' in record ? record.conflicts : 0
}

function nameOf({ request, position }: PendingImage): string {
  return `${request}/${position}`
}
