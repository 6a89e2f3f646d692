// What a Notary server checks of an update before it signs a snapshot over it, in the original's order (notary v0.7.0
// server/handlers/validation.go validateUpdate, loadAndValidateTargets, loadAndValidateSnapshot). Stricter where the original accepts what
// clients cannot use afterwards; each such place says so.
import { Buffer } from 'node:buffer'
import { TufError } from './errors.ts'
import { readFile, type FileCache } from './file-cache.ts'
import { verifyNotExpired, verifyPlausible } from './freshness.ts'
import type { Gun } from './gun.ts'
import { keyObjectOf } from './key.ts'
import type { FileMeta } from './metadata.ts'
import { verifyDelegationCertificate } from './root-certificate.ts'
import { verifyOwnSignatures, verifySuccession } from './root-pin.ts'
import { parseRoot, type RootMetadata } from './root.ts'
import { BASE_ROLES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type RoleName, type TufKeyId } from './role.ts'
import { servedRole, type ServedRole, type ServedState } from './served-state.ts'
import { baseRoleKeys, isTargetsRole, ServedTree } from './served-tree.ts'
import { verifyNormalFormFile, type Received } from './signed.ts'
import { skimTargets } from './skim-targets.ts'
import { parseSnapshot, type SnapshotMetadata } from './snapshot.ts'
import { parseTargets, type TargetsMetadata } from './targets.ts'
import { roleKeys, verifyThreshold, type RoleKeys } from './threshold.ts'
import { refusal, refusing } from './update-refusal.ts'

export interface UpdateRules {
  readonly gun: Gun
  readonly now: Date
  /** The keys that the server can sign with, by their IDs. */
  readonly serverKeys: ServerKeys
  /** Where the state has no root to be followed: the version of one that was given up; a first root has this or the next one. */
  readonly lastRootVersion?: number
  /** Where the root of the state may have been parsed before. */
  readonly cache?: FileCache
}

export interface ServerKeys {
  readonly snapshot: ReadonlySet<TufKeyId>
  readonly timestamp: ReadonlySet<TufKeyId>
}

export interface AcceptedUpdate {
  /** The state once the update is published; without the snapshot and timestamp that the server makes. */
  readonly next: ServedState
  /** The roles of the update, with what is now known of them. */
  readonly changed: ReadonlyMap<RoleName, ServedRole>
  readonly root: Received<RootMetadata>
  /** Delegations that clients pass over from now on, until they are signed with the new keys. */
  readonly orphaned: readonly RoleName[]
  /** The snapshot that the client signed; absent where the server makes it. */
  readonly clientSnapshot?: Received<SnapshotMetadata>
}

/**
 * Holds an update against what is known of the repository. `files` has one file for each role in it; a timestamp among them is
 * ignored, as in the original (trap Q32). Changes nothing.
 * @throws UpdateRefusal
 */
export function acceptUpdate(
  state: ServedState,
  files: ReadonlyMap<RoleName, Uint8Array>,
  rules: UpdateRules,
): AcceptedUpdate {
  const stored = state.root === undefined ? undefined : readFile(rules.cache, ROOT, state.root, parseRoot)
  const rootBytes = files.get(ROOT)
  const sent = rootBytes === undefined ? undefined : acceptRoot(stored, rootBytes, rules)
  const root = sent ?? stored
  if (root === undefined) throw refusal('UPDATE_NO_ROOT', ROOT, 'METADATA_ROLE_MISSING')
  const roles = new Map(state.roles)
  const tree = new ServedTree(root, roles)
  const changed = new Map<RoleName, ServedRole>()
  const put = (name: RoleName, role: ServedRole): void => {
    roles.set(name, role)
    changed.set(name, role)
    tree.forget(name)
  }
  if (sent !== undefined) put(ROOT, servedRole(sent, baseRoleKeys(sent, ROOT)))
  for (const name of targetsRolesOf(files)) put(name, acceptTargets(tree, name, files.get(name), rules))
  const orphaned = stored === undefined ? [] : orphans(new ServedTree(stored, state.roles), tree, roles)
  const clientSnapshot = acceptSnapshot(root, { roles, tree }, files.get(SNAPSHOT), rules)
  if (clientSnapshot !== undefined) {
    put(SNAPSHOT, servedRole(clientSnapshot, baseRoleKeys(root, SNAPSHOT)))
    unlistMissing(roles, clientSnapshot.metadata)
  }
  if (!isReachable(baseRoleKeys(root, TIMESTAMP), rules.serverKeys.timestamp)) {
    throw refusal('UPDATE_NO_TIMESTAMP_KEY', TIMESTAMP, 'KEY_NOT_FOUND')
  }
  verifyVersions(state, changed)
  return {
    next: { root: root.bytes, roles },
    changed,
    root,
    orphaned,
    ...(clientSnapshot !== undefined && { clientSnapshot }),
  }
}

