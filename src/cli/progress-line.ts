// One line on standard error that says how far long work is, written over again and again. Only on a terminal: a log file gets none of it.
import type { Terminal } from './terminal.ts'

/** Milliseconds between two of its states. */
const INTERVAL_MS = 100
/** Work that takes less time than this, in milliseconds, shows nothing. */
const PATIENCE_MS = 500
const CLEAR_LINE = '\r\u001b[K'

export class ProgressLine {
  readonly #terminal: Terminal
  readonly #isShown: boolean
  #next: number
  #isThere = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
    this.#isShown = terminal.stderr.isTTY === true && terminal.env['TERM'] !== 'dumb'
    this.#next = terminal.now().getTime() + PATIENCE_MS
  }

  /** Shows how much is done, now and then. */
  show(what: string, done: number, total: number): void {
    if (!this.#isShown) return
    const now = this.#terminal.now().getTime()
    if (now < this.#next) return
    this.#next = now + INTERVAL_MS
    this.#isThere = true
    const percent = total === 0 ? 100 : Math.floor((done / total) * 100)
    this.#terminal.stderr.write(`${CLEAR_LINE}${what} ${done} of ${total} records (${percent} %)`)
  }

  /** Takes it away, before anything else is written. */
  clear(): void {
    if (this.#isThere) this.#terminal.stderr.write(CLEAR_LINE)
    this.#isThere = false
  }
}
