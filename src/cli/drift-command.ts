// `repo drift`: the signed tags that stand in the registry for something else, or not at all.
import type { Command } from 'commander'
import type { ExitStatus } from './errors.ts'
import { showOfRepositories } from './named-repositories.ts'
import { driftSchema, type DriftResource } from './resources.ts'
import type { Perform, Session } from './session.ts'

export function addDriftCommand(group: Command, perform: Perform): void {
  group
    .command('drift')
    .description('Lists signed tags that stand in the registry for something else, or not at all.')
    .argument('[gun]', 'repository; without it all of them')
    .addHelpText(
      'after',
      `
The daemon asks registries for each tag that it signed, once a day (drift.every). What it found last is shown.

Examples:
  $ countersign repo drift registry.example.com/team/app
  $ countersign repo drift --json

Exit status: 0 shown, whatever has drifted; 1 failed; 2 usage; 3 without the grant.`,
    )
    .action((gun: string | undefined, _options: object, command: Command) =>
      perform(command, (session) => showDrift(session, gun)),
    )
}

function showDrift(session: Session, text: string | undefined): Promise<ExitStatus> {
  const print = (found: DriftResource): void => {
    printDrift(session, found)
  }
  return showOfRepositories(session, text, { below: 'drift', answer: driftSchema, print })
}

function printDrift({ output }: Session, { gun, signed, moved, gone, unknown, tags, hasMore }: DriftResource): void {
  output.line(`${gun}: ${signed} signed tags, ${moved} moved, ${gone} gone, ${unknown} without an answer`, 'bold')
  if (tags.length > 0) {
    output.table(
      ['TAG', 'STATE', 'SIGNED', 'IN THE REGISTRY', 'SINCE'],
      tags.map(({ tag, state, signed: digest, found, since }) => [tag, state, digest ?? '-', found ?? '-', since]),
    )
  }
  if (hasMore) output.line('There are more; these are the newest.')
  output.line()
}
