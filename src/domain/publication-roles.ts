// Which roles a change of one tag is written to. Pure: reads a verified repository and the list of keys that we hold.
// Source of the rules: docker/cli v28.2.2 cli/trust/trust.go GetSignableRoles; cli/command/image/trust.go for what clients read.
import {
  RELEASES,
  type RoleName,
  type TargetName,
  TARGETS,
  type TrustedRepository,
  parseRoleName,
  signingRole,
  targetsOf,
} from '@countersign/tuf'
import { DomainError } from './errors.ts'
import type { RepositoryCustody } from './ports.ts'

/** The roles that `docker pull` takes a tag from. */
const READ_ROLES: readonly RoleName[] = [RELEASES, TARGETS]

/** Delegated, but not in the snapshot yet: the first version of that role is ours to write. */
const NOT_PUBLISHED_YET = 'DELEGATION_ABSENT'

/**
 * For signing: with delegations `targets/releases` and `targets/<signer>`, both with our key, or nothing; base `targets` is then
 * left alone (notary-v1 traps Q6 to Q8). Without delegations `targets`.
 * @throws DomainError SIGNING_ROLE_UNAVAILABLE
 */
export function rolesToSign(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys'>,
  signer: string | null,
  tag: TargetName,
): readonly RoleName[] {
  if (!hasDelegations(repository)) {
    requireSignable(repository, custody, TARGETS, tag)
    return [TARGETS]
  }
  if (signer === null) {
    throw unavailable(TARGETS, 'the repository has delegations, and no signer name of ours is among them')
  }
  const roles = [RELEASES, parseRoleName(`targets/${signer}`)]
  for (const role of roles) requireSignable(repository, custody, role, tag)
  return roles
}

/**
 * For unsigning: every role that holds the tag and that we can sign. Roles that clients read must all be among them, else the tag
 * would still be trusted after a success. Other signers' own roles are theirs to clean; no client resolves a tag from them.
 * @throws DomainError TAG_NOT_SIGNED, UNSIGN_INCOMPLETE
 */
export function rolesToUnsign(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys'>,
  tag: TargetName,
): readonly RoleName[] {
  const unusable = unusableReason(repository, RELEASES)
  if (unusable !== undefined)
    throw incomplete(RELEASES, `it is not valid now (${unusable}), so what it holds cannot be known`)
  const holding = [TARGETS, ...repository.delegations.keys()].filter(
    (role) => targetsOf(repository, role)?.metadata.targets.has(tag) === true,
  )
  const signable = holding.filter((role) => obstacle(repository, custody, role) === undefined)
  const left = READ_ROLES.find((role) => holding.includes(role) && !signable.includes(role))
  if (left !== undefined) throw incomplete(left, obstacle(repository, custody, left) ?? '')
  if (signable.length === 0) {
    throw new DomainError('TAG_NOT_SIGNED', 'No role that clients read holds this tag.', { gun: repository.gun, tag })
  }
  return signable
}

/** Whether we can sign the role again as it is. */
export function isSignable(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys'>,
  role: RoleName,
): boolean {
  return signingObstacle(repository, custody, role) === undefined
}

/** Why we cannot sign the role again as it is; undefined where we can. */
export function signingObstacle(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys'>,
  role: RoleName,
): string | undefined {
  return obstacle(repository, custody, role)
}

export function hasDelegations(repository: TrustedRepository): boolean {
  return repository.targets.metadata.delegations.roles.length > 0
}

/** Why a delegated role that should be there is not valid now; undefined where it is valid, not delegated, or not published yet. */
export function unusableReason(repository: TrustedRepository, role: RoleName): string | undefined {
  const reason = repository.unusable.get(role)
  return reason === NOT_PUBLISHED_YET ? undefined : reason
}

function requireSignable(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys'>,
  role: RoleName,
  tag: TargetName,
): void {
  const why = obstacle(repository, custody, role, tag)
  if (why !== undefined) throw unavailable(role, why)
}

/** Why we cannot sign this role, or put this tag into it; undefined where we can. A tag outside the paths may still be dropped. */
function obstacle(
  repository: TrustedRepository,
  { keys }: Pick<RepositoryCustody, 'keys'>,
  role: RoleName,
  tag?: TargetName,
): string | undefined {
  const signing = signingRole(repository, role)
  if (signing === undefined) return 'it is not delegated'
  // Building on a role whose content cannot be read would drop the entries of others.
  const unusable = unusableReason(repository, role)
  if (unusable !== undefined) return `it is not valid now (${unusable})`
  const held = new Set(keys.filter(canSign).map(({ canonicalKeyId }) => canonicalKeyId))
  const ours = new Set(signing.keys.map(({ canonicalKeyId }) => canonicalKeyId).filter((id) => held.has(id)))
  if (ours.size === 0) return 'none of its keys is held here'
  if (ours.size < signing.threshold) return `it needs ${signing.threshold} signatures and ${ours.size} can be made here`
  // Paths are plain prefixes: notary v0.7.0 tuf/data/roles.go CheckPaths.
  if (tag !== undefined && !signing.paths.some((prefix) => tag.startsWith(prefix)))
    return 'its paths do not cover this tag'
  return undefined
}

/** A staged key signs once it is listed; one that was replaced never again. */
function canSign({ state }: RepositoryCustody['keys'][number]): boolean {
  return state === 'active' || state === 'staged'
}

function unavailable(role: RoleName, why: string): DomainError {
  return new DomainError(
    'SIGNING_ROLE_UNAVAILABLE',
    `The role ${role} cannot be signed: ${why}. The repository's owner adds our key with "docker trust signer add".`,
    { role, why },
  )
}

function incomplete(role: RoleName, why: string): DomainError {
  return new DomainError(
    'UNSIGN_INCOMPLETE',
    `Clients would still find the tag in ${role}, and it cannot be removed there: ${why}. Nothing was changed.`,
    { role, why },
  )
}
