// A repository as it is kept for later: every root from the first to the newest, and all that the newest leads to. Everything is
// verified as clients do it, but for the clock: what has expired is taken too. What comes out is no TrustedRepository, so that
// nothing can be built upon it.
import { verifyDelegations } from './delegations.ts'
import { TufError, type TufErrorCode } from './errors.ts'
import {
  askFor,
  isListed,
  recordFiles,
  requireFile,
  requireListedFile,
  ROOT_MAX_BYTES,
  TIMESTAMP_MAX_BYTES,
  type FileRequest,
  type Steps,
} from './file-request.ts'
import { verifyPlausible } from './freshness.ts'
import type { Gun } from './gun.ts'
import { MAX_ROOT_FILES } from './root-chain.ts'
import { verifySuccession, type RootPin } from './root-pin.ts'
import { parseRoot, type RootMetadata } from './root.ts'
import { parentRole, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type RoleName, type TufKeyId } from './role.ts'
import { verifySignature } from './signature.ts'
import type { Received } from './signed.ts'
import { parseSnapshot, type SnapshotMetadata } from './snapshot.ts'
import { parseTargets, type TargetsMetadata } from './targets.ts'
import { roleKeys, verifyThreshold, type RoleKeys } from './threshold.ts'
import { parseTimestamp, type TimestampMetadata } from './timestamp.ts'
import { listedFile, verifySignedBy } from './trusted.ts'

export interface ArchiveOptions {
  readonly gun: Gun
  /** With certificates: one root of the chain must be signed by enough of them. */
  readonly pin: Extract<RootPin, { kind: 'certificates' | 'tofu' }>
}

export interface ArchivedRepository {
  readonly gun: Gun
  /** Every root that links, oldest first; `root` is the last one. */
  readonly roots: readonly Received<RootMetadata>[]
  /** The oldest root that the pin vouches for, by version; absent where there was no pin. Older ones only lead to it. */
  readonly pinnedRoot?: number
  readonly root: Received<RootMetadata>
  readonly timestamp: Received<TimestampMetadata>
  readonly snapshot: Received<SnapshotMetadata>
  readonly targets: Received<TargetsMetadata>
  readonly delegations: ReadonlyMap<RoleName, Received<TargetsMetadata>>
  /** Delegated, but not published yet (DELEGATION_ABSENT) or without enough signatures (SIGNATURE_BELOW_THRESHOLD). */
  readonly unusable: ReadonlyMap<RoleName, TufErrorCode>
  /** Every file read, by name, those of unusable roles too: for `verifyFiles`, and not for keeping. */
  readonly received: ReadonlyMap<string, Uint8Array>
}

/** Nothing has expired at this moment. */
const BEFORE_ALL = new Date(0)

/**
 * Reads and verifies a repository for keeping.
 * @param read gives a file, or undefined where the server has none
 * @throws TufError with the reason of the refusal: ROOT_NOT_PINNED, ROOT_VERSION, ROOT_CHAIN_TOO_LONG, ROOT_NOT_CURRENT, FILE_*,
 * REPOSITORY_TOO_LARGE, SIGNATURE_*, CERTIFICATE_*, and what parsing throws; whatever `read` throws
 */
export async function verifyArchive(
  options: ArchiveOptions,
  read: (file: FileRequest) => Promise<Uint8Array | undefined>,
): Promise<ArchivedRepository> {
  const received = new Map<string, Uint8Array>()
  const steps = recordFiles(verify(options), received)
  let step = steps.next()
  while (step.done !== true) step = steps.next(await read(step.value))
  return { ...step.value, received }
}

/** The IDs of the keys of a role whose signatures stand in its file, as the current root or the parent lists them. */
export function signersOfRole(archive: ArchivedRepository, role: RoleName): readonly TufKeyId[] {
  const file = fileOf(archive, role)
  const keys = keysOf(archive, role)
  return file === undefined || keys === undefined ? [] : validSigners(file, keys)
}

/** The same for one root of the chain: which of its own root keys signed it. */
export function signersOfRoot(root: Received<RootMetadata>): readonly TufKeyId[] {
  return validSigners(root, rootKeys(root))
}

