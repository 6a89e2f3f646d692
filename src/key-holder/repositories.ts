// Rows of repositories: pinned roots, custody of the root key, freezing. Every write belongs into a transaction with its record.
import type { Gun } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { StateDatabase } from './database.ts'

export type RootCustody = 'online' | 'offline' | 'foreign'

/** A root file that this key holder trusts. */
export interface PinnedRoot {
  readonly version: number
  /** 64 hex digits of `bytes`. */
  readonly sha256: string
  readonly bytes: Buffer
  /** TUF key IDs of the certificates in the root role. */
  readonly certificateKeyIds: readonly string[]
}

export interface Repository {
  readonly gun: Gun
  readonly state: 'awaiting-root-signature' | 'ready'
  readonly frozenBecause?: string
  readonly rootCustody: RootCustody
  readonly pinnedRoot?: PinnedRoot
  /** Digest over the input of initialize-repository; undefined for pinned repositories. */
  readonly requestDigest?: string
  readonly signer: string | null
}

interface Row {
  gun: string
  state: Repository['state']
  frozen_because: string | null
  root_custody: RootCustody
  root_version: number | null
  root_sha256: string | null
  root_bytes: Buffer | null
  certificate_key_ids: string
  request_digest: string | null
  signer: string | null
}

export class RepositoryTable {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  find(gun: Gun): Repository | undefined {
    const row = this.#database.all<Row>('SELECT * FROM repositories WHERE gun = ?', gun)[0]
    return row === undefined ? undefined : toRepository(row)
  }

  /** @throws KeyHolderError GUN_NOT_MANAGED */
  get(gun: Gun): Repository {
    const found = this.find(gun)
    if (found === undefined) {
      throw new KeyHolderError('GUN_NOT_MANAGED', 'The key holder does not know this repository.', { gun })
    }
    return found
  }

  /**
   * A repository with a pinned root, not frozen.
   * @throws KeyHolderError GUN_NOT_MANAGED, GUN_NOT_INITIALIZED, REPOSITORY_FROZEN
   */
  getSignable(gun: Gun): Repository & { readonly pinnedRoot: PinnedRoot } {
    const repository = this.getPinned(gun)
    refuseFrozen(repository)
    return repository
  }

  /** @throws KeyHolderError GUN_NOT_MANAGED, GUN_NOT_INITIALIZED */
  getPinned(gun: Gun): Repository & { readonly pinnedRoot: PinnedRoot } {
    const repository = this.get(gun)
    const { pinnedRoot } = repository
    if (repository.state !== 'ready' || pinnedRoot === undefined) {
      throw new KeyHolderError('GUN_NOT_INITIALIZED', 'The repository has no pinned root yet.', { gun })
    }
    return { ...repository, pinnedRoot }
  }

  /** Those with a pinned root, by name. */
  pinned(): Gun[] {
    const sql = "SELECT gun FROM repositories WHERE state = 'ready' AND root_bytes IS NOT NULL ORDER BY gun"
    return this.#database.all<{ gun: Gun }>(sql).map(({ gun }) => gun)
  }

  count(): number {
    return this.#database.all<{ n: number }>('SELECT count(*) AS n FROM repositories')[0]?.n ?? 0
  }

  insert(o: {
    gun: Gun
    rootCustody: RootCustody
    requestDigest: string | null
    signer: string | null
    createdAt: string
  }): void {
    this.#database.run(
      `INSERT INTO repositories (gun, state, root_custody, request_digest, signer, created_at)
       VALUES (?, 'awaiting-root-signature', ?, ?, ?, ?)`,
      o.gun,
      o.rootCustody,
      o.requestDigest,
      o.signer,
      o.createdAt,
    )
  }

  pin(gun: Gun, root: PinnedRoot): void {
    this.#database.run(
      `UPDATE repositories SET state = 'ready', root_version = ?, root_sha256 = ?, root_bytes = ?, certificate_key_ids = ? WHERE gun = ?`,
      root.version,
      root.sha256,
      root.bytes,
      JSON.stringify(root.certificateKeyIds),
      gun,
    )
  }

  setRootCustody(gun: Gun, custody: RootCustody): void {
    this.#database.run('UPDATE repositories SET root_custody = ? WHERE gun = ?', custody, gun)
  }

  /** `because` null: signing may go on. */
  setFrozen(gun: Gun, because: string | null): void {
    this.#database.run('UPDATE repositories SET frozen_because = ? WHERE gun = ?', because, gun)
  }
}

/** @throws KeyHolderError REPOSITORY_FROZEN */
export function refuseFrozen({ gun, frozenBecause }: Repository): void {
  if (frozenBecause === undefined) return
  throw new KeyHolderError('REPOSITORY_FROZEN', 'Signing is stopped until an operator unfreezes the repository.', {
    gun,
    frozenBecause,
  })
}

function toRepository(row: Row): Repository {
  const { root_version: version, root_sha256: sha256, root_bytes: bytes } = row
  const ids: unknown = JSON.parse(row.certificate_key_ids)
  const certificateKeyIds = Array.isArray(ids) ? ids.map(String) : []
  return {
    gun: row.gun as Gun,
    state: row.state,
    rootCustody: row.root_custody,
    signer: row.signer,
    ...(row.frozen_because !== null && { frozenBecause: row.frozen_because }),
    ...(row.request_digest !== null && { requestDigest: row.request_digest }),
    ...(version !== null &&
      sha256 !== null &&
      bytes !== null && {
        pinnedRoot: { version, sha256, bytes, certificateKeyIds },
      }),
  }
}
