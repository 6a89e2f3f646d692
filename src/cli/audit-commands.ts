// `audit`: for the auditor, who has the log's folder or a copy, its public key, and need not trust the daemon, the key holder or this
// machine's owner. Only `public-key` asks a server.
import { InvalidArgumentError, type Command } from 'commander'
import { exportLog } from './audit-export.ts'
import { listLog } from './audit-list.ts'
import { printPublicKey } from './audit-public-key.ts'
import { audited, checkpointOption, keyOption } from './audit-options.ts'
import { verifyLog, type VerifyOptions } from './audit-verify.ts'
import { repositoryArgument } from './image-list/list.ts'
import type { SocketOptions } from './operator-socket.ts'
import type { Perform } from './session.ts'

const STATUS = 'Exit status: 0 whole; 1 the log is damaged, and only then; 2 usage; 4 nothing was found out.'
const KEY = 'countersign.example.com/audit+1f2e3d4c+ATuk...'

interface FilterOptions {
  readonly key: string
  readonly repository?: string
  readonly tag?: string
  readonly digest?: string
  readonly identity?: string
  readonly operation?: string
  readonly since?: Date
  readonly until?: Date
  readonly limit?: number
}

export function addAuditCommands(program: Command, perform: Perform): void {
  const group = program
    .command('audit')
    .summary('read and check the audit log')
    .description("The key holder's audit log, from its folder or a copy alone. Only public-key asks a server.")

  group
    .command('public-key')
    .description("Prints the log's public key, as the other commands and signed-note verifiers take it.")
    .option('--operator-socket <path>', 'ask the key holder at its operator socket instead of the server')
    .addHelpText(
      'after',
      `
Keep it where whoever could change the log cannot change it. From the server it is the daemon's word: compare it with what the
operator has from the key holder.

Examples:
  $ countersign audit public-key > audit.key
  # countersign audit public-key --operator-socket /run/countersign/operator.sock`,
    )
    .action((options: SocketOptions, command: Command) =>
      perform(command, (session) => printPublicKey(session, options)),
    )

  group
    .command('verify')
    .description('Checks every record, every hash and the signed checkpoint, and names the first thing that is wrong.')
    .argument('<folder>', "the folder log in the key holder's folder, or a copy of it")
    .addOption(keyOption())
    .addOption(checkpointOption())
    .addHelpText(
      'after',
      `
Whoever owns the machine can cut the log back to what it was. That shows only against a checkpoint that was kept elsewhere:
copy the file "checkpoint" away regularly, and give it with --since.

Examples:
  $ countersign audit verify /var/lib/countersign-key-holder/log --key audit.key --since checkpoint-2026-11-01
  $ countersign audit verify ./log --key ${KEY} --json

${STATUS}`,
    )
    .action((folder: string, options: VerifyOptions, command: Command) =>
      perform(command, (session) => audited(session, () => verifyLog(session, folder, options))),
    )

  group
    .command('list')
    .description('Shows records, newest first, each verified before it is shown. With --json one object per line.')
    .argument('<folder>', "the folder log in the key holder's folder, or a copy of it")
    .addOption(keyOption())
    .option('--repository <gun>', 'only records of this repository')
    .option('--tag <tag>', 'only changes of this tag')
    .option('--digest <digest>', 'only records that name this SHA-256', digestOption)
    .option('--identity <identity>', 'only what this identity asked for, such as token:3')
    .option('--operation <name>', 'only this kind of record, or refusals of this operation, such as change-targets')
    .option('--since <time>', 'only records of this time (RFC 3339, or a date in UTC) and later', timeOption)
    .option('--until <time>', 'only records before this time', timeOption)
    .option('--limit <count>', 'the newest so many; all without it', countOption)
    .addHelpText(
      'after',
      `
Filters are joined by "and". What "audit verify" also checks, that nothing was cut off, is not checked here.

Examples:
  $ countersign audit list ./log --key audit.key --limit 20
  $ countersign audit list ./log --key audit.key --repository registry.example.com/team/app --tag 1.4 --json

${STATUS}`,
    )
    .action((folder: string, options: FilterOptions, command: Command) =>
      perform(command, (session) =>
        audited(session, () => {
          const { key, limit, repository, ...filter } = options
          return listLog(session, folder, {
            key,
            filter: { ...filter, ...(repository !== undefined && { repository: repositoryArgument(repository) }) },
            ...(limit !== undefined && { limit }),
          })
        }),
      ),
    )

  group
    .command('export')
    .description('Writes a verified copy of the log, as its checkpoint describes it, into a new folder.')
    .argument('<folder>', "the folder log in the key holder's folder, or a copy of it")
    .argument('<out>', 'new folder; it is complete and verified, or it is not there')
    .addOption(keyOption())
    .addOption(checkpointOption())
    .addHelpText(
      'after',
      `
The key holder may go on writing meanwhile; the copy ends with the checkpoint that was there at the beginning.

Examples:
  $ countersign audit export /var/lib/countersign-key-holder/log ./log-2026-11 --key audit.key

${STATUS}`,
    )
    .action((folder: string, out: string, options: VerifyOptions, command: Command) =>
      perform(command, (session) => audited(session, () => exportLog(session, folder, out, options))),
    )
}

function digestOption(text: string): string {
  const [, digest] = /^(?:sha256:)?([0-9a-f]{64})$/.exec(text) ?? []
  if (digest === undefined) throw new InvalidArgumentError('A digest is sha256: and 64 hex digits in lower case.')
  return digest
}

/** A date is its first moment in UTC. */
function timeOption(text: string): Date {
  const form = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/
  const time = new Date(text)
  // 2026-02-30 would become another day.
  const day = Number(text.slice(8, 10))
  const isReal = new Date(`${text.slice(0, 10)}T00:00:00Z`).getUTCDate() === day
  if (form.test(text) && isReal && !Number.isNaN(time.getTime())) return time
  throw new InvalidArgumentError('Write a date as 2026-11-28, or a time as 2026-11-28T10:00:00Z.')
}

function countOption(text: string): number {
  const count = Number(text)
  if (/^[1-9][0-9]{0,8}$/.test(text)) return count
  throw new InvalidArgumentError('Write a whole number of at least 1.')
}
