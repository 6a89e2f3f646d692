// The servers' own share: notary-server and docker-registry log for each request how long they took to answer it.
import { setTimeout as delay } from 'node:timers/promises'
import type { RunningProcess } from '../test/support/processes.ts'

/** Of one or several servers, between two looks. */
export interface ServerShare {
  readonly requests: number
  /** Sum over all requests. */
  readonly milliseconds: number
}

/** `"http.response.duration":"1.3ms"` in JSON lines, `http.response.duration=1.3ms` in plain ones; Go's time.Duration. */
const DURATION = /http\.response\.duration"?[=:]"?((?:[0-9.]+(?:ns|µs|ms|s|m|h))+)/g
const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 36e5 }
/** A server writes its line after its answer. */
const LOG_DELAY_MS = 30

export class ServerTime {
  readonly #processes: readonly RunningProcess[]
  #seen: readonly string[]

  constructor(...processes: readonly RunningProcess[]) {
    this.#processes = processes
    this.#seen = processes.map((one) => one.output())
  }

  /** What was logged since the last call. The logs are cut at a few megabytes, so ask after each measurement. */
  async lap(): Promise<ServerShare> {
    await delay(LOG_DELAY_MS)
    const now = this.#processes.map((one) => one.output())
    const durations = now.flatMap((output, index) => durationsIn(newPart(output, this.#seen[index] ?? '')))
    this.#seen = now
    return { requests: durations.length, milliseconds: durations.reduce((sum, one) => sum + one, 0) }
  }
}

export function addShares(one: ServerShare, other: ServerShare): ServerShare {
  return { requests: one.requests + other.requests, milliseconds: one.milliseconds + other.milliseconds }
}

/** What follows the last line that was seen. Lines hold request ids, so none occurs twice. */
function newPart(output: string, seen: string): string {
  if (output.startsWith(seen)) return output.slice(seen.length)
  const lastLine = seen.slice(seen.lastIndexOf('\n', seen.length - 2) + 1)
  const at = output.lastIndexOf(lastLine)
  return at < 0 ? output : output.slice(at + lastLine.length)
}

function durationsIn(text: string): number[] {
  return [...text.matchAll(DURATION)].map(([, duration = '']) => milliseconds(duration))
}

function milliseconds(duration: string): number {
  let sum = 0
  for (const [, amount = '', unit = ''] of duration.matchAll(/([0-9.]+)(ns|µs|ms|s|m|h)/g)) {
    sum += Number(amount) * (UNIT_MS[unit] ?? 0)
  }
  return sum
}
