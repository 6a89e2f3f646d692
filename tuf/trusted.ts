// The order of the client workflow, and the only place that makes a TrustedRepository. It decides; somebody else fetches.
import { TufError, type TufErrorCode } from './errors.ts'
import { verifyDelegations, type VerifiedDelegations } from './delegations.ts'
import {
  isListed,
  recordFiles,
  requireFile,
  requireListedFile,
  TIMESTAMP_MAX_BYTES,
  type Steps,
} from './file-request.ts'
import { readFile, type FileCache } from './file-cache.ts'
import { isExpired } from './expires.ts'
import { verifyNotExpired, verifyVersion, type KnownVersion } from './freshness.ts'
import type { Gun } from './gun.ts'
import type { CommonMetadata, FileMeta } from './metadata.ts'
import { RootChain } from './root-chain.ts'
import type { RootPin } from './root-pin.ts'
import type { RootMetadata } from './root.ts'
import { ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type RoleName } from './role.ts'
import type { Received } from './signed.ts'
import { parseSnapshot, type SnapshotMetadata } from './snapshot.ts'
import { parseTargets, type TargetsMetadata } from './targets.ts'
import { roleKeys, verifyThreshold } from './threshold.ts'
import { parseTimestamp, type TimestampMetadata } from './timestamp.ts'

export interface VerifierOptions {
  readonly gun: Gun
  readonly pin: RootPin
  /** The moment at which everything must be valid. */
  readonly now: Date
  /** Never go below; an equal version must be the same file where its SHA-256 is given. */
  readonly highest?: ReadonlyMap<RoleName, KnownVersion>
  /**
   * Targets and delegations that have expired are taken as well, and named in `expired`: to repair them, and for nothing else. Root,
   * snapshot and timestamp have to be valid all the same.
   */
  readonly acceptsExpired?: boolean
  /** Whether root may have expired, too: for the root that follows it. Its certificates may not. */
  readonly acceptsExpiredRoot?: boolean
  /** Spares parsing and signature checks of bytes that were read before; every other check is made each time. */
  readonly cache?: FileCache
}

/** The part that snapshot and timestamp prove to be current. */
interface Current {
  readonly timestamp: Received<TimestampMetadata>
  readonly snapshot: Received<SnapshotMetadata>
}

/** What hangs below a snapshot. */
export interface Listed {
  readonly targets: Received<TargetsMetadata>
  readonly delegations: VerifiedDelegations
}

interface Verified extends Current, Listed {
  readonly roots: RootChain
  readonly expired: ReadonlySet<RoleName>
}

/** A repository whose every part passed every check of a stock client, and ours, at one moment. */
export class TrustedRepository {
  /** Only instances have it: neither a look-alike nor a subclass by prototype passes `require`. */
  readonly #made = true
  readonly gun: Gun
  readonly verifiedAt: Date
  readonly root: Received<RootMetadata>
  readonly timestamp: Received<TimestampMetadata>
  readonly snapshot: Received<SnapshotMetadata>
  readonly targets: Received<TargetsMetadata>
  /** Every root walked, oldest first: the first one trusted, to `root`. */
  readonly rootChain: readonly Uint8Array[]
  /** The verified ones. */
  readonly delegations: ReadonlyMap<RoleName, Received<TargetsMetadata>>
  /** Roles that are no longer valid; empty unless `acceptsExpired` or `acceptsExpiredRoot` was given. */
  readonly expired: ReadonlySet<RoleName>
  /** Delegated by a verified role, but not published yet (DELEGATION_ABSENT), badly signed or expired. Clients pass over them. */
  readonly unusable: ReadonlyMap<RoleName, TufErrorCode>
  /**
   * Every file read, by name; the root also as `root.json` and by its hash, so that the same repository can be verified again
   * elsewhere, from another pin on the chain.
   */
  readonly files: ReadonlyMap<string, Uint8Array>

  private constructor({ gun, now }: VerifierOptions, verified: Verified, files: ReadonlyMap<string, Uint8Array>) {
    const { roots, timestamp, snapshot, targets, delegations, expired } = verified
    this.gun = gun
    this.verifiedAt = now
    this.root = roots.current
    this.timestamp = timestamp
    this.snapshot = snapshot
    this.targets = targets
    this.rootChain = roots.files
    this.delegations = delegations.verified
    this.unusable = delegations.unusable
    this.expired = expired
    this.files = new Map([...files, ['root.json', this.root.bytes], [`root.${this.root.sha256}.json`, this.root.bytes]])
  }

  /** Yields the files needed, one after the other. @throws TufError at the first thing that is wrong */
  static *verify(given: VerifierOptions): Steps<TrustedRepository> {
    const options = { ...given, now: new Date(given.now) }
    // No comparison with such a moment fails: nothing would ever be expired.
    if (Number.isNaN(options.now.getTime())) throw new RangeError('now is not a moment in time')
    const files = new Map<string, Uint8Array>()
    const verified = yield* recordFiles(verify(options), files)
    return new TrustedRepository(options, verified, files)
  }

