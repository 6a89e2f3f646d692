// Root metadata: the keys of the four base roles. Structure only; whether a root is trusted is decided elsewhere.
import { TufError } from './errors.ts'
import type { JsonObject } from './json.ts'
import type { PublicKey } from './key.ts'
import { asObject, malformed, refuseCaseVariants } from './members.ts'
import { parseCommon, parseKeys, parseRoleKeys, type CommonMetadata } from './metadata.ts'
import { BASE_ROLES, type Role, type RoleName, type TufKeyId } from './role.ts'
import { parseSigned, type Received } from './signed.ts'

export interface RootMetadata extends CommonMetadata {
  /** Written by every Go writer, and read by none. */
  readonly consistentSnapshot: boolean
  /** Every key listed, by the ID it is listed under; old root certificates may be among them without a role. */
  readonly keys: ReadonlyMap<TufKeyId, PublicKey>
  /** The four base roles. Further roles, such as `mirrors`, stay in `signed` only. */
  readonly roles: ReadonlyMap<RoleName, Role>
}

const ROOT_MEMBERS = new Set(['_type', 'consistent_snapshot', 'expires', 'keys', 'roles', 'version'])
const ROLE_MEMBERS = new Set(['keyids', 'threshold'])

/**
 * notary v0.7.0 tuf/data/root.go isValidRootStructure.
 * @throws TufError JSON_*, CANONICAL_*, METADATA_*, KEY_*, ENCODING_BASE64
 */
export function parseRoot(bytes: Uint8Array): Received<RootMetadata> {
  return parseSigned(bytes, readRoot)
}

function readRoot(signed: JsonObject): RootMetadata {
  refuseCaseVariants(signed, ROOT_MEMBERS)
  const common = parseCommon(signed, 'Root')
  const consistentSnapshot = signed.get('consistent_snapshot') ?? false
  if (typeof consistentSnapshot !== 'boolean') throw malformed('consistent_snapshot', 'true or false')
  const keys = parseKeys(signed.get('keys'))
  const listed = asObject(signed.get('roles'), 'roles')
  const roles = new Map<RoleName, Role>()
  for (const name of BASE_ROLES) {
    const value = listed.get(name)
    if (value === undefined) throw new TufError('METADATA_ROLE_MISSING', 'Root lacks a role', { role: name })
    const role = asObject(value, 'role')
    refuseCaseVariants(role, ROLE_MEMBERS)
    roles.set(name, { name, ...parseRoleKeys(role, keys) })
  }
  return { ...common, consistentSnapshot, keys, roles }
}
