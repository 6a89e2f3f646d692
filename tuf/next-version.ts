// Holds a new version of a targets role against what was asked for. It shares no code with the making of it (edit.ts) where that
// could hide a fault: it compares what stands in the file with the changes declared.
import { canonicalText } from './canonical.ts'
import { base64OfHexDigest } from './digest.ts'
import { describeChange, type ChangeDescription } from './describe.ts'
import {
  isEffective,
  previousTargets,
  verifyChanges,
  verifyHigher,
  type PreviousTargets,
  type TargetsChange,
} from './edit.ts'
import { TufError } from './errors.ts'
import { formatExpires } from './expires.ts'
import { verifyNotExpired } from './freshness.ts'
import { isJsonObject, type JsonValue } from './json.ts'
import type { FileMeta } from './metadata.ts'
import { signingRole } from './resolve.ts'
import type { RoleName } from './role.ts'
import { verifyNormalFormFile, type Received } from './signed.ts'
import { parseTargets, type TargetsMetadata } from './targets.ts'
import { verifyThreshold, type RoleKeys } from './threshold.ts'
import type { TrustedRepository } from './trusted.ts'

/**
 * That these bytes may follow what the repository has: in normal form, signed by enough keys of the role, of a higher version, not
 * expired at `repository.verifiedAt`, and different from the previous version in exactly the declared changes.
 * @throws TufError NEXT_VERSION_DIFFERS (facts say where), NORMAL_FORM_*, SIGNATURE_*, VERSION_*, ROLE_EXPIRED, and as
 * `editTargets` and parsing
 */
export function verifyNextVersion(
  repository: TrustedRepository,
  role: RoleName,
  bytes: Uint8Array,
  changes: readonly TargetsChange[],
): Received<TargetsMetadata> {
  const previous = previousTargets(repository, role)
  verifyChanges(repository, role, changes)
  const next = parseTargets(bytes, role)
  verifyFollows(repository, next, signersOf(repository, role))
  verifySameDelegations(role, previous, next)
  verifyDeclared(role, describeChange(previous?.metadata, next.metadata), changes, previous)
  return next
}

/**
 * As `verifyNextVersion`, but with the content of an earlier version in place of what the repository has now.
 * @throws TufError as `verifyNextVersion`
 */
export function verifyRestored(
  repository: TrustedRepository,
  role: RoleName,
  bytes: Uint8Array,
  content: Received<TargetsMetadata>,
): Received<TargetsMetadata> {
  const next = parseTargets(bytes, role)
  verifyFollows(repository, next, signersOf(repository, role))
  verifySameDelegations(role, content, next)
  verifyContentKept(role, content, next)
  return next
}

function signersOf(repository: TrustedRepository, role: RoleName): RoleKeys {
  const { keys = [], threshold = 1 } = signingRole(repository, role) ?? {}
  return { name: role, keys: new Map(keys.map((key) => [key.tufKeyId, key])), threshold }
}

/**
 * That a file may follow what the repository has, whatever it says: normal form, enough signatures of these keys and of no other, a
 * higher version, not expired at `repository.verifiedAt`.
 * @throws TufError NORMAL_FORM_*, NEXT_VERSION_DIFFERS, SIGNATURE_*, VERSION_*, ROLE_EXPIRED
 */
export function verifyFollows(repository: TrustedRepository, next: Received<TargetsMetadata>, signers: RoleKeys): void {
  verifyNormalFormFile(next)
  verifyExpires(next)
  verifySigners(next, signers)
  verifyHigher(signers.name, next.metadata.version, previousTargets(repository, signers.name))
  verifyNotExpired(signers.name, next.metadata, repository.verifiedAt)
}

/** That no entry differs. @throws TufError NEXT_VERSION_DIFFERS */
export function verifyContentKept(
  role: RoleName,
  previous: Received<TargetsMetadata>,
  next: Received<TargetsMetadata>,
): void {
  verifyDeclared(role, describeChange(previous.metadata, next.metadata), [], previous)
}

/** The one form that we write, of the several that Notary writes. */
function verifyExpires({ signed, metadata }: Received<TargetsMetadata>): void {
  if (signed.get('expires') !== formatExpires(metadata.expiresAt)) {
    throw new TufError('NORMAL_FORM_EXPIRES', 'An expiry is not in whole seconds of UTC')
  }
}

function verifySigners(next: Received<TargetsMetadata>, signers: RoleKeys): void {
  // Notary counts further signatures of nobody, and we write none.
  for (const { keyId } of next.signatures) {
    if (!signers.keys.has(keyId)) {
      throw new TufError('NEXT_VERSION_DIFFERS', 'A key signed that is not one of the role', {
        role: signers.name,
        keyId,
      })
    }
  }
  verifyThreshold(next, signers)
}

/** Compared as canonical text: order, duplicates and nulls included. */
function verifySameDelegations(role: RoleName, previous: PreviousTargets, next: Received<TargetsMetadata>): void {
  const before = previous === undefined ? NO_DELEGATIONS : delegationsText(previous.signed.get('delegations'))
  if (before !== delegationsText(next.signed.get('delegations'))) {
    throw new TufError('NEXT_VERSION_DIFFERS', 'The delegations changed, which nobody asked for', { role })
  }
}

/** Canonical text of a first version's delegations. */
const NO_DELEGATIONS = '{"keys":{},"roles":[]}'

/** Go writes absent delegations as two nulls. */
function delegationsText(value: JsonValue | undefined): string {
  return isJsonObject(value) ? canonicalText(value) : '{"keys":null,"roles":null}'
}

function verifyDeclared(
  role: RoleName,
  { put, moved, dropped, annotated }: ChangeDescription,
  changes: readonly TargetsChange[],
  previous: PreviousTargets,
): void {
  const differs = (message: string, name: string): TufError =>
    new TufError('NEXT_VERSION_DIFFERS', message, { role, name: name.slice(0, 256) })
  const open = new Map<string, TargetsChange>()
  for (const change of changes) {
    if (isEffective(previous?.metadata.targets.get(change.name), change)) open.set(change.name, change)
  }
  const written = [...put, ...moved.map(({ name, to }) => ({ name, meta: to }))]
  for (const { name, meta } of written) {
    const change = open.get(name)
    if (change?.kind !== 'put' || !isExactly(meta, change))
      throw differs('An entry was put that nobody asked for', name)
    open.delete(name)
  }
  for (const { name } of dropped) {
    if (open.get(name)?.kind !== 'drop') throw differs('An entry is gone that nobody asked to drop', name)
    open.delete(name)
  }
  const [other] = annotated
  if (other !== undefined) throw differs('Hashes or custom data of an entry changed', other.name)
  const [left] = open.keys()
  if (left !== undefined) throw differs('A declared change was not made', left)
}

/** SHA-256 and length alone. */
function isExactly({ hashes, length, custom }: FileMeta, put: { sha256: string; length: number }): boolean {
  return (
    hashes.size === 1 &&
    hashes.get('sha256') === base64OfHexDigest(put.sha256) &&
    length === put.length &&
    custom === undefined
  )
}
