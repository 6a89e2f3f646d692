// `key rewrap`: changes the unlock key of the key holder, through its operator socket. No key and no passphrase passes here: the key
// holder reads both from files that its own configuration names.
import type { Command } from 'commander'
import type { OperationResponse } from '../key-holder-protocol/operations.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import { evidenceOf, socketOption, withOperator, type SocketOptions } from './operator-socket.ts'
import type { Perform, Session } from './session.ts'

interface RewrapOptions extends SocketOptions {
  readonly reason: string
}

export function addRewrapCommand(group: Command, perform: Perform): void {
  group
    .command('rewrap')
    .description(
      'Changes the unlock key: seals every key under the next one, which the configuration of the key holder names. Signing goes on.',
    )
    .requiredOption('--reason <text>', 'why; it is recorded in the audit log')
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
Runs on the host of the key holder. No key changes, and nobody else notices. Afterwards the old unlock key opens nothing but old
backups. Put the new file in the place of the old one then; the command says how.

Examples:
  $ countersign key rewrap --reason "yearly"

Exit status: 0 every key is sealed under the new unlock key; 1 failed; 2 usage.`,
    )
    .action((options: RewrapOptions, command: Command) => perform(command, (session) => rewrap(session, options)))
}

async function rewrap(session: Session, options: RewrapOptions): Promise<ExitStatus> {
  const request = { reason: options.reason, evidence: evidenceOf('rewrap') }
  const { response } = await withOperator(session, options, (operator) => operator.call('rewrap-keys', request))
  session.output.document(response)
  session.output.line(
    `${response.keys} keys and the audit log's are sealed under the unlock key in ${response.to.path}.`,
  )
  for (const line of whatNext(response)) session.output.line(line)
  return EXIT.done
}

function whatNext({ from, to }: OperationResponse<'rewrap-keys'>): string[] {
  if (from === undefined) {
    return [
      'It unseals the key holder from now on. Keep it, and take the file and the setting away:',
      `  rm ${to.path}`,
    ]
  }
  if (from.kind === to.kind) {
    return [
      'Put it in the place of the old one, before the next change and before the old file goes:',
      `  mv ${to.path} ${from.path}`,
      `Where ${from.path} is mounted or handed in by systemd, do so with the file that it comes from.`,
    ]
  }
  const setting = to.kind === 'key-file' ? 'keyFile' : 'passphraseFile'
  return [
    'Make it the present one in the configuration of the key holder, and take the next one out, before the old file goes:',
    `  unlock: { ${setting}: ${to.path} }`,
  ]
}
