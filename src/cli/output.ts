// The one writer of results, progress and errors. Results go to standard output, everything else to standard error;
// with --json standard output holds exactly one JSON document. Never given a secret, except a new token by `secret`.
import { ConfigError } from '../config/errors.ts'
import { ApiProblem, CliError, type Fault } from './errors.ts'
import { allowsColour, paint, printable, type Colour, type Terminal } from './terminal.ts'
import { layOutTable } from './table.ts'
import { CodedError } from '@countersign/tuf'

/** How an error looks with `--json`: a problem document (RFC 9457), made of the same words as the line on stderr. */
export interface JsonProblem {
  readonly type: string
  readonly title: string
  readonly code: string
  readonly detail: string
  readonly status?: number
  readonly next?: string
  readonly errors?: readonly Fault[]
  readonly facts?: Readonly<Record<string, string | number>>
}

export class Output {
  readonly #terminal: Terminal
  readonly #colour: boolean
  /** Whether standard output is for a program: one JSON document. */
  readonly json: boolean
  #documentWritten = false
  #isByLine = false
  #enclose: (document: unknown) => unknown = (document) => document

  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal
    this.#colour = !json && allowsColour(terminal.stdout, terminal.env)
    this.json = json
  }

  /** The JSON document of a result; nothing without --json. */
  document(value: unknown): void {
    if (!this.json || this.#documentWritten) return
    this.#documentWritten = true
    this.#terminal.stdout.write(`${JSON.stringify(this.#enclose(value), undefined, this.#isByLine ? undefined : 2)}\n`)
  }

  /** From now on the document, or the problem in its place, stands inside of another one. */
  encloseDocument(enclose: (document: unknown) => unknown): void {
    this.#enclose = enclose
  }

  /** From now on every document takes one line: for lists of which nobody knows the end. An error is the last of them. */
  documentsByLine(): void {
    this.#isByLine = true
  }

  /** One document of many, on one line; nothing without --json. */
  documentLine(value: unknown): void {
    if (this.json) this.#terminal.stdout.write(`${JSON.stringify(value)}\n`)
  }

  /** A result in somebody else's format, as it is. What comes from elsewhere in it was made harmless before. */
  raw(text: string): void {
    this.#documentWritten = true
    this.#terminal.stdout.write(text)
  }

  /** A line of a result for people; nothing with --json. */
  line(text = '', colour?: Colour): void {
    if (this.json) return
    const safe = printable(text)
    this.#terminal.stdout.write(`${colour !== undefined && this.#colour ? paint(safe, colour) : safe}\n`)
  }

  /** Text of ours that spans lines, such as a PEM block; each line is made printable. */
  block(text: string): void {
    for (const line of text.replace(/\n$/, '').split('\n')) this.line(line)
  }

  /** A table for people; nothing with --json. `colourOf` may colour whole rows. */
  table(
    header: readonly string[],
    rows: readonly (readonly string[])[],
    colourOf?: (row: readonly string[]) => Colour | undefined,
  ): void {
    if (this.json) return
    const [head = '', ...lines] = layOutTable(
      header,
      rows.map((row) => row.map(printable)),
    )
    this.line(head, 'bold')
    lines.forEach((text, index) => {
      this.line(text, colourOf?.(rows[index] ?? []))
    })
  }

  /** A line on standard error while something is under way. */
  progress(text: string): void {
    this.#terminal.stderr.write(`${printable(text)}\n`)
  }

  warn(text: string): void {
    this.#terminal.stderr.write(`countersign: warning: ${printable(text)}\n`)
  }

  /** One line `countersign: CODE: sentence` on standard error, and what to do next on a second. */
  complain(code: string, sentence: string, next?: string): void {
    this.#terminal.stderr.write(`countersign: ${printable(code)}: ${printable(sentence)}\n`)
    if (next !== undefined) this.#terminal.stderr.write(`  ${printable(next)}\n`)
  }

  /** A command line that cannot be understood. */
  failUsage(sentence: string): void {
    this.fail(new CliError('USAGE_INVALID', sentence, { next: 'Help: countersign help, or --help after any command.' }))
  }

  /** An error that ended the command: `complain`, and with --json the problem document on standard output. */
  fail(error: unknown): void {
    this.complainOf(error)
    this.document(problemOf(error))
  }

  /** An error beside a result. */
  complainOf(error: unknown): void {
    const problem = problemOf(error)
    this.complain(problem.code, problem.detail)
    for (const { path, message } of problem.errors ?? []) this.progress(`  ${path}: ${message}`)
    if (problem.next !== undefined) this.progress(`  ${problem.next}`)
  }
}

