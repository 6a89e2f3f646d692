// How much happened within the last hour, by minute, in the database so that a restart forgives nothing.
import type { StateDatabase } from './database.ts'

const WINDOW_MINUTES = 60

export class Rates {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  /** The amount within the last hour. Minutes ahead of `now` count too: a clock set back forgives nothing. */
  used(subject: string, now: Date): number {
    const row = this.#database.all<{ total: number }>(
      'SELECT coalesce(sum(amount), 0) AS total FROM rates WHERE subject = ? AND minute > ?',
      subject,
      minuteOf(now) - WINDOW_MINUTES,
    )[0]
    return row?.total ?? 0
  }

  /** Counts; call inside the transaction of what is counted. */
  add(subject: string, amount: number, now: Date): void {
    const minute = minuteOf(now)
    this.#database.run('DELETE FROM rates WHERE subject = ? AND minute <= ?', subject, minute - WINDOW_MINUTES)
    this.#database.run(
      'INSERT INTO rates (subject, minute, amount) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount',
      subject,
      minute,
      amount,
    )
  }
}

function minuteOf(time: Date): number {
  return Math.floor(time.getTime() / 60_000)
}
