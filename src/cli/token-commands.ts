// `token create`, `list` and `revoke`: who may ask the server for what.
// A new secret is written to a file of mode 0600, or printed once; it is kept nowhere else.
import { InvalidArgumentError, type Command } from 'commander'
import { z } from 'zod'
import { durationOption } from './duration.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { reserveNewFile } from './files.ts'
import { newTokenSchema, tokenListSchema, type TokenResource } from './resources.ts'
import type { Perform, Session } from './session.ts'

interface Grant {
  readonly grant: string
  readonly repositories: readonly string[]
}

interface CreateOptions {
  readonly grant: readonly Grant[]
  readonly expires?: number
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
    .action((_options: object, command: Command) => perform(command, list))

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
        ...(options.expires !== undefined && {
          expiresAt: new Date(now().getTime() + options.expires).toISOString(),
        }),
      },
      answer: newTokenSchema,
    })
    await file?.write(`${secret}\n`)
    output.document(options.out === undefined ? { ...token, token: secret } : { ...token, tokenFile: options.out })
    output.progress(`Token ${token.id} for ${token.name}: ${describeGrants(token)}`)
    if (options.out !== undefined) output.line(options.out)
    else output.line(secret)
    return EXIT.done
  } catch (error) {
    await file?.discard()
    if (error instanceof CliError) output.progress('A token may have been created: countersign token list shows it.')
    throw error
  }
}

async function list(session: Session): Promise<ExitStatus> {
  const api = await session.api()
  const answer = await api.call({ method: 'GET', path: 'v1/tokens', answer: tokenListSchema })
  session.output.document(answer)
  session.output.table(
    ['ID', 'NAME', 'STATE', 'CREATED', 'EXPIRES', 'GRANTS'],
    answer.tokens.map((token) => [
      token.id,
      token.name,
      stateOf(token, session.terminal.now()),
      token.createdAt,
      token.expiresAt ?? 'never',
      describeGrants(token),
    ]),
  )
  return EXIT.done
}

async function revoke(session: Session, id: string): Promise<ExitStatus> {
  if (!/^[a-z0-9_-]{1,64}$/.test(id) || id.startsWith('cs_')) {
    throw new CliError('USAGE_INVALID', 'That is not the ID of a token.', {
      next: 'IDs are shown by: countersign token list. Never put a secret on a command line.',
    })
  }
  const api = await session.api()
  await api.call({ method: 'DELETE', path: `v1/tokens/${encodeURIComponent(id)}`, answer: z.unknown() })
  session.output.document({ id, revoked: true })
  session.output.line(`${id} is revoked.`)
  return EXIT.done
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
