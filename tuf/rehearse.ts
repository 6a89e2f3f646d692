// A publication that changes keys, tried before it is sent: the steps of the verification, run as the clients will run them that the
// repository has. Snapshot and timestamp of the next state do not exist yet; what a snapshot must say of the files is known, and stands
// in for it. Whether the trust server makes them so, reading back tells.
import { TufError } from './errors.ts'
import { readFile, type FileCache } from './file-cache.ts'
import { hashedName, recordFiles, type Steps } from './file-request.ts'
import { verifyNotExpired, type KnownVersion } from './freshness.ts'
import { base64OfHexDigest, sha256Hex } from './digest.ts'
import type { FileMeta } from './metadata.ts'
import { RootChain } from './root-chain.ts'
import type { RootPin } from './root-pin.ts'
import { parseRoot, type RootMetadata } from './root.ts'
import { ROOT, TARGETS, type RoleName, type TufKeyId } from './role.ts'
import type { Received } from './signed.ts'
import { listedFile, TrustedRepository, verifyListed, type Listed } from './trusted.ts'

/**
 * `cached`: has the published root and every version in its cache. `behind`: begins with the first root of the chain. `new`: takes the
 * first root that it meets. `pinned`: new, and takes no root but with a certificate that the published one has.
 */
export type RehearsedClient = 'cached' | 'behind' | 'new' | 'pinned'

const WORDS: Readonly<Record<RehearsedClient, string>> = {
  cached: 'A client with cached metadata',
  behind: 'A client that has an older root',
  new: 'A new client',
  pinned: 'A client with a pinned certificate',
}

interface Client {
  readonly client: RehearsedClient
  readonly pin: RootPin
  readonly highest?: ReadonlyMap<RoleName, KnownVersion>
}

/**
 * That each of these clients takes the files over the repository, at `base.verifiedAt`: root by root, then targets and the delegations.
 * No delegation that is verified now may be passed over afterwards. What has expired in the base and does not come anew stays as it is.
 * @param files the files that come anew, of root, targets and delegations
 * @throws TufError as `RepositoryVerifier`, with the `client` in its facts
 */
export function rehearse(
  base: TrustedRepository,
  files: ReadonlyMap<RoleName, Uint8Array>,
  { cache }: { readonly cache?: FileCache } = {},
): void {
  TrustedRepository.require(base)
  const rootBytes = files.get(ROOT)
  const root = rootBytes === undefined ? base.root : readFile(cache, ROOT, rootBytes, parseRoot)
  const served = servedFiles(base, files, root)
  for (const client of clientsOf(base, root)) {
    try {
      run(recordFiles(verifyAs(client, base, files, root, cache), new Map()), served)
    } catch (error) {
      if (!(error instanceof TufError)) throw error
      const { client: name } = client
      const message = `${WORDS[name]} would refuse it: ${error.message}`
      throw new TufError(error.code, message, { client: name, ...error.facts }, { cause: error })
    }
  }
}

function clientsOf(base: TrustedRepository, root: Received<RootMetadata>): readonly Client[] {
  const [first = base.root.bytes] = base.rootChain
  const known = [[ROOT, base.root] as const, [TARGETS, base.targets] as const, ...base.delegations]
  const highest = new Map(known.map(([role, { metadata, sha256 }]) => [role, { version: metadata.version, sha256 }]))
  return [
    { client: 'cached', pin: { kind: 'root', bytes: base.root.bytes }, highest },
    { client: 'behind', pin: { kind: 'root', bytes: first } },
    { client: 'new', pin: { kind: 'tofu' } },
    { client: 'pinned', pin: { kind: 'certificates', tufKeyIds: pinnedCertificates(base.root, root) } },
  ]
}

/**
 * The certificates of the published root that stay. Where too few of them stay for the threshold nobody who pinned them can follow, stock
 * clients neither, and the pin has to be replaced: then those of the next root.
 */
function pinnedCertificates(before: Received<RootMetadata>, next: Received<RootMetadata>): readonly TufKeyId[] {
  const { keyIds = [], threshold = 1 } = next.metadata.roles.get(ROOT) ?? {}
  const former = new Set(before.metadata.roles.get(ROOT)?.keyIds)
  const staying = keyIds.filter((keyId) => former.has(keyId))
  return staying.length >= threshold ? staying : keyIds
}

/** What a client may ask for, by name. */
function servedFiles(
  base: TrustedRepository,
  files: ReadonlyMap<RoleName, Uint8Array>,
  root: Received<RootMetadata>,
): ReadonlyMap<string, Uint8Array> {
  const anew = [...files].map(([role, bytes]) => [hashedName(role, describe(bytes)), bytes] as const)
  const roots = [`${root.metadata.version}.root.json`, 'root.json'].map((name) => [name, root.bytes] as const)
  return new Map([...base.files, ...anew, ...roots])
}

/** As a snapshot describes a file. */
function describe(bytes: Uint8Array): FileMeta {
  const hashes = new Map([['sha256', base64OfHexDigest(sha256Hex(bytes))]])
  return { length: bytes.byteLength, hashes }
}

function* verifyAs(
  { pin, highest }: Client,
  base: TrustedRepository,
  files: ReadonlyMap<RoleName, Uint8Array>,
  next: Received<RootMetadata>,
  cache: FileCache | undefined,
): Steps<void> {
  const { gun, verifiedAt: now, snapshot, expired } = base
  const listed = new Map<string, FileMeta>([
    ...snapshot.metadata.meta,
    [ROOT, describe(next.bytes)] as const,
    ...[...files].map(([role, bytes]) => [role, describe(bytes)] as const),
  ])
  const common = { now, ...(cache !== undefined && { cache }) }
  const roots = yield* RootChain.begin({ gun, pin, ...common })
  const mismatch = { version: next.metadata.version, sha256: next.sha256 }
  const unreachable = new TufError('ROOT_NOT_CURRENT', 'The next root cannot be reached', mismatch)
  yield* roots.follow(unreachable, listedFile(listed, ROOT))
  const taken = yield* verifyListed(roots.current, listed, {
    ...common,
    ...(highest !== undefined && { highest }),
    acceptsExpired: expired.size > 0,
    acceptsExpiredRoot: expired.has(ROOT) && !files.has(ROOT),
  })
  requireTaken(base, files, taken)
}

/** @throws TufError ROLE_EXPIRED, and the reason for which clients pass over a role */
function requireTaken(
  base: TrustedRepository,
  files: ReadonlyMap<RoleName, Uint8Array>,
  { targets, delegations: { verified, unusable } }: Listed,
): void {
  for (const role of new Set([...base.delegations.keys(), ...files.keys()])) {
    if (role === ROOT) continue
    const file = role === TARGETS ? targets : verified.get(role)
    if (file === undefined) {
      const code = unusable.get(role) ?? 'ROLE_NOT_DELEGATED'
      throw new TufError(code, 'Clients would pass over a delegation that they have to take', { role })
    }
    if (files.has(role)) verifyNotExpired(role, file.metadata, base.verifiedAt)
  }
}

function run(steps: Steps<void>, served: ReadonlyMap<string, Uint8Array>): void {
  for (let step = steps.next(); step.done !== true;) step = steps.next(served.get(step.value.fileName))
}
