// Timestamp metadata: digest and length of the current snapshot. Structure only, no trust.
import { TufError } from './errors.ts'
import type { JsonObject } from './json.ts'
import { asObject, refuseCaseVariants } from './members.ts'
import { parseCommon, parseMetadataFileMeta, type CommonMetadata, type FileMeta } from './metadata.ts'
import { SNAPSHOT } from './role.ts'
import { parseSigned, type Received } from './signed.ts'

export interface TimestampMetadata extends CommonMetadata {
  readonly snapshot: FileMeta
}

const TIMESTAMP_MEMBERS = new Set(['_type', 'expires', 'meta', 'version'])

/**
 * notary v0.7.0 tuf/data/timestamp.go IsValidTimestampStructure: the snapshot is listed, with SHA-256.
 * @throws TufError JSON_*, CANONICAL_*, METADATA_*, ENCODING_BASE64
 */
export function parseTimestamp(bytes: Uint8Array): Received<TimestampMetadata> {
  return parseSigned(bytes, readTimestamp)
}

function readTimestamp(signed: JsonObject): TimestampMetadata {
  refuseCaseVariants(signed, TIMESTAMP_MEMBERS)
  const common = parseCommon(signed, 'Timestamp')
  const meta = asObject(signed.get('meta'), 'meta')
  for (const file of meta.values()) parseMetadataFileMeta(file)
  const snapshot = meta.get(SNAPSHOT)
  if (snapshot === undefined)
    throw new TufError('METADATA_ROLE_MISSING', 'Timestamp lacks the snapshot', { role: SNAPSHOT })
  return { ...common, snapshot: parseMetadataFileMeta(snapshot) }
}
