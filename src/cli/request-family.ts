// `request`: what became of signing requests, and decisions about them.
import type { Command } from 'commander'
import { addApprovalCommands } from './approval-commands.ts'
import { addRequestCommands } from './request-commands.ts'
import type { Perform } from './session.ts'

export function addRequestFamily(program: Command, perform: Perform): void {
  const requests = program
    .command('request')
    .summary('see, approve and withdraw signing requests')
    .description('Signing requests and their state.')
  addRequestCommands(requests, perform)
  addApprovalCommands(requests, perform)
}
