// `repo export`: the metadata of a repository as files for a plain web server. The API gives what it verified from the pinned root
// and read with its own credentials; the command line verifies it once more, since others will rely on these very bytes.
import type { Command } from 'commander'
import { CodedError, decodeBase64, type Gun, sha256Hex, type TrustedRepository, verifyFiles } from '@countersign/tuf'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { refuseExisting, writeNewFolder } from './files.ts'
import { repositoryArgument } from './image-list.ts'
import { publishedMetadataSchema, type PublishedMetadataResource } from './resources.ts'
import type { Perform, Session } from './session.ts'
import { expiryOrder, staticTree } from './static-metadata.ts'

/** The library reads at most 256 MiB of one repository; base64 makes a third more of it. */
const MAX_ANSWER_BYTES = 384 * 1024 * 1024

export function addExportCommand(group: Command, perform: Perform): void {
  group
    .command('export')
    .description(
      'Writes the published metadata as files that a plain web server can serve to stock clients, read-only.',
    )
    .argument('<gun>', 'repository')
    .argument('<folder>', 'new folder, the root of the web server; it is complete or it is not there')
    .addHelpText(
      'after',
      `
The files are good until the first of them expires: usually the timestamp, after 14 days. Export again before that.

Examples:
  $ countersign repo export registry.example.com/team/app ./trust-2026-11-25`,
    )
    .action((gun: string, folder: string, _options: object, command: Command) =>
      perform(command, (session) => exportRepository(session, repositoryArgument(gun), folder)),
    )
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
  await writeNewFolder(folder, tree)
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
