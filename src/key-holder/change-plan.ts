// From a verified base and declared changes to the next version of each role. Decides; writes and signs nothing.
import {
  editTargets,
  parseRoleName,
  ROOT,
  SNAPSHOT,
  TARGETS,
  targetsOf,
  TIMESTAMP,
  sha256Hex,
  signingRole,
  type Gun,
  type NextVersion,
  type PublicKey,
  type Received,
  type RoleName,
  type TargetsChange,
  type TargetsMetadata,
  type TrustedRepository,
  type UnsignedMetadata,
} from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { verifyState } from './base.ts'
import { checkAgreement } from './change-rules.ts'
import type { Holder } from './holder.ts'
import type { KeyState } from './key-table.ts'
import { lifetimeOf, limitsFor, type RepositoryLimits } from './limits.ts'
import type { Payload } from './payloads.ts'

/** The next version of one role, and which of our keys sign it. */
export interface PlannedRole {
  readonly unsigned: UnsignedMetadata
  readonly baseVersion: number
  /** The earlier version whose content it has, where that of the base is not carried on. */
  readonly restored?: Received<TargetsMetadata>
  readonly signingKeys: readonly (readonly [canonicalKeyId: string, tufKeyId: string])[]
}

/**
 * Next versions of the roles in which the changes change something.
 * @throws KeyHolderError CHANGE_MALFORMED, CHANGE_REFUSED, CHANGE_EMPTY, ROLE_NOT_SIGNABLE, BASE_NOT_VERIFIED,
 * BASE_OLDER_THAN_KNOWN, LIMIT_ENTRIES
 */
export function planChange(
  holder: Holder,
  limits: RepositoryLimits,
  repository: TrustedRepository,
  roles: readonly RoleName[],
  changes: readonly TargetsChange[],
): PlannedRole[] {
  const { gun } = repository
  const delegated = repository.targets.metadata.delegations.roles.map(({ name }) => name)
  if (delegated.length > 0 && roles.includes(TARGETS) && changes.some(({ kind }) => kind === 'put')) {
    throw new KeyHolderError(
      'CHANGE_REFUSED',
      'With delegations, tags are put into delegations: a tag in the base targets would outlive its removal there.',
      { gun, role: TARGETS },
    )
  }
  const ourRoles = delegated.filter((role) => ourKeys(holder, repository, role).length > 0)
  checkAgreement(repository, roles, ourRoles, changes)
  const planned = roles.flatMap((role) => planRole(holder, limits, repository, role, changes) ?? [])
  if (planned.length === 0) {
    throw new KeyHolderError('CHANGE_EMPTY', 'These changes change nothing.', { gun, roles: roles.join(' ') })
  }
  return planned
}

/** @throws KeyHolderError CHANGE_MALFORMED (unknown name, a role twice), ROLE_NOT_SIGNABLE (a role that is not targets) */
export function parseTargetsRoles(texts: readonly string[], gun: Gun): RoleName[] {
  const roles = texts.map(parseRoleName)
  if (new Set(roles).size !== roles.length) {
    throw new KeyHolderError('CHANGE_MALFORMED', 'A role is named twice.', { gun })
  }
  for (const role of roles) {
    if (role === ROOT || role === SNAPSHOT || role === TIMESTAMP) throw notSignable(gun, role, 'it holds no targets')
  }
  return roles
}

function planRole(
  holder: Holder,
  limits: RepositoryLimits,
  repository: TrustedRepository,
  role: RoleName,
  changes: readonly TargetsChange[],
): PlannedRole | undefined {
  const { gun } = repository
  const signingKeys = checkSignable(holder, repository, role, changes)
  const current = targetsOf(repository, role)
  const { highestSeen } = holder.versions.ofRole(gun, role)
  if (current === undefined) checkAbsence(repository, role, highestSeen?.version)
  checkEntries(limits, gun, role, current?.metadata.targets, changes)
  const next = nextVersion(holder, gun, role, current)
  const unsigned = verifyState(() => editTargets(repository, role, changes, next), gun)
  return unsigned === undefined ? undefined : { unsigned, baseVersion: current?.metadata.version ?? 0, signingKeys }
}

/** Above everything seen or signed; versions that were signed and never published stay burnt. @throws KeyHolderError LIMIT_GUN */
export function nextVersion(
  holder: Holder,
  gun: Gun,
  role: RoleName,
  current: Received<TargetsMetadata> | undefined,
): NextVersion {
  const { highestSeen, highestSigned } = holder.versions.ofRole(gun, role)
  const highest = [current?.metadata.version, highestSeen?.version, highestSigned?.version]
  const version = Math.max(...highest.map((known) => known ?? 0)) + 1
  const end = holder.now().getTime() + lifetimeOf(limitsFor(holder.limits, gun), role)
  return { version, expiresAt: new Date(Math.floor(end / 1000) * 1000) }
}

