// How long to wait before trying again: doubling, with jitter, so that rivals for one repository do not meet again.
import type { ServiceDependencies } from './dependencies.ts'

/** The longest pause, in milliseconds: people wait for the answer. */
const MAX_PAUSE_MS = 5_000

/** `attempt` counts from 1. Between half and the whole of the doubled pause. */
export async function backOff(
  { pause, random, settings }: Pick<ServiceDependencies, 'pause' | 'random' | 'settings'>,
  attempt: number,
): Promise<void> {
  const full = Math.min(MAX_PAUSE_MS, settings.backoffMs * 2 ** (attempt - 1))
  const [byte = 0] = random.bytes(1)
  await pause.wait(Math.round(full / 2 + (full / 2) * (byte / 255)))
}

/** Repeats `work` while it fails with an error that `isWorthRetrying`, up to the configured number of attempts; tells each before a pause. */
export async function retrying<T>(
  dependencies: Pick<ServiceDependencies, 'pause' | 'random' | 'settings'>,
  isWorthRetrying: (error: unknown) => boolean,
  work: () => Promise<T>,
  tell: (error: unknown) => void = () => undefined,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt >= dependencies.settings.attempts || !isWorthRetrying(error)) throw error
      tell(error)
      await backOff(dependencies, attempt)
    }
  }
}
