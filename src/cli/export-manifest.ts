// `countersign-export.json`: what a full copy of a repository holds, how it was verified, and until when it can be served. Pure.
import {
  isExpired,
  parseRoot,
  ROOT,
  sha256Hex,
  signersOfRole,
  signersOfRoot,
  type ArchivedRepository,
  type ArchiveOptions,
  type RoleName,
} from '@countersign/tuf'
import { expiryOrder, type Published } from './static-metadata.ts'

export const MANIFEST_NAME = 'countersign-export.json'

export interface ManifestFile {
  /** Below the folder, with `/`. */
  readonly path: string
  readonly length: number
  readonly sha256: string
  /** Absent: no metadata, but what web servers answer to `GET /v2/`. */
  readonly role?: string
  readonly version?: number
  readonly expiresAt?: string
  readonly expired?: boolean
  /** IDs of the keys whose signatures count for the role. */
  readonly signedBy?: readonly string[]
}

export interface ExportManifest {
  readonly format: 'countersign-export/1'
  readonly gun: string
  readonly server: string
  readonly exportedAt: string
  readonly pin: ArchiveOptions['pin']['kind']
  readonly roots: {
    readonly first: number
    readonly last: number
    /** The oldest one that the pin vouches for; absent where there was no pin. Older ones lead to it, and nobody vouches for them. */
    readonly pinnedFrom?: number
  }
  /** Which certificate IDs signed each root: what may be pinned. */
  readonly rootPins: readonly { readonly version: number; readonly certificateKeyIds: readonly string[] }[]
  readonly verified: readonly string[]
  /**
   * What stock clients say to this copy now: until when they accept it, when the first role that has not expired ends; or the code of
   * the refusal.
   */
  readonly clients: { readonly accept: boolean; readonly until?: string; readonly refusal?: string }
  readonly expired: readonly string[]
  /** Delegated, and not in this copy. */
  readonly leftOut: readonly { readonly role: string; readonly reason: string }[]
  readonly files: readonly ManifestFile[]
}

export interface ExportFacts {
  readonly archive: ArchivedRepository
  readonly published: Published
  readonly tree: ReadonlyMap<string, Uint8Array>
  readonly server: string
  readonly now: Date
  readonly pin: ArchiveOptions['pin']
  /** Why clients refuse it; undefined where they do not. */
  readonly refusal: string | undefined
}

/** What was verified, in the order in which it was. */
const VERIFIED = [
  'every root is signed by its own root keys, whose certificates are for this repository, and by those of the root before it',
  'timestamp, snapshot and targets are signed by enough of the keys that the newest root lists',
  'the snapshot is the one that the timestamp names; root, targets and delegations are those that the snapshot names, by hash and length',
  'every delegation is signed by enough of the keys that its parent lists',
] as const

/** The manifest of a copy whose files are `tree`. */
export function manifestOf({ archive, published, tree, server, now, pin, refusal }: ExportFacts): ExportManifest {
  const { gun, roots, pinnedRoot, unusable } = archive
  const current = expiryOrder(published)
  const valid = current.filter(({ expiresAt }) => !isExpired(expiresAt, now))
  const until = (valid[0]?.expiresAt ?? now).toISOString()
  return {
    format: 'countersign-export/1',
    gun,
    server,
    exportedAt: now.toISOString(),
    pin: pin.kind,
    roots: {
      first: roots[0]?.metadata.version ?? 0,
      last: archive.root.metadata.version,
      ...(pinnedRoot !== undefined && { pinnedFrom: pinnedRoot }),
    },
    rootPins: roots.map((root) => ({ version: root.metadata.version, certificateKeyIds: signersOfRoot(root) })),
    verified: VERIFIED,
    clients: { accept: refusal === undefined, ...(refusal === undefined ? { until } : { refusal }) },
    expired: current.filter(({ expiresAt }) => isExpired(expiresAt, now)).map(({ role }) => role),
    leftOut: [...unusable].map(([role, reason]) => ({ role, reason })),
    files: [...tree].map(([path, bytes]) => describe(archive, published, path, bytes, now)),
  }
}

function describe(
  archive: ArchivedRepository,
  published: Published,
  path: string,
  bytes: Uint8Array,
  now: Date,
): ManifestFile {
  const file = { path, length: bytes.byteLength, sha256: sha256Hex(bytes) }
  const start = `v2/${archive.gun}/_trust/tuf/`
  if (!path.startsWith(start)) return file
  const name = path.slice(start.length)
  if (/^\d+\.root\.json$/.test(name)) {
    const root = parseRoot(bytes)
    return { ...file, ...facts(ROOT, root.metadata, now), signedBy: signersOfRoot(root) }
  }
  // Names of roles have no dot.
  const role = name.slice(0, name.indexOf('.')) as RoleName
  const found = expiryOrder(published).find((one) => one.role === role)
  return found === undefined ? file : { ...file, ...facts(role, found, now), signedBy: signersOfRole(archive, role) }
}

function facts(role: RoleName, { version, expiresAt }: { version: number; expiresAt: Date }, now: Date) {
  return { role, version, expiresAt: expiresAt.toISOString(), expired: isExpired(expiresAt, now) }
}
