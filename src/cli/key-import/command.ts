// `key import`: keys of docker and notary come under the key holder. Runs on the host of the key holder, through its operator socket.
// Files are read and left as they are; nothing is told as imported before the key holder has signed its own challenge with it.
import { join } from 'node:path'
import type { Command } from 'commander'
import {
  CodedError,
  parseGun,
  publicKeyOf,
  requireSigningKey,
  TufError,
  type Gun,
  type PublicKey,
  type TufKeyId,
} from '@countersign/tuf'
import type { KeyObject } from 'node:crypto'
import type { KeyHolderConnection } from '../../holder/connection.ts'
import { CliError, type ExitStatus } from '../errors.ts'
import { repositoryArgument } from '../image-list/list.ts'
import { socketOption, withOperator, type SocketOptions } from '../operator-socket.ts'
import { addPin } from '../pin-option.ts'
import type { Perform, Session } from '../session.ts'
import { addText } from '../text-option.ts'
import { placementsOf, repositoriesOf, skippedUnopened, type OpenedKey, type Placement } from './import-plan.ts'
import { readKeyFiles, scanTrustFolder, type FoundKey, type FoundKeys, type TrustFolder } from './key-files.ts'
import { readListing, type Listing, type UnlistedRepository } from './listings.ts'
import { Passphrases } from './passphrases.ts'
import { reportImport, type KeyRow, type PlacementRow } from './report.ts'

interface ImportOptions extends SocketOptions {
  readonly from?: readonly string[]
  readonly gun?: readonly Gun[]
  readonly trustServer?: string
  readonly realm?: readonly string[]
  readonly pin?: readonly TufKeyId[]
  readonly passphraseFile?: readonly string[]
  readonly root?: boolean
  readonly severalRoles?: boolean
  readonly dryRun?: boolean
}

export function addImportCommand(group: Command, perform: Perform): void {
  group
    .command('import')
    .description(
      'Takes targets and delegation keys of docker and notary into the key holder, each proven by a signature.',
    )
    .argument('[files...]', 'key files; without them, and without --from, ~/.docker/trust and ~/.notary are searched')
    .option('--from <folder>', 'search this trust folder of docker or notary; may be repeated', addText)
    .option('--gun <gun>', 'only for this repository; may be repeated', addGun)
    .option(
      '--trust-server <url>',
      'ask this Notary server which keys are listed; without it, the copies in the folders',
    )
    .option('--realm <url>', 'with --trust-server: a token server that may see credentials; may be repeated', addText)
    .option('--pin <keyid>', "key ID of a root certificate; without it, the root in the client's own copy", addPin)
    .option('--passphrase-file <file>', 'file with a passphrase, mode 0600; may be repeated', addText)
    .option('--root', 'take root keys, too; they are safer offline')
    .option('--several-roles', 'take a key that is used as a root key and in another role')
    .option('--dry-run', 'open and match the keys, and change nothing')
    .addOption(socketOption())
    .addHelpText(
      'after',
      `
Encrypted keys are opened with --passphrase-file, with the variables of docker (DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE,
DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE) and notary (NOTARY_TARGETS_PASSPHRASE and the like), or with what you type. The files
are left as they are; the report says which of them may be destroyed.

Examples:
  $ countersign key import --trust-server https://notary.example.com
  $ countersign key import --from /media/backup/trust --gun registry.example.com/team/app --dry-run
  $ countersign key import alice.key --gun registry.example.com/team/app --trust-server https://notary.example.com

Exit status: 0 every key that is wanted here is here, and proven; 1 one could not be opened or imported, or there was none; 2 usage.`,
    )
    .action((files: string[], options: ImportOptions, command: Command) =>
      perform(command, (session) => importKeys(session, files, options)),
    )
}

async function importKeys(session: Session, files: readonly string[], options: ImportOptions): Promise<ExitStatus> {
  const passphrases = new Passphrases(session.terminal, options.passphraseFile ?? [])
  const folders = await foldersOf(session, files, options)
  const { keys, unreadable } = together([
    readKeyFiles(files),
    ...folders.map(({ path, keyFiles }) => readKeyFiles(keyFiles, path)),
  ])
  const listings = await readListings(session, keys, folders, options)
  const known = listings.filter((listing): listing is Listing => 'archive' in listing)
  const rows: KeyRow[] = unreadable.map(({ file, error }) => ({ file, headers: {}, outcome: { error } }))
  const work = async (operator: KeyHolderConnection | undefined): Promise<void> => {
    for (const found of keys) {
      if (session.isInterrupted()) throw new CliError('INTERRUPTED', 'Interrupted. What was imported stays imported.')
      rows.push(await importOne(session, found, { passphrases, listings: known, options, operator }))
    }
  }
  if (options.dryRun === true || keys.length === 0) await work(undefined)
  else await withOperator(session, options, work)
  const unlisted = listings.filter((listing): listing is UnlistedRepository => 'error' in listing)
  return reportImport(session.output, { rows, listings: known, unlisted, isDryRun: options.dryRun === true })
}

