// The commands of pipelines and approvers alone: they start in half the time of the whole program.
import type { Command } from 'commander'
import { addApprovalCommands } from './approval-commands.ts'
import type { ExitStatus } from './errors.ts'
import { addInspectCommand } from './inspect-command.ts'
import { addRequestCommands } from './request-commands.ts'
import { runWith } from './run-program.ts'
import type { Perform } from './session.ts'
import { addSignCommands } from './sign-commands.ts'
import type { Terminal } from './terminal.ts'
import { addVerifyCommand } from './verify-command.ts'

export function addClientCommands(program: Command, perform: Perform): void {
  addSignCommands(program, perform)
  addVerifyCommand(program, perform)
  addInspectCommand(program, perform)
  const requests = program
    .command('request')
    .summary('see, approve and withdraw signing requests')
    .description('Signing requests and their state.')
  addRequestCommands(requests, perform)
  addApprovalCommands(requests, perform)
}

export function run(argv: readonly string[], terminal: Terminal): Promise<ExitStatus> {
  return runWith(addClientCommands, argv, terminal)
}
