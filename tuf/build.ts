// First versions of metadata: a root that nobody extended yet, and an empty targets file. Later versions come from edit.ts.
import { encodeCanonical } from './canonical.ts'
import { formatExpires } from './expires.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { encodePublicKey, type PublicKey } from './key.ts'
import { ROOT, SNAPSHOT, TARGETS, TIMESTAMP, type RoleName } from './role.ts'
import type { UnsignedMetadata } from './signed.ts'

/** Keys of a new repository; every threshold is one, as Notary's clients write it. Root keys are certificates of the GUN. */
export interface NewRoot {
  readonly version: 1
  readonly expiresAt: Date
  readonly rootKeys: readonly PublicKey[]
  readonly targetsKeys: readonly PublicKey[]
  readonly snapshotKeys: readonly PublicKey[]
  readonly timestampKeys: readonly PublicKey[]
}

export interface NewDelegation {
  readonly name: RoleName
  readonly keys: readonly PublicKey[]
  readonly paths: readonly string[]
  readonly threshold: number
}

export interface NewTargets {
  readonly role: RoleName
  readonly version: number
  readonly expiresAt: Date
  readonly delegations?: readonly NewDelegation[]
}

/** The expiry is cut to whole seconds. @throws TufError METADATA_EXPIRES, CANONICAL_* */
export function newRoot(o: NewRoot): UnsignedMetadata {
  const roles: readonly (readonly [RoleName, readonly PublicKey[]])[] = [
    [ROOT, o.rootKeys],
    [SNAPSHOT, o.snapshotKeys],
    [TARGETS, o.targetsKeys],
    [TIMESTAMP, o.timestampKeys],
  ]
  const signed = object({
    _type: 'Root',
    consistent_snapshot: false,
    expires: formatExpires(o.expiresAt),
    keys: keysById(roles.flatMap(([, keys]) => keys)),
    roles: new Map(roles.map(([name, keys]) => [name, object({ keyids: keyIds(keys), threshold: 1 })])),
    version: o.version,
  })
  return unsigned(ROOT, o.version, signed)
}

/** No targets yet. The expiry is cut to whole seconds. @throws TufError METADATA_EXPIRES, CANONICAL_* */
export function newTargets(o: NewTargets): UnsignedMetadata {
  const delegations = o.delegations ?? []
  const signed = object({
    _type: 'Targets',
    delegations: object({
      keys: keysById(delegations.flatMap(({ keys }) => keys)),
      roles: delegations.map(encodeDelegation),
    }),
    expires: formatExpires(o.expiresAt),
    targets: new Map(),
    version: o.version,
  })
  return unsigned(o.role, o.version, signed)
}

/** Go omits empty paths (notary v0.7.0 tuf/data/roles.go Role: `paths,omitempty`). */
function encodeDelegation({ name, keys, paths, threshold }: NewDelegation): JsonObject {
  const role = { keyids: keyIds(keys), name, threshold }
  return object(paths.length === 0 ? role : { ...role, paths })
}

function unsigned(role: RoleName, version: number, signed: JsonObject): UnsignedMetadata {
  return { role, version, signed, message: encodeCanonical(signed) }
}

function keyIds(keys: readonly PublicKey[]): readonly JsonValue[] {
  return [...new Set(keys.map(({ tufKeyId }) => tufKeyId))]
}

function keysById(keys: readonly PublicKey[]): JsonObject {
  return new Map(keys.map((key) => [key.tufKeyId, encodePublicKey(key)]))
}

/** Literal names only: no name from outside becomes a property. */
function object(members: Readonly<Record<string, JsonValue>>): JsonObject {
  return new Map(Object.entries(members))
}
