// `root create`: the offline root key of one repository or of a family of them. Opens no connection. The rest of a root's life is in
// root-change-commands.ts.
import type { Command } from 'commander'
import { parseGun } from '@countersign/tuf'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { certificateFileOf, createOfflineRoot } from './offline-root.ts'
import { addRootChangeCommands } from './root-change-commands.ts'
import type { Perform, Session } from './session.ts'
import { addTakeOfflineCommand } from './take-offline-command.ts'

interface CreateOptions {
  readonly gun: string
  readonly out: string
  readonly passphraseFile: string
}

export function addRootCommands(program: Command, perform: Perform): void {
  const group = program
    .command('root')
    .summary('the offline root key')
    .description('The offline root key: it says which keys a repository has, and is needed for nothing else.')
  addRootChangeCommands(group, perform)
  addTakeOfflineCommand(group, perform)

  group
    .command('create')
    .description('Creates a root key and its certificate: FILE (encrypted) and FILE.crt. Works without a server.')
    .requiredOption('--gun <pattern>', 'repository, or a pattern that ends in /*, that the certificate stands for')
    .requiredOption('--out <file>', 'where the encrypted key is written; the certificate goes to FILE.crt')
    .requiredOption('--passphrase-file <file>', 'file with the passphrase, mode 0600')
    .addHelpText(
      'after',
      `
Keep FILE and its passphrase apart and offline, and copies of both in two places: whoever loses them loses the repository.

Examples:
  $ countersign root create --gun 'registry.example.com/team/*' --out team-root.key --passphrase-file passphrase`,
    )
    .action((options: CreateOptions, command: Command) => perform(command, (session) => createRoot(session, options)))
}

async function createRoot(session: Session, options: CreateOptions): Promise<ExitStatus> {
  const { terminal, output } = session
  const commonName = parseGunPattern(options.gun)
  const key = await createOfflineRoot({
    commonName,
    file: options.out,
    passphraseFile: options.passphraseFile,
    now: terminal.now(),
  })
  const certificateFile = certificateFileOf(options.out)
  output.document({
    gun: commonName,
    keyFile: options.out,
    certificateFile,
    tufKeyId: key.tufKeyId,
    canonicalKeyId: key.canonicalKeyId,
  })
  output.line(`Root key for ${commonName}`)
  output.line(`  encrypted key: ${options.out}`)
  output.line(`  certificate:   ${certificateFile}`)
  output.line(`  key ID to pin: ${key.tufKeyId}`)
  output.line(`  bare key ID:   ${key.canonicalKeyId}`)
  output.progress('Next: countersign repo init GUN --root FILE --passphrase-file FILE')
  return EXIT.done
}

/** A GUN, or a GUN's beginning and `/*`: more would let one stolen key speak for repositories of strangers. @throws CliError USAGE_INVALID */
function parseGunPattern(text: string): string {
  const sample = text.endsWith('/*') ? `${text.slice(0, -1)}a` : text
  try {
    parseGun(sample)
    return text
  } catch (cause) {
    throw new CliError('USAGE_INVALID', '--gun is neither a repository name nor a pattern that ends in /*.', {
      next: "Write it as registry.example.com/team/app or 'registry.example.com/team/*'.",
      cause,
    })
  }
}
