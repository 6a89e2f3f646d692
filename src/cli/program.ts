// The commands of `countersign` put together.
import type { Command } from 'commander'
import { addApproverCommands } from './approver-commands.ts'
import { addAuditCommands } from './audit-commands.ts'
import { addBackupCommands } from './backup/command.ts'
import { addSealCommands } from './seal-commands.ts'
import { addConfigCommands } from './config-commands.ts'
import { addDaemonCommands } from './daemon-commands.ts'
import { addClientCommands } from './client-program.ts'
import type { ExitStatus } from './errors.ts'
import { addExportCommand } from './export-command.ts'
import { addKeyCommands } from './key-commands.ts'
import { addLoginCommand } from './login-command.ts'
import { addOperatorCommands } from './operator-commands.ts'
import { addPolicyCommands } from './policy-commands.ts'
import { addMoveCommand } from './move-command.ts'
import { addRepairCommand } from './repair-command.ts'
import { addRenewCommand } from './renew-command.ts'
import { addRepositoryCommands } from './repository-commands.ts'
import { addRootCommands } from './root-commands.ts'
import { buildWith, runWith } from './run-program.ts'
import type { Perform } from './session.ts'
import type { Terminal } from './terminal.ts'
import { addTokenCommands } from './token-commands.ts'
import { addWebhookCommands } from './webhook-commands.ts'

/** Runs one command line with every command there is. See `runWith`. */
export function run(argv: readonly string[], terminal: Terminal): Promise<ExitStatus> {
  return runWith(addAllCommands, argv, terminal)
}

/** The program with all its commands; `perform` runs their actions. */
export function buildProgram(terminal: Terminal, perform: Perform): Command {
  return buildWith(addAllCommands, terminal, perform)
}

function addAllCommands(program: Command, perform: Perform): void {
  addClientCommands(program, perform)
  const repositories = program
    .command('repo')
    .summary('manage repositories')
    .description('Repositories under management.')
  addRepositoryCommands(repositories, perform)
  addExportCommand(repositories, perform)
  addRenewCommand(repositories, perform)
  addRepairCommand(repositories, perform)
  addMoveCommand(repositories, perform)
  addOperatorCommands(repositories, perform)
  addKeyCommands(program, perform)
  addRootCommands(program, perform)
  addTokenCommands(program, perform)
  addLoginCommand(program, perform)
  addPolicyCommands(program, perform)
  addApproverCommands(program, perform)
  addWebhookCommands(program, perform)
  addAuditCommands(program, perform)
  addBackupCommands(program, perform)
  addSealCommands(program, perform)
  addConfigCommands(program, perform)
  addDaemonCommands(program, perform)
}
