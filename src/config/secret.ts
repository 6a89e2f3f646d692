// A secret in memory. Whatever prints it - a log line, an error, an inspection - prints a mark instead.
import { inspect } from 'node:util'

/** What stands wherever a secret would have been printed. */
export const SECRET_MARK = '[secret]'

/** Text that must not be printed. Read it with `reveal()` at the one place that sends it. */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** The secret itself. Call it only where the secret is used, and never keep the result. */
  reveal(): string {
    return this.#text
  }

  toString(): string {
    return SECRET_MARK
  }

  toJSON(): string {
    return SECRET_MARK
  }

  [inspect.custom](): string {
    return SECRET_MARK
  }
}
