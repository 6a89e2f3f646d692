// A repository goes from one trust server to another, with the chain that clients hold kept intact: the next root lists the keys of the new
// server and is signed by the root keys; everything else is published there as it is. Pure.
import {
  isExpired,
  parseRoot,
  parseSnapshot,
  parseTimestamp,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  type ArchivedRepository,
  type BaseRoleChange,
  type Gun,
  type RoleName,
  type TufKeyId,
  type TufErrorCode,
  VERSIONS_LEFT_TO_OTHERS,
} from '@countersign/tuf'
import { DomainError } from './errors.ts'
import type { HighestVersion, RepositoryCustody } from './ports.ts'

/** How many updates without files are sent to a notary-server, at most, so that its versions rise so far: a few minutes' work. */
export const MAX_RAISES = 10_000

export interface MovedRole {
  readonly role: RoleName
  readonly version: number
  readonly expiresAt: Date
}

export interface LeftRole {
  readonly role: RoleName
  readonly code: TufErrorCode
}

/** What goes along: targets and every delegation that clients take now. */
export function rolesToMove(archive: ArchivedRepository, now: Date): ReadonlyMap<RoleName, Uint8Array> {
  const { targets, delegations } = archive
  const usable = [...delegations].filter(([, { metadata }]) => !isExpired(metadata.expiresAt, now))
  return new Map([[TARGETS, targets.bytes], ...usable.map(([role, { bytes }]) => [role, bytes] as const)])
}

export function movedRoles(archive: ArchivedRepository, now: Date): readonly MovedRole[] {
  return [...rolesToMove(archive, now).keys()].map((role) => {
    const { metadata } = role === TARGETS ? archive.targets : (archive.delegations.get(role) ?? archive.targets)
    return { role, version: metadata.version, expiresAt: metadata.expiresAt }
  })
}

/** What clients pass over now, and the new server would not take. Their signers publish them there anew. */
export function leftRoles(archive: ArchivedRepository, now: Date): readonly LeftRole[] {
  const expired = [...archive.delegations].filter(([, { metadata }]) => isExpired(metadata.expiresAt, now))
  return [
    ...expired.map(([role]) => ({ role, code: 'ROLE_EXPIRED' as const })),
    ...[...archive.unusable].map(([role, code]) => ({ role, code })),
  ]
}

/**
 * Whatever clients and the key holder saw at the old server has to stand at the new one: a role that a snapshot listed once may not be
 * missing from a later one (SNAPSHOT_ROLE_REMOVED), and no file may be older than it was seen.
 * @param known the highest version that was seen of each role
 * @throws DomainError MOVE_NOT_POSSIBLE
 */
export function checkComplete(
  archive: ArchivedRepository,
  known: ReadonlyMap<RoleName, HighestVersion>,
  now: Date,
): void {
  const { gun } = archive
  for (const { role, code } of leftRoles(archive, now)) {
    if (code !== 'ROLE_EXPIRED' && !known.has(role)) continue
    throw new DomainError(
      'MOVE_NOT_POSSIBLE',
      `The role ${role} cannot go along, and clients have seen it: ${code}. Have it signed again at the old server first (countersign repo repair, where its key is here), or take it out of its parent.`,
      { gun, role, reason: code },
    )
  }
  const files = [
    [TIMESTAMP, archive.timestamp],
    [SNAPSHOT, archive.snapshot],
    ...[...rolesToMove(archive, now).keys()].map(
      (role) => [role, role === TARGETS ? archive.targets : archive.delegations.get(role)] as const,
    ),
  ] as const
  for (const [role, file] of files) {
    const seen = known.get(role)
    if (file === undefined || seen === undefined || file.metadata.version > seen.version) continue
    if (file.metadata.version === seen.version && file.sha256 === seen.sha256) continue
    throw new DomainError(
      'MOVE_NOT_POSSIBLE',
      `The old server shows ${role} in version ${file.metadata.version}, and version ${seen.version} was seen, perhaps with another content.`,
      { gun, role, version: file.metadata.version, highest: seen.version },
    )
  }
}

