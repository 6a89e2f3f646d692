// `request approve`, `deny`, `withdraw` and `resubmit`: what people say to a signing request.
import type { Command } from 'commander'
import { timeoutOption } from './duration.ts'
import { openApproverKey, signRequest } from './approver-key.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { showRequest } from './following.ts'
import { readLine } from './line-input.ts'
import { printReview } from './request-review.ts'
import { signingRequestSchema, type SigningRequestResource } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { reportFollowed } from './sign-commands.ts'

interface ApproveOptions {
  readonly digest?: string
  readonly comment?: string
  readonly key?: string
  readonly passphraseFile?: string
}

interface ResubmitOptions {
  readonly each?: boolean
  readonly policy?: string
  readonly description?: string
  readonly timeout: number
}

export function addApprovalCommands(group: Command, perform: Perform): void {
  group
    .command('approve')
    .description('Approves a request, after showing what it will change. What is approved is what was shown.')
    .argument('<id>', 'ID of the request')
    .option('--digest <hex>', 'the approval digest that was shown: asks no question, and approves nothing else')
    .option('--comment <text>', 'kept with the approval')
    .option('--key <file>', 'your own key (`approver create`), where the policy asks for signed approvals')
    .option('--passphrase-file <file>', 'with --key: file with its passphrase, mode 0600')
    .addHelpText(
      'after',
      `
Without --digest the answer \`yes\` is read from standard input.

Examples:
  $ countersign request approve req-01j9
  $ countersign request approve req-01j9 --key approver.key --passphrase-file passphrase
  $ countersign request approve req-01j9 --digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

Exit status: 0 approved; 1 failed, or something changed meanwhile; 2 usage; 3 not an approver.`,
    )
    .action((id: string, options: ApproveOptions, command: Command) =>
      perform(command, (session) => approve(session, id, options)),
    )

  group
    .command('deny')
    .description('Denies a request. One denial ends it.')
    .argument('<id>', 'ID of the request')
    .requiredOption('--reason <text>', 'for the submitter')
    .addHelpText('after', '\nExamples:\n  $ countersign request deny req-01j9 --reason "not tested on arm64"')
    .action((id: string, options: { reason: string }, command: Command) =>
      perform(command, (session) => say(session, id, 'denial', { reason: options.reason }, 'Denied')),
    )

  group
    .command('withdraw')
    .description('Takes back a request of your own, while nothing of it is being signed.')
    .argument('<id>', 'ID of the request')
    .addHelpText('after', '\nExamples:\n  $ countersign request withdraw req-01j9')
    .action((id: string, _options: object, command: Command) =>
      perform(command, (session) => say(session, id, 'withdrawal', undefined, 'Withdrawn')),
    )

  group
    .command('resubmit')
    .description('Asks for the same images at the same digests again, under another policy, and waits for the end.')
    .argument('<id>', 'ID of the request')
    .option('--policy <name>', 'the signing policy to apply; the default of the project where none is named')
    .option('--each', 'sign what the registries have by now, and tell of the rest')
    .option('--description <text>', 'why; shown to approvers and kept in the record')
    .addOption(timeoutOption())
    .addHelpText('after', '\nExamples:\n  $ countersign request resubmit req-01j9 --policy emergency')
    .action((id: string, options: ResubmitOptions, command: Command) =>
      perform(command, (session) => resubmit(session, id, options)),
    )
}

async function approve(session: Session, id: string, options: ApproveOptions): Promise<ExitStatus> {
  const { key: keyFile, passphraseFile, comment } = options
  if ((keyFile === undefined) !== (passphraseFile === undefined)) {
    throw new CliError('USAGE_INVALID', '--key and --passphrase-file belong together.')
  }
  // Opened first: nobody should say yes and then learn of a wrong passphrase.
  const key =
    keyFile === undefined || passphraseFile === undefined ? undefined : openApproverKey(keyFile, passphraseFile)
  const isShown = options.digest === undefined || key !== undefined
  const request = isShown ? await showRequest(session, id) : undefined
  const digest = options.digest ?? (request && (await confirmed(session, request)))
  if (request !== undefined && request.approvalDigest !== digest) {
    throw new CliError(
      'APPROVAL_NOT_GIVEN',
      'The request is not what was looked at: its approval digest is another one.',
      {
        next: `Look at it again: countersign request show ${id}`,
      },
    )
  }
  const body = {
    digest,
    ...(comment !== undefined && { comment }),
    ...(key !== undefined && request !== undefined && { signatures: signRequest(key, request) }),
  }
  return say(session, id, 'approvals', body, 'Approved')
}

/** The digest of what was shown, once somebody has said yes. @throws CliError APPROVAL_NOT_GIVEN */
async function confirmed(session: Session, request: SigningRequestResource): Promise<string> {
  const { approvalDigest } = request
  if (approvalDigest === undefined) {
    throw new CliError(
      'APPROVAL_NOT_GIVEN',
      `Request ${request.id} is ${request.status}: nothing in it waits for approvals.`,
    )
  }
  // With --json standard output is for the result; who answers there has looked elsewhere.
  printReview(session, request)
  session.output.line()
  session.output.progress(`Approve exactly this? Approval digest ${approvalDigest}. Type yes:`)
  if ((await readLine(session.terminal)).trim() === 'yes') return approvalDigest
  throw new CliError('APPROVAL_NOT_GIVEN', 'Nothing was approved: the answer was not yes.', {
    next: `To deny it: countersign request deny ${request.id} --reason TEXT`,
  })
}

async function say(
  session: Session,
  id: string,
  what: string,
  body: object | undefined,
  done: string,
): Promise<ExitStatus> {
  const api = await session.api()
  const request = await api.call({
    method: 'POST',
    path: `v1/signing-requests/${encodeURIComponent(id)}/${what}`,
    ...(body !== undefined && { body }),
    answer: signingRequestSchema,
  })
  const { output } = session
  output.document(request)
  output.line(`${done}. Request ${request.id} is ${request.status} now.`)
  if (request.status === 'awaiting-approval') {
    output.line()
    printReview(session, request)
  }
  return EXIT.done
}

async function resubmit(session: Session, id: string, options: ResubmitOptions): Promise<ExitStatus> {
  const { each = false, policy, description, timeout } = options
  const api = await session.api()
  const request = await api.call({
    method: 'POST',
    path: `v1/signing-requests/${encodeURIComponent(id)}/resubmission`,
    body: {
      ...(each && { mode: 'each' }),
      ...(policy !== undefined && { policy }),
      ...(description !== undefined && { description }),
    },
    answer: signingRequestSchema,
  })
  return reportFollowed(session, request, timeout)
}
