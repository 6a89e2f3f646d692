// `repo renew`: the roles of a repository signed again before they expire, now and not when Countersign would do it by itself.
import type { Command } from 'commander'
import { timeoutOption } from './duration.ts'
import { ApiProblem, EXIT, type ExitStatus } from './errors.ts'
import { repositoryArgument } from './image-list/list.ts'
import { signingRequestSchema } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { reportFollowed } from './sign-commands.ts'

export function addRenewCommand(group: Command, perform: Perform): void {
  group
    .command('renew')
    .description(
      'Signs the roles that expire soon again, as they are. Countersign does it by itself; this does it now.',
    )
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .addOption(timeoutOption())
    .addHelpText(
      'after',
      `
Examples:
  $ countersign repo renew registry.example.com/team/app

Exit status: 0 renewed, or nothing expires soon; 1 failed; 2 usage; 3 without the grant; 4 not finished.`,
    )
    .action((gun: string, { timeout }: { timeout: number }, command: Command) =>
      perform(command, (session) => renew(session, repositoryArgument(gun), timeout)),
    )
}

async function renew(session: Session, gun: string, timeoutMs: number): Promise<ExitStatus> {
  const api = await session.api()
  try {
    const path = `v1/repositories/${encodeURIComponent(gun)}/renewals`
    const request = await api.call({ method: 'POST', path, body: {}, answer: signingRequestSchema })
    return await reportFollowed(session, request, timeoutMs)
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.code !== 'RENEWAL_NOT_DUE') throw error
    session.output.document({ gun, renewed: false })
    session.output.line(`${gun}: nothing that is signed here expires soon.`)
    return EXIT.done
  }
}
