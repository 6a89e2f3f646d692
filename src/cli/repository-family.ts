// `repo`: repositories under management.
import type { Command } from 'commander'
import { addExportCommand } from './export-command.ts'
import { addMoveCommand } from './move-command.ts'
import { addOperatorCommands } from './operator-commands.ts'
import { addRenewCommand } from './renew-command.ts'
import { addDriftCommand } from './drift-command.ts'
import { addRepairCommand } from './repair-command.ts'
import { addRepositoryCommands } from './repository-commands.ts'
import { addUnsignedCommand } from './unsigned-command.ts'
import type { Perform } from './session.ts'

export function addRepositoryFamily(program: Command, perform: Perform): void {
  const repositories = program
    .command('repo')
    .summary('manage repositories')
    .description('Repositories under management.')
  addRepositoryCommands(repositories, perform)
  addExportCommand(repositories, perform)
  addRenewCommand(repositories, perform)
  addDriftCommand(repositories, perform)
  addUnsignedCommand(repositories, perform)
  addRepairCommand(repositories, perform)
  addMoveCommand(repositories, perform)
  addOperatorCommands(repositories, perform)
}
