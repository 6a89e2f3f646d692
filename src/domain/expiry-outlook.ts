// Who can sign each role of a repository again before it expires. Pure: verified state and custody in.
import {
  certificatesEnd,
  type RoleName,
  ROOT,
  signingRole,
  SNAPSHOT,
  TARGETS,
  targetsOf,
  TIMESTAMP,
  type TrustedRepository,
} from '@countersign/tuf'
import type { RepositoryCustody } from './ports.ts'
import { isSignable } from './publication-roles.ts'

export const ROLE_CLASSES = ['root', 'targets', 'delegation', 'snapshot', 'timestamp'] as const
export type RoleClass = (typeof ROLE_CLASSES)[number]

/**
 * `countersign`: with keys that are here. `trust-server`: it keeps the key, and does it unasked. `ceremony`: with the root key, which is
 * offline or is to be. `elsewhere`: with keys that neither of them has.
 */
export const RE_SIGNERS = ['countersign', 'trust-server', 'ceremony', 'elsewhere'] as const
export type ReSigner = (typeof RE_SIGNERS)[number]

export interface RoleOutlook {
  readonly role: RoleName
  readonly roleClass: RoleClass
  readonly version: number
  /** When clients refuse it: its own date, or for root that of its certificates where this comes first. */
  readonly expiresAt: Date
  /** The date is that of the certificates of root: a later one needs another root key. */
  readonly isOfCertificate?: true
  readonly by: ReSigner
  /** The keys that may sign it, as `docker trust inspect` shows them, and how many of them must. */
  readonly keyIds: readonly string[]
  readonly threshold: number
}

export function expiryOutlook(
  repository: TrustedRepository,
  custody: Pick<RepositoryCustody, 'keys' | 'rootCustody'>,
  isSnapshotKeyOnServer: boolean,
): readonly RoleOutlook[] {
  const targets = [TARGETS, ...repository.delegations.keys()].flatMap((role): RoleOutlook[] => {
    const received = targetsOf(repository, role)
    if (received === undefined) return []
    const by = isSignable(repository, custody, role) ? 'countersign' : 'elsewhere'
    return [{ ...ofRole(repository, role, received), by }]
  })
  const server = isSnapshotKeyOnServer ? 'trust-server' : 'elsewhere'
  return [
    ofRoot(repository, custody.rootCustody === 'foreign' ? 'elsewhere' : 'ceremony'),
    ...targets,
    { ...ofRole(repository, SNAPSHOT, repository.snapshot), by: server },
    { ...ofRole(repository, TIMESTAMP, repository.timestamp), by: 'trust-server' },
  ]
}

function classOf(role: RoleName): RoleClass {
  return ROLE_CLASSES.find((name) => name === role) ?? 'delegation'
}

function ofRoot(repository: TrustedRepository, by: ReSigner): RoleOutlook {
  const { root } = repository
  const end = certificatesEnd(root.metadata)
  const own = { ...ofRole(repository, ROOT, root), by }
  return end < root.metadata.expiresAt ? { ...own, expiresAt: end, isOfCertificate: true } : own
}

function ofRole(
  repository: TrustedRepository,
  role: RoleName,
  { metadata }: { readonly metadata: { readonly version: number; readonly expiresAt: Date } },
): Omit<RoleOutlook, 'by'> {
  const signing = signingRole(repository, role)
  return {
    role,
    roleClass: classOf(role),
    version: metadata.version,
    expiresAt: metadata.expiresAt,
    keyIds: signing?.keys.map(({ tufKeyId }) => tufKeyId) ?? [],
    threshold: signing?.threshold ?? 1,
  }
}