function* verify({ gun, pin }: ArchiveOptions): Steps<Omit<ArchivedRepository, 'received'>> {
  const roots = yield* readRoots(gun)
  const root = roots.at(-1) as Received<RootMetadata>
  const pinned = pin.kind === 'tofu' ? undefined : roots.find((one) => isPinned(one, pin.tufKeyIds))
  if (pin.kind !== 'tofu' && pinned === undefined) {
    throw new TufError('ROOT_NOT_PINNED', 'No root of the chain is signed by a pinned certificate', { gun })
  }
  const timestamp = parseTimestamp(yield* requireFile('timestamp.json', TIMESTAMP, TIMESTAMP_MAX_BYTES))
  verifySignedBy(root, TIMESTAMP, timestamp)
  const snapshot = parseSnapshot(yield* requireListedFile(SNAPSHOT, timestamp.metadata.snapshot))
  verifySignedBy(root, SNAPSHOT, snapshot)
  if (!isListed(root.bytes, listedFile(snapshot.metadata.meta, ROOT))) {
    const facts = { version: root.metadata.version, sha256: root.sha256 }
    throw new TufError('ROOT_NOT_CURRENT', 'The snapshot names another root than the newest', facts)
  }
  const targets = parseTargets(yield* requireListedFile(TARGETS, listedFile(snapshot.metadata.meta, TARGETS)), TARGETS)
  verifySignedBy(root, TARGETS, targets)
  for (const [role, { metadata }] of [
    [TIMESTAMP, timestamp],
    [SNAPSHOT, snapshot],
    [TARGETS, targets],
  ] as const) {
    verifyPlausible(role, metadata.version)
  }
  const { verified, unusable } = yield* verifyDelegations(targets, snapshot.metadata.meta, {
    now: BEFORE_ALL,
    highest: new Map(),
    cache: undefined,
  })
  return {
    gun,
    roots,
    root,
    timestamp,
    snapshot,
    targets,
    delegations: verified,
    unusable,
    ...(pinned !== undefined && { pinnedRoot: pinned.metadata.version }),
  }
}

/** From the current root back to the first one that the server has, and on to the newest: each signed by itself and its predecessor. */
function* readRoots(gun: Gun): Steps<readonly Received<RootMetadata>[]> {
  const current = parseRoot(yield* requireFile('root.json', ROOT, ROOT_MAX_BYTES))
  const { version } = current.metadata
  verifyOwn(current, gun)
  const roots = [current]
  for (let older = version - 1; older >= 1; older--) {
    const root = yield* readRoot(older, gun, roots.length)
    if (root === undefined) break
    verifySuccession(root, roots[0] as Received<RootMetadata>, gun)
    roots.unshift(root)
  }
  for (let newer = version + 1; ; newer++) {
    const root = yield* readRoot(newer, gun, roots.length)
    if (root === undefined) return roots
    verifySuccession(roots.at(-1) as Received<RootMetadata>, root, gun)
    roots.push(root)
  }
}

function* readRoot(version: number, gun: Gun, count: number): Steps<Received<RootMetadata> | undefined> {
  if (count >= MAX_ROOT_FILES) {
    throw new TufError('ROOT_CHAIN_TOO_LONG', 'There are too many roots', { limit: MAX_ROOT_FILES })
  }
  const fileName = `${version}.root.json`
  const bytes = yield* askFor({ fileName, role: ROOT, maxBytes: ROOT_MAX_BYTES, optional: true })
  if (bytes === undefined) return undefined
  const root = parseRoot(bytes)
  if (root.metadata.version !== version) {
    const facts = { version: root.metadata.version, expected: version }
    throw new TufError('ROOT_VERSION', 'A root does not have the version of its file name', facts)
  }
  verifyOwn(root, gun)
  return root
}

/** By certificates for the GUN, which may have ended since. */
function verifyOwn(root: Received<RootMetadata>, gun: Gun): void {
  verifyPlausible(ROOT, root.metadata.version)
  verifySuccession(root, root, gun)
}

/** Whether enough of the root's own keys that are pinned signed it. */
function isPinned(root: Received<RootMetadata>, pins: readonly TufKeyId[]): boolean {
  const own = rootKeys(root)
  const keys = new Map([...own.keys].filter(([keyId, key]) => keyId === key.tufKeyId && pins.includes(keyId)))
  try {
    verifyThreshold(root, { ...own, keys })
    return true
  } catch (error) {
    if (error instanceof TufError) return false
    throw error
  }
}

function rootKeys({ metadata }: Received<RootMetadata>): RoleKeys {
  const role = metadata.roles.get(ROOT)
  if (role === undefined) throw new TufError('METADATA_ROLE_MISSING', 'Root lacks a role', { role: ROOT })
  return roleKeys(role, metadata.keys)
}

function fileOf(archive: ArchivedRepository, role: RoleName): Received<unknown> | undefined {
  switch (role) {
    case ROOT:
      return archive.root
    case TIMESTAMP:
      return archive.timestamp
    case SNAPSHOT:
      return archive.snapshot
    case TARGETS:
      return archive.targets
    default:
      return archive.delegations.get(role)
  }
}

function keysOf(archive: ArchivedRepository, name: RoleName): RoleKeys | undefined {
  const base = archive.root.metadata.roles.get(name)
  if (base !== undefined) return roleKeys(base, archive.root.metadata.keys)
  const parent = parentRole(name)
  const file = parent === TARGETS ? archive.targets : parent && archive.delegations.get(parent)
  const role = file?.metadata.delegations.roles.find((one) => one.name === name)
  return file === undefined || role === undefined ? undefined : roleKeys(role, file.metadata.delegations.keys)
}

function validSigners({ message, signatures }: Received<unknown>, { keys }: RoleKeys): readonly TufKeyId[] {
  const valid = signatures.filter(({ keyId, method, signature }) => {
    const key = keys.get(keyId)
    return key !== undefined && verifySignature(key, method, message, signature)
  })
  return [...new Set(valid.map(({ keyId }) => keyId))]
}
