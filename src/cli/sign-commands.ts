// `sign` and `unsign`: ask for a change of signed tags, wait for its end, and tell the truth by the exit status.
import { randomUUID } from 'node:crypto'
import { InvalidArgumentError, type Command } from 'commander'
import { requireTag, type TaggedReference } from '../domain/image-reference.ts'
import { timeoutOption } from './duration.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { refuseExisting } from './files.ts'
import { followRequest, submitRequest, type Submission } from './following.ts'
import { listImages } from './image-list/list.ts'
import { reportRequest, type Expected } from './outcome.ts'
import { receiptFiles, writeReceipts } from './receipt-commands.ts'
import type { SigningRequestResource } from './resources.ts'
import type { Perform, Session } from './session.ts'

/** The options of every command that submits a request and follows it. */
export interface SubmissionOptions {
  readonly policy?: string
  readonly description?: string
  readonly idempotencyKey?: string
  readonly receipt?: string
  readonly wait: boolean
  readonly timeout: number
}

interface SubmitOptions extends SubmissionOptions {
  readonly from?: string
  readonly each?: boolean
}

export function addSignCommands(program: Command, perform: Perform): void {
  submitting(program.command('sign'), 'IMAGE[:TAG][@DIGEST] to sign; name the digest to be sure which image is meant')
    .summary('sign tags of images')
    .description('Asks Countersign to sign tags of images, and waits until stock clients see them signed.')
    .option(
      '--each',
      'sign what the registries have, and tell of the rest; without it nothing is signed where one is missing',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ countersign sign registry.example.com/team/app:1.4@sha256:DIGEST
  $ countersign sign --from compose.yaml --description "release 1.4" --timeout 15m
  $ countersign sign --from bake-metadata.json --each
  $ countersign sign registry.example.com/team/app:1.4 --receipt app-1.4.receipt.json
  $ ID=$(countersign sign --no-wait registry.example.com/team/app:1.4) || [ $? -eq 4 ]

Exit status: 0 every image is signed and published; 1 failed or partial; 2 usage; 3 denied; 4 not finished, the ID is printed.`,
    )
    .action((images: string[], options: SubmitOptions, command: Command) =>
      perform(command, (session) => submitAndFollow(session, 'sign', images, options)),
    )

  submitting(program.command('unsign'), 'IMAGE:TAG whose signature is to be removed')
    .summary('remove tags from the signed ones')
    .description('Asks Countersign to take tags out of the signed metadata, in every role it can write.')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign unsign registry.example.com/team/app:1.3
  $ countersign unsign --from withdrawn.txt --description "CVE in 1.3"

Exit status: 0 no stock client takes the tag as signed any more; 1 failed or partial; 2 usage; 3 denied; 4 not finished.`,
    )
    .action((images: string[], options: SubmitOptions, command: Command) =>
      perform(command, (session) => submitAndFollow(session, 'unsign', images, options)),
    )
}

function submitting(command: Command, images: string): Command {
  return submissionOptions(
    command
      .argument('[images...]', images)
      .option(
        '--from <file>',
        'read images from a Compose file, a build metadata file or a list; - reads standard input',
      ),
  )
}

/** Adds what `SubmissionOptions` holds. */
export function submissionOptions(command: Command): Command {
  return command
    .option('--policy <name>', 'the signing policy to apply')
    .option('--description <text>', 'why; shown to approvers and kept in the record')
    .option('--no-wait', 'do not wait for the end: print the ID of the request and exit with 4')
    .addOption(timeoutOption())
    .option(
      '--receipt <file>',
      'write what proves it to others to a new file; a number goes in for each of several images',
    )
    .option('--idempotency-key <key>', 'name this submission, so that a repeated run does not submit twice', keyOption)
}

async function submitAndFollow(
  session: Session,
  kind: Submission['kind'],
  images: readonly string[],
  options: SubmitOptions,
): Promise<ExitStatus> {
  const references = (await listImages(session.terminal, images, options.from)).map(requireTag)
  return submitImages(session, kind, references, options, options.each === true ? { mode: 'each' } : {})
}

