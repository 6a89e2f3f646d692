// `repo repair`: targets and delegations that have expired, signed again as they are. What cannot be repaired is said in words, with the key
// that it needs.
import type { Command } from 'commander'
import { timeoutOption } from './duration.ts'
import { ApiProblem, EXIT, type ExitStatus } from './errors.ts'
import { repositoryArgument } from './image-list/list.ts'
import { repairPlanSchema, signingRequestSchema, type RepairPlanResource } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { reportFollowed } from './sign-commands.ts'

interface RepairOptions {
  readonly dryRun?: boolean
  readonly timeout: number
}

export function addRepairCommand(group: Command, perform: Perform): void {
  group
    .command('repair')
    .description('Signs targets and delegations that have expired again, as they are, with the keys that are here.')
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .option('--dry-run', 'say what has expired and what could be repaired, and change nothing')
    .addOption(timeoutOption())
    .addHelpText(
      'after',
      `
An expired root needs the root key: the plan says so, and countersign root export, sign and apply give it a later expiry. The rest comes after.

Examples:
  $ countersign repo repair registry.example.com/team/app --dry-run
  $ countersign repo repair registry.example.com/team/app

Exit status: 0 nothing is expired any more; 1 failed, or something stays expired; 2 usage; 3 without the grant; 4 not finished.`,
    )
    .action((gun: string, options: RepairOptions, command: Command) =>
      perform(command, (session) => repair(session, repositoryArgument(gun), options)),
    )
}

async function repair(session: Session, gun: string, { dryRun, timeout }: RepairOptions): Promise<ExitStatus> {
  const { output } = session
  const api = await session.api()
  const path = `v1/repositories/${encodeURIComponent(gun)}/repairs`
  const plan = await api.call({ method: 'GET', path, answer: repairPlanSchema })
  printPlan(session, plan)
  const left = plan.expired.flatMap(({ role, canRepair, obstacle }) => (canRepair ? [] : [obstacle ?? role]))
  if (dryRun === true || plan.expired.length === 0) {
    output.document(plan)
    if (plan.expired.length === 0) output.line(`${gun}: nothing has expired.`)
    for (const words of left) output.complain('REPAIR_NOT_POSSIBLE', words)
    return left.length > 0 ? EXIT.failed : EXIT.done
  }
  try {
    const request = await api.call({ method: 'POST', path, body: {}, answer: signingRequestSchema })
    const status = await reportFollowed(session, request, timeout)
    for (const words of left) output.complain('REPAIR_NOT_POSSIBLE', words)
    return status === EXIT.done && left.length > 0 ? EXIT.failed : status
  } catch (error) {
    // Somebody was faster.
    if (!(error instanceof ApiProblem) || error.code !== 'REPAIR_NOT_NEEDED') throw error
    output.document({ ...plan, expired: [] })
    output.line(`${gun}: nothing is expired any more.`)
    return EXIT.done
  }
}

function printPlan({ output }: Session, { expired }: RepairPlanResource): void {
  if (expired.length === 0) return
  output.table(
    ['ROLE', 'VERSION', 'EXPIRED', 'REPAIR'],
    expired.map(({ role, version, expiredAt, canRepair }) => [
      role,
      String(version),
      expiredAt,
      canRepair ? 'signed again' : 'not here',
    ]),
    ([, , , how]) => (how === 'not here' ? 'red' : 'green'),
  )
}
