// The next versions when keys of delegations are replaced: base targets lists the successors, and each role that they sign comes
// again under them, with the content that it has. Takes verified state only; signs nothing. The check is verify-replacement.ts.
import { encodeCanonical } from './canonical.ts'
import { previousTargets, verifyHigher } from './edit.ts'
import { TufError } from './errors.ts'
import { formatExpires } from './expires.ts'
import { verifyNotExpired } from './freshness.ts'
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import { encodePublicKey, type PublicKey } from './key.ts'
import { verifyNormalForm } from './normal-form.ts'
import { TARGETS, type RoleName, type TufKeyId } from './role.ts'
import type { Received, UnsignedMetadata } from './signed.ts'
import type { TargetsMetadata } from './targets.ts'
import type { TrustedRepository } from './trusted.ts'

/** One key of delegations that gives its place to another. */
export interface KeyReplacement {
  /** Canonical ID of the key that goes, however it is listed: bare, or inside a certificate. */
  readonly from: TufKeyId
  readonly to: PublicKey
}

export interface NextVersion {
  readonly version: number
  readonly expiresAt: Date
}

/** The delegations of base targets that list one of these keys, in file order. */
export function rolesListing(repository: TrustedRepository, canonicalKeyIds: Iterable<TufKeyId>): readonly RoleName[] {
  const wanted = new Set(canonicalKeyIds)
  const { keys, roles } = repository.targets.metadata.delegations
  const listing = roles.filter(({ keyIds }) => keyIds.some((id) => wanted.has(keys.get(id)?.canonicalKeyId ?? id)))
  return [...new Set(listing.map(({ name }) => name))]
}

/**
 * Base targets with each replaced key's place taken by its successor, in every delegation that lists it; its entries, and the order,
 * thresholds and paths of the delegations stay. The expiry is cut to whole seconds.
 * @throws TufError KEY_NOT_LISTED, VERSION_*, ROLE_EXPIRED, METADATA_EXPIRES, NORMAL_FORM_*
 */
export function replaceDelegationKeys(
  repository: TrustedRepository,
  replacements: readonly KeyReplacement[],
  next: NextVersion,
): UnsignedMetadata {
  const { signed, metadata } = repository.targets
  const successors = new Map<TufKeyId, PublicKey>()
  for (const { from, to } of replacements) {
    const listed = [...metadata.delegations.keys].filter(([, key]) => key.canonicalKeyId === from)
    if (rolesListing(repository, [from]).length === 0) {
      throw new TufError('KEY_NOT_LISTED', 'No delegation lists the key that is to be replaced', { keyId: from })
    }
    for (const [keyId] of listed) successors.set(keyId, to)
  }
  return nextOf(repository, TARGETS, next, new Map([...signed, ['delegations', withSuccessors(signed, successors)]]))
}

/**
 * A targets role with the content that it has, or that an earlier version had.
 * @param content the earlier version, where what came after it is not to be carried on
 * @throws TufError ROLE_NOT_DELEGATED, ROLE_UNUSABLE, ROLE_NOT_PUBLISHED, VERSION_*, ROLE_EXPIRED, METADATA_EXPIRES, NORMAL_FORM_*
 */
export function renewTargets(
  repository: TrustedRepository,
  role: RoleName,
  next: NextVersion,
  content?: Received<TargetsMetadata>,
): UnsignedMetadata {
  const previous = content ?? previousTargets(repository, role)
  if (previous === undefined) throw new TufError('ROLE_NOT_PUBLISHED', 'The role has no file yet', { role })
  return nextOf(repository, role, next, previous.signed)
}

function nextOf(
  repository: TrustedRepository,
  role: RoleName,
  { version, expiresAt }: NextVersion,
  content: JsonObject,
): UnsignedMetadata {
  verifyHigher(role, version, previousTargets(repository, role))
  verifyNotExpired(role, { version, expiresAt }, repository.verifiedAt)
  const signed = new Map(content)
  signed.set('expires', formatExpires(expiresAt))
  signed.set('version', version)
  verifyNormalForm(signed)
  return { role, version, signed, message: encodeCanonical(signed) }
}

/** Edits the received value, not our model of it. Verified metadata has these shapes. */
function withSuccessors(signed: JsonObject, successors: ReadonlyMap<string, PublicKey>): JsonObject {
  const delegations = objectOf(signed.get('delegations'))
  const roles = listOf(delegations.get('roles')).map((role) => {
    const keyIds = listOf(objectOf(role).get('keyids')).map((keyId) =>
      typeof keyId === 'string' ? (successors.get(keyId)?.tufKeyId ?? keyId) : keyId,
    )
    return new Map([...objectOf(role), ['keyids', [...new Set(keyIds)]]])
  })
  const keys = new Map(objectOf(delegations.get('keys')))
  for (const [keyId, to] of successors) {
    keys.delete(keyId)
    keys.set(to.tufKeyId, encodePublicKey(to))
  }
  return new Map<string, JsonValue>([...delegations, ['keys', keys], ['roles', roles]])
}

function objectOf(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : new Map()
}

function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return isJsonArray(value) ? value : []
}
