// `repo export --full`: a copy of a repository with all its roots, straight from any Notary v1 server, for the day when that server is
// gone. It needs no daemon and no key. Whatever verifies is kept, also where it has expired; nothing else is.
import {
  TufError,
  verifyArchive,
  verifyFiles,
  type ArchivedRepository,
  type ArchiveOptions,
  type Gun,
} from '@countersign/tuf'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { MANIFEST_NAME, manifestOf, type ExportManifest } from './export-manifest.ts'
import { refuseExisting, writeNewFolder } from './files.ts'
import type { Session } from './session.ts'
import { expiryOrder, staticTree, type Published } from './static-metadata.ts'

export interface FullExport {
  readonly gun: Gun
  readonly folder: string
  readonly server: string
  readonly pin: ArchiveOptions['pin']
  readonly tokenRealms: readonly string[]
}

/** @throws CliError FILE_EXISTS, METADATA_NOT_VERIFIED, INTERRUPTED, SERVER_ADDRESS_INVALID, FILE_*; NotaryError, NetError */
export async function exportFully(session: Session, asked: FullExport): Promise<ExitStatus> {
  const { folder, pin } = asked
  refuseExisting(folder)
  const now = session.terminal.now()
  const { archive, refusal, server } = await download(session, asked, now)
  const published = kept(archive)
  const tree = staticTree(published)
  const manifest = manifestOf({ archive, published, tree, server, now, pin, refusal })
  const bytes = Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`)
  await writeNewFolder(folder, { files: tree, seal: { name: MANIFEST_NAME, bytes } })
  report(session, folder, published, manifest)
  return EXIT.done
}

interface Downloaded {
  readonly archive: ArchivedRepository
  /** Why clients refuse the copy. */
  readonly refusal: string | undefined
  readonly server: string
}

async function download(
  session: Session,
  { gun, server, pin, tokenRealms }: FullExport,
  now: Date,
): Promise<Downloaded> {
  const { openNotary } = await import('./notary-source.ts')
  const source = await openNotary(session, gun, server, tokenRealms)
  try {
    const archive = await verifyArchive({ gun, pin }, source.read)
    return { archive, refusal: refusalNow(archive, now), server: source.address }
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    throw notVerified(source.address, gun, cause)
  } finally {
    await source.close()
  }
}

/** What clients may say to a copy that is worth keeping: that it is too late. */
const TOO_LATE: ReadonlySet<string> = new Set(['ROLE_EXPIRED', 'CERTIFICATE_EXPIRED'])

/**
 * The whole of it once more, as clients do it now that begin with the newest root.
 * @returns the code of their refusal
 * @throws TufError where they refuse it for anything but its age
 */
function refusalNow({ gun, root, received, unusable }: ArchivedRepository, now: Date): string | undefined {
  try {
    verifyFiles(received, { gun, pin: { kind: 'root', bytes: root.bytes }, now })
  } catch (error) {
    if (error instanceof TufError && TOO_LATE.has(error.code)) return error.code
    throw error
  }
  // Clients pass over a role without enough signatures, but not over its absence.
  return [...unusable.values()].some((reason) => reason !== 'DELEGATION_ABSENT') ? 'FILE_MISSING' : undefined
}

/** Without the files of roles that are not signed as they should be. */
function kept(archive: ArchivedRepository): Published {
  const leftOut = new Set<string>(archive.unusable.keys())
  // Names of roles have no dot.
  const files = new Map([...archive.received].filter(([name]) => !leftOut.has(name.slice(0, name.indexOf('.')))))
  return { ...archive, rootChain: archive.roots.map(({ bytes }) => bytes), files }
}

function notVerified(server: string, gun: Gun, cause: TufError): CliError {
  const { code, facts } = cause
  const file = typeof facts['fileName'] === 'string' ? ` (${facts['fileName']})` : ''
  const isAbsent = code === 'FILE_MISSING' && facts['fileName'] === 'root.json'
  const sentence = isAbsent
    ? `${server} has no metadata of ${gun}.`
    : `What ${server} has of ${gun} does not verify: ${code}${file}.`
  const next =
    code === 'ROOT_NOT_PINNED'
      ? 'Nothing was written. Compare the pin with the owner of the repository.'
      : isAbsent
        ? 'Write the repository as Docker does, host included; Docker Hub’s are docker.io/library/NAME and docker.io/USER/NAME.'
        : 'Nothing was written. If somebody published meanwhile, a second try helps.'
  return new CliError('METADATA_NOT_VERIFIED', sentence, {
    facts: { ...facts, gun, reason: code, server },
    next,
    cause,
  })
}

function report({ output }: Session, folder: string, published: Published, manifest: ExportManifest): void {
  const { gun, server, roots, clients, expired, leftOut, files } = manifest
  output.document({ folder, manifest: MANIFEST_NAME, ...manifest })
  output.line(`${gun} from ${server}: ${files.length} files and ${MANIFEST_NAME} in ${folder}.`, 'green')
  output.table(
    ['ROLE', 'VERSION', 'EXPIRES', 'STATE'],
    expiryOrder(published).map(({ role, version, expiresAt }) => [
      role,
      String(version),
      expiresAt.toISOString(),
      expired.includes(role) ? 'expired' : 'valid',
    ]),
    (row) => (row.at(-1) === 'expired' ? 'red' : undefined),
  )
  output.line(`Roots ${roots.first} to ${roots.last}.`)
  for (const { version, certificateKeyIds } of manifest.rootPins.slice(-1)) {
    for (const id of certificateKeyIds) output.line(`Certificate of root ${version}: ${id}`)
  }
  if (clients.until !== undefined) output.line(`Clients accept the copy until ${clients.until}.`)
  warn(output, manifest)
  for (const { role, reason } of leftOut) output.warn(`${role} is delegated and not in the copy: ${reason}.`)
}

function warn(output: Session['output'], { roots, pin, clients, expired }: ExportManifest): void {
  if (expired.length > 0) output.warn(`Expired, and copied all the same: ${expired.join(', ')}.`)
  if (clients.refusal !== undefined) {
    output.warn(`Stock clients refuse this copy as it is (${clients.refusal}); it is an archive.`)
  }
  if (pin === 'tofu') output.warn('No certificate was pinned: who answered for the server decided what is in the copy.')
  if (roots.pinnedFrom !== undefined && roots.pinnedFrom > roots.first) {
    output.warn(
      `The pin vouches for the roots from version ${roots.pinnedFrom} on. Those before it lead to it, but the server alone says that they are the ones.`,
    )
  }
  if (roots.first > 1) {
    output.warn(`The roots begin with version ${roots.first}: clients that know only an older one refuse.`)
  }
}
