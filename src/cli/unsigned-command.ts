// `repo unsigned`: the tags that were pushed and are not signed.
import type { Command } from 'commander'
import type { ExitStatus } from './errors.ts'
import { showOfRepositories } from './named-repositories.ts'
import { unsignedSchema, type UnsignedResource } from './resources.ts'
import type { Perform, Session } from './session.ts'

export function addUnsignedCommand(group: Command, perform: Perform): void {
  group
    .command('unsigned')
    .description('Lists tags that were pushed and are not signed.')
    .argument('[gun]', 'repository; without it all of them')
    .addHelpText(
      'after',
      `
The daemon knows of pushes by the events of registries (signOnPush). A tag leaves the list when it is signed, or gone from its registry.

Examples:
  $ countersign repo unsigned registry.example.com/team/app
  $ countersign repo unsigned --json

Exit status: 0 shown, whatever is unsigned; 1 failed; 2 usage; 3 without the grant.`,
    )
    .action((gun: string | undefined, _options: object, command: Command) =>
      perform(command, (session) => showUnsigned(session, gun)),
    )
}

function showUnsigned(session: Session, text: string | undefined): Promise<ExitStatus> {
  const print = (found: UnsignedResource): void => {
    printUnsigned(session, found)
  }
  return showOfRepositories(session, text, { below: 'unsigned-tags', answer: unsignedSchema, print })
}

function printUnsigned({ output }: Session, { gun, unsigned, waiting, tags, hasMore }: UnsignedResource): void {
  output.line(`${gun}: ${unsigned} pushed tags are not signed, ${waiting} of them not looked at yet`, 'bold')
  if (tags.length > 0) {
    output.table(
      ['TAG', 'SINCE', 'DIGEST', 'WHY', 'REQUEST'],
      tags.map((tag) => [tag.tag, tag.since, tag.digest ?? '-', reasonOf(tag), tag.request ?? '-']),
    )
  }
  if (hasMore) output.line('There are more; these are the oldest.')
  output.line()
}

function reasonOf({ status, trouble, digest }: UnsignedResource['tags'][number]): string {
  if (trouble !== undefined) return trouble
  if (status !== undefined) return status
  return digest === undefined ? 'not looked at yet' : 'no event for this digest'
}
