// `approver create` and `approver show`: the key with which one person signs approvals.
import type { Command } from 'commander'
import { printApproverKey } from '../approval-statement.ts'
import { createApproverKey, openApproverKey } from './approver-key.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import type { Perform, Session } from './session.ts'

export function addApproverCommands(program: Command, perform: Perform): void {
  const group = program
    .command('approver')
    .summary("an approver's own key")
    .description('The key with which an approver signs approvals, where a policy asks for it.')

  group
    .command('create')
    .description('Creates a key in an encrypted file, and prints its public half. Works without a server.')
    .requiredOption('--out <file>', 'where the encrypted key is written')
    .requiredOption('--passphrase-file <file>', 'file with the passphrase, mode 0600')
    .addHelpText(
      'after',
      `
The public half goes into people.yaml (approvalKey) and into the limits file of the key holder (approvals.approvers).

Examples:
  $ countersign approver create --out approver.key --passphrase-file passphrase`,
    )
    .action((options: { out: string; passphraseFile: string }, command: Command) =>
      perform(command, async (session) => {
        return print(session, options.out, await createApproverKey(options.out, options.passphraseFile))
      }),
    )

  group
    .command('show')
    .description('Prints the public half of a key. Works without a server.')
    .argument('<file>', 'key made by `approver create`')
    .requiredOption('--passphrase-file <file>', 'file with the passphrase, mode 0600')
    .addHelpText('after', '\nExamples:\n  $ countersign approver show approver.key --passphrase-file passphrase')
    .action((file: string, options: { passphraseFile: string }, command: Command) =>
      perform(command, (session) =>
        Promise.resolve(print(session, file, printApproverKey(openApproverKey(file, options.passphraseFile)) ?? '')),
      ),
    )
}

function print({ output }: Session, keyFile: string, publicKey: string): ExitStatus {
  output.document({ keyFile, publicKey })
  output.line(publicKey)
  return EXIT.done
}
