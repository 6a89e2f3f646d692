// `prune`: shows which signed tags are gone or old, and has exactly those unsigned that were shown.
import { randomUUID } from 'node:crypto'
import { InvalidArgumentError, type Command } from 'commander'
import * as z from 'zod'
import { MAX_PRUNED } from '../domain/pruning.ts'
import { printDuration } from '../config/units.ts'
import { durationOption, timeoutOption } from './duration.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { readPublicFile } from './files.ts'
import { repositoryArgument } from './image-list/list.ts'
import { reportRequest } from './outcome.ts'
import { prunePlanSchema, signingRequestSchema, type PrunePlanResource } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { reportFollowed } from './sign-commands.ts'

interface PruneOptions {
  readonly gone?: boolean
  readonly olderThan?: number
  readonly keepLast?: number
  readonly yes?: boolean
  readonly apply?: string
  readonly all?: boolean
  readonly policy?: string
  readonly description?: string
  readonly wait: boolean
  readonly timeout: number
}

/** The largest file of a plan, in bytes. */
const MAX_PLAN_BYTES = 4 * 1024 * 1024

export function addPruneCommand(program: Command, perform: Perform): void {
  program
    .command('prune')
    .summary('unsign tags that are gone or old')
    .description(
      'Shows which signed tags are gone from the registry or older than a rule; with --yes or --apply they are unsigned, in one publication.',
    )
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .option('--gone', 'tags that the registry does not have')
    .option('--older-than <duration>', 'tags that were signed here longer ago, such as 180d', durationOption)
    .option('--keep-last <count>', 'with --older-than: so many that were signed last stay', countOption)
    .option('--yes', 'unsign what is found')
    .option('--apply <file>', 'unsign what a plan names, as --json has printed it, and nothing else')
    .option('--all', 'even where no signed tag is left')
    .option('--policy <name>', 'the signing policy to apply')
    .option('--description <text>', 'why; shown to approvers and kept in the record')
    .option('--no-wait', 'do not wait for the end: print the ID of the request and exit with 4')
    .addOption(timeoutOption())
    .addHelpText(
      'after',
      `
Without --yes and --apply nothing is changed.

Examples:
  $ countersign prune registry.example.com/team/app --gone
  $ countersign prune registry.example.com/team/app --gone --older-than 365d --keep-last 10 --json > plan.json
  $ countersign prune registry.example.com/team/app --apply plan.json --description "tags of 2024"

Exit status: 0 shown, or unsigned and published; 1 failed or partial; 2 usage; 3 denied; 4 not finished, the ID is printed.`,
    )
    .action((gun: string, options: PruneOptions, command: Command) =>
      perform(command, (session) => prune(session, repositoryArgument(gun), options)),
    )
}

async function prune(session: Session, gun: string, options: PruneOptions): Promise<ExitStatus> {
  const { apply: file, yes = false, gone = false, olderThan, keepLast } = options
  const hasRules = gone || olderThan !== undefined
  if (file === undefined ? !hasRules : hasRules || yes) {
    throw new CliError(
      'USAGE_INVALID',
      'Say what to prune: --gone, --older-than DURATION or both, or --apply FILE alone.',
    )
  }
  if (keepLast !== undefined && olderThan === undefined) {
    throw new CliError('USAGE_INVALID', '--keep-last goes with --older-than.')
  }
  const plan =
    file === undefined
      ? await planned(session, gun, options)
      : readPlan(await readPublicFile(file, MAX_PLAN_BYTES), gun)
  if (file === undefined) printPlan(session, plan)
  if (plan.entries.length === 0 || (file === undefined && !yes)) {
    session.output.document(plan)
    if (plan.entries.length > 0)
      session.output.line(
        'Nothing was changed. To unsign them: the same with --yes, or --json > FILE and --apply FILE.',
      )
    return EXIT.done
  }
  if ((plan.stays < 1 || plan.entries.length >= plan.signed) && options.all !== true) {
    throw new CliError('PRUNE_LEAVES_NOTHING', `Of ${plan.signed} signed tags none was found that stays.`, {
      next: 'Make sure that the registry has told the truth; then repeat it with --all.',
    })
  }
  return apply(session, plan, options)
}

