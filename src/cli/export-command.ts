// `repo export`: the metadata of a repository as files for a plain web server. The API gives what it verified from the pinned root
// and read with its own credentials; the command line verifies it once more, since others will rely on these very bytes. With --full
// nothing of that: see full-export.ts.
import type { Command } from 'commander'
import {
  CodedError,
  decodeBase64,
  sha256Hex,
  verifyFiles,
  type Gun,
  type TrustedRepository,
  type TufKeyId,
} from '@countersign/tuf'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { refuseExisting, writeNewFolder } from './files.ts'
import { exportFully, type FullExport } from './full-export.ts'
import { repositoryArgument } from './image-list/list.ts'
import { addPin } from './pin-option.ts'
import { publishedMetadataSchema, type PublishedMetadataResource } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { expiryOrder, staticTree } from './static-metadata.ts'
import { addText } from './text-option.ts'

/** The library reads at most 256 MiB of one repository; base64 makes a third more of it. */
const MAX_ANSWER_BYTES = 384 * 1024 * 1024

interface ExportOptions {
  readonly full?: boolean
  readonly trustServer?: string
  readonly pin?: readonly TufKeyId[]
  readonly tofu?: boolean
  readonly realm?: readonly string[]
}

export function addExportCommand(group: Command, perform: Perform): void {
  group
    .command('export')
    .description(
      'Writes the published metadata as files that a plain web server can serve to stock clients, read-only.',
    )
    .argument('<gun>', 'repository')
    .argument('<folder>', 'new folder, the root of the web server; it is complete or it is not there')
    .option('--full', 'copy all roots and roles straight from a Notary server, expired ones too; no daemon is asked')
    .option('--trust-server <url>', 'with --full: the Notary server, such as https://notary.docker.io')
    .option('--pin <keyid>', 'with --full: key ID of a root certificate, 64 hex digits; may be repeated', addPin)
    .option('--tofu', 'with --full, instead of --pin: believe the root that the server has')
    .option('--realm <url>', 'with --full: a token server that may see credentials; may be repeated', addText)
    .addHelpText(
      'after',
      `
The files are good until the first of them expires: usually the timestamp, after 14 days. Export again before that.
With --full the folder has countersign-export.json too, which lists and describes every file; it is written last.

Examples:
  $ countersign repo export registry.example.com/team/app ./trust-2026-11-25
  $ countersign repo export docker.io/library/alpine ./alpine --full --trust-server https://notary.docker.io --tofu`,
    )
    .action((gun: string, folder: string, options: ExportOptions, command: Command) =>
      perform(command, (session) => {
        const full = fullExport(repositoryArgument(gun), folder, options)
        return full === undefined
          ? exportRepository(session, repositoryArgument(gun), folder)
          : exportFully(session, full)
      }),
    )
}

/** Undefined: the plain export. @throws CliError USAGE_INVALID */
function fullExport(gun: Gun, folder: string, options: ExportOptions): FullExport | undefined {
  const { full, trustServer, pin, tofu, realm } = options
  if (full !== true) {
    if (trustServer === undefined && pin === undefined && tofu === undefined && realm === undefined) return undefined
    throw new CliError('USAGE_INVALID', '--trust-server, --pin, --tofu and --realm need --full.')
  }
  if (trustServer === undefined) throw new CliError('USAGE_INVALID', '--full needs --trust-server URL.')
  if ((pin === undefined) === (tofu === undefined)) {
    throw new CliError('USAGE_INVALID', '--full needs either --pin KEYID or --tofu.', {
      next: '`docker trust inspect REPOSITORY` on a machine that used it before shows the key ID under Administrative keys, Root.',
    })
  }
  return {
    gun,
    folder,
    server: trustServer,
    pin: pin === undefined ? { kind: 'tofu' } : { kind: 'certificates', tufKeyIds: pin },
    tokenRealms: realm ?? [],
  }
}

async function exportRepository(session: Session, gun: Gun, folder: string): Promise<ExitStatus> {
  refuseExisting(folder)
  const api = await session.api()
  const answer = await api.call({
    method: 'GET',
    path: `v1/repositories/${encodeURIComponent(gun)}/metadata`,
    answer: publishedMetadataSchema,
    maxAnswerBytes: MAX_ANSWER_BYTES,
  })
  const trusted = verifyAnswer(answer, gun, session.terminal.now())
  const tree = staticTree(trusted)
  await writeNewFolder(folder, { files: tree })
  report(session, folder, tree.size, trusted)
  return EXIT.done
}

/** @throws CliError METADATA_NOT_VERIFIED */
function verifyAnswer({ files }: PublishedMetadataResource, gun: Gun, now: Date): TrustedRepository {
  try {
    const byName = new Map(files.map(({ name, content }) => [name, decodeBase64(content)]))
    // As clients find it: the root by its hash, too.
    for (const { name, sha256, content } of files) {
      if (/^\d+\.root\.json$/.test(name)) byName.set(`root.${sha256}.json`, decodeBase64(content))
    }
    const [oldest] = files
    const bytes = oldest === undefined ? undefined : byName.get(oldest.name)
    if (bytes === undefined || sha256Hex(bytes) !== oldest?.sha256) throw new Error('the first file is no root')
    return verifyFiles(byName, { gun, pin: { kind: 'root', bytes }, now })
  } catch (cause) {
    const reason = cause instanceof CodedError ? (cause as CodedError<string>).code : 'unknown reason'
    throw new CliError('METADATA_NOT_VERIFIED', `What the server gave for ${gun} does not verify: ${reason}.`, {
      facts: { gun, reason },
      next: 'Nothing was written. Compare the clocks of both machines, and look at: countersign repo status',
      cause,
    })
  }
}

function report({ output }: Session, folder: string, files: number, trusted: TrustedRepository): void {
  const { gun, rootChain, root } = trusted
  const roles = expiryOrder(trusted)
  const first = roles[0] ?? { role: 'timestamp', expiresAt: trusted.timestamp.metadata.expiresAt }
  const lastRoot = root.metadata.version
  const firstRoot = lastRoot - rootChain.length + 1
  const validUntil = first.expiresAt.toISOString()
  output.document({
    gun,
    folder,
    files,
    validUntil,
    endsFirst: first.role,
    roots: { first: firstRoot, last: lastRoot },
    roles: roles.map(({ role, version, expiresAt }) => ({ role, version, expiresAt: expiresAt.toISOString() })),
  })
  output.line(`${gun}: ${files} files in ${folder}.`, 'green')
  output.table(
    ['ROLE', 'VERSION', 'EXPIRES'],
    roles.map(({ role, version, expiresAt }) => [role, String(version), expiresAt.toISOString()]),
  )
  output.line(`Clients accept them until ${validUntil}, when the ${first.role} ends first. Export again before that.`)
  if (firstRoot > 1)
    output.warn(`The roots begin with version ${firstRoot}: clients that know only an older one refuse.`)
}
