// `unseal` and `seal`: an operator gives the key holder its unlock key, or takes it away, through the operator socket.
import type { Command } from 'commander'
import { readSecretBytes, readSecretFile } from '../config/secret-file.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { evidenceOf, socketOption, withOperator, type SocketOptions } from './operator-socket.ts'
import type { Perform, Session } from './session.ts'

const KEY_BYTES = 32
const MIN_PASSPHRASE_BYTES = 12

interface UnsealOptions extends SocketOptions {
  readonly passphraseFile?: string
  readonly keyFile?: string
  readonly configured?: true
  readonly first?: true
}

interface SealOptions extends SocketOptions {
  readonly reason: string
}

export function addSealCommands(program: Command, perform: Perform): void {
  program
    .command('unseal')
    .summary('give the key holder its unlock key')
    .description('Gives the key holder its unlock key. Until then it holds no key, and signs nothing.')
    .option('--passphrase-file <file>', 'file with the passphrase, mode 0600; without it you are asked')
    .option('--key-file <file>', 'instead: file with the 32 bytes of the unlock key, mode 0600')
    .option('--configured', 'instead: the key holder reads again what its configuration names')
    .option('--first', 'chooses the unlock key of a new key holder; you are asked twice')
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
Runs on the host of the key holder, after each of its starts where its configuration says unlock: { operator: true }, and after
\`countersign seal\`. Requests that wait go on by themselves.

Examples:
  $ countersign unseal
  $ countersign unseal --first

Exit status: 0 it is unsealed; 1 failed; 2 usage.`,
    )
    .action((options: UnsealOptions, command: Command) => perform(command, (session) => unseal(session, options)))
  program
    .command('seal')
    .summary('take every key from the memory of the key holder')
    .description(
      'Finishes what is under way, and drops every key from the memory of the key holder. Nothing is signed until it is unsealed.',
    )
    .requiredOption('--reason <text>', 'why; it is recorded in the audit log')
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
Examples:
  $ countersign seal --reason "the machine goes to repair"

Exit status: 0 it is sealed; 1 failed; 2 usage.`,
    )
    .action((options: SealOptions, command: Command) => perform(command, (session) => seal(session, options)))
}

async function unseal(session: Session, options: UnsealOptions): Promise<ExitStatus> {
  const { kind, secret } = await unlockKeyOf(session, options)
  try {
    const request = {
      with: kind,
      first: options.first === true,
      files: secret === undefined ? [] : ['secret' as const],
      evidence: evidenceOf('unseal'),
    }
    const attachments = new Map(secret === undefined ? [] : [['secret', secret]])
    const { response } = await withOperator(session, options, (operator) =>
      operator.call('unseal', request, attachments),
    )
    session.output.document(response)
    session.output.line(response.already ? 'The key holder was not sealed.' : 'The key holder is unsealed.', 'green')
    return EXIT.done
  } finally {
    secret?.fill(0)
  }
}

async function seal(session: Session, options: SealOptions): Promise<ExitStatus> {
  const request = { reason: options.reason, evidence: evidenceOf('seal') }
  const { response } = await withOperator(session, options, (operator) => operator.call('seal', request))
  session.output.document(response)
  session.output.line(`The key holder is sealed since ${response.since}. Nothing is signed until: countersign unseal`)
  return EXIT.done
}

interface Given {
  readonly kind: 'passphrase' | 'key' | 'configuration'
  readonly secret?: Buffer
}

/** @throws CliError USAGE_INVALID, PASSPHRASE_WRONG, PASSPHRASE_TOO_SHORT; ConfigError SECRET_FILE_* */
async function unlockKeyOf(
  session: Session,
  { passphraseFile, keyFile, configured, first }: UnsealOptions,
): Promise<Given> {
  if ([passphraseFile, keyFile, configured].filter((one) => one !== undefined).length > 1) {
    throw new CliError('USAGE_INVALID', 'Only one of --passphrase-file, --key-file and --configured.')
  }
  if (configured === true) return { kind: 'configuration' }
  if (keyFile !== undefined) {
    const secret = readSecretBytes(keyFile, { rootReadsAll: true })
    if (secret.byteLength === KEY_BYTES) return { kind: 'key', secret }
    throw new CliError('USAGE_INVALID', `${keyFile} does not hold exactly ${KEY_BYTES} bytes.`)
  }
  const passphrase =
    passphraseFile === undefined
      ? await asked(session, first === true)
      : Buffer.from(readSecretFile(passphraseFile, { rootReadsAll: true }).reveal(), 'utf8')
  if (passphrase.byteLength >= MIN_PASSPHRASE_BYTES) return { kind: 'passphrase', secret: passphrase }
  throw new CliError(
    'PASSPHRASE_TOO_SHORT',
    `The passphrase of a key holder has at least ${MIN_PASSPHRASE_BYTES} bytes.`,
  )
}

async function asked({ terminal }: Session, twice: boolean): Promise<Buffer> {
  const typed = (await terminal.askSecret?.('Passphrase of the key holder: ')) ?? ''
  if (typed === '') {
    throw new CliError('USAGE_INVALID', 'The passphrase of the key holder is needed.', {
      next: 'Give --passphrase-file FILE.',
    })
  }
  if (twice && (await terminal.askSecret?.('The same again: ')) !== typed) {
    throw new CliError('PASSPHRASE_WRONG', 'The two passphrases differ. Nothing was chosen.')
  }
  return Buffer.from(typed, 'utf8')
}
