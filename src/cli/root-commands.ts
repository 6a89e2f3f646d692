// `root create`: the offline root key of one repository or of a family of them. Opens no connection. The rest of a root's life is in
// root-change-commands.ts.
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { parseGun, type Gun, type PublicKey } from '@countersign/tuf'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import {
  certificateFileOf,
  createOfflineRoot,
  openedByShares,
  openOfflineRoot,
  readPassphrase,
} from './offline-root.ts'
import { addRootChangeCommands } from './root-change-commands.ts'
import type { Perform, Session } from './session.ts'
import { sharesOption } from './shares/options.ts'
import { proveShareFiles, reserveShareFiles, splitPassphrase, type Quota } from './shares/share-set.ts'
import { addTakeOfflineCommand } from './take-offline-command.ts'

/** Of a passphrase that is split: as strong as any key. */
const PASSPHRASE_BYTES = 32

interface CreateOptions {
  readonly gun: string
  readonly out: string
  readonly passphraseFile?: string
  readonly shares?: Quota
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
    .option('--passphrase-file <file>', 'file with the passphrase, mode 0600')
    .addOption(sharesOption())
    .addHelpText(
      'after',
      `
Keep FILE and its passphrase apart and offline, and copies of both in two places: whoever loses them loses the repository.
With --shares 2/3 the passphrase is random and nobody has it: FILE.share-1 to FILE.share-3 are for three people, and any two of them open FILE.

Examples:
  $ countersign root create --gun 'registry.example.com/team/*' --out team-root.key --passphrase-file passphrase
  $ countersign root create --gun 'registry.example.com/team/*' --out team-root.key --shares 2/3`,
    )
    .action((options: CreateOptions, command: Command) => perform(command, (session) => createRoot(session, options)))
}

async function createRoot(session: Session, options: CreateOptions): Promise<ExitStatus> {
  const { terminal, output } = session
  const { commonName, gun } = parseGunPattern(options.gun)
  const root = { commonName, gun, file: options.out, now: terminal.now() }
  const { key, shareFiles } = await createWith(options, root)
  const certificateFile = certificateFileOf(options.out)
  output.document({
    gun: commonName,
    keyFile: options.out,
    certificateFile,
    tufKeyId: key.tufKeyId,
    canonicalKeyId: key.canonicalKeyId,
    ...(shareFiles !== undefined && { shareFiles, sharesNeeded: options.shares?.threshold }),
  })
  output.line(`Root key for ${commonName}`)
  output.line(`  encrypted key: ${options.out}`)
  output.line(`  certificate:   ${certificateFile}`)
  output.line(`  key ID to pin: ${key.tufKeyId}`)
  output.line(`  bare key ID:   ${key.canonicalKeyId}`)
  for (const file of shareFiles ?? []) output.line(`  share:         ${file}`)
  const opening = shareFiles === undefined ? '--passphrase-file FILE' : '--share FILE --share FILE'
  output.progress(`Next: countersign repo init GUN --root FILE ${opening}`)
  return EXIT.done
}

interface NewRoot {
  readonly commonName: string
  /** A repository that the certificate stands for. */
  readonly gun: Gun
  readonly file: string
  readonly now: Date
}

interface CreatedRoot {
  readonly key: PublicKey
  readonly shareFiles?: readonly string[]
}

async function createWith({ passphraseFile, shares }: CreateOptions, root: NewRoot): Promise<CreatedRoot> {
  if (shares !== undefined && passphraseFile === undefined) return createShared(root, shares)
  if (passphraseFile === undefined || shares !== undefined) {
    throw new CliError('USAGE_INVALID', 'Either --passphrase-file FILE or --shares K/N.')
  }
  return { key: await createOfflineRoot({ ...root, passphrase: readPassphrase(passphraseFile) }) }
}

/** The passphrase is made here, split, and forgotten. Without success nothing is left; a crash leaves files that were never used. */
async function createShared(root: NewRoot, quota: Quota): Promise<CreatedRoot> {
  const files = await reserveShareFiles(root.file, quota)
  const passphrase = Buffer.from(randomBytes(PASSPHRASE_BYTES).toString('base64url'))
  try {
    const key = await createOfflineRoot({
      ...root,
      passphrase,
      prove: async (made) => {
        const opens = openedByShares(made)
        await files.write(await splitPassphrase(passphrase, quota, `${opens} of ${root.commonName}`))
        await proveShareFiles(files.paths, quota, passphrase, opens)
        // Each group gives the passphrase; that it opens the file that was written is proven by the first.
        await openOfflineRoot(root.file, { share: files.paths.slice(0, quota.threshold) }, root.gun, root.now)
      },
    })
    return { key, shareFiles: files.paths }
  } catch (error) {
    await files.discard()
    throw error
  } finally {
    passphrase.fill(0)
  }
}

/** A GUN, or a GUN's beginning and `/*`: more would let one stolen key speak for repositories of strangers. @throws CliError USAGE_INVALID */
function parseGunPattern(text: string): { readonly commonName: string; readonly gun: Gun } {
  const sample = text.endsWith('/*') ? `${text.slice(0, -1)}a` : text
  try {
    return { commonName: text, gun: parseGun(sample) }
  } catch (cause) {
    throw new CliError('USAGE_INVALID', '--gun is neither a repository name nor a pattern that ends in /*.', {
      next: "Write it as registry.example.com/team/app or 'registry.example.com/team/*'.",
      cause,
    })
  }
}
