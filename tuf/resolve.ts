// What a verified repository says about a tag: which digest docker takes, who else signed it, and who may sign a role.
// Delegation paths are prefixes, and each role's are cut down to what its parents have.
import { hexOfBase64Digest } from './digest.ts'
import type { PublicKey } from './key.ts'
import type { FileMeta } from './metadata.ts'
import { parentRole, RELEASES, TARGETS, type Role, type RoleName } from './role.ts'
import type { Received } from './signed.ts'
import type { DelegationRole, TargetsMetadata } from './targets.ts'
import { roleKeys } from './threshold.ts'
import type { TrustedRepository } from './trusted.ts'

/** Who may sign a role, and for which names. */
export interface SigningRole {
  /** Under their own IDs, each once; a key listed under a wrong ID is left out, for it never verifies. */
  readonly keys: readonly PublicKey[]
  readonly threshold: number
  /** Prefixes, restricted by all parents; base targets has `['']`. */
  readonly paths: readonly string[]
}

/** The roles that docker takes tags from, in order of preference. */
const RELEASED: readonly RoleName[] = [RELEASES, TARGETS]

/** The verified file of base targets or of a delegation; undefined where there is none that clients use. */
export function targetsOf(repository: TrustedRepository, role: RoleName): Received<TargetsMetadata> | undefined {
  return role === TARGETS ? repository.targets : repository.delegations.get(role)
}

/** Undefined where no verified role delegates to this one. Whether the role is usable now is another question. */
export function signingRole(repository: TrustedRepository, role: RoleName): SigningRole | undefined {
  if (role === TARGETS) {
    const listed = repository.root.metadata.roles.get(TARGETS)
    return listed && signing(listed, repository.root.metadata.keys, [''])
  }
  const parent = parentRole(role)
  const restriction = parent === undefined ? undefined : signingRole(repository, parent)
  const file = parent === undefined ? undefined : targetsOf(repository, parent)
  const listed = file?.metadata.delegations.roles.find(({ name }) => name === role)
  if (restriction === undefined || file === undefined || listed === undefined) return undefined
  return signing(listed, file.metadata.delegations.keys, restrict(restriction.paths, listed))
}

/**
 * The target that `docker pull` takes: searched in the subtree of each of the roles, in order, and refused where the first hit
 * is in none of them. `meta` need not have SHA-256; docker refuses that too.
 * docker/cli v28.2.2 cli/command/image/trust.go TrustedReference; notary v0.7.0 client/reader.go GetTargetByName.
 */
export function findTarget(
  repository: TrustedRepository,
  name: string,
  roles: readonly RoleName[] = RELEASED,
): { role: RoleName; meta: FileMeta } | undefined {
  for (const root of roles) {
    const others = roles.filter((role) => role !== root)
    for (const { role, file } of walk(repository, name, root, others)) {
      const meta = file.metadata.targets.get(name)
      if (meta !== undefined) return roles.includes(role) ? { role, meta } : undefined
    }
  }
  return undefined
}

/**
 * The roles that `docker trust inspect` shows as signers of a released tag, in the order of its walk: those that hold the
 * same digest, while `targets/releases` or `targets` holds it as well. Empty: nobody, or not released ("Repo Admin").
 * docker/cli v28.2.2 cli/command/trust/common.go matchReleasedSignatures.
 * @param sha256 64 hex digits
 */
export function signersOf(repository: TrustedRepository, name: string, sha256: string): RoleName[] {
  const holders: RoleName[] = []
  for (const { role, file } of walk(repository, name)) {
    const listed = file.metadata.targets.get(name)?.hashes.get('sha256')
    if (listed !== undefined && hexOfBase64Digest(listed) === sha256) holders.push(role)
  }
  const signers = holders.filter((role) => !RELEASED.includes(role))
  return signers.length < holders.length ? signers : []
}

/** Whether a role with these paths may hold the name. notary v0.7.0 tuf/data/roles.go CheckPaths: prefixes, no patterns. */
export function coversName(paths: readonly string[], name: string): boolean {
  return paths.some((path) => name.startsWith(path))
}

interface Visit {
  readonly role: RoleName
  readonly file: Received<TargetsMetadata>
  readonly paths: readonly string[]
}

/**
 * Roles that may hold the name, breadth first and in file order; only those in the subtree where one is given, and neither a
 * skipped role nor what is below it.
 * notary v0.7.0 tuf/tuf.go WalkTargets.
 */
function* walk(
  repository: TrustedRepository,
  name: string,
  subtree: RoleName = TARGETS,
  skipped: readonly RoleName[] = [],
): Iterable<Visit> {
  const open: Visit[] = [{ role: TARGETS, file: repository.targets, paths: [''] }]
  for (const visit of open) {
    const { role } = visit
    if (subtree.startsWith(`${role}/`)) {
      open.push(...childrenOf(repository, visit))
    } else if (isWithin(role, subtree) && !skipped.includes(role) && coversName(visit.paths, name)) {
      yield visit
      open.push(...childrenOf(repository, visit))
    }
  }
}

function* childrenOf(repository: TrustedRepository, { file, paths }: Visit): Iterable<Visit> {
  const seen = new Set<RoleName>()
  for (const listed of file.metadata.delegations.roles) {
    const child = targetsOf(repository, listed.name)
    // Of several entries with one name the first counts.
    if (child === undefined || seen.has(listed.name)) continue
    seen.add(listed.name)
    yield { role: listed.name, file: child, paths: restrict(paths, listed) }
  }
}

function isWithin(role: RoleName, subtree: RoleName): boolean {
  return role === subtree || role.startsWith(`${subtree}/`)
}

/** notary v0.7.0 tuf/data/roles.go RestrictDelegationPathPrefixes. */
function restrict(parentPaths: readonly string[], { paths }: DelegationRole): readonly string[] {
  return paths.filter((path) => coversName(parentPaths, path))
}

function signing(
  role: Role,
  listed: ReadonlyMap<PublicKey['tufKeyId'], PublicKey>,
  paths: readonly string[],
): SigningRole {
  const keys = [...roleKeys(role, listed).keys].filter(([keyId, key]) => key.tufKeyId === keyId).map(([, key]) => key)
  return { keys, threshold: role.threshold, paths }
}
