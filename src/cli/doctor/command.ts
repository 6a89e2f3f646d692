// `doctor`: what this machine verifies and reaches, and what stock clients mean by their errors.
import type { Command } from 'commander'
import { parseImageReference } from '../../domain/image-reference.ts'
import { CliError, EXIT, type ExitStatus } from '../errors.ts'
import type { Perform, Session } from '../session.ts'
import type { Colour } from '../terminal.ts'
import { explain } from './explain.ts'
import { findingsOf, type State } from './findings.ts'
import { gather } from './gather.ts'

const COLOURS: Readonly<Record<State, Colour>> = { ok: 'green', warning: 'yellow', problem: 'red' }

export function addDoctorCommands(program: Command, perform: Perform): void {
  program
    .command('doctor')
    .summary('explain this machine, or an error of docker')
    .description(
      'Looks at this machine: Docker and what it verifies, servers and TLS, pins, left-over secrets and keys, clock. Changes nothing.',
    )
    .argument('[image]', 'IMAGE[:TAG]: look at its registry, trust server and pins')
    .option('--explain <text>', 'say what an error of docker or notary means, and look at nothing')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign doctor
  $ countersign doctor registry.example.com/team/app:1.4
  $ countersign doctor --explain "no valid signing keys for delegation roles"

Exit status: 0 no problem was found; 1 at least one, or the text is not known; 2 usage. Warnings do not count.`,
    )
    .action((image: string | undefined, options: { explain?: string }, command: Command) =>
      perform(command, (session) =>
        options.explain === undefined ? examine(session, image) : Promise.resolve(tell(session, options.explain)),
      ),
    )
}

async function examine(session: Session, image: string | undefined): Promise<ExitStatus> {
  const { output } = session
  const reference = image === undefined ? undefined : parseImageReference(image)
  const findings = findingsOf(await gather(session, reference, process.versions.node))
  const isWell = findings.every(({ state }) => state !== 'problem')
  output.document({ ...(image !== undefined && { image }), ok: isWell, findings })
  output.table(
    ['STATE', 'FINDING', 'MEANS'],
    findings.map(({ id, state, means }) => [state, id, means]),
    ([state]) => COLOURS[state as State],
  )
  const open = findings.filter(({ next }) => next !== undefined)
  if (open.length > 0) output.line()
  for (const { id, next } of open) output.line(`${id}: ${next}`)
  return isWell ? EXIT.done : EXIT.failed
}

/** @throws CliError ERROR_UNKNOWN */
function tell({ output }: Session, text: string): ExitStatus {
  const found = explain(text)
  if (found === undefined) {
    throw new CliError('ERROR_UNKNOWN', 'This is no error that is known here.', {
      next: 'docs/troubleshooting.md has those that are. Without --explain, countersign doctor looks at this machine.',
    })
  }
  const { id, means, next } = found
  output.document({ id, means, next })
  output.line(means)
  output.line(next)
  return EXIT.done
}