  /** For code that must not work on anything else, whatever its caller's types say. @throws TypeError */
  static require(repository: TrustedRepository): void {
    if (!(#made in repository)) throw new TypeError('only a verified repository can be built upon')
  }
}

/** notary v0.7.0 client/tufclient.go Update; TUF 1.0.34, 5.3 to 5.6. */
function* verify(options: VerifierOptions): Steps<Verified> {
  const { now, highest = new Map<RoleName, KnownVersion>(), cache } = options
  const roots = yield* RootChain.begin(options)
  const current = yield* verifyCurrent(roots, { now, highest }, cache)
  const root = roots.current
  const listed = yield* verifyListed(root, current.snapshot.metadata.meta, options)
  const { targets, delegations } = listed
  const taken = [[ROOT, root] as const, [TARGETS, targets] as const, ...delegations.verified]
  const expired = new Set(taken.filter(([, { metadata }]) => isExpired(metadata.expiresAt, now)).map(([role]) => role))
  return { roots, ...current, ...listed, expired }
}

/**
 * The current root's own version and expiry, and what a snapshot that goes with it describes: targets and the delegations.
 * @throws TufError METADATA_ROLE_MISSING, FILE_*, VERSION_*, ROLE_EXPIRED, SIGNATURE_*, and as `verifyDelegations`
 */
export function* verifyListed(
  root: Received<RootMetadata>,
  listed: ReadonlyMap<string, FileMeta>,
  options: Omit<VerifierOptions, 'gun' | 'pin'>,
): Steps<Listed> {
  const {
    now,
    highest = new Map<RoleName, KnownVersion>(),
    cache,
    acceptsExpired = false,
    acceptsExpiredRoot = false,
  } = options
  verifyVersion(ROOT, root, highest.get(ROOT))
  if (!acceptsExpiredRoot) verifyNotExpired(ROOT, root.metadata, now)
  const targetsBytes = yield* requireListedFile(TARGETS, listedFile(listed, TARGETS))
  const targets = readFile(cache, TARGETS, targetsBytes, (bytes) => parseTargets(bytes, TARGETS))
  verifySignedBy(root, TARGETS, targets)
  verifyVersion(TARGETS, targets, highest.get(TARGETS))
  if (!acceptsExpired) verifyNotExpired(TARGETS, targets.metadata, now)
  const delegations = yield* verifyDelegations(targets, listed, { now, highest, cache, acceptsExpired })
  return { targets, delegations }
}

interface Freshness {
  readonly now: Date
  readonly highest: ReadonlyMap<RoleName, KnownVersion>
}

/**
 * Timestamp and snapshot that go with the current root. Where they do not, the root has changed: the chain moves on and everything
 * starts again. Each turn needs a later root, so there are not more turns than roots.
 */
function* verifyCurrent(roots: RootChain, freshness: Freshness, cache: FileCache | undefined): Steps<Current> {
  for (;;) {
    const root = roots.current
    const timestampBytes = yield* requireFile('timestamp.json', TIMESTAMP, TIMESTAMP_MAX_BYTES)
    const timestamp = readFile(cache, TIMESTAMP, timestampBytes, parseTimestamp)
    const unsigned = faultOf(root, TIMESTAMP, timestamp)
    if (unsigned !== undefined) {
      yield* roots.follow(unsigned)
      continue
    }
    verifyFreshness(TIMESTAMP, timestamp, freshness)
    const snapshotBytes = yield* requireListedFile(SNAPSHOT, timestamp.metadata.snapshot)
    const snapshot = readFile(cache, SNAPSHOT, snapshotBytes, parseSnapshot)
    const stale = faultOf(root, SNAPSHOT, snapshot)
    if (stale !== undefined) {
      yield* roots.follow(stale)
      continue
    }
    verifyFreshness(SNAPSHOT, snapshot, freshness)
    const named = listedFile(snapshot.metadata.meta, ROOT)
    if (isListed(root.bytes, named)) return { timestamp, snapshot }
    const mismatch = { version: root.metadata.version, sha256: root.sha256 }
    yield* roots.follow(
      new TufError('ROOT_NOT_CURRENT', 'The snapshot names a root that cannot be reached', mismatch),
      named,
    )
  }
}

function verifyFreshness(role: RoleName, file: Received<CommonMetadata>, { now, highest }: Freshness): void {
  verifyVersion(role, file, highest.get(role))
  verifyNotExpired(role, file.metadata, now)
}

function faultOf(root: Received<RootMetadata>, role: RoleName, file: Received<unknown>): TufError | undefined {
  try {
    verifySignedBy(root, role, file)
    return undefined
  } catch (error) {
    if (error instanceof TufError) return error
    throw error
  }
}

/** That enough of the keys that root lists for the role signed the file. @throws TufError METADATA_ROLE_MISSING, SIGNATURE_* */
export function verifySignedBy({ metadata }: Received<RootMetadata>, name: RoleName, file: Received<unknown>): void {
  const role = metadata.roles.get(name)
  if (role === undefined) throw new TufError('METADATA_ROLE_MISSING', 'Root lacks a role', { role: name })
  verifyThreshold(file, roleKeys(role, metadata.keys))
}

/** How the snapshot describes a role. @throws TufError METADATA_ROLE_MISSING */
export function listedFile(listed: ReadonlyMap<string, FileMeta>, role: RoleName): FileMeta {
  const described = listed.get(role)
  if (described === undefined) throw new TufError('METADATA_ROLE_MISSING', 'Snapshot lacks a role', { role })
  return described
}
