// What a trust server must remember of a repository to accept its next update: never the files themselves, but what they said
// about keys, and their digests. The cost of an update then grows with the files in it alone. Plain data, to be stored as JSON.
import { createHash } from 'node:crypto'
import { Buffer } from 'node:buffer'
import { canonicalText, encodeCanonical } from './canonical.ts'
import { formatExpires } from './expires.ts'
import { isJsonObject, parseJson, type JsonObject, type JsonValue } from './json.ts'
import type { PublicKey } from './key.ts'
import type { CommonMetadata } from './metadata.ts'
import { SNAPSHOT, TIMESTAMP, type RoleName, type TufKeyId } from './role.ts'
import { METADATA_LIMITS, type Received, type UnsignedMetadata } from './signed.ts'
import { verifySignature } from './signature.ts'
import { readDelegations, type Delegations } from './targets.ts'
import type { RoleKeys } from './threshold.ts'

/** The latest file of one role. */
export interface ServedRole {
  readonly version: number
  /** 64 and 128 hex digits, of the bytes as they came. */
  readonly sha256: string
  readonly sha512: string
  /** Bytes. */
  readonly length: number
  /** The listed keys whose signatures on it were good, so that it need not be read again to know whether it still verifies. */
  readonly signers: readonly TufKeyId[]
  /** Canonical JSON of its delegations; targets roles that delegate. */
  readonly delegations?: string
  /** False: superseded by a deletion, or left out by the client that holds the snapshot key. Its version still counts. */
  readonly isListed: boolean
}

export interface ServedState {
  /** The accepted root, as it came. Absent before the first publication. */
  readonly root?: Uint8Array
  /** Root, targets, delegations, and a snapshot that a client signed. */
  readonly roles: ReadonlyMap<RoleName, ServedRole>
}

export const EMPTY_STATE: ServedState = { roles: new Map() }

/** The same repository after a deletion: nothing is listed, every version and the root still count. */
export function deletedState({ root, roles }: ServedState): ServedState {
  const unlisted = new Map([...roles].map(([name, role]) => [name, { ...role, isListed: false }]))
  return { ...(root !== undefined && { root }), roles: unlisted }
}

/** What is remembered of a verified file. */
export function servedRole(file: Received<CommonMetadata>, { keys }: RoleKeys): ServedRole {
  const delegations = file.signed.get('delegations')
  const hasDelegations = isJsonObject(delegations) && hasRoles(delegations)
  return {
    version: file.metadata.version,
    sha256: file.sha256,
    sha512: createHash('sha512').update(file.bytes).digest('hex'),
    length: file.bytes.byteLength,
    signers: [...signersOf(file, keys)],
    ...(hasDelegations && { delegations: canonicalText(delegations) }),
    isListed: true,
  }
}

/** @throws TufError where the state is not one that this file made */
export function delegationsOf(role: ServedRole, name: RoleName): Delegations | undefined {
  if (role.delegations === undefined) return undefined
  return readDelegations(parseJson(Buffer.from(role.delegations), METADATA_LIMITS), name)
}

/** Whether the file would still be accepted under these keys; one key under two IDs counts once. */
export function isStillSigned({ signers }: ServedRole, { keys, threshold }: RoleKeys): boolean {
  const counted = new Set<TufKeyId>()
  for (const keyId of signers) {
    const key = keys.get(keyId)
    // Listed under this ID now, but another key: clients refuse it.
    if (key?.tufKeyId === keyId) counted.add(key.canonicalKeyId)
  }
  return counted.size >= threshold
}

/** The snapshot that lists everything the state lists. The expiry is cut to whole seconds. */
export function snapshotOf(state: ServedState, version: number, expiresAt: Date): UnsignedMetadata {
  const listed = [...state.roles].filter(([name, { isListed }]) => isListed && name !== SNAPSHOT)
  const meta = new Map(listed.map(([name, role]) => [name as string, describe(role)]))
  return unsigned(SNAPSHOT, 'Snapshot', version, expiresAt, meta)
}

/** The timestamp over a snapshot. The expiry is cut to whole seconds. */
export function timestampOf(
  snapshot: Pick<ServedRole, 'sha256' | 'sha512' | 'length'>,
  version: number,
  expiresAt: Date,
): UnsignedMetadata {
  return unsigned(TIMESTAMP, 'Timestamp', version, expiresAt, new Map([[SNAPSHOT, describe(snapshot)]]))
}

function unsigned(role: RoleName, type: string, version: number, expiresAt: Date, meta: JsonObject): UnsignedMetadata {
  const signed = new Map<string, JsonValue>([
    ['_type', type],
    ['expires', formatExpires(expiresAt)],
    ['meta', meta],
    ['version', version],
  ])
  return { role, version, signed, message: encodeCanonical(signed) }
}

function describe({ sha256, sha512, length }: Pick<ServedRole, 'sha256' | 'sha512' | 'length'>): JsonObject {
  const hashes = new Map([
    ['sha256', Buffer.from(sha256, 'hex').toString('base64')],
    ['sha512', Buffer.from(sha512, 'hex').toString('base64')],
  ])
  return new Map<string, JsonValue>([
    ['hashes', hashes],
    ['length', length],
  ])
}

function hasRoles(delegations: JsonObject): boolean {
  const roles = delegations.get('roles')
  return Array.isArray(roles) && roles.length > 0
}

function signersOf(file: Received<unknown>, keys: ReadonlyMap<TufKeyId, PublicKey>): ReadonlySet<TufKeyId> {
  const signers = new Set<TufKeyId>()
  for (const { keyId, method, signature } of file.signatures) {
    const key = keys.get(keyId)
    if (key === undefined || signers.has(keyId)) continue
    if (verifySignature(key, method, file.message, signature)) signers.add(keyId)
  }
  return signers
}
