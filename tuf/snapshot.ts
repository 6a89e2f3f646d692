// Snapshot metadata: digest and length of every other file except timestamp. Structure only, no trust.
import { TufError } from './errors.ts'
import type { JsonObject } from './json.ts'
import { asObject, refuseCaseVariants } from './members.ts'
import { parseCommon, parseMetadataFileMeta, type CommonMetadata, type FileMeta } from './metadata.ts'
import { ROOT, TARGETS } from './role.ts'
import { parseSigned, type Received } from './signed.ts'

export interface SnapshotMetadata extends CommonMetadata {
  /** By role name, without `.json`. Unlike the TUF specification, Notary lists no versions here. */
  readonly meta: ReadonlyMap<string, FileMeta>
}

const SNAPSHOT_MEMBERS = new Set(['_type', 'expires', 'meta', 'version'])

/**
 * notary v0.7.0 tuf/data/snapshot.go IsValidSnapshotStructure: root and targets are present; every entry has SHA-256.
 * @throws TufError JSON_*, CANONICAL_*, METADATA_*, ENCODING_BASE64
 */
export function parseSnapshot(bytes: Uint8Array): Received<SnapshotMetadata> {
  return parseSigned(bytes, readSnapshot)
}

function readSnapshot(signed: JsonObject): SnapshotMetadata {
  refuseCaseVariants(signed, SNAPSHOT_MEMBERS)
  const common = parseCommon(signed, 'Snapshot')
  const meta = new Map<string, FileMeta>()
  for (const [role, file] of asObject(signed.get('meta'), 'meta')) meta.set(role, parseMetadataFileMeta(file))
  for (const role of [ROOT, TARGETS]) {
    if (!meta.has(role)) throw new TufError('METADATA_ROLE_MISSING', 'Snapshot lacks a role', { role })
  }
  return { ...common, meta }
}
