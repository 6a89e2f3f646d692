// A registered repository as the daemon remembers it, and the report on its health. Pure.
import type { Gun, PublicKey, RoleName } from '@countersign/tuf'

export type KeyType = 'ecdsa' | 'ed25519' | 'rsa'

/**
 * `initializing`: the key holder may have keys, nothing was published yet for certain.
 * `awaiting-root-signature`: the root bytes wait for an offline signature.
 * `ready`: read back and verified.
 */
export type RepositoryState = 'initializing' | 'awaiting-root-signature' | 'ready'

export interface Repository {
  readonly gun: Gun
  readonly state: RepositoryState
  readonly rootKind: 'online' | 'offline' | 'adopted'
  /** For an offline root: the certificate of the root key. */
  readonly certificatePem?: string
  /** Signer name of the delegation `targets/<signer>`; null: tags stand in `targets`. */
  readonly signer: string | null
  readonly keyType: KeyType
  /** The keys of the trust server that the first root lists; kept so that a repeated call is the same call. */
  readonly serverKeys?: { readonly snapshot: PublicKey; readonly timestamp: PublicKey }
  /** The daemon's own copy of the root that is trusted; compared with the key holder's pin before every use. */
  readonly root?: { readonly sha256: string; readonly bytes: Uint8Array }
  /** Files of the first publication, until they are proven. */
  readonly firstFiles?: ReadonlyMap<string, Uint8Array>
  /** What is to be signed offline. */
  readonly rootKeyIds: readonly string[]
  readonly rootSigned?: Uint8Array
  /** The name of the trust server that it has moved to; absent: the first of the configuration that matches. */
  readonly trustServer?: string
  readonly createdAt: Date
  readonly createdBy: string
  /** Counts the changes of this record; every write is conditional on it. */
  readonly revision: number
}

/** The record without some of its optional parts, which are done with. */
export function forget<K extends 'firstFiles' | 'rootSigned' | 'certificatePem' | 'serverKeys'>(
  repository: Repository,
  ...names: readonly K[]
): Omit<Repository, K> {
  const rest: Partial<Repository> = { ...repository }
  for (const name of names) Reflect.deleteProperty(rest, name)
  return rest as Omit<Repository, K>
}

export const REPOSITORY_WARNINGS = [
  'ROOT_KEY_ONLINE',
  'ROLE_EXPIRES_SOON',
  'ROLE_EXPIRED',
  'TAGS_IN_TARGETS_AND_RELEASES',
  'TAGS_OUTSIDE_RELEASES',
  'DELEGATION_UNUSABLE',
  'SNAPSHOT_KEY_HELD_BY_CLIENT',
  'SIGNING_ROLE_UNAVAILABLE',
  'REPOSITORY_FROZEN',
  'TAGS_DRIFTED',
  'KEYS_SHARE_UID_WITH_DAEMON',
] as const
export type RepositoryWarningCode = (typeof REPOSITORY_WARNINGS)[number]

export interface RepositoryWarning {
  readonly code: RepositoryWarningCode
  readonly detail: string
  readonly role?: RoleName
}

export interface RoleReport {
  readonly role: RoleName
  readonly version: number
  readonly expiresAt: Date
  readonly sha256: string
  /** Entries of a targets role. */
  readonly entries?: number
}
