// `request list`, `request show` and `request receipt`: what was asked, and what became of it.
import { InvalidArgumentError, type Command } from 'commander'
import { timeoutOption } from './duration.ts'
import { EXIT, type ExitStatus } from './errors.ts'
import { showRequest } from './following.ts'
import { repositoryArgument } from './image-list/list.ts'
import { colourOfStatus, printImages } from './outcome.ts'
import { addReceiptCommand } from './receipt-commands.ts'
import { printReview, sourceOf } from './request-review.ts'
import { signingRequestPageSchema, type SigningRequestResource } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { reportFollowed } from './sign-commands.ts'

/** What the server gives at most in one answer; longer lists are fetched in several. */
const PAGE_SIZE = 100

interface ListOptions {
  readonly limit: number
  readonly gun?: string
  readonly status?: string
  readonly cursor?: string
}

interface ShowOptions {
  readonly wait?: boolean
  readonly timeout: number
}

export function addRequestCommands(group: Command, perform: Perform): void {
  group
    .command('list')
    .description('Lists requests that you may see, newest first.')
    .option('--limit <count>', 'how many at most', countOption, 20)
    .option('--gun <gun>', 'only those for this repository')
    .option('--status <status>', 'only those in this state, such as publishing or failed')
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign request list
  $ countersign request list --gun registry.example.com/team/app --status failed --json`,
    )
    .action((options: ListOptions, command: Command) => perform(command, (session) => listRequests(session, options)))

  group
    .command('show')
    .description('Shows one request. With --wait: follows it to its end, and the exit status is that of `sign`.')
    .argument('<id>', 'ID of the request')
    .option('--wait', 'wait for the end')
    .addOption(timeoutOption())
    .addHelpText(
      'after',
      `
Examples:
  $ countersign request show req-01j9 --json
  $ countersign request show req-01j9 --wait --timeout 30m`,
    )
    .action((id: string, options: ShowOptions, command: Command) =>
      perform(command, (session) => show(session, id, options)),
    )

  addReceiptCommand(group, perform)
}

async function listRequests(session: Session, options: ListOptions): Promise<ExitStatus> {
  const gun = options.gun === undefined ? undefined : repositoryArgument(options.gun)
  const api = await session.api()
  const requests: SigningRequestResource[] = []
  let cursor = options.cursor
  do {
    const page = await api.call({
      method: 'GET',
      path: 'v1/signing-requests',
      query: {
        limit: String(Math.min(options.limit - requests.length, PAGE_SIZE)),
        cursor,
        gun,
        status: options.status,
      },
      answer: signingRequestPageSchema,
    })
    requests.push(...page.requests)
    cursor = page.requests.length === 0 ? undefined : (page.nextCursor ?? undefined)
  } while (cursor !== undefined && requests.length < options.limit)
  printList(session, requests.slice(0, options.limit), cursor)
  return EXIT.done
}

function printList(
  session: Session,
  requests: readonly SigningRequestResource[],
  nextCursor: string | undefined,
): void {
  const { output } = session
  output.document({ requests, ...(nextCursor !== undefined && { nextCursor }) })
  output.table(
    ['ID', 'STATUS', 'KIND', 'CREATED', 'SUBMITTER', 'IMAGES'],
    requests.map((request) => [
      request.id,
      request.status,
      request.kind,
      request.createdAt,
      submitterOf(request),
      describeImages(request),
    ]),
    ([, status = '']) => colourOfStatus(status),
  )
  if (nextCursor !== undefined) output.progress(`There are more: --cursor ${nextCursor}`)
}

async function show(session: Session, id: string, options: ShowOptions): Promise<ExitStatus> {
  const request = await showRequest(session, id)
  if (options.wait === true) return reportFollowed(session, request, options.timeout)
  const { output } = session
  output.document(request)
  if (request.status === 'awaiting-approval') {
    printReview(session, request)
    output.line()
    output.line(`Approval digest: ${request.approvalDigest ?? '-'}`)
    return EXIT.done
  }
  output.line(`Request:      ${request.id}`)
  output.line(`Kind:         ${request.kind}`)
  output.line(`Status:       ${request.status}`, colourOfStatus(request.status))
  output.line(`Submitted by: ${submitterOf(request)}`)
  output.line(`Created:      ${request.createdAt}`)
  output.line(`Updated:      ${request.updatedAt}`)
  if (typeof request.description === 'string') output.line(`Description:  ${request.description}`)
  const source = sourceOf(request)
  if (source !== undefined) output.line(`Promoted from: ${source}`)
  output.line()
  printImages(session, request)
  for (const { reference, error } of request.images) {
    if (error !== undefined) output.line(`${reference}: ${error.code}: ${error.detail ?? ''}`, 'red')
  }
  return EXIT.done
}

function submitterOf({ submitter }: SigningRequestResource): string {
  return typeof submitter === 'string' ? submitter : (submitter.name ?? submitter.id)
}

function describeImages({ images }: SigningRequestResource): string {
  const first = images[0] === undefined ? '' : `${images[0].gun}:${images[0].tag}`
  return images.length > 1 ? `${first} and ${images.length - 1} more` : first
}

function countOption(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('A whole number from 1 to 99999.')
}
