// `token create`, `list`, `rotate` and `revoke`: who may ask the server for what.
// A new secret is written to a file of mode 0600, or printed once; it is kept nowhere else.
import { InvalidArgumentError, type Command } from 'commander'
import * as z from 'zod'
import { durationOption } from './duration.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { reserveNewFile } from './files.ts'
import { newTokenSchema, tokenListSchema, type TokenResource } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { addText } from './text-option.ts'

interface Grant {
  readonly grant: string
  readonly repositories: readonly string[]
}

interface CreateOptions {
  readonly grant: readonly Grant[]
  readonly group?: readonly string[]
  readonly expires?: number
  readonly out?: string
}

interface RotateOptions {
  readonly overlap?: string
  readonly out?: string
}

export function addTokenCommands(program: Command, perform: Perform): void {
  const group = program.command('token').summary('manage API tokens').description('API tokens and their grants.')

  group
    .command('create')
    .description(
      'Creates a token. Its secret is shown this once: in a file (--out, mode 0600), else on standard output.',
    )
    .argument('<name>', 'whose token it is')
    .requiredOption(
      '--grant <grant>',
      'GRANT:PATTERN[,PATTERN]: admin, operator, submit or read, on repositories; may be repeated',
      addGrant,
    )
    .option('--group <name>', 'a group that policies know it by; may be repeated', addText)
    .option(
      '--expires <duration>',
      'how long it is valid, such as 90d; without it: until it is revoked',
      durationOption,
    )
    .option('--out <file>', 'write the secret to this new file')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign token create release-bot --grant 'submit:registry.example.com/team/*' --out release-bot.token
  $ countersign token create auditor --grant 'read:*' --expires 30d --out auditor.token`,
    )
    .action((name: string, options: CreateOptions, command: Command) =>
      perform(command, (session) => create(session, name, options)),
    )

  group
    .command('list')
    .description('Lists tokens and their grants; secrets are stored nowhere and cannot be shown.')
    .addHelpText('after', '\nExamples:\n  $ countersign token list\n  $ countersign token list --json')
    .option('--exchanged', 'those that workloads exchanged for ID tokens, instead of those that were made')
    .action((options: { readonly exchanged?: boolean }, command: Command) =>
      perform(command, (session) => list(session, options.exchanged === true)),
    )

  group
    .command('rotate')
    .description(
      'Gives a token another secret under the same ID. The one before is still taken for a while, so that it can be replaced everywhere.',
    )
    .argument('<id>', 'ID of the token, as `token list` shows it')
    .option(
      '--overlap <duration>',
      'how long the secret before is still taken, at most 7d (default: 1h)',
      overlapOption,
    )
    .option('--out <file>', 'write the secret to this new file')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign token rotate tok-01j9 --out release-bot.token.new
  $ countersign token rotate tok-01j9 --overlap 0s --out release-bot.token.new    # the old one has leaked`,
    )
    .action((id: string, options: RotateOptions, command: Command) =>
      perform(command, (session) => rotate(session, id, options)),
    )

  group
    .command('revoke')
    .description('Ends the validity of a token at once.')
    .argument('<id>', 'ID of the token, as `token list` shows it')
    .addHelpText('after', '\nExamples:\n  $ countersign token revoke tok-01j9')
    .action((id: string, _options: object, command: Command) => perform(command, (session) => revoke(session, id)))
}

async function create(session: Session, name: string, options: CreateOptions): Promise<ExitStatus> {
  const api = await session.api()
  const { output, terminal } = session
  const { now } = terminal
  // The file comes first: a secret that cannot be written would be lost, and its token would stay valid.
  const file = options.out === undefined ? undefined : await reserveNewFile(options.out, 0o600)
  try {
    const { token: secret, ...token } = await api.call({
      method: 'POST',
      path: 'v1/tokens',
      body: {
        name,
        grants: options.grant,
        ...(options.group !== undefined && { groups: options.group }),
        ...(options.expires !== undefined && {
          expiresAt: new Date(now().getTime() + options.expires).toISOString(),
        }),
      },
      answer: newTokenSchema,
    })
    await file?.write(`${secret}\n`)
    output.progress(`Token ${token.id} for ${token.name}: ${describeGrants(token)}`)
    return showSecret(session, token, secret, options.out)
  } catch (error) {
    await file?.discard()
    if (error instanceof CliError) output.progress('A token may have been created: countersign token list shows it.')
    throw error
  }
}

