// Where a repository lists a key: in root, in base targets, or in delegations. From metadata that was verified, also where it has expired.
import {
  CodedError,
  parseRoot,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  verifyArchive,
  type ArchivedRepository,
  type ArchiveOptions,
  type Gun,
  type RoleName,
  type TufKeyId,
} from '@countersign/tuf'
import { readFileIfPresent } from '../files.ts'
import { fromFolder } from '../published-metadata.ts'
import type { Session } from '../session.ts'
import { join } from 'node:path'

export interface Listing {
  readonly gun: Gun
  /** Where the metadata was read: an address, or a folder. */
  readonly source: string
  readonly archive: ArchivedRepository
}

export interface UnlistedRepository {
  readonly gun: Gun
  readonly error: CodedError<string>
}

export interface ListingSource {
  readonly trustServer?: string
  readonly realms: readonly string[]
  readonly pins: readonly TufKeyId[]
  /** Folders with copies of the metadata, by repository. */
  readonly copies: ReadonlyMap<string, string>
}

const MAX_ROOT_BYTES = 4 * 1024 * 1024

/** From the trust server, or from the client's own copy; pinned by what was named, else by the root that the client trusts already. */
export async function readListing(
  session: Session,
  gun: Gun,
  { trustServer, realms, pins, copies }: ListingSource,
): Promise<Listing | UnlistedRepository> {
  const copy = copies.get(gun)
  const server =
    trustServer === undefined
      ? undefined
      : await (await import('../notary-source.ts')).openNotary(session, gun, trustServer, realms)
  const read = server?.read ?? (copy === undefined ? undefined : fromFolder(copy))
  try {
    if (read === undefined) return { gun, error: noSource(gun) }
    const archive = await verifyArchive({ gun, pin: await pinOf(pins, copy) }, read)
    return { gun, source: server?.address ?? copy ?? '', archive }
  } catch (error) {
    if (!(error instanceof CodedError) || session.isInterrupted()) throw error
    return { gun, error: error as CodedError<string> }
  } finally {
    await server?.close()
  }
}

async function pinOf(pins: readonly TufKeyId[], copy: string | undefined): Promise<ArchiveOptions['pin']> {
  if (pins.length > 0) return { kind: 'certificates', tufKeyIds: pins }
  const bytes = copy === undefined ? undefined : await readFileIfPresent(join(copy, 'root.json'), MAX_ROOT_BYTES)
  if (bytes === undefined) return { kind: 'tofu' }
  return { kind: 'certificates', tufKeyIds: parseRoot(bytes).metadata.roles.get(ROOT)?.keyIds ?? [] }
}

function noSource(gun: Gun): CodedError<string> {
  return new CodedError('FILE_MISSING', `There is no metadata of ${gun} here. Give --trust-server URL.`, { gun })
}

/** The roles that list a key, by its canonical ID; base roles first. */
export function rolesListingKey({ archive }: Listing, canonicalKeyId: TufKeyId): readonly RoleName[] {
  const { root, targets, delegations } = archive
  const base = [ROOT, TARGETS, SNAPSHOT, TIMESTAMP].filter((role) =>
    (root.metadata.roles.get(role)?.keyIds ?? []).some(
      (id) => root.metadata.keys.get(id)?.canonicalKeyId === canonicalKeyId,
    ),
  )
  const delegated = [targets, ...delegations.values()].flatMap(({ metadata }) =>
    metadata.delegations.roles
      .filter(({ keyIds }) => keyIds.some((id) => metadata.delegations.keys.get(id)?.canonicalKeyId === canonicalKeyId))
      .map(({ name }) => name),
  )
  return [...base, ...new Set(delegated)]
}

/** When the newest file of a role expires; undefined where there is none. */
export function expiryOf({ archive }: Listing, role: RoleName): Date | undefined {
  const { root, targets, snapshot, timestamp, delegations } = archive
  switch (role) {
    case ROOT:
      return root.metadata.expiresAt
    case TARGETS:
      return targets.metadata.expiresAt
    case SNAPSHOT:
      return snapshot.metadata.expiresAt
    case TIMESTAMP:
      return timestamp.metadata.expiresAt
    default:
      return delegations.get(role)?.metadata.expiresAt
  }
}
