// Work for images that goes on through short outages.
import { isOutage } from '../domain/port-faults.ts'
import type { PendingImage } from '../domain/ports.ts'
import { retrying } from './backoff.ts'
import type { ServiceDependencies } from './dependencies.ts'
import type { ImageProgress } from './image-progress.ts'

/** Whoever asked for the images is told of each outage at once. */
export function throughOutages<T>(
  dependencies: Pick<ServiceDependencies, 'pause' | 'random' | 'settings'>,
  progress: Pick<ImageProgress, 'wait'>,
  images: readonly PendingImage[],
  work: () => Promise<T>,
): Promise<T> {
  return retrying(dependencies, isOutage, work, (error) => {
    progress.wait(images, error)
  })
}