/** Submits a request for these images, follows it unless it shall not be waited for, and reports its end. */
export async function submitImages(
  session: Session,
  kind: Submission['kind'],
  references: readonly TaggedReference[],
  options: SubmissionOptions,
  how: Pick<Submission, 'mode' | 'promotedFrom'> = {},
): Promise<ExitStatus> {
  const files = receiptFilesOf(options, references.length)
  const expected = references.map(({ gun, tag, digest }): Expected => ({
    gun,
    tag,
    ...(digest !== undefined && kind === 'sign' && { digest }),
  }))
  const submission: Submission = {
    kind,
    images: references.map(({ text }) => text),
    ...how,
    ...(options.policy !== undefined && { policy: options.policy }),
    ...(options.description !== undefined && { description: options.description }),
  }
  const request = await submit(session, submission, options.idempotencyKey ?? randomUUID())
  if (!options.wait) return reportRequest(session, request, 'not waited for', expected)
  const status = await reportFollowed(session, request, options.timeout, expected)
  return status === EXIT.done ? writeReceipts(session, request, files) : status
}

/** Where receipts will be written. @throws CliError USAGE_INVALID, FILE_EXISTS, before anything is sent */
export function receiptFilesOf({ receipt, wait }: SubmissionOptions, images: number): readonly string[] {
  const files = receipt === undefined ? [] : receiptFiles(receipt, images)
  if (files.length > 0 && !wait) {
    throw new CliError('USAGE_INVALID', 'Before the end there is no receipt: --receipt does not go with --no-wait.')
  }
  files.forEach(refuseExisting)
  return files
}

/** After Ctrl-C or a lost answer the request may have arrived: the idempotency key finds it, so it is told. */
async function submit(session: Session, submission: Submission, key: string): Promise<SigningRequestResource> {
  try {
    return await submitRequest(session, submission, key)
  } catch (error) {
    if (!(error instanceof CliError) || !ANSWER_MISSING.has(error.code)) throw error
    const isInterrupted = error.code === 'INTERRUPTED'
    throw new CliError(
      isInterrupted ? 'REQUEST_NOT_FINISHED' : error.code,
      isInterrupted ? 'Interrupted while the request was being submitted.' : error.message,
      {
        facts: { ...error.facts, idempotencyKey: key },
        next: `The request may have arrived: the same command with --idempotency-key ${key} does not submit it twice.`,
        cause: error,
      },
    )
  }
}

/** Failures after which it is unknown whether the server has the request. */
const ANSWER_MISSING: ReadonlySet<string> = new Set([
  'INTERRUPTED',
  'SERVER_UNREACHABLE',
  'SERVER_TIMEOUT',
  'SERVER_ANSWER_MALFORMED',
  'SERVER_ANSWER_TOO_LARGE',
])

/** Follows a request to its end, reports it, and returns the exit status; Ctrl-C leaves it, with its ID, as unfinished. */
export async function reportFollowed(
  session: Session,
  request: SigningRequestResource,
  timeoutMs: number,
  expected: readonly Expected[] = [],
): Promise<ExitStatus> {
  try {
    const latest = await followRequest(session, request, timeoutMs)
    const because = session.isInterrupted() ? 'interrupted' : 'the time to wait is over'
    return reportRequest(session, latest, because, expected)
  } catch (error) {
    // The request exists and its end is unknown: whatever went wrong here, its ID must not be lost.
    if (!request.isFinal)
      session.output.progress(`${request.id}: submitted; see: countersign request show ${request.id}`)
    throw error
  }
}

function keyOption(text: string): string {
  if (/^[A-Za-z0-9._:-]{1,128}$/.test(text)) return text
  throw new InvalidArgumentError('1 to 128 characters of A-Z, a-z, 0-9, - . _ :')
}
