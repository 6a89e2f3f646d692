// Which failures pass by themselves, and how long to wait before the next attempt.
import { ApiProblem, CliError } from './errors.ts'
import type { Terminal } from './terminal.ts'

/** Pauses before further attempts, in milliseconds; the last one repeats. */
export const PAUSES_MS = [500, 1000, 2000, 4000, 8000] as const
/** Failures of the connection or of the moment, after which the same call may succeed. */
const TRANSIENT_CODES: ReadonlySet<string> = new Set([
  'SERVER_UNREACHABLE',
  'SERVER_TIMEOUT',
  'SERVER_NAME_UNKNOWN',
  'SERVER_ANSWER_MALFORMED',
])
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504])

export function isTransient(error: unknown): error is ApiProblem | CliError {
  if (error instanceof ApiProblem) return error.mayRetry || TRANSIENT_STATUSES.has(error.status)
  if (!(error instanceof CliError) || !TRANSIENT_CODES.has(error.code)) return false
  const { status } = error.facts
  return typeof status !== 'number' || TRANSIENT_STATUSES.has(status)
}

/** Waits before attempt number `attempt` + 1: the usual time, or what the server asked for. */
export async function rest(terminal: Terminal, attempt: number, error: unknown, atMostMs = 60_000): Promise<void> {
  const usual = PAUSES_MS[Math.min(attempt, PAUSES_MS.length) - 1] ?? PAUSES_MS[0]
  const asked = error instanceof ApiProblem ? (error.retryAfter ?? 0) * 1000 : 0
  await terminal.pause(Math.min(Math.max(usual, asked), atMostMs), terminal.interrupted)
}
