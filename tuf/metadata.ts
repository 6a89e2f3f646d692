// What all four kinds of `signed` share: type, version, expiry, keys, roles and file descriptions. Structure only, no trust.
import { digestLength } from './digest.ts'
import { base64Length } from './encoding.ts'
import { TufError } from './errors.ts'
import { parseExpires } from './expires.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { parsePublicKey, parseTufKeyId, type PublicKey } from './key.ts'
import { asArrayOrNothing, asNumber, asObject, asObjectOrNothing, asString, refuseCaseVariants } from './members.ts'
import type { TufKeyId } from './role.ts'

/** Description of a file: an image manifest in targets, a metadata file in snapshot and timestamp. */
export interface FileMeta {
  /** Bytes. */
  readonly length: number
  /** Algorithm to base64 digest. Only sha256 and sha512 are checked; others are carried. */
  readonly hashes: ReadonlyMap<string, string>
  readonly custom?: JsonValue
}

export interface CommonMetadata {
  readonly version: number
  readonly expiresAt: Date
}

/** Versions are 32 bits in Notary's database (server/storage/models.go), 31 of them without a sign. */
export const MAX_VERSION = 2_147_483_647

const FILE_META_MEMBERS = new Set(['length', 'hashes', 'custom'])

/** @throws TufError METADATA_TYPE, METADATA_VERSION, METADATA_EXPIRES, METADATA_MALFORMED */
export function parseCommon(signed: JsonObject, type: string): CommonMetadata {
  // notary v0.7.0 tuf/data/types.go ValidTUFType: the exact type, case included.
  if (asString(signed.get('_type'), '_type') !== type) {
    throw new TufError('METADATA_TYPE', 'The metadata is of another type than its place demands', { expected: type })
  }
  const version = asNumber(signed.get('version'), 'version')
  if (version < 1 || version > MAX_VERSION) {
    throw new TufError('METADATA_VERSION', 'A version must lie between 1 and 2147483647', { version })
  }
  return { version, expiresAt: parseExpires(asString(signed.get('expires'), 'expires')) }
}

/** Keys by the ID under which they are listed, which need not be their own. @throws TufError METADATA_*, KEY_* */
export function parseKeys(value: JsonValue | undefined): ReadonlyMap<TufKeyId, PublicKey> {
  const keys = new Map<TufKeyId, PublicKey>()
  for (const [keyId, key] of asObjectOrNothing(value, 'keys')) keys.set(parseTufKeyId(keyId), parsePublicKey(key))
  return keys
}

/** notary v0.7.0 tuf/data/root.go, targets.go: a threshold of at least one, every key ID among the keys. */
export function parseRoleKeys(
  role: JsonObject,
  keys: ReadonlyMap<TufKeyId, PublicKey>,
): { keyIds: readonly TufKeyId[]; threshold: number } {
  const threshold = asNumber(role.get('threshold'), 'threshold')
  if (threshold < 1) throw new TufError('METADATA_THRESHOLD', 'A threshold is below one', { threshold })
  const keyIds = asArrayOrNothing(role.get('keyids'), 'keyids').map((keyId) => parseTufKeyId(asString(keyId, 'keyids')))
  for (const keyId of keyIds) {
    if (!keys.has(keyId))
      throw new TufError('METADATA_KEY_MISSING', 'A role lists a key that the file lacks', { keyId })
  }
  return { keyIds, threshold }
}

/**
 * Stricter than Docker, which takes negative lengths and, in targets, digests of any length.
 * @throws TufError METADATA_FILE_META, METADATA_NAME_CASE, METADATA_MALFORMED, ENCODING_BASE64
 */
export function parseFileMeta(value: JsonValue | undefined): FileMeta {
  const meta = asObject(value, 'file description')
  const length = asNumber(meta.get('length'), 'length')
  if (length < 0) throw new TufError('METADATA_FILE_META', 'A file has a negative length', { length })
  const hashes = parseHashes(meta.get('hashes'))
  const custom = meta.get('custom')
  // Hot: with only known names there is nothing to look for.
  const known = 1 + (meta.has('hashes') ? 1 : 0) + (custom === undefined ? 0 : 1)
  if (meta.size !== known) refuseCaseVariants(meta, FILE_META_MEMBERS)
  return custom === undefined ? { length, hashes } : { length, hashes, custom }
}

/** A metadata file in snapshot or timestamp. notary v0.7.0 tuf/data/types.go CheckValidHashStructures: sha256 is a must. */
export function parseMetadataFileMeta(value: JsonValue | undefined): FileMeta {
  const meta = parseFileMeta(value)
  if (!meta.hashes.has('sha256')) throw new TufError('METADATA_FILE_META', 'A metadata file is listed without SHA-256')
  return meta
}

function parseHashes(value: JsonValue | undefined): ReadonlyMap<string, string> {
  const hashes = asObjectOrNothing(value, 'hashes')
  for (const [algorithm, digest] of hashes) {
    const length = base64Length(asString(digest, 'digest'))
    if (length !== (digestLength(algorithm) ?? length)) {
      throw new TufError('METADATA_FILE_META', 'A digest has the wrong length', { length })
    }
  }
  // Every value has been found to be text.
  return hashes as ReadonlyMap<string, string>
}
