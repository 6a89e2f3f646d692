// The next version of a targets role: the received value with the declared entries changed, and nothing else. Takes verified state
// only; signs nothing. It edits `signed` as received, never our model of it.
import { encodeCanonical } from './canonical.ts'
import { base64OfHexDigest } from './digest.ts'
import { TufError } from './errors.ts'
import { formatExpires } from './expires.ts'
import { verifyNotExpired, verifyPlausible } from './freshness.ts'
import { newTargets } from './build.ts'
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import type { FileMeta } from './metadata.ts'
import { verifyNormalForm } from './normal-form.ts'
import { coversName, signingRole, targetsOf } from './resolve.ts'
import type { RoleName, TargetName } from './role.ts'
import type { Received, UnsignedMetadata } from './signed.ts'
import type { TargetsMetadata } from './targets.ts'
import { TrustedRepository } from './trusted.ts'

/** One declared change of one entry. */
export type TargetsChange = PutTarget | DropTarget

export interface PutTarget {
  readonly kind: 'put'
  readonly name: TargetName
  /** 64 hex digits, of the manifest or index. */
  readonly sha256: string
  /** Its length in bytes. */
  readonly length: number
}

export interface DropTarget {
  readonly kind: 'drop'
  readonly name: TargetName
}

/** What stands in a role before a change: undefined where it is delegated and was never published. */
export type PreviousTargets = Received<TargetsMetadata> | undefined

/**
 * The role with the changes made, at this version and expiry (cut to whole seconds); undefined where nothing would change.
 * Putting an entry with the digest and length that it has changes nothing, and neither does dropping one that is absent. A put
 * with another digest replaces the entry whole: other hashes and custom data spoke of the old image.
 * @throws TufError ROLE_NOT_DELEGATED, ROLE_UNUSABLE, TARGET_OUTSIDE_PATHS, CHANGES_CONFLICT, DIGEST_INVALID,
 * METADATA_FILE_META, VERSION_ROLLED_BACK, VERSION_FORKED, VERSION_IMPLAUSIBLE, ROLE_EXPIRED, METADATA_EXPIRES, NORMAL_FORM_*
 */
export function editTargets(
  repository: TrustedRepository,
  role: RoleName,
  changes: readonly TargetsChange[],
  { version, expiresAt }: { readonly version: number; readonly expiresAt: Date },
): UnsignedMetadata | undefined {
  const signed = editSigned(repository, role, changes, { version, expiresAt })
  return signed && { role, version, signed, message: encodeCanonical(signed) }
}

/**
 * Whether `editTargets` has a next version to make; the same checks, without writing what may be a large file.
 * @throws as `editTargets`
 */
export function verifyEdit(
  repository: TrustedRepository,
  role: RoleName,
  changes: readonly TargetsChange[],
  next: { readonly version: number; readonly expiresAt: Date },
): boolean {
  return editSigned(repository, role, changes, next) !== undefined
}

function editSigned(
  repository: TrustedRepository,
  role: RoleName,
  changes: readonly TargetsChange[],
  { version, expiresAt }: { readonly version: number; readonly expiresAt: Date },
): JsonObject | undefined {
  const { previous, effective } = effectiveChanges(repository, role, changes)
  if (effective.length === 0) return undefined
  verifyHigher(role, version, previous)
  verifyNotExpired(role, { version, expiresAt }, repository.verifiedAt)
  const base = previous?.signed ?? newTargets({ role, version, expiresAt }).signed
  const signed = new Map(base)
  signed.set('targets', withChanges(objectOr(base.get('targets'), EMPTY), effective))
  // What Go writes where a file has none.
  signed.set('delegations', objectOr(base.get('delegations'), NO_DELEGATIONS))
  signed.set('expires', formatExpires(expiresAt))
  signed.set('version', version)
  verifyNormalForm(signed)
  return signed
}

/**
 * Whether the changes would change anything in the role. Nothing is said of what the role holds now: `verifyEdit` looks at that.
 * @throws TufError ROLE_NOT_DELEGATED, ROLE_UNUSABLE, TARGET_OUTSIDE_PATHS, CHANGES_CONFLICT, DIGEST_INVALID, METADATA_FILE_META
 */
export function changesTargets(
  repository: TrustedRepository,
  role: RoleName,
  changes: readonly TargetsChange[],
): boolean {
  return effectiveChanges(repository, role, changes).effective.length > 0
}