/** What to do about errors of the layers below, which do not say it themselves. */
const NEXT_STEPS: ReadonlyMap<string, string> = new Map([
  [
    'KEY_HOLDER_UNREACHABLE',
    'Check --operator-socket, that the key holder is running, and that you may open its socket.',
  ],
  [
    'UNLOCK_KEY_NEXT_NOT_CONFIGURED',
    "Name it in the key holder's configuration (unlock.nextKeyFile), and start the key holder again.",
  ],
  [
    'UNLOCK_KEY_NEXT_IS_CURRENT',
    'After a rewrap all is done: put the file in the place of the old one. For another change put a new key into it.',
  ],
  ['NOTARY_UNAUTHORIZED', "Log in to the repository's registry first: docker login HOST"],
  ['NOTARY_UNAVAILABLE', 'A retry can help. For a private certificate authority give --ca-file FILE.'],
  [
    'AUDIT_LOG_DAMAGED',
    'Change nothing there: it is evidence. docs/operations.md, "Reading and checking the log", says what each fault means.',
  ],
  ['AUDIT_LOG_UNREADABLE', 'This says nothing about the log. Run as a user who may read it, and look at the disk.'],
  ['ROOT_NOT_PINNED', 'Compare the pin with the owner of the repository. If it is right, somebody else answers.'],
  ['VERSION_ROLLED_BACK', 'An old state is shown to you: by a server restored from a backup, or by an attacker.'],
  ['VERSION_FORKED', 'Another state than before is shown to you under the same version.'],
  ['ROLE_EXPIRED', 'Check the clock of this machine. If it is right, what the server has is old.'],
  ['IMAGE_REFERENCE_INVALID', 'Write it as registry/repository:tag@sha256:digest.'],
])

/** The problem document of any error. Errors without a code show nothing of their inside except the message. */
export function problemOf(error: unknown): JsonProblem {
  if (error instanceof ApiProblem) {
    return document(error, error.title, {
      status: error.status,
      ...(error.next !== undefined && { next: error.next }),
      ...(error.faults.length > 0 && { errors: error.faults }),
    })
  }
  if (error instanceof CliError) {
    return document(error, titleOf(error.code), error.next === undefined ? {} : { next: error.next })
  }
  if (error instanceof ConfigError) {
    // Its message lists the faults again, one per line.
    const [first = ''] = error.message.split('\n')
    const faults = error.faults.map(({ path, message }) => ({ path: path === '' ? 'the file' : path, message }))
    return {
      ...document(error, titleOf(error.code), faults.length > 0 ? { errors: faults } : {}),
      detail: first.replace(/:$/, '.'),
    }
  }
  if (error instanceof CodedError) {
    const known = error as CodedError<string>
    const next = NEXT_STEPS.get(known.code)
    return document(known, titleOf(known.code), next === undefined ? {} : { next })
  }
  const message = error instanceof Error ? error.message : String(error)
  return document(new CodedError('CLI_INTERNAL', `This should not happen: ${message}`), 'Internal error', {
    next: 'Please report it together with the command that you ran.',
  })
}

function document(error: CodedError<string>, title: string, more: Partial<JsonProblem>): JsonProblem {
  return {
    type: `urn:countersign:problem:${error.code}`,
    title,
    code: error.code,
    detail: error.message,
    ...more,
    ...(Object.keys(error.facts).length > 0 && { facts: error.facts }),
  }
}

/** `SERVER_NOT_CONFIGURED` -> `Server not configured`. */
function titleOf(code: string): string {
  const words = code.toLowerCase().replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}