function acceptRoot(
  stored: Received<RootMetadata> | undefined,
  bytes: Uint8Array,
  { gun, now, lastRootVersion = 1 }: UpdateRules,
): Received<RootMetadata> {
  return refusing('UPDATE_BAD_ROOT', ROOT, () => {
    const root = parseRoot(bytes)
    verifyRootVersion(stored?.metadata.version ?? lastRootVersion, root.metadata.version)
    if (stored !== undefined) {
      refusing(
        'UPDATE_BAD_ROOT',
        ROOT,
        () => {
          verifySuccession(stored, root, gun)
        },
        { signers: 'previous' },
      )
    }
    verifyOwnSignatures(root, { gun, now, pin: { kind: 'tofu' } })
    verifyNotExpired(ROOT, root.metadata, now)
    verifyNormalFormFile(root)
    // Stricter than the original: a threshold that no set of the role's keys can meet makes the repository unusable.
    for (const name of BASE_ROLES) verifyReachable(baseRoleKeys(root, name))
    return root
  })
}

/** notary v0.7.0 server/handlers/validation.go validateRoot: the stored version or the next one; without one, 1 or 2. */
function verifyRootVersion(current: number, version: number): void {
  if (version === current || version === current + 1) return
  throw new TufError('ROOT_VERSION', 'A root must have the version after the last one', { current, version })
}

/** Depth first comes from the names: the original sorts by depth, then by name. */
function targetsRolesOf(files: ReadonlyMap<RoleName, Uint8Array>): readonly RoleName[] {
  const depth = (name: RoleName) => name.split('/').length
  return [...files.keys()].filter(isTargetsRole).sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1))
}

function acceptTargets(
  tree: ServedTree,
  name: RoleName,
  bytes: Uint8Array = new Uint8Array(),
  { now }: UpdateRules,
): ServedRole {
  const authority = tree.authority(name)
  if (authority === undefined) throw refusal('UPDATE_BAD_TARGETS', name, 'ROLE_NOT_DELEGATED')
  const unusable = tree.unusableParent(name)
  if (unusable !== undefined) throw refusal('UPDATE_PARENT_UNUSABLE', unusable, 'SIGNATURE_BELOW_THRESHOLD')
  return refusing('UPDATE_BAD_TARGETS', name, () => {
    const skimmed = skimTargets(bytes, name)
    const file = skimmed?.file ?? parseTargets(bytes, name)
    verifyThreshold(file, authority.keys)
    verifyNotExpired(name, file.metadata, now)
    verifyPlausible(name, file.metadata.version)
    if (skimmed === undefined) verifyNormalFormFile(file)
    verifyDelegationKeys(file.metadata)
    verifyPaths(name, skimmed?.names ?? file.metadata.targets.keys(), authority.paths)
    return servedRole(file, authority.keys)
  })
}

/**
 * Stricter than the original, which takes certificates that clients refuse together with the whole repository (trap Q33), and
 * thresholds that nobody can meet. A role without any key is a role that nobody may sign, and is left alone.
 */
function verifyDelegationKeys({ delegations }: TargetsMetadata): void {
  for (const role of delegations.roles) {
    const keys = roleKeys(role, delegations.keys)
    for (const key of keys.keys.values()) verifyDelegationCertificate(key)
    if (role.keyIds.length > 0) verifyReachable(keys)
  }
}

/** Stricter than the original: clients drop names outside the paths without a word (trap Q37). */
function verifyPaths(role: RoleName, names: Iterable<string>, paths: readonly string[]): void {
  if (paths.includes('')) return
  for (const name of names) {
    if (paths.some((path) => name.startsWith(path))) continue
    throw new TufError('TARGET_OUTSIDE_PATHS', 'A name is not one that this role may sign', {
      role,
      name: name.slice(0, 256),
    })
  }
}

/** @throws TufError METADATA_THRESHOLD, KEY_TOO_WEAK, KEY_MALFORMED */
function verifyReachable({ name, keys, threshold }: RoleKeys): void {
  const distinct = new Set([...keys.values()].map(({ canonicalKeyId }) => canonicalKeyId))
  if (distinct.size < threshold) {
    throw new TufError('METADATA_THRESHOLD', 'A threshold is above the number of keys', {
      role: name,
      threshold,
      keys: distinct.size,
    })
  }
  for (const key of keys.values()) if (key.keyType.startsWith('rsa')) keyObjectOf(key)
}

