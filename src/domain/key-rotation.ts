// Which keys of a repository sign which roles, which wait to replace others, and whether a verified repository shows that they did. Pure.
import {
  parseTufKeyId,
  rolesListing,
  TARGETS,
  type RoleName,
  type TrustedRepository,
  type TufKeyId,
} from '@countersign/tuf'
import type { RepositoryCustody } from './ports.ts'
import type { KeyChange } from './publication.ts'

/** A key that waits to replace another one. */
export interface StagedKey extends KeyChange {
  readonly role: RoleName
}

/** The roles that list the key now, base roles first. */
export function rolesOfKey(repository: TrustedRepository, canonicalKeyId: TufKeyId): readonly RoleName[] {
  const { keys, roles } = repository.root.metadata
  const base = [...roles.values()].filter(({ keyIds }) =>
    keyIds.some((id) => keys.get(id)?.canonicalKeyId === canonicalKeyId),
  )
  return [...base.map(({ name }) => name), ...rolesListing(repository, [canonicalKeyId])]
}

/** Keys that wait to replace others. One of base targets waits for a next root, the others for a rotation. */
export function stagedKeys({ keys }: Pick<RepositoryCustody, 'keys'>): readonly StagedKey[] {
  return keys.flatMap(({ role, state, canonicalKeyId, replaces }) =>
    state === 'staged' && replaces !== undefined
      ? [{ role, from: parseTufKeyId(replaces), to: parseTufKeyId(canonicalKeyId) }]
      : [],
  )
}

/** Base targets, and each role that lists a key that goes and has a file. */
export function rolesToRotate(repository: TrustedRepository, changes: readonly KeyChange[]): readonly RoleName[] {
  const listing = rolesListing(
    repository,
    changes.map(({ from }) => from),
  )
  return [TARGETS, ...listing.filter((role) => repository.snapshot.metadata.meta.has(role))]
}

/** Whether each new key is listed and no old one is. */
export function isRotated(repository: TrustedRepository, changes: readonly KeyChange[]): boolean {
  return changes.every(
    ({ from, to }) => rolesListing(repository, [to]).length > 0 && rolesListing(repository, [from]).length === 0,
  )
}
