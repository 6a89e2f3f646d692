// Delegated targets roles, depth first in file order, and what an unusable one means: clients pass over a role that is badly
// signed or expired, and refuse the whole repository for anything else.
import { TufError, type TufErrorCode } from './errors.ts'
import { readFile, type FileCache } from './file-cache.ts'
import { requireListedFile, type Steps } from './file-request.ts'
import { verifyNotExpired, verifyVersion, type KnownVersion } from './freshness.ts'
import type { FileMeta } from './metadata.ts'
import { verifyDelegationCertificate } from './root-certificate.ts'
import type { RoleName } from './role.ts'
import type { Received } from './signed.ts'
import { parseTargets, type DelegationRole, type TargetsMetadata } from './targets.ts'
import { roleKeys, verifyThreshold } from './threshold.ts'

/** How many delegations one verification reads. Stricter than Notary, which has no limit. */
export const MAX_DELEGATION_FILES = 256

export interface DelegationRules {
  readonly now: Date
  readonly highest: ReadonlyMap<RoleName, KnownVersion>
  readonly cache: FileCache | undefined
  /** Takes roles that have expired, too. */
  readonly acceptsExpired?: boolean
}

/** What a walk through the delegations found. */
export interface VerifiedDelegations {
  readonly verified: ReadonlyMap<RoleName, Received<TargetsMetadata>>
  readonly unusable: ReadonlyMap<RoleName, TufErrorCode>
}

/** The two faults that stock clients pass over (notary v0.7.0 client/tufclient.go downloadTargets). */
const PASSED_OVER: ReadonlySet<TufErrorCode> = new Set<TufErrorCode>(['SIGNATURE_BELOW_THRESHOLD', 'ROLE_EXPIRED'])

/**
 * notary v0.7.0 client/tufclient.go downloadTargets, tuf/builder.go loadDelegation.
 * @param listed how the snapshot describes each role
 * @throws TufError DELEGATIONS_TOO_MANY, SNAPSHOT_ROLE_REMOVED, FILE_*, VERSION_*, SIGNATURE_NONE, SIGNATURE_KEY_REPEATED,
 * CERTIFICATE_*, KEY_*, and what parsing throws
 */
export function* verifyDelegations(
  targets: Received<TargetsMetadata>,
  listed: ReadonlyMap<string, FileMeta>,
  rules: DelegationRules,
): Steps<VerifiedDelegations> {
  const verified = new Map<RoleName, Received<TargetsMetadata>>()
  const unusable = new Map<RoleName, TufErrorCode>()
  let asked = 0
  const open = [...childrenOf(targets)].reverse()
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { role, parent } = next
    const described = listed.get(role.name)
    if (described === undefined) {
      verifyNeverSeen(role.name, rules)
      unusable.set(role.name, 'DELEGATION_ABSENT')
      continue
    }
    asked++
    if (asked > MAX_DELEGATION_FILES) {
      throw new TufError('DELEGATIONS_TOO_MANY', 'The repository has too many delegations', {
        limit: MAX_DELEGATION_FILES,
      })
    }
    const received = yield* requireListedFile(role.name, described)
    const file = readFile(rules.cache, role.name, received, (bytes) => parseTargets(bytes, role.name))
    verifyVersion(role.name, file, rules.highest.get(role.name))
    const fault = faultOf(role, file, parent, rules)
    if (fault !== undefined) {
      unusable.set(role.name, fault)
      continue
    }
    verified.set(role.name, file)
    for (const child of [...childrenOf(file)].reverse()) open.push(child)
  }
  return { verified, unusable }
}

interface Child {
  readonly role: DelegationRole
  readonly parent: TargetsMetadata
}

/** Of several entries with one name the first counts, as in Notary. @throws TufError CERTIFICATE_*, KEY_* */
function* childrenOf({ metadata }: Received<TargetsMetadata>): Iterable<Child> {
  const seen = new Set<RoleName>()
  for (const role of metadata.delegations.roles) {
    if (seen.has(role.name)) continue
    seen.add(role.name)
    for (const key of roleKeys(role, metadata.delegations.keys).keys.values()) verifyDelegationCertificate(key)
    yield { role, parent: metadata }
  }
}

/** Why clients pass over this role; undefined where it is good. @throws every other TufError */
function faultOf(
  role: DelegationRole,
  file: Received<TargetsMetadata>,
  parent: TargetsMetadata,
  { now, acceptsExpired = false }: DelegationRules,
): TufErrorCode | undefined {
  try {
    verifyThreshold(file, roleKeys(role, parent.delegations.keys))
    if (!acceptsExpired) verifyNotExpired(role.name, file.metadata, now)
    return undefined
  } catch (error) {
    if (error instanceof TufError && PASSED_OVER.has(error.code)) return error.code
    throw error
  }
}

/**
 * TUF 1.0.34, 5.5.5: a role that was listed once stays listed; else a server could hide it. Notary's servers never remove one.
 * Stricter than Notary's clients, which skip the role.
 */
function verifyNeverSeen(role: RoleName, { highest }: DelegationRules): void {
  const known = highest.get(role)
  if (known !== undefined) {
    throw new TufError('SNAPSHOT_ROLE_REMOVED', 'The snapshot lacks a delegated role that was published before', {
      role,
      highest: known.version,
    })
  }
}
