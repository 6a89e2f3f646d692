// `countersign` without the services: see CLIENT_FAMILIES.
import type { ExitStatus } from './errors.ts'
import { CLIENT_FAMILIES, commandsOf, familiesFor } from './families.ts'
import { runWith } from './run-program.ts'
import type { Terminal } from './terminal.ts'

/** Runs one command line. See `runWith`. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<ExitStatus> {
  return runWith(await commandsOf(familiesFor(argv, CLIENT_FAMILIES)), argv, terminal)
}
