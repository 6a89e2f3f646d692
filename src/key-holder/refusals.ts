// Every refusal goes into the audit log, up to a number per hour; beyond it they are counted and the count is recorded, so that
// nobody can fill the disk by being refused.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { SocketName } from '../key-holder-protocol/operations.ts'
import { commit, type Holder } from './holder.ts'

/** Texts of strangers are cut to this many characters. */
const MAX_TEXT = 300
const MAX_FACTS = 16
/** How often a count of unrecorded refusals is recorded at most. */
const SUMMARY_INTERVAL_MS = 60_000

/** What was refused: an operation, or a frame that holds none. */
export interface Refused {
  readonly socket: SocketName
  readonly operation?: string
  readonly gun?: string
}

export class Refusals {
  readonly #holder: Holder
  readonly #timer: NodeJS.Timeout
  #suppressed = 0

  constructor(holder: Holder) {
    this.#holder = holder
    this.#timer = setInterval(() => {
      this.#summarize()
    }, SUMMARY_INTERVAL_MS)
    this.#timer.unref()
  }

  /** Records, or counts. Never throws: the refusal itself stands, whether or not it can be written. */
  record(refused: Refused, error: KeyHolderError): void {
    const holder = this.#holder
    try {
      const subject = subjectOf(refused.socket)
      if (holder.rates.used(subject, holder.now()) >= holder.limits.recordsPerHour) {
        this.#suppressed++
        return
      }
      const facts = Object.entries(error.facts).slice(0, MAX_FACTS)
      const entry = {
        kind: 'refused',
        by: refused.socket,
        code: error.code,
        ...(refused.operation !== undefined && { operation: cut(refused.operation) }),
        ...(refused.gun !== undefined && { gun: cut(refused.gun) }),
        facts: Object.fromEntries(facts.map(([name, value]) => [name, typeof value === 'string' ? cut(value) : value])),
      } as const
      commit(holder, [entry], () => {
        holder.rates.add(subject, 1, holder.now())
      })
    } catch (cause) {
      if (!(cause instanceof KeyHolderError)) throw cause
      this.#suppressed++
    }
  }

  /** Records what was only counted, and stops. */
  close(): void {
    clearInterval(this.#timer)
    this.#summarize()
  }

  #summarize(): void {
    const count = this.#suppressed
    if (count === 0) return
    try {
      commit(this.#holder, [{ kind: 'refusals-suppressed', by: 'key-holder', count }], () => undefined)
      this.#suppressed -= count
    } catch (cause) {
      // The log or the database cannot be written: the count is kept for the next time.
      if (!(cause instanceof KeyHolderError)) throw cause
    }
  }
}

/** The trust server has an allowance of its own: its refusals cannot crowd out those of the daemon. */
function subjectOf(socket: SocketName): string {
  return socket === 'trust-server' ? 'refusals trust-server' : 'refusals'
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text
}