/**
 * Roles that clients took before the update and would not take after it, although they are still delegated. Stricter than the
 * original for targets (trap Q4): without it the whole repository would be unusable. A delegation is passed over until somebody
 * signs it again; revoking a key must not wait for that, so it is reported and not refused.
 */
function orphans(before: ServedTree, after: ServedTree, roles: ReadonlyMap<RoleName, ServedRole>): readonly RoleName[] {
  const lost = [...roles.keys()].filter(
    (name) => isTargetsRole(name) && before.isVerifying(name) && !after.isVerifying(name),
  )
  if (lost.includes(TARGETS)) throw refusal('UPDATE_ORPHANS_TARGETS', TARGETS, 'SIGNATURE_BELOW_THRESHOLD')
  return lost.filter((name) => after.authority(name) !== undefined)
}

interface After {
  readonly roles: ReadonlyMap<RoleName, ServedRole>
  readonly tree: ServedTree
}

function acceptSnapshot(
  root: Received<RootMetadata>,
  after: After,
  bytes: Uint8Array | undefined,
  { now, serverKeys }: UpdateRules,
): Received<SnapshotMetadata> | undefined {
  const keys = baseRoleKeys(root, SNAPSHOT)
  if (bytes === undefined) {
    if (after.roles.get(TARGETS)?.isListed !== true) {
      throw refusal('UPDATE_NO_TARGETS', TARGETS, 'METADATA_ROLE_MISSING')
    }
    if (!isReachable(keys, serverKeys.snapshot)) throw refusal('UPDATE_NO_SNAPSHOT', SNAPSHOT, 'KEY_NOT_FOUND')
    return undefined
  }
  return refusing('UPDATE_BAD_SNAPSHOT', SNAPSHOT, () => {
    const snapshot = parseSnapshot(bytes)
    verifyThreshold(snapshot, keys)
    verifyNotExpired(SNAPSHOT, snapshot.metadata, now)
    verifyPlausible(SNAPSHOT, snapshot.metadata.version)
    verifyNormalFormFile(snapshot)
    verifyCoverage(snapshot.metadata, after)
    return snapshot
  })
}

/**
 * Every file that clients will ask for is described as it is, and nothing else is. Stricter than the original, which compares only
 * the roles of the update. A delegation that is no longer delegated may be missing: Notary's own client drops it.
 */
function verifyCoverage({ meta }: SnapshotMetadata, { roles, tree }: After): void {
  const isNeeded = (name: RoleName): boolean => name === ROOT || name === TARGETS || tree.authority(name) !== undefined
  for (const [name, role] of roles) {
    if (!role.isListed || name === SNAPSHOT) continue
    const listed = meta.get(name)
    if (listed === undefined && !isNeeded(name)) continue
    if (listed === undefined || !isDescribed(role, listed)) {
      throw new TufError('FILE_HASH_MISMATCH', 'The snapshot describes another file than the one that is served', {
        fileName: name,
        sha256: role.sha256,
      })
    }
  }
  for (const name of meta.keys()) {
    if (name !== SNAPSHOT && roles.get(name as RoleName)?.isListed === true) continue
    throw new TufError('FILE_MISSING', 'The snapshot describes a file that was never published', {
      fileName: name.slice(0, 255),
    })
  }
}

/** A declared length larger than the file is fine, as for Notary's clients. */
function isDescribed({ sha256, sha512, length }: ServedRole, listed: FileMeta): boolean {
  const hex = (algorithm: string) => Buffer.from(listed.hashes.get(algorithm) ?? '', 'base64').toString('hex')
  return (
    hex('sha256') === sha256 && (!listed.hashes.has('sha512') || hex('sha512') === sha512) && length <= listed.length
  )
}

function unlistMissing(roles: Map<RoleName, ServedRole>, { meta }: SnapshotMetadata): void {
  for (const [name, role] of roles) {
    if (name !== SNAPSHOT && !meta.has(name)) roles.set(name, { ...role, isListed: false })
  }
}

function isReachable({ keys, threshold }: RoleKeys, held: ReadonlySet<TufKeyId>): boolean {
  return [...keys.keys()].filter((keyId) => held.has(keyId)).length >= threshold
}

function verifyVersions({ roles }: ServedState, changed: ReadonlyMap<RoleName, ServedRole>): void {
  for (const [name, { version }] of changed) {
    const highest = roles.get(name)?.version ?? 0
    if (version <= highest) throw refusal('UPDATE_VERSION', name, 'VERSION_ROLLED_BACK', { version, highest })
  }
}
