// `repo move`: a repository goes to another trust server, and clients follow. The plan first, then the file for the root key, then the move.
import type { Command } from 'commander'
import { decodeBase64, encodeBase64, type Gun } from '@countersign/tuf'
import { timeoutOption } from './duration.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { refuseExisting } from './files.ts'
import { repositoryArgument } from './image-list/list.ts'
import { movePlanSchema, signingRequestSchema, type MovePlanResource } from './resources.ts'
import { requireSignatures } from './root-change-commands.ts'
import { newRootChange, readRootChange, writeRootChange } from './root-change-file.ts'
import { describeRootChange } from './root-change-review.ts'
import type { Perform, Session } from './session.ts'
import { reportFollowed } from './sign-commands.ts'

interface MoveOptions {
  readonly to: string
  readonly out?: string
  readonly signed?: string
  readonly timeout: number
}

export function addMoveCommand(group: Command, perform: Perform): void {
  group
    .command('move')
    .description('Moves a repository to another trust server. Clients that know it follow, with their caches and pins.')
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .requiredOption(
      '--to <server>',
      'the trust server: its name or URL in the configuration of the daemon, or embedded',
    )
    .option('--out <file>', 'write the next root to FILE, for the root key to sign (countersign root sign)')
    .option('--signed <file>', 'move, with that file and its signatures')
    .addOption(timeoutOption())
    .addHelpText(
      'after',
      `
Without --out and --signed the plan is shown, and nothing happens. The root key has to sign, as the keys of snapshot and timestamp belong
to the servers. Nothing is deleted at the old server.

Examples:
  $ countersign repo move registry.example.com/team/app --to embedded
  $ countersign repo move registry.example.com/team/app --to embedded --out move.json
  $ countersign root sign move.json --root root.key --passphrase-file passphrase --out signed.json
  $ countersign repo move registry.example.com/team/app --to embedded --signed signed.json

Exit status: 0 planned, or moved; 1 failed; 2 usage; 3 without the grant; 4 not finished.`,
    )
    .action((gun: string, options: MoveOptions, command: Command) =>
      perform(command, (session) => move(session, repositoryArgument(gun), options)),
    )
}

async function move(session: Session, gun: Gun, options: MoveOptions): Promise<ExitStatus> {
  const { signed, out } = options
  if (signed === undefined) return plan(session, gun, options)
  if (out !== undefined) throw new CliError('USAGE_INVALID', '--out and --signed belong to different steps.')
  return carryOut(session, gun, { ...options, signed })
}

async function plan(session: Session, gun: Gun, { to, out }: MoveOptions): Promise<ExitStatus> {
  if (out !== undefined) refuseExisting(out)
  const { output, terminal } = session
  const api = await session.api()
  const found = await api.call({
    method: 'POST',
    path: `v1/repositories/${encodeURIComponent(gun)}/move-plans`,
    body: { to },
    answer: movePlanSchema,
  })
  if (found.gun !== gun) throw new CliError('SERVER_ANSWER_MALFORMED', `The server answered for ${found.gun}.`)
  const change = newRootChange(gun, decodeBase64(found.current), decodeBase64(found.next), terminal.now())
  if (out !== undefined) await writeRootChange(out, change)
  const summary = describeRootChange(change)
  output.document({ ...found, summary, ...(out !== undefined && { file: out }) })
  for (const line of describePlan(found)) output.line(line)
  output.line('')
  output.line('The root key has to sign:')
  for (const line of summary) output.line(`  ${line}`)
  if (out !== undefined) {
    output.line(`Written to ${out}`)
    output.progress(
      `Next, where the root key is: countersign root sign ${out} --root FILE --passphrase-file FILE --out SIGNED`,
    )
    output.progress(`Then here: countersign repo move ${gun} --to ${to} --signed SIGNED`)
  }
  return EXIT.done
}

async function carryOut(
  session: Session,
  gun: Gun,
  { to, signed, timeout }: MoveOptions & { readonly signed: string },
): Promise<ExitStatus> {
  const change = await readRootChange(signed, session.terminal.now())
  if (change.gun !== gun) throw new CliError('USAGE_INVALID', `${signed} is about ${change.gun}.`)
  requireSignatures(signed, change)
  const api = await session.api()
  const request = await api.call({
    method: 'POST',
    path: `v1/repositories/${encodeURIComponent(gun)}/moves`,
    body: {
      to,
      next: encodeBase64(change.next.message),
      signatures: change.signatures.map(({ keyId, method, signature }) => ({
        keyId,
        method,
        signature: encodeBase64(signature),
      })),
    },
    answer: signingRequestSchema,
  })
  return reportFollowed(session, request, timeout)
}

function describePlan(plan: MovePlanResource): string[] {
  const { moved, left, roots, raises } = plan
  const oldest = roots.at(0) ?? 1
  const newest = roots.at(-1) ?? 1
  return [
    `Moves:          ${plan.gun}`,
    `From:           ${plan.from}`,
    `To:             ${plan.to}`,
    ...moved.map(({ role, version, expiresAt }) => `Goes along:     ${role} version ${version}, expires ${expiresAt}`),
    ...left.map(({ role, code }) => `Stays behind:   ${role} (${code}): clients pass over it now`),
    plan.takesOlderRoots
      ? `Roots there:    ${oldest} to ${newest + 1}: clients can follow from each of them`
      : `Roots there:    ${newest + 1} alone: clients follow that know root ${newest}`,
    ...(raises > 0
      ? [`Versions there: raised by about ${raises} updates without files, above those of the old server`]
      : []),
    'Clients:        follow as soon as they are pointed at the new server, and refuse the old one from then on',
    `Old server:     is left as it is. Its timestamp ends at ${plan.oldTimestampExpiresAt}, and is signed again as long as that server runs;`,
    `                its root ends at ${plan.oldRootExpiresAt}. Sign nothing there any more.`,
  ]
}