/** What is recorded of a planned version before it is signed. */
export function payloadOf(gun: Gun, publication: string, { unsigned, signingKeys, restored }: PlannedRole): Payload {
  const { role, version, message } = unsigned
  return {
    gun,
    role,
    version,
    publication,
    message: Buffer.from(message),
    messageSha256: sha256Hex(message),
    signingKeys,
    ...(restored !== undefined && { restoredVersion: restored.metadata.version }),
  }
}

/** Our keys that may sign the role, if they meet its threshold and its paths allow the tags. @throws KeyHolderError ROLE_NOT_SIGNABLE */
export function checkSignable(
  holder: Holder,
  repository: TrustedRepository,
  role: RoleName,
  changes: readonly TargetsChange[],
): PlannedRole['signingKeys'] {
  const { gun } = repository
  const listed = signingRole(repository, role)
  if (listed === undefined) throw notSignable(gun, role, 'nobody delegates to it')
  const ours = ourKeys(holder, repository, role)
  if (ours.length === 0) throw notSignable(gun, role, 'none of its keys is here')
  if (new Set(ours.map(([canonicalKeyId]) => canonicalKeyId)).size < listed.threshold) {
    throw notSignable(gun, role, 'its threshold needs other keys as well', {
      threshold: listed.threshold,
      keysHere: ours.length,
    })
  }
  for (const { kind, name } of changes) {
    if (kind === 'put' && !listed.paths.some((path) => name.startsWith(path))) {
      throw notSignable(gun, role, 'its paths do not allow this tag', { tag: name })
    }
  }
  return ours
}

/** A key that was replaced signs no more, whoever lists it again. */
const SIGNING_STATES: ReadonlySet<KeyState> = new Set<KeyState>(['active', 'staged'])

/** Keys of ours that the role lists. */
export function ourKeys(holder: Holder, repository: TrustedRepository, role: RoleName): PlannedRole['signingKeys'] {
  return oursAmong(holder, repository.gun, signingRole(repository, role)?.keys ?? [])
}

/** Those of these keys that are ours and may sign targets roles: canonical ID, and the ID under which a role lists them. */
export function oursAmong(holder: Holder, gun: Gun, keys: readonly PublicKey[]): PlannedRole['signingKeys'] {
  const stored = holder.keys
    .ofGun(gun)
    .filter(({ role: made, state }) => ![ROOT, SNAPSHOT, TIMESTAMP].includes(made) && SIGNING_STATES.has(state))
  const ours = new Set<string>(stored.map(({ publicKey }) => publicKey.canonicalKeyId))
  return keys.filter((key) => ours.has(key.canonicalKeyId)).map((key) => [key.canonicalKeyId, key.tufKeyId] as const)
}

/**
 * A role without a usable file may be begun anew only if there never was one: otherwise everything in it would be lost.
 * @throws KeyHolderError BASE_NOT_VERIFIED, BASE_OLDER_THAN_KNOWN
 */
function checkAbsence(repository: TrustedRepository, role: RoleName, highestSeen: number | undefined): void {
  const { gun } = repository
  const listed = repository.snapshot.metadata.meta.has(role)
  if (listed) {
    const reason = repository.unusable.get(role) ?? 'UNUSABLE'
    throw new KeyHolderError('BASE_NOT_VERIFIED', 'The role has a file that does not verify.', { gun, role, reason })
  }
  if (highestSeen !== undefined) {
    throw new KeyHolderError('BASE_OLDER_THAN_KNOWN', 'The base lacks a role that had a file before.', {
      gun,
      role,
      highestSeen,
    })
  }
}

/** @throws KeyHolderError LIMIT_ENTRIES */
function checkEntries(
  limits: RepositoryLimits,
  gun: Gun,
  role: RoleName,
  current: ReadonlyMap<string, unknown> | undefined,
  changes: readonly TargetsChange[],
): void {
  const names = new Set(current?.keys())
  const before = names.size
  for (const { kind, name } of changes) {
    if (kind === 'put') names.add(name)
    else names.delete(name)
  }
  if (names.size > limits.maxEntries && names.size > before) {
    throw new KeyHolderError('LIMIT_ENTRIES', 'The role would hold more tags than the limits file allows.', {
      gun,
      role,
      entries: names.size,
      maxEntries: limits.maxEntries,
    })
  }
}

export function notSignable(
  gun: Gun,
  role: RoleName,
  why: string,
  more: Readonly<Record<string, string | number>> = {},
): KeyHolderError {
  return new KeyHolderError('ROLE_NOT_SIGNABLE', `This role cannot be signed here: ${why}.`, {
    gun,
    role,
    why,
    ...more,
  })
}
