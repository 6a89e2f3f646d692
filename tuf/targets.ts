// Targets metadata, of the base role and of delegations alike: tags, and the roles delegated to. Structure only, no trust.
import { TufError } from './errors.ts'
import { isJsonArray, type JsonObject, type JsonValue } from './json.ts'
import type { PublicKey } from './key.ts'
import { asArrayOrNothing, asObject, asObjectOrNothing, asString, malformed, refuseCaseVariants } from './members.ts'
import { parseCommon, parseFileMeta, parseKeys, parseRoleKeys, type CommonMetadata, type FileMeta } from './metadata.ts'
import { isDelegationRole, parentRole, TARGETS, type Role, type RoleName, type TufKeyId } from './role.ts'
import { parseSigned, type Received } from './signed.ts'

/** A role that another one delegates to, for the target names that begin with one of `paths`. */
export interface DelegationRole extends Role {
  /** Plain prefixes; the empty text stands for every name, an empty list for none. */
  readonly paths: readonly string[]
}

export interface Delegations {
  readonly keys: ReadonlyMap<TufKeyId, PublicKey>
  /** In file order, which is the order of search. A name may stand twice: the first entry counts. */
  readonly roles: readonly DelegationRole[]
}

export interface TargetsMetadata extends CommonMetadata {
  /** By target name, in file order. */
  readonly targets: ReadonlyMap<string, FileMeta>
  readonly delegations: Delegations
}

const TARGETS_MEMBERS = new Set(['_type', 'delegations', 'expires', 'targets', 'version'])
const DELEGATIONS_MEMBERS = new Set(['keys', 'roles'])
const DELEGATION_MEMBERS = new Set(['keyids', 'name', 'paths', 'threshold'])

/**
 * notary v0.7.0 tuf/data/targets.go isValidTargetsStructure: one bad delegation invalidates the whole file.
 * @param role whose file this is: `targets` or a delegation; its delegations must be its direct children
 * @throws TufError ROLE_NAME_INVALID, JSON_*, CANONICAL_*, METADATA_*, KEY_*, ENCODING_BASE64
 */
export function parseTargets(bytes: Uint8Array, role: RoleName): Received<TargetsMetadata> {
  if (role !== TARGETS && !isDelegationRole(role)) {
    throw new TufError('ROLE_NAME_INVALID', 'Only targets and delegations have targets metadata', { role })
  }
  return parseSigned(bytes, (signed) => readTargets(signed, role))
}

function readTargets(signed: JsonObject, role: RoleName): TargetsMetadata {
  refuseCaseVariants(signed, TARGETS_MEMBERS)
  const common = parseCommon(signed, 'Targets')
  const targets = new Map<string, FileMeta>()
  for (const [name, meta] of asObjectOrNothing(signed.get('targets'), 'targets')) targets.set(name, parseFileMeta(meta))
  return { ...common, targets, delegations: readDelegations(signed.get('delegations'), role) }
}

/** What a targets role delegates. `parent` is that role. @throws TufError METADATA_*, KEY_* */
export function readDelegations(value: JsonValue | undefined, parent: RoleName): Delegations {
  const delegations = asObjectOrNothing(value, 'delegations')
  refuseCaseVariants(delegations, DELEGATIONS_MEMBERS)
  const keys = parseKeys(delegations.get('keys'))
  const roles = asArrayOrNothing(delegations.get('roles'), 'delegations').map((role) =>
    readDelegation(role, keys, parent),
  )
  return { keys, roles }
}

function readDelegation(value: JsonValue, keys: ReadonlyMap<TufKeyId, PublicKey>, parent: RoleName): DelegationRole {
  const role = asObject(value, 'delegation')
  refuseCaseVariants(role, DELEGATION_MEMBERS)
  const name = asString(role.get('name'), 'name') as RoleName
  if (!isDelegationRole(name) || parentRole(name) !== parent) {
    throw new TufError('METADATA_DELEGATION', 'A delegation is not a direct child of the role that lists it', {
      role: name.slice(0, 255),
      parent,
    })
  }
  const listed = role.get('paths') ?? []
  if (!isJsonArray(listed)) throw malformed('paths', 'a list')
  return { name, ...parseRoleKeys(role, keys), paths: listed.map((path) => asString(path, 'paths')) }
}
