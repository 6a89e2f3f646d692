// `countersign` as a whole: the families of commands that a command line needs, put together and run.
import type { Command } from 'commander'
import type { ExitStatus } from './errors.ts'
import { CLIENT_FAMILIES, commandsOf, familiesFor, type Family } from './families.ts'
import { buildWith, runWith } from './run-program.ts'
import type { Perform } from './session.ts'
import type { Terminal } from './terminal.ts'

/** All of them. */
export const FAMILIES: readonly Family[] = [
  ...CLIENT_FAMILIES,
  { words: ['backup'], load: async () => (await import('./backup/command.ts')).addBackupCommands },
  { words: ['config'], load: async () => (await import('./config-commands.ts')).addConfigCommands },
  {
    words: ['serve', 'key-holder', 'trust-server'],
    load: async () => (await import('./daemon-commands.ts')).addDaemonCommands,
  },
]

/** Runs one command line. See `runWith`. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<ExitStatus> {
  return runWith(await commandsOf(familiesFor(argv, FAMILIES)), argv, terminal)
}

/** The program with all its commands; `perform` runs their actions. */
export async function buildProgram(terminal: Terminal, perform: Perform): Promise<Command> {
  return buildWith(await commandsOf(FAMILIES), terminal, perform)
}