/** All pages, up to as many entries as one publication takes, and on until one shows a tag that stays. */
async function planned(session: Session, gun: string, options: PruneOptions): Promise<PrunePlanResource> {
  const api = await session.api()
  const { gone = false, olderThan, keepLast } = options
  const rules = new URLSearchParams({
    gone: String(gone),
    ...(olderThan !== undefined && { olderThan: printDuration(olderThan) }),
    ...(keepLast !== undefined && { keepLast: String(keepLast) }),
  })
  const entries: PrunePlanResource['entries'] = []
  const kept: PrunePlanResource['kept'] = []
  let signed: number
  let stays = 0
  let madeAt: string | undefined
  let cursor: string | undefined
  do {
    if (cursor !== undefined) rules.set('cursor', cursor)
    const path = `v1/repositories/${encodeURIComponent(gun)}/prune-plan?${rules.toString()}`
    const page = await api.call({ method: 'GET', path, answer: prunePlanSchema })
    entries.push(...page.entries)
    kept.push(...page.kept)
    signed = page.signed
    stays += page.stays
    madeAt ??= page.madeAt
    if (cursor !== undefined && page.nextCursor !== undefined && page.nextCursor <= cursor) {
      throw new CliError('SERVER_ANSWER_MALFORMED', 'The pages of the plan go in a circle.')
    }
    cursor = page.nextCursor
    session.output.progress(`${gun}: ${entries.length} tags found`)
  } while (cursor !== undefined && (entries.length < MAX_PRUNED || stays === 0))
  const hasMore = cursor !== undefined || entries.length > MAX_PRUNED
  if (hasMore) session.output.warn(`One publication takes ${MAX_PRUNED} tags: repeat it afterwards for the rest.`)
  return { gun, madeAt, signed, stays, entries: entries.slice(0, MAX_PRUNED), kept }
}

function printPlan({ output }: Session, { gun, signed, entries, kept }: PrunePlanResource): void {
  output.table(
    ['TAG', 'DIGEST', 'WHY', 'SIGNED'],
    entries.map(({ tag, digest, reason, signedAt }) => [tag, digest, reason, signedAt ?? '-']),
  )
  for (const { tag, code, detail } of kept) output.warn(`${tag} stays: ${code}: ${detail ?? ''}`)
  output.line(`${gun}: ${entries.length} of ${signed} signed tags.`)
}

/** @throws CliError PRUNE_PLAN_INVALID */
function readPlan(bytes: Buffer, gun: string): PrunePlanResource {
  try {
    const plan = z.parse(prunePlanSchema, JSON.parse(bytes.toString('utf8')))
    if (plan.gun === gun) return plan
  } catch {
    // Told below.
  }
  throw new CliError('PRUNE_PLAN_INVALID', `The file is no plan of ${gun}.`, {
    next: `Write it with: countersign prune ${gun} --gone --json > FILE`,
  })
}

async function apply(
  session: Session,
  { gun, madeAt, entries }: PrunePlanResource,
  options: PruneOptions,
): Promise<ExitStatus> {
  const { policy, description, wait, timeout, all = false } = options
  const api = await session.api()
  const request = await api.call({
    method: 'POST',
    path: `v1/repositories/${encodeURIComponent(gun)}/prunings`,
    body: {
      madeAt,
      entries: entries.map(({ tag, digest, reason }) => ({ tag, digest, reason })),
      ...(all && { all }),
      ...(policy !== undefined && { policy }),
      ...(description !== undefined && { description }),
    },
    idempotencyKey: randomUUID(),
    answer: signingRequestSchema,
  })
  const expected = entries.map(({ tag }) => ({ gun, tag }))
  if (!wait) return reportRequest(session, request, 'not waited for', expected)
  return reportFollowed(session, request, timeout, expected)
}

function countOption(value: string): number {
  if (/^(0|[1-9][0-9]{0,6})$/.test(value)) return Number(value)
  throw new InvalidArgumentError('a number from 0 to 9999999')
}
