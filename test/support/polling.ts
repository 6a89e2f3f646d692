// Waiting for something that happens elsewhere: asks again until it holds or the deadline has passed. Never a fixed sleep.
import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds between two questions. */
const INTERVAL_MS = 25

/**
 * The first value of `question` that is not undefined. What it throws counts as "not yet".
 * @throws Error after `deadlineMs`, naming `subject` and the last error
 */
export async function waitFor<T>(
  subject: string,
  question: () => T | undefined | Promise<T | undefined>,
  deadlineMs = 20_000,
): Promise<T> {
  const end = performance.now() + deadlineMs
  for (;;) {
    let last: unknown
    try {
      const answer = await question()
      if (answer !== undefined) return answer
    } catch (error) {
      last = error
    }
    if (performance.now() > end) throw new Error(`${subject}: not within ${deadlineMs} ms.`, { cause: last })
    await delay(INTERVAL_MS)
  }
}
