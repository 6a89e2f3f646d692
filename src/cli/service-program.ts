// The processes of the service alone, without what only people and pipelines need.
import type { ExitStatus } from './errors.ts'
import { addDaemonCommands } from './daemon-commands.ts'
import { runWith } from './run-program.ts'
import type { Terminal } from './terminal.ts'

export function run(argv: readonly string[], terminal: Terminal): Promise<ExitStatus> {
  return runWith(addDaemonCommands, argv, terminal)
}
