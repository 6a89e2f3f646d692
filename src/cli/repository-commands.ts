// `repo init`, `list`, `status` and `remove`: repositories that Countersign signs for. Adoption and freezing: operator-commands.ts.
import { Option, type Command } from 'commander'
import * as z from 'zod'
import { encodeBase64, decodeBase64, type Gun } from '@countersign/tuf'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { showExpiry } from './expiry-status.ts'
import { versionsInWords } from './foreign-versions.ts'
import { repositoryArgument } from './image-list/list.ts'
import { namedRepositories } from './named-repositories.ts'
import { withRootKey } from './root-key/open.ts'
import { addRootOpening, opensSomething, type RootOpening } from './root-key/options.ts'
import type { RootKey } from './root-key/root-key.ts'
import {
  initializationSchema,
  repositoryListSchema,
  repositoryReportSchema,
  type InitializationResource,
  type RepositoryReportResource,
} from './resources.ts'
import { describeRoot, reviewRoot } from './root-review.ts'
import type { Perform, Session } from './session.ts'

interface InitOptions extends RootOpening {
  readonly root?: string
  readonly delegations: boolean
  readonly keyType?: string
}

export function addRepositoryCommands(group: Command, perform: Perform): void {
  const init = group
    .command('init')
    .description('Gives a new repository its keys and first metadata. With --root the root key stays where it is.')
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .option('--root <file>', 'root key made by `root create`; its certificate is FILE.crt')
  addRootOpening(init)
    .option('--no-delegations', 'sign tags in `targets` itself, without targets/releases')
    .addOption(new Option('--key-type <type>', 'type of the signing keys').choices(['ecdsa', 'ed25519', 'rsa']))
    .addHelpText(
      'after',
      `
Without --root the root key is made and kept by the key holder: good for a first try, and warned about ever after.

Examples:
  $ countersign repo init registry.example.com/team/app --root team-root.key --passphrase-file passphrase
  $ countersign repo init localhost:5000/try/out`,
    )
    .action((gun: string, options: InitOptions, command: Command) =>
      perform(command, (session) => initialize(session, gun, options)),
    )

  group
    .command('list')
    .description('Lists the repositories that you may see.')
    .addHelpText('after', '\nExamples:\n  $ countersign repo list\n  $ countersign repo list --json')
    .action((_options: object, command: Command) => perform(command, list))

  group
    .command('remove')
    .description('Takes a repository out of management. Deletes nothing on its trust server, and no key.')
    .argument('<gun>', 'repository')
    .addHelpText(
      'after',
      `
What is published stays valid until it expires. The key holder keeps the keys and the pin: POST /v1/repositories/GUN/adoption
takes the repository under management again.

Examples:
  $ countersign repo remove registry.example.com/team/app`,
    )
    .action((gun: string, _options: object, command: Command) => perform(command, (session) => remove(session, gun)))

  group
    .command('status')
    .description('Shows keys, versions, expiry dates and warnings of one repository, or of all.')
    .argument('[gun]', 'repository; without it all of them')
    .option('--expiry', 'show what is signed again in the next three years, by whom and when')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign repo status registry.example.com/team/app
  $ countersign repo status --json
  $ countersign repo status --expiry registry.example.com/team/app

Exit status: 0 shown, whatever the warnings; 1 the state of a repository could not be found out.`,
    )
    .action((gun: string | undefined, options: { readonly expiry?: true }, command: Command) =>
      perform(command, (session) => showStatus(session, gun, options.expiry === true)),
    )
}

async function remove(session: Session, text: string): Promise<ExitStatus> {
  const gun = repositoryArgument(text)
  const api = await session.api()
  await api.call({ method: 'DELETE', path: `v1/repositories/${encodeURIComponent(gun)}`, answer: z.unknown() })
  session.output.document({ gun, removed: true })
  session.output.line(
    `${gun} is not managed any more. On its trust server and in the key holder everything is as it was.`,
  )
  return EXIT.done
}

async function initialize(session: Session, text: string, options: InitOptions): Promise<ExitStatus> {
  const gun = repositoryArgument(text)
  const { root: file } = options
  if ((file !== undefined) !== opensSomething(options)) {
    throw new CliError('USAGE_INVALID', '--root belongs together with --passphrase-file, or --share, or --module.')
  }
  if (file === undefined) return initializeWith(session, gun, options, undefined)
  const named = { file, opening: options, gun }
  return withRootKey(session.terminal, named, (root) => initializeWith(session, gun, options, root))
}

async function initializeWith(
  session: Session,
  gun: Gun,
  options: InitOptions,
  root: RootKey | undefined,
): Promise<ExitStatus> {
  const api = await session.api()
  const first = await api.call({
    method: 'POST',
    path: 'v1/repositories',
    body: {
      gun,
      root: root === undefined ? { kind: 'online' } : { kind: 'offline', certificatePem: root.certificatePem },
      delegations: options.delegations,
      ...(options.keyType !== undefined && { keyType: options.keyType }),
    },
    answer: initializationSchema,
  })
  const last = first.state === 'ready' ? first : await signRoot(session, gun, root, first)
  requireRootKey(last, root)
  return reportInitialization(session, gun, root, last)
}

/** Reviews the bytes, shows what they say, signs them here, and sends the signature alone. */
async function signRoot(
  session: Session,
  gun: Gun,
  root: RootKey | undefined,
  asked: InitializationResource,
): Promise<InitializationResource> {
  if (root === undefined || asked.rootSigned === undefined) {
    throw new CliError('SERVER_ANSWER_MALFORMED', `${gun} waits for the signature of an offline root key.`, {
      next: 'If its initialization was begun with --root, give the same root key again.',
    })
  }
  const message = decodeBase64(asked.rootSigned)
  const reviewed = reviewRoot(message, root.key, session.terminal.now())
  session.output.progress('The root key signs:')
  for (const line of describeRoot(gun, reviewed)) session.output.progress(`  ${line}`)
  const { method, signature } = await root.sign(message)
  const api = await session.api()
  return api.call({
    method: 'POST',
    path: `v1/repositories/${encodeURIComponent(gun)}/root-signatures`,
    body: { signatures: [{ keyId: root.key.tufKeyId, method, signature: encodeBase64(signature) }] },
    answer: initializationSchema,
  })
}

/** A server that finished with another root key than ours must not look like success. */
function requireRootKey(done: InitializationResource, root: RootKey | undefined): void {
  const isOurs = root === undefined || done.rootKeyIds.includes(root.key.tufKeyId)
  if (done.state === 'ready' && isOurs) return
  throw new CliError(
    'SERVER_ANSWER_MALFORMED',
    'The server does not say that the repository is ready with this root key.',
    {
      facts: { state: done.state },
      next: 'Look at it with: countersign repo status',
    },
  )
}

function reportInitialization(
  { output }: Session,
  gun: Gun,
  root: RootKey | undefined,
  done: InitializationResource,
): ExitStatus {
  output.document({
    gun,
    state: done.state,
    rootKeyIds: done.rootKeyIds,
    root: root === undefined ? 'online' : 'offline',
  })
  output.line(`${gun} is ready.`, 'green')
  for (const id of done.rootKeyIds) output.line(`Root key to pin: ${id}`)
  if (root === undefined) {
    output.warn(
      'The root key is online, in the key holder. For more than a try, begin with: countersign root create, or move it: countersign root take-offline',
    )
  }
  return EXIT.done
}

async function list(session: Session): Promise<ExitStatus> {
  const api = await session.api()
  const answer = await api.call({ method: 'GET', path: 'v1/repositories', answer: repositoryListSchema })
  session.output.document(answer)
  session.output.table(
    ['REPOSITORY', 'STATE', 'ROOT', 'SIGNER', 'CREATED'],
    answer.repositories.map(({ gun, state, root, signer, createdAt }) => [
      gun,
      state,
      root ?? '-',
      signer ?? '-',
      createdAt ?? '-',
    ]),
  )
  return EXIT.done
}

async function showStatus(session: Session, text: string | undefined, isExpiry: boolean): Promise<ExitStatus> {
  const guns = await namedRepositories(session, text)
  const api = await session.api()
  if (isExpiry) return showExpiry(session, guns, text === undefined)
  const reports: RepositoryReportResource[] = []
  for (const gun of guns) {
    const path = `v1/repositories/${encodeURIComponent(gun)}`
    reports.push(await api.call({ method: 'GET', path, answer: repositoryReportSchema }))
  }
  session.output.document(text === undefined ? { repositories: reports } : reports[0])
  for (const report of reports) printReport(session, report)
  return reports.some(({ trouble }) => trouble !== undefined) ? EXIT.failed : EXIT.done
}

function printReport({ output }: Session, report: RepositoryReportResource): void {
  output.line(`${report.gun}: ${report.state}`, 'bold')
  output.table(
    ['ROLE', 'VERSION', 'EXPIRES', 'ENTRIES'],
    (report.roles ?? []).map(({ role, version, expiresAt, entries }) => [
      role,
      String(version),
      expiresAt,
      entries === undefined ? '-' : String(entries),
    ]),
  )
  const { versions = [], leftOut = 0 } = report.custody?.foreign ?? {}
  for (const line of versionsInWords({ foreign: versions, foreignLeftOut: leftOut })) output.line(line, 'yellow')
  for (const { code, detail } of report.warnings ?? []) output.line(`warning: ${code}: ${detail}`, 'yellow')
  output.line()
  if (report.trouble !== undefined) {
    output.complain(
      report.trouble.code,
      `${report.gun}: ${report.trouble.detail ?? 'its state could not be found out.'}`,
    )
  }
}
