// `key list`, `rotate` and `retire`: the keys of a repository. What changes a key goes through the operator socket; what is published,
// through the API like a signature. `rewrap` stands in a file of its own.
import { InvalidArgumentError, Option, type Command } from 'commander'
import { RELEASES, type Gun } from '@countersign/tuf'
import type { OperationResponse } from '../key-holder-protocol/operations.ts'
import { timeoutOption } from './duration.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { repositoryArgument } from './image-list/list.ts'
import { evidenceOf, socketOption, withOperator, type SocketOptions } from './operator-socket.ts'
import { addImportCommand } from './key-import/command.ts'
import { keepPublicKey, ownerCommand } from './public-key-file.ts'
import { keyReportSchema, signingRequestSchema, type KeyReportResource } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { addRewrapCommand } from './rewrap-command.ts'
import { reportFollowed } from './sign-commands.ts'
import type { Colour } from './terminal.ts'

interface RotateOptions extends SocketOptions {
  readonly signer?: string
  readonly keyType: 'ecdsa' | 'ed25519' | 'rsa'
  readonly custody?: string
  readonly reason: string
  readonly timeout: number
  readonly keyOut?: string
}

interface RetireOptions extends SocketOptions {
  readonly reason: string
}

export function addKeyCommands(program: Command, perform: Perform): void {
  const group = program.command('key').summary('manage signing keys').description('The keys of repositories.')
  group
    .command('list')
    .description('Shows the keys that the key holder has for a repository, and which roles each of them signs now.')
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .addHelpText('after', '\nExamples:\n  $ countersign key list registry.example.com/team/app')
    .action((gun: string, _options: object, command: Command) =>
      perform(command, (session) => listKeys(session, repositoryArgument(gun))),
    )
  group
    .command('rotate')
    .description('Replaces the signing key of a repository, in one publication. Runs on the host of the key holder.')
    .argument('<gun>', 'repository, such as registry.example.com/team/app')
    .requiredOption('--reason <text>', 'why; it is recorded in the audit log')
    .option('--signer <name>', "whose key: that of the delegation targets/NAME; without it the repository's signer")
    .addOption(
      new Option('--key-type <type>', 'type of the new key').choices(['ecdsa', 'ed25519', 'rsa']).default('ecdsa'),
    )
    .option(
      '--custody <where>',
      'where the new key is kept: sealed, or a PKCS#11 token as pkcs11:token=LABEL; without it as the limits file says',
    )
    .option(
      '--key-out <file>',
      "in somebody else's repository: where the public key is written; NAME-next.pem without it",
    )
    .addOption(timeoutOption())
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
Clients notice nothing. A key in a token cannot leave it, nor can a sealed key go into one: to change the custody is to rotate. In a repository of somebody else the key waits until its owner has added it; the command says how.

Examples:
  $ countersign key rotate registry.example.com/team/app --reason "yearly rotation"
  $ countersign key rotate registry.example.com/team/app --custody pkcs11:token=countersign --reason "into the HSM"

Exit status: 0 the new key signs; 1 failed; 2 usage; 4 not finished, or waiting for the owner.`,
    )
    .action((gun: string, options: RotateOptions, command: Command) =>
      perform(command, (session) => rotate(session, repositoryArgument(gun), options)),
    )
  group
    .command('retire')
    .description('Destroys the private half of a key that was replaced. There is no way back but a backup.')
    .argument('<gun>', 'repository')
    .argument('<keyid>', 'the key, as `key list` shows it', keyIdArgument)
    .requiredOption('--reason <text>', 'why; it is recorded in the audit log')
    .addOption(socketOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ countersign key retire registry.example.com/team/app 8d1f... --reason "replaced a month ago"',
    )
    .action((gun: string, keyId: string, options: RetireOptions, command: Command) =>
      perform(command, (session) => retire(session, repositoryArgument(gun), keyId, options)),
    )
  addImportCommand(group, perform)
  addRewrapCommand(group, perform)
}

async function listKeys(session: Session, gun: Gun): Promise<ExitStatus> {
  const report = await readKeys(session, gun)
  const { keys } = report.custody
  session.output.document({ gun, keys, ...(report.trouble !== undefined && { trouble: report.trouble }) })
  session.output.table(
    ['STATE', 'MADE FOR', 'SIGNS NOW', 'TYPE', 'CUSTODY', 'MADE', 'SIGNS SINCE', 'LAST USED', 'KEY'],
    keys.map(({ state, role, signs, keyType, custody, createdAt, activeSince, lastUsedAt, canonicalKeyId }) => [
      state,
      role,
      signs === undefined ? 'unknown' : signs.length === 0 ? 'nothing' : signs.join(', '),
      keyType,
      custody,
      createdAt.slice(0, 10),
      (state === 'active' && signs?.length === 0 ? undefined : activeSince?.slice(0, 10)) ?? 'not yet',
      lastUsedAt?.slice(0, 10) ?? 'never',
      canonicalKeyId,
    ]),
    ([state = '']) => COLOURS.get(state),
  )
  if (report.trouble === undefined) return EXIT.done
  session.output.complain(
    report.trouble.code,
    `What the keys sign now could not be found out: ${report.trouble.detail ?? ''}`,
  )
  return EXIT.failed
}

const COLOURS: ReadonlyMap<string, Colour> = new Map([
  ['active', 'green'],
  ['staged', 'yellow'],
])

async function rotate(session: Session, gun: Gun, options: RotateOptions): Promise<ExitStatus> {
  const report = await readKeys(session, gun)
  const signer = options.signer ?? report.signer
  if (signer === undefined || signer === null) {
    throw new CliError('USAGE_INVALID', `${gun} has no signer: its tags stand in targets.`, {
      next: 'Only the key of a delegation can be replaced this way.',
    })
  }
  const role = `targets/${signer}`
  if (role === RELEASES) throw new CliError('USAGE_INVALID', 'targets/releases is signed by the keys of its signers.')
  const staged = await stage(session, gun, role, options)
  if (report.custody.rootCustody === 'foreign') return waitForOwner(session, gun, signer, staged, options)
  const api = await session.api()
  const request = await api.call({
    method: 'POST',
    path: `v1/repositories/${encodeURIComponent(gun)}/key-rotations`,
    body: {},
    answer: signingRequestSchema,
  })
  const status = await reportFollowed(session, request, options.timeout)
  if (status === EXIT.done) {
    session.output.line(
      `${staged.canonicalKeyId} signs in the place of ${staged.replaces}, which stays where it is until you retire it:`,
    )
    session.output.line(`  countersign key retire ${gun} ${staged.replaces} --reason TEXT`)
  }
  return status
}

async function stage(
  session: Session,
  gun: Gun,
  role: string,
  options: RotateOptions,
): Promise<OperationResponse<'stage-key'>> {
  const { reason, keyType, custody } = options
  const place = custody === undefined ? {} : { custody }
  const request = { gun, role, keyType, ...place, reason, evidence: evidenceOf('rotate') }
  const { response } = await withOperator(session, options, (operator) => operator.call('stage-key', request))
  session.output.progress(`${gun}: ${response.canonicalKeyId} is to replace ${response.replaces} in ${role}`)
  return response
}

/** The targets key is the owner's: only the owner can list the new key. */
async function waitForOwner(
  session: Session,
  gun: Gun,
  signer: string,
  { pem, canonicalKeyId, replaces }: OperationResponse<'stage-key'>,
  { keyOut = `${signer}-next.pem` }: RotateOptions,
): Promise<ExitStatus> {
  await keepPublicKey(keyOut, pem)
  const command = ownerCommand(keyOut, signer, gun)
  session.output.document({
    gun,
    staged: canonicalKeyId,
    replaces,
    publicKeyPem: pem,
    publicKeyFile: keyOut,
    ownerCommand: command,
  })
  session.output.block(pem)
  session.output.line(`The public key is in ${keyOut}. Ask the owner of the repository to add it beside the old one:`)
  session.output.line(`  ${command}`)
  session.output.complain(
    'OWNER_MUST_ADD_KEY',
    'The new key signs as soon as the owner has added it; until then the old one does.',
    `See how it stands with: countersign key list ${gun}`,
  )
  return EXIT.unfinished
}

async function retire(session: Session, gun: Gun, canonicalKeyId: string, options: RetireOptions): Promise<ExitStatus> {
  const request = { gun, canonicalKeyId, reason: options.reason, evidence: evidenceOf('retire') }
  const { response } = await withOperator(session, options, (operator) => operator.call('retire-key', request))
  session.output.document(response)
  session.output.line(`${gun}: the private half of ${canonicalKeyId} is destroyed.`)
  return EXIT.done
}

async function readKeys(session: Session, gun: Gun): Promise<KeyReportResource> {
  const api = await session.api()
  return api.call({ method: 'GET', path: `v1/repositories/${encodeURIComponent(gun)}`, answer: keyReportSchema })
}

function keyIdArgument(text: string): string {
  if (/^[0-9a-f]{64}$/.test(text)) return text
  throw new InvalidArgumentError('A key ID is 64 hex digits in lower case.')
}
