// A verified repository as a tree of files that a plain web server can serve: every name that stock clients ask for, and how long
// the whole is good for. Pure.
import {
  parseRoot,
  ROOT,
  type RoleName,
  sha256Hex,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  type TrustedRepository,
} from '@countersign/tuf'

/** What clients ask first, to learn whether the server speaks their protocol and wants credentials (notary-v1: `GET /v2/`). */
const PING = 'v2/index.html'

export interface ExportedRole {
  readonly role: RoleName
  readonly version: number
  readonly expiresAt: Date
}

/** What of a repository is laid out: one that was verified, or one that is kept. */
export interface Published extends Pick<
  TrustedRepository,
  'gun' | 'timestamp' | 'snapshot' | 'targets' | 'delegations' | 'root'
> {
  /** Oldest first. */
  readonly rootChain: readonly Uint8Array[]
  /** By name; current files under their hash. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

/**
 * Files by their path below the web server's root, with `/` between folders. Current, hash-suffixed and versioned names, as
 * notary v0.7.0 client/tufclient.go and storage/httpstore.go form them.
 */
export function staticTree(trusted: Published): ReadonlyMap<string, Uint8Array> {
  const tree = new Map<string, Uint8Array>([[PING, Buffer.from('{}\n')]])
  const put = (name: string, bytes: Uint8Array) => tree.set(`v2/${trusted.gun}/_trust/tuf/${name}.json`, bytes)
  for (const bytes of trusted.rootChain) put(`${parseRoot(bytes).metadata.version}.root`, bytes)
  for (const [role, bytes] of currentFiles(trusted)) {
    put(role, bytes)
    put(`${role}.${sha256Hex(bytes)}`, bytes)
  }
  return tree
}

/** The roles that clients read, the one that expires first at the top. */
export function expiryOrder(trusted: Published): readonly ExportedRole[] {
  const files = [
    [TIMESTAMP, trusted.timestamp],
    [SNAPSHOT, trusted.snapshot],
    [TARGETS, trusted.targets],
    [ROOT, trusted.root],
    ...trusted.delegations,
  ] as const
  return files
    .map(([role, { metadata }]) => ({ role, version: metadata.version, expiresAt: metadata.expiresAt }))
    .sort((a, b) => a.expiresAt.getTime() - b.expiresAt.getTime())
}

/** Also the delegations that clients read and then pass over, such as expired ones: without their files they would refuse everything. */
function currentFiles(trusted: Published): Map<string, Uint8Array> {
  const current = new Map<string, Uint8Array>([['timestamp', trusted.timestamp.bytes]])
  for (const [name, bytes] of trusted.files) {
    const role = /^([a-z].*)\.[0-9a-f]{64}\.json$/.exec(name)?.[1]
    if (role !== undefined) current.set(role, bytes)
  }
  return current.set('root', trusted.root.bytes)
}
