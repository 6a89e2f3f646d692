// Names of TUF roles and of targets (tags). Roles of Notary v1 are paths: `targets/releases` is a child of `targets`.
import { TufError } from './errors.ts'

/** `root`, `targets`, `snapshot`, `timestamp` or a delegation such as `targets/releases`. Made by `parseRoleName` only. */
export type RoleName = string & { readonly brand: unique symbol }

/** The name of a target that is a tag. Made by `parseTag` only. */
export type TargetName = string & { readonly brand: unique symbol }

/** Keys that may sign for a role, by their IDs as listed in the metadata, and how many of them must. */
export interface Role {
  readonly name: RoleName
  readonly keyIds: readonly TufKeyId[]
  readonly threshold: number
}

/** A key ID as it stands in metadata: the SHA-256 of the key object in 64 hex digits, as listed, not yet compared. */
export type TufKeyId = string & { readonly brand: unique symbol }

export const ROOT = 'root' as RoleName
export const TARGETS = 'targets' as RoleName
export const SNAPSHOT = 'snapshot' as RoleName
export const TIMESTAMP = 'timestamp' as RoleName
/** The delegation that docker reads first, and writes every signed tag to. */
export const RELEASES = 'targets/releases' as RoleName

/** The four roles that root lists. */
export const BASE_ROLES: readonly RoleName[] = [ROOT, TARGETS, SNAPSHOT, TIMESTAMP]

const DELEGATION = /^targets(?:\/[-a-z0-9_]+)+$/
const MAX_ROLE_NAME_LENGTH = 255
const TAG = /^\w[\w.-]{0,127}$/

/** notary v0.7.0 tuf/data/roles.go ValidRole, IsDelegation. @throws TufError ROLE_NAME_INVALID */
export function parseRoleName(text: string): RoleName {
  const name = text as RoleName
  if (BASE_ROLES.includes(name) || isDelegationRole(name)) return name
  throw new TufError('ROLE_NAME_INVALID', 'Not a role name', { role: text.slice(0, MAX_ROLE_NAME_LENGTH) })
}

export function isDelegationRole(role: RoleName): boolean {
  return role.length <= MAX_ROLE_NAME_LENGTH && DELEGATION.test(role)
}

/** The role that delegates to this one; undefined for the four base roles. */
export function parentRole(role: RoleName): RoleName | undefined {
  if (!isDelegationRole(role)) return undefined
  return role.slice(0, role.lastIndexOf('/')) as RoleName
}

/** A tag as docker writes it (distribution/reference v0.5.0 regexp.go tag). @throws TufError TAG_INVALID */
export function parseTag(text: string): TargetName {
  if (TAG.test(text)) return text as TargetName
  throw new TufError('TAG_INVALID', 'Not a tag', { tag: text.slice(0, 128) })
}