/** In a document, or alone; where it is in a file, the file's name. */
function showSecret({ output }: Session, token: object, secret: string, file: string | undefined): ExitStatus {
  output.document(file === undefined ? { ...token, token: secret } : { ...token, tokenFile: file })
  output.line(file ?? secret)
  return EXIT.done
}

async function rotate(session: Session, id: string, options: RotateOptions): Promise<ExitStatus> {
  requireId(id)
  const api = await session.api()
  const file = options.out === undefined ? undefined : await reserveNewFile(options.out, 0o600)
  try {
    const { token: secret, ...token } = await api.call({
      method: 'POST',
      path: `v1/tokens/${encodeURIComponent(id)}/rotate`,
      body: { ...(options.overlap !== undefined && { overlap: options.overlap }) },
      answer: newTokenSchema,
    })
    await file?.write(`${secret}\n`)
    session.output.progress(
      typeof token.previousValidUntil === 'string'
        ? `The secret before is taken until ${token.previousValidUntil}.`
        : 'The secret before is taken no longer.',
    )
    return showSecret(session, token, secret, options.out)
  } catch (error) {
    await file?.discard()
    if (error instanceof CliError) {
      session.output.progress(
        'The token may have another secret now: if the one before ends, rotate once more as an administrator.',
      )
    }
    throw error
  }
}

async function list(session: Session, isExchanged: boolean): Promise<ExitStatus> {
  const api = await session.api()
  const answer = await api.call({
    method: 'GET',
    path: 'v1/tokens',
    ...(isExchanged && { query: { kind: 'exchanged' } }),
    answer: tokenListSchema,
  })
  session.output.document(answer)
  session.output.table(
    ['ID', 'NAME', 'STATE', 'CREATED', 'EXPIRES', 'LAST USED', 'GROUPS', 'GRANTS'],
    answer.tokens.map((token) => [
      token.id,
      token.identity ?? token.name,
      stateOf(token, session.terminal.now()),
      token.createdAt,
      token.expiresAt ?? 'never',
      token.lastUsedAt ?? 'never',
      token.groups?.join(',') ?? '',
      describeGrants(token),
    ]),
  )
  return EXIT.done
}

async function revoke(session: Session, id: string): Promise<ExitStatus> {
  requireId(id)
  const api = await session.api()
  await api.call({ method: 'DELETE', path: `v1/tokens/${encodeURIComponent(id)}`, answer: z.unknown() })
  session.output.document({ id, revoked: true })
  session.output.line(`${id} is revoked.`)
  return EXIT.done
}

/** @throws CliError USAGE_INVALID */
function requireId(id: string): void {
  if (/^[a-z0-9_-]{1,64}$/.test(id) && !id.startsWith('cs_')) return
  throw new CliError('USAGE_INVALID', 'That is not the ID of a token.', {
    next: 'IDs are shown by: countersign token list. Never put a secret on a command line.',
  })
}

/** Checked here, and sent as it was written. @throws CliError DURATION_INVALID */
function overlapOption(text: string): string {
  durationOption(text)
  return text
}

function stateOf({ revokedAt, expiresAt }: TokenResource, now: Date): string {
  if (typeof revokedAt === 'string') return 'revoked'
  return typeof expiresAt === 'string' && Date.parse(expiresAt) <= now.getTime() ? 'expired' : 'valid'
}

function describeGrants({ grants }: TokenResource): string {
  return grants.map(({ grant, repositories }) => `${grant}:${repositories.join(',')}`).join(' ')
}

/** Collects `--grant submit:a/*,b/c` into grants, one per kind. */
function addGrant(text: string, previous: readonly Grant[] = []): readonly Grant[] {
  const match = /^(admin|operator|submit|read):(.+)$/.exec(text)
  const [, grant, patterns] = match ?? []
  const repositories = patterns?.split(',') ?? []
  if (grant === undefined || repositories.includes('')) {
    throw new InvalidArgumentError("Write it as GRANT:PATTERN, for example 'submit:registry.example.com/team/*'.")
  }
  const same = previous.find((each) => each.grant === grant)
  const others = previous.filter((each) => each.grant !== grant)
  return [...others, { grant, repositories: [...(same?.repositories ?? []), ...repositories] }]
}