interface Surroundings {
  readonly passphrases: Passphrases
  readonly listings: readonly Listing[]
  readonly options: ImportOptions
  /** Absent: nothing is to be changed. */
  readonly operator: KeyHolderConnection | undefined
}

async function importOne(session: Session, found: FoundKey, o: Surroundings): Promise<KeyRow> {
  const { file, headers } = found
  const takesRoot = o.options.root === true
  const unopened = skippedUnopened(found, takesRoot)
  if (unopened !== undefined) return { file, headers, outcome: { skipped: unopened } }
  let privateKey: KeyObject
  let publicKey: PublicKey
  try {
    privateKey = await o.passphrases.open(found)
    publicKey = publicKeyOf(privateKey)
  } catch (error) {
    if (!(error instanceof TufError)) throw error
    return { file, headers, outcome: { error } }
  }
  const opened: OpenedKey = { found, publicKey }
  const placed = placementsOf(opened, o.listings, { takesRoot, now: session.terminal.now() })
  if ('code' in placed) return { file, headers, publicKey, outcome: { skipped: placed } }
  const error = whyItCannotSign(privateKey)
  if (error !== undefined) return { file, headers, publicKey, outcome: { error } }
  const placements: PlacementRow[] = []
  for (const placement of placed) placements.push(await place(privateKey, placement, o))
  return { file, headers, publicKey, outcome: { placements } }
}

/** Also told in a dry run, which the key holder does not see. */
function whyItCannotSign(privateKey: KeyObject): TufError | undefined {
  try {
    requireSigningKey(privateKey)
    return undefined
  } catch (error) {
    if (error instanceof TufError) return error
    throw error
  }
}

async function place(privateKey: KeyObject, placement: Placement, o: Surroundings): Promise<PlacementRow> {
  const { operator } = o
  if (operator === undefined) return { placement, state: 'not-tried' }
  const { listing, role } = placement
  const { gun } = listing
  try {
    const files = (await isPinned(operator, gun)) ? listing.archive.received : new Map<string, Uint8Array>()
    const severalRoles = o.options.severalRoles === true
    const { state } = await (
      await import('./transfer.ts')
    ).transferKey(operator, { gun, role, privateKey, severalRoles, files })
    return { placement, state }
  } catch (error) {
    if (!(error instanceof CodedError) || error.code === 'KEY_HOLDER_UNREACHABLE') throw error
    return { placement, state: 'failed', error: error as CodedError<string> }
  }
}

async function isPinned(operator: KeyHolderConnection, gun: Gun): Promise<boolean> {
  try {
    await operator.call('repository-status', { gun })
    return true
  } catch (error) {
    if (error instanceof CodedError && error.code === 'GUN_NOT_MANAGED') return false
    throw error
  }
}

async function foldersOf(session: Session, files: readonly string[], { from }: ImportOptions): Promise<TrustFolder[]> {
  if (from !== undefined) return Promise.all(from.map(scanTrustFolder))
  if (files.length > 0) return []
  const { env, homeFolder } = session.terminal
  const configured = env['DOCKER_CONFIG'] ?? ''
  const docker = configured === '' ? join(homeFolder, '.docker') : configured
  const usual = [join(docker, 'trust'), join(homeFolder, '.notary')]
  const found = await Promise.all(
    usual.map((path) =>
      scanTrustFolder(path).catch((error: unknown) => {
        if (error instanceof CliError && error.code === 'FILE_UNREADABLE' && isAbsent(error.cause)) return undefined
        throw error
      }),
    ),
  )
  return found.filter((folder) => folder !== undefined)
}

function isAbsent(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}

async function readListings(
  session: Session,
  keys: readonly FoundKey[],
  folders: readonly TrustFolder[],
  { gun: named = [], trustServer, realm = [], pin = [] }: ImportOptions,
): Promise<(Listing | UnlistedRepository)[]> {
  const copies = new Map(folders.flatMap((folder) => [...folder.copies]))
  const listings: (Listing | UnlistedRepository)[] = []
  for (const gun of repositoriesOf(named, keys, copies.keys(), parseGunIfValid)) {
    const source = { ...(trustServer !== undefined && { trustServer }), realms: realm, pins: pin, copies }
    listings.push(await readListing(session, gun, source))
  }
  return listings
}

function parseGunIfValid(text: string): Gun | undefined {
  try {
    return parseGun(text)
  } catch {
    return undefined
  }
}

function together(found: readonly FoundKeys[]): FoundKeys {
  return { keys: found.flatMap(({ keys }) => keys), unreadable: found.flatMap(({ unreadable }) => unreadable) }
}

function addGun(text: string, previous: readonly Gun[] = []): readonly Gun[] {
  return [...previous, repositoryArgument(text)]
}