function effectiveChanges(
  repository: TrustedRepository,
  role: RoleName,
  changes: readonly TargetsChange[],
): { readonly previous: PreviousTargets; readonly effective: readonly TargetsChange[] } {
  const previous = previousTargets(repository, role)
  verifyChanges(repository, role, changes)
  const effective = changes.filter((change) => isEffective(previous?.metadata.targets.get(change.name), change))
  return { previous, effective }
}

/** @throws TufError ROLE_NOT_DELEGATED, ROLE_UNUSABLE */
export function previousTargets(repository: TrustedRepository, role: RoleName): PreviousTargets {
  TrustedRepository.require(repository)
  if (signingRole(repository, role) === undefined) {
    throw new TufError('ROLE_NOT_DELEGATED', 'No verified role delegates to this one', { role })
  }
  const fault = repository.unusable.get(role)
  if (fault !== undefined && fault !== 'DELEGATION_ABSENT') {
    throw new TufError('ROLE_UNUSABLE', 'What the role holds now is badly signed or expired', { role, fault })
  }
  return targetsOf(repository, role)
}

/** Whether the change would alter the entry. */
export function isEffective(meta: FileMeta | undefined, change: TargetsChange): boolean {
  if (change.kind === 'drop') return meta !== undefined
  return meta?.hashes.get('sha256') !== base64OfHexDigest(change.sha256) || meta.length !== change.length
}

/**
 * Each name once, or with the same change each time; values in range; puts within the paths of the role. A name outside may be
 * dropped: clients do not see it, until somebody widens the paths.
 * @throws TufError TARGET_OUTSIDE_PATHS, CHANGES_CONFLICT, DIGEST_INVALID, METADATA_FILE_META
 */
export function verifyChanges(repository: TrustedRepository, role: RoleName, changes: readonly TargetsChange[]): void {
  const paths = signingRole(repository, role)?.paths ?? []
  const seen = new Map<TargetName, TargetsChange>()
  for (const change of changes) {
    const { name } = change
    const other = seen.get(name)
    seen.set(name, change)
    if (other !== undefined && !isSame(other, change)) {
      throw new TufError('CHANGES_CONFLICT', 'Two changes of one entry contradict each other', { role, name })
    }
    if (change.kind === 'drop') continue
    base64OfHexDigest(change.sha256)
    if (!Number.isSafeInteger(change.length) || change.length < 1) {
      throw new TufError('METADATA_FILE_META', 'The length of an image must be a whole number above zero', { name })
    }
    if (!coversName(paths, name)) {
      throw new TufError('TARGET_OUTSIDE_PATHS', 'The paths of the role do not cover this name', { role, name })
    }
  }
}

/** @throws TufError VERSION_ROLLED_BACK, VERSION_FORKED, VERSION_IMPLAUSIBLE, METADATA_VERSION */
export function verifyHigher(role: RoleName, version: number, previous: PreviousTargets): void {
  if (!Number.isSafeInteger(version) || version < 1) {
    throw new TufError('METADATA_VERSION', 'A version must be a whole number above zero', { role, version })
  }
  verifyPlausible(role, version)
  const highest = previous?.metadata.version ?? 0
  if (version > highest) return
  const code = version === highest ? 'VERSION_FORKED' : 'VERSION_ROLLED_BACK'
  throw new TufError(code, 'The next version must be higher than the published one', { role, version, highest })
}

function withChanges(entries: JsonObject, changes: readonly TargetsChange[]): JsonObject {
  const next = new Map(entries)
  for (const change of changes) {
    if (change.kind === 'drop') next.delete(change.name)
    else next.set(change.name, entryOf(change))
  }
  return next
}

function entryOf({ sha256, length }: PutTarget): JsonObject {
  return new Map<string, JsonValue>([
    ['hashes', new Map([['sha256', base64OfHexDigest(sha256)]])],
    ['length', length],
  ])
}

function isSame(one: TargetsChange, other: TargetsChange): boolean {
  if (one.kind === 'drop' || other.kind === 'drop') return one.kind === other.kind
  return one.sha256 === other.sha256 && one.length === other.length
}

const EMPTY: JsonObject = new Map()
const NO_DELEGATIONS: JsonObject = new Map([
  ['keys', null],
  ['roles', null],
])

function objectOr(value: JsonValue | undefined, otherwise: JsonObject): JsonObject {
  return isJsonObject(value) ? value : otherwise
}
