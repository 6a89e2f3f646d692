// Holds the files of a change of root against what was asked for. It shares no code with the making of them (edit-root.ts) where that
// could hide a fault: it compares what stands in the files.
import { canonicalText } from './canonical.ts'
import type { BaseRoleChange } from './edit-root.ts'
import { TufError } from './errors.ts'
import { formatExpires } from './expires.ts'
import { verifyNotExpired, verifyPlausible } from './freshness.ts'
import { isJsonObject, type JsonValue } from './json.ts'
import type { PublicKey } from './key.ts'
import { verifyContentKept, verifyFollows } from './next-version.ts'
import { ROOT, TARGETS, type RoleName, type TufKeyId } from './role.ts'
import { verifyOwnSignatures, verifySuccession } from './root-pin.ts'
import { verifyNormalForm } from './normal-form.ts'
import { parseRoot, type RootMetadata } from './root.ts'
import { verifyNormalFormFile, type Received } from './signed.ts'
import { parseTargets, type TargetsMetadata } from './targets.ts'
import { roleKeys } from './threshold.ts'
import { TrustedRepository } from './trusted.ts'

/** The files of a change of root, verified. */
export interface VerifiedRootChange {
  readonly root: Received<RootMetadata>
  /** There exactly if the keys of targets change. */
  readonly targets?: Received<TargetsMetadata>
}

/**
 * That these files, published together, change exactly this of root: version one higher, the named roles with exactly these keys,
 * every other role, threshold and member as before; signed by enough keys of the verified root and of the new one, and by nobody
 * else. A root that gives targets other keys comes with targets of a higher version and the same content, signed by them: without
 * it no client verifies the repository (trap Q4 of Notary). In normal form, not expired at `repository.verifiedAt`.
 * @throws TufError NEXT_VERSION_DIFFERS (facts say where), NORMAL_FORM_*, ROOT_VERSION, ROLE_EXPIRED, SIGNATURE_*, CERTIFICATE_*,
 * METADATA_THRESHOLD, VERSION_*, and as parsing
 */
export function verifyNextRoot(
  repository: TrustedRepository,
  files: ReadonlyMap<RoleName, Uint8Array>,
  changes: readonly BaseRoleChange[],
): VerifiedRootChange {
  TrustedRepository.require(repository)
  const bytes = files.get(ROOT)
  if (bytes === undefined) throw differs('The root is missing', ROOT)
  const root = verifyNextRootFile(repository, bytes, changes)
  for (const role of files.keys()) {
    if (role !== ROOT && role !== TARGETS) throw differs('A file came of another role', role)
  }
  const targets = files.get(TARGETS)
  const isForced = changes.some(({ role }) => role === TARGETS)
  if ((targets !== undefined) !== isForced) {
    throw differs('Targets come with other keys of targets, and only with them', TARGETS)
  }
  return targets === undefined ? { root } : { root, targets: verifyTargets(repository, root, targets) }
}

/**
 * The same of the root alone, before there are targets for it.
 * @throws TufError as `verifyNextRoot`
 */
export function verifyNextRootFile(
  { root: before, gun, verifiedAt }: TrustedRepository,
  bytes: Uint8Array,
  changes: readonly BaseRoleChange[],
): Received<RootMetadata> {
  const next = parseRoot(bytes)
  verifyNormalFormFile(next)
  verifyNextRootContent(before, next, changes, verifiedAt)
  const keyIds = new Set([before, next].flatMap(({ metadata }) => metadata.roles.get(ROOT)?.keyIds ?? []))
  for (const { keyId } of next.signatures) {
    if (!keyIds.has(keyId)) throw differs('A key signed that is not one of the role', ROOT, keyId)
  }
  verifySuccession(before, next, gun)
  verifyOwnSignatures(next, { gun, pin: { kind: 'tofu' }, now: verifiedAt })
  return next
}

/**
 * What `verifyNextRoot` says of a root's content, without its signatures: for whoever is about to sign it. The root before is taken
 * as it is.
 * @throws TufError NEXT_VERSION_DIFFERS, NORMAL_FORM_*, ROOT_VERSION, ROLE_EXPIRED, METADATA_THRESHOLD, VERSION_IMPLAUSIBLE
 */