/** Only keys that the new server signs with may stand in the root: it could never sign there with others. @throws DomainError MOVE_INVALID */
export function checkServerKeys(gun: Gun, next: Uint8Array, keys: Readonly<Record<string, TufKeyId>>): void {
  const { roles } = parseRoot(next).metadata
  for (const [role, keyId] of Object.entries(keys)) {
    const listed = roles.get(role as RoleName)?.keyIds ?? []
    if (listed.length === 1 && listed[0] === keyId) continue
    throw new DomainError(
      'MOVE_INVALID',
      `This root gives ${role} another key than the one that the new server has. Begin again with the plan.`,
      { gun, role },
    )
  }
}

/**
 * A trust server of ours continues versions and roots by what its key holder knows; one with another key holder knows nothing.
 * @throws DomainError MOVE_NOT_POSSIBLE
 */
export function checkKeyHolder(
  gun: Gun,
  { keys }: Pick<RepositoryCustody, 'keys'>,
  serverKeys: readonly TufKeyId[],
): void {
  if (serverKeys.every((keyId) => keys.some(({ tufKeyId }) => tufKeyId === keyId))) return
  throw new DomainError(
    'MOVE_NOT_POSSIBLE',
    'This trust server has another key holder, which does not know the repository. Move it to one that uses the key holder of this daemon.',
    { gun },
  )
}

/**
 * notary-server takes a first root of version 1 or 2 alone (notary v0.7.0 server/handlers/validation.go validateRoot).
 * @param takesOlderRoots the new server is one of ours
 * @throws DomainError MOVE_NOT_POSSIBLE
 */
export function checkFirstRoot(gun: Gun, publishedVersion: number, takesOlderRoots: boolean): void {
  if (takesOlderRoots || publishedVersion === 1) return
  throw new DomainError(
    'MOVE_NOT_POSSIBLE',
    `A notary-server takes a first root of version 1 or 2, and the next root of this repository has version ${publishedVersion + 1}. Move it to a trust server of Countersign.`,
    { gun, version: publishedVersion + 1 },
  )
}

/**
 * How many updates without files a notary-server gets.
 * @throws DomainError MOVE_NOT_POSSIBLE
 */
export function raisesFor(gun: Gun, seen: ReturnType<typeof versionsSeen>): number {
  const raises = Math.max(seen.snapshot, seen.timestamp) + VERSIONS_LEFT_TO_OTHERS
  if (raises <= MAX_RAISES) return raises
  const facts = { gun, updates: raises, limit: MAX_RAISES }
  throw new DomainError('MOVE_NOT_POSSIBLE', 'Its versions are too high to be reached at a notary-server.', facts)
}

/** A move changes the keys of the server, and nothing else. @throws DomainError MOVE_INVALID */
export function checkMovingRoot(gun: Gun, changes: readonly BaseRoleChange[]): void {
  const changed = changes.map(({ role }) => role).sort()
  if (changed.join(' ') === [SNAPSHOT, TIMESTAMP].join(' ')) return
  throw new DomainError(
    'MOVE_INVALID',
    'This root does not move the repository: it has to give snapshot and timestamp the keys of the new server, and to change nothing else.',
    { gun, changed: changed.join(' ') },
  )
}

/** Versions of snapshot and timestamp that the new server has to be above; 0 where none was ever seen. */
export function versionsSeen({
  roles,
}: Pick<RepositoryCustody, 'roles'>): Readonly<Record<'snapshot' | 'timestamp', number>> {
  const of = (name: RoleName): number => roles.find(({ role }) => role === name)?.highestSeen?.version ?? 0
  return { snapshot: of(SNAPSHOT), timestamp: of(TIMESTAMP) }
}

/** How many updates without files, of which each raises both by one, are missing at a server that begins with version 1. */
export function raisesMissing(
  seen: ReturnType<typeof versionsSeen>,
  snapshot: Uint8Array,
  timestamp: Uint8Array,
): number {
  const now = {
    snapshot: parseSnapshot(snapshot).metadata.version,
    timestamp: parseTimestamp(timestamp).metadata.version,
  }
  const missing = (['snapshot', 'timestamp'] as const).map((role) => seen[role] + VERSIONS_LEFT_TO_OTHERS - now[role])
  return Math.max(0, ...missing)
}

/** Lines for the record of the decision. */
export function moveSubjects(gun: Gun, to: string): string[] {
  return [`${gun} ${ROOT}: keys of snapshot and timestamp are those of ${to}`, `${gun}: moves to ${to}`]
}
