// What the command line needs from the process around it. Commands use nothing else of the outside: no global console,
// no process.env, so that tests can run them in-process.

/** A stream of text: standard output or standard error. */
export interface TextOutput {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
}

/** The surroundings of one run. */
export interface Terminal {
  readonly stdout: TextOutput
  readonly stderr: TextOutput
  readonly stdin: AsyncIterable<string | Uint8Array>
  /** Asks a person for what nobody else may see; undefined where there is nobody. Absent: nobody is ever asked. */
  readonly askSecret?: (question: string) => Promise<string | undefined>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly homeFolder: string
  /** Aborted by the first Ctrl-C or SIGTERM. */
  readonly interrupted: AbortSignal
  readonly now: () => Date
  /** Waits; returns early, without throwing, when `signal` is aborted. */
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>
}

const ESCAPE = '\u001b['
const COLOURS = { green: '32', red: '31', yellow: '33', bold: '1' } as const
export type Colour = keyof typeof COLOURS

/** Whether ANSI sequences may be written: a terminal, and NO_COLOR (no-color.org) unset or empty. */
export function allowsColour(output: TextOutput, env: Terminal['env']): boolean {
  return output.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
}

export function paint(text: string, colour: Colour): string {
  return `${ESCAPE}${COLOURS[colour]}m${text}${ESCAPE}0m`
}

/**
 * Text that came from elsewhere, made harmless for a terminal: control characters, line separators and characters that
 * turn the reading direction become `\u{...}`. Ours passes through it too, so no caller has to decide.
 */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu, // eslint-disable-line no-control-regex
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  )
}