export function verifyNextRootContent(
  before: Received<RootMetadata>,
  next: Received<RootMetadata>,
  changes: readonly BaseRoleChange[],
  now: Date,
): void {
  const { version } = next.metadata
  verifyNormalForm(next.signed)
  if (next.signed.get('expires') !== formatExpires(next.metadata.expiresAt)) {
    throw new TufError('NORMAL_FORM_EXPIRES', 'An expiry is not in whole seconds of UTC')
  }
  if (version !== before.metadata.version + 1) {
    throw new TufError('ROOT_VERSION', 'The next root does not have the next version', {
      version,
      expected: before.metadata.version + 1,
    })
  }
  verifyPlausible(ROOT, version)
  verifyNotExpired(ROOT, next.metadata, now)
  verifyRoles(before.metadata, next.metadata, changes)
  verifyKeyTable(before.metadata, next.metadata)
  verifyRest(before, next)
}

function verifyRoles(before: RootMetadata, after: RootMetadata, changes: readonly BaseRoleChange[]): void {
  for (const [name, { keyIds, threshold }] of before.roles) {
    const asked = changes.filter(({ role }) => role === name)
    const expected = asked.length === 0 ? keyIds : asked.flatMap(({ keys }) => keys.map(({ tufKeyId }) => tufKeyId))
    const role = after.roles.get(name)
    if (role?.threshold !== threshold) throw differs('A threshold changed, which nobody asked for', name)
    if (role.keyIds.join() !== [...new Set(expected)].join()) {
      throw differs('The keys of a role are not those that were asked for', name)
    }
    if (new Set(role.keyIds.map((id) => after.keys.get(id)?.canonicalKeyId)).size < threshold) {
      throw new TufError('METADATA_THRESHOLD', 'A role has fewer keys than have to sign', { role: name, threshold })
    }
    for (const key of asked.flatMap(({ keys }) => keys)) {
      if (textOf(after.keys.get(key.tufKeyId)) !== textOf(key)) throw differs('A key is not the one asked for', name)
    }
  }
}

/** Listed is what a role has, what was a root key, and what had no role before. No key under an ID changes. */
function verifyKeyTable(before: RootMetadata, after: RootMetadata): void {
  const inRoles = ({ roles }: RootMetadata): Set<TufKeyId> =>
    new Set([...roles.values()].flatMap((role) => role.keyIds))
  const [had, has] = [inRoles(before), inRoles(after)]
  const expected = new Set([...has, ...(before.roles.get(ROOT)?.keyIds ?? [])])
  for (const keyId of before.keys.keys()) if (!had.has(keyId)) expected.add(keyId)
  for (const [keyId, key] of after.keys) {
    if (!expected.delete(keyId)) throw differs('A key is listed that no role has', ROOT, keyId)
    const former = before.keys.get(keyId)
    if (former !== undefined && textOf(former) !== textOf(key)) throw differs('A listed key changed', ROOT, keyId)
  }
  const [left] = expected
  if (left !== undefined) throw differs('A key is no longer listed', ROOT, left)
}

/** Everything but the date, the version, the key table and the base roles; further roles and members included. */
function verifyRest(before: Received<RootMetadata>, after: Received<RootMetadata>): void {
  const rest = ({ signed, metadata }: Received<RootMetadata>): string => {
    const roles = signed.get('roles')
    const others = isJsonObject(roles) ? [...roles].filter(([name]) => !isListed(metadata, name)) : []
    const members = new Map<string, JsonValue>([...signed, ['roles', new Map(others)]])
    for (const name of ['expires', 'keys', 'version']) members.delete(name)
    return canonicalText(members)
  }
  if (rest(before) !== rest(after)) throw differs('Something else changed in root', ROOT)
}

function verifyTargets(
  repository: TrustedRepository,
  { metadata }: Received<RootMetadata>,
  bytes: Uint8Array,
): Received<TargetsMetadata> {
  const next = parseTargets(bytes, TARGETS)
  const role = metadata.roles.get(TARGETS)
  if (role === undefined) throw new TufError('METADATA_ROLE_MISSING', 'Root lacks a role', { role: TARGETS })
  verifyFollows(repository, next, roleKeys(role, metadata.keys))
  verifyContentKept(TARGETS, repository.targets, next)
  const delegations = ({ signed }: Received<TargetsMetadata>): string =>
    canonicalText(signed.get('delegations') ?? null)
  if (delegations(repository.targets) !== delegations(next)) {
    throw differs('The delegations changed, which nobody asked for', TARGETS)
  }
  return next
}

function isListed({ roles }: RootMetadata, name: string): boolean {
  return [...roles.keys()].some((role) => role === name)
}

function textOf(key: PublicKey | undefined): string {
  return JSON.stringify([key?.keyType, key?.publicValue])
}

function differs(message: string, role: RoleName, keyId?: TufKeyId): TufError {
  return new TufError('NEXT_VERSION_DIFFERS', message, { role, ...(keyId !== undefined && { keyId }) })
}
