// `root create`: the offline root key of one repository or of a family of them. Opens no connection. The rest of a root's life is in
// root-change-commands.ts.
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { parseGun, type Gun, type PublicKey } from '@countersign/tuf'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { certificateFileOf } from './root-key/certificate.ts'
import { createOfflineRoot, openedByShares, openOfflineRoot, readPassphrase } from './root-key/key-file.ts'
import { moduleOption, pinFileOption, type TokenOpening } from './root-key/options.ts'
import { createTokenRoot } from './root-key/token-key.ts'
import { addRootChangeCommands } from './root-change-commands.ts'
import type { Perform, Session } from './session.ts'
import { sharesOption } from './shares/options.ts'
import { proveShareFiles, reserveShareFiles, splitPassphrase, type Quota } from './shares/share-set.ts'
import { addTakeOfflineCommand } from './take-offline-command.ts'

/** Of a passphrase that is split: as strong as any key. */
const PASSPHRASE_BYTES = 32

interface CreateOptions extends TokenOpening {
  readonly gun: string
  readonly out: string
  readonly passphraseFile?: string
  readonly shares?: Quota
  readonly pkcs11?: string
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
    .option('--pkcs11 <uri>', 'instead: in a token (pkcs11:token=LABEL), made there, or the key with this id')
    .addOption(moduleOption())
    .addOption(pinFileOption())
    .addHelpText(
      'after',
      `
Keep FILE and its passphrase apart and offline, and copies of both in two places: whoever loses them loses the repository.
With --shares 2/3 the passphrase is random and nobody has it: FILE.share-1 to FILE.share-3 are for three people, and any two of them open FILE.
With --pkcs11 the key stays in the token, and FILE says where it is.

Examples:
  $ countersign root create --gun 'registry.example.com/team/*' --out team-root.key --passphrase-file passphrase
  $ countersign root create --gun 'registry.example.com/team/*' --out team-root.key --shares 2/3
  $ countersign root create --gun 'registry.example.com/team/*' --out team-root.key --pkcs11 pkcs11:token=root --module /usr/lib/opensc-pkcs11.so`,
    )
    .action((options: CreateOptions, command: Command) => perform(command, (session) => createRoot(session, options)))
}

async function createRoot(session: Session, options: CreateOptions): Promise<ExitStatus> {
  const { terminal, output } = session
  const { commonName, gun } = parseGunPattern(options.gun)
  const root = { commonName, gun, file: options.out, now: terminal.now() }
  const { key, shareFiles } = await createWith(session, options, root)
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
  output.line(`  ${options.pkcs11 === undefined ? 'encrypted key: ' : 'place of key:  '}${options.out}`)
  output.line(`  certificate:   ${certificateFile}`)
  output.line(`  key ID to pin: ${key.tufKeyId}`)
  output.line(`  bare key ID:   ${key.canonicalKeyId}`)
  for (const file of shareFiles ?? []) output.line(`  share:         ${file}`)
  output.progress(`Next: countersign repo init GUN --root FILE ${openingOf(options)}`)
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

/** @throws CliError USAGE_INVALID unless exactly one is said */
async function createWith(session: Session, options: CreateOptions, root: NewRoot): Promise<CreatedRoot> {
  const { passphraseFile, shares, pkcs11: uri, module, pinFile } = options
  const isOneWay = [passphraseFile, shares, uri].filter((way) => way !== undefined).length === 1
  const isForToken = module !== undefined || pinFile !== undefined
  if (isOneWay && uri !== undefined) {
    return { key: await createTokenRoot(session.terminal, { ...root, uri, opening: options }) }
  }
  if (isOneWay && !isForToken && shares !== undefined) return createShared(root, shares)
  if (isOneWay && !isForToken && passphraseFile !== undefined) {
    return { key: await createOfflineRoot({ ...root, passphrase: readPassphrase(passphraseFile) }) }
  }
  throw new CliError('USAGE_INVALID', 'Either --passphrase-file FILE, or --shares K/N, or --pkcs11 URI --module FILE.')
}

function openingOf({ shares, pkcs11 }: CreateOptions): string {
  if (pkcs11 !== undefined) return '--module FILE'
  return shares === undefined ? '--passphrase-file FILE' : '--share FILE --share FILE'
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
