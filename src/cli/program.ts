// `countersign` as a whole: the families of commands that a command line needs, put together and run.
import type { Command } from 'commander'
import type { ExitStatus } from './errors.ts'
import { commandsOf, FAMILIES, familiesFor } from './families.ts'
import { buildWith, runWith } from './run-program.ts'
import type { Perform } from './session.ts'
import type { Terminal } from './terminal.ts'

/** Runs one command line. See `runWith`. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<ExitStatus> {
  return runWith(await commandsOf(familiesFor(argv)), argv, terminal)
}

/** The program with all its commands; `perform` runs their actions. */
export async function buildProgram(terminal: Terminal, perform: Perform): Promise<Command> {
  return buildWith(await commandsOf(FAMILIES), terminal, perform)
}
