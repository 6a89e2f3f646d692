// Who may sign which role, in what a trust server knows of a repository: root names the base roles, targets roles name the others.
import type { RootMetadata } from './root.ts'
import { isDelegationRole, parentRole, TARGETS, type RoleName } from './role.ts'
import { delegationsOf, isStillSigned, type ServedRole } from './served-state.ts'
import type { Received } from './signed.ts'
import type { Delegations } from './targets.ts'
import { roleKeys, type RoleKeys } from './threshold.ts'

/** What the chain of parents gives a role. */
export interface Authority {
  readonly keys: RoleKeys
  /** Prefixes of the target names that clients take from it. */
  readonly paths: readonly string[]
}

export class ServedTree {
  readonly #root: Received<RootMetadata>
  readonly #roles: ReadonlyMap<RoleName, ServedRole>
  readonly #delegations = new Map<RoleName, Delegations | undefined>()

  /** `roles` may change; what a changed role delegates is told by `forget`. */
  constructor(root: Received<RootMetadata>, roles: ReadonlyMap<RoleName, ServedRole>) {
    this.#root = root
    this.#roles = roles
  }

  forget(name: RoleName): void {
    this.#delegations.delete(name)
  }

  /** A targets role's keys and paths; undefined where it is not delegated. Of several entries with one name the first counts. */
  authority(name: RoleName): Authority | undefined {
    if (name === TARGETS) return { keys: baseRoleKeys(this.#root, TARGETS), paths: [''] }
    const parent = parentRole(name)
    const above = parent === undefined ? undefined : this.authority(parent)
    if (parent === undefined || above === undefined) return undefined
    const delegations = this.#delegationsOf(parent)
    const role = delegations?.roles.find((one) => one.name === name)
    if (delegations === undefined || role === undefined) return undefined
    return { keys: roleKeys(role, delegations.keys), paths: restrictPaths(role.paths, above.paths) }
  }

  /** Whether clients would take the latest file of the role: it is listed, delegated, and signed by enough keys that count now. */
  isVerifying(name: RoleName): boolean {
    const role = this.#roles.get(name)
    const authority = this.authority(name)
    return role?.isListed === true && authority !== undefined && isStillSigned(role, authority.keys)
  }

  /** The first role above this one that no longer verifies. */
  unusableParent(name: RoleName): RoleName | undefined {
    const parent = parentRole(name)
    if (parent === undefined) return undefined
    return this.unusableParent(parent) ?? (this.isVerifying(parent) ? undefined : parent)
  }

  #delegationsOf(name: RoleName): Delegations | undefined {
    if (this.#delegations.has(name)) return this.#delegations.get(name)
    const role = this.#roles.get(name)
    const read = role?.isListed === true ? delegationsOf(role, name) : undefined
    this.#delegations.set(name, read)
    return read
  }
}

/** The keys of one of the four base roles, which every parsed root has. */
export function baseRoleKeys({ metadata }: Received<RootMetadata>, name: RoleName): RoleKeys {
  const role = metadata.roles.get(name)
  if (role === undefined) throw new RangeError(`root has no role ${name}`)
  return roleKeys(role, metadata.keys)
}

/** Root, snapshot and timestamp are the others. */
export function isTargetsRole(name: RoleName): boolean {
  return name === TARGETS || isDelegationRole(name)
}

/** notary v0.7.0 tuf/data/roles.go RestrictDelegationPathPrefixes. */
function restrictPaths(paths: readonly string[], parents: readonly string[]): readonly string[] {
  return paths.filter((path) => parents.some((parent) => path.startsWith(parent)))
}
