// The highest version and hash ever seen or signed of each role, versions that we did not sign, and the memory of tags.
import type { Gun, RoleName } from '@countersign/tuf'
import type { StateDatabase } from './database.ts'

export interface KnownVersion {
  readonly version: number
  /** 64 hex digits over the file. */
  readonly sha256: string
}

export interface RoleVersions {
  readonly role: RoleName
  readonly highestSeen?: KnownVersion
  readonly highestSigned?: KnownVersion
}

/** What an operator decided about a foreign version. */
const DECISIONS = { undecided: 0, accepted: 1, dropped: 2 } as const

export type ForeignDecision = keyof typeof DECISIONS

/** One that a key of ours signed, and that was not signed here. */
export interface ForeignVersion {
  readonly role: RoleName
  readonly version: number
  /** 64 hex digits of what the signatures are over. */
  readonly messageSha256: string
}

interface Row {
  role: string
  seen_version: number | null
  seen_sha256: string | null
  signed_version: number | null
  signed_sha256: string | null
}

export class VersionTable {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  ofGun(gun: Gun): RoleVersions[] {
    const rows = this.#database.all<Row>('SELECT * FROM role_versions WHERE gun = ? ORDER BY role', gun)
    return rows.map((row) => ({
      role: row.role as RoleName,
      ...known('highestSeen', row.seen_version, row.seen_sha256),
      ...known('highestSigned', row.signed_version, row.signed_sha256),
    }))
  }

  ofRole(gun: Gun, role: RoleName): RoleVersions {
    return this.ofGun(gun).find((one) => one.role === role) ?? { role }
  }

  /** Never lowers. */
  raiseSeen(gun: Gun, role: RoleName, seen: KnownVersion): void {
    this.#database.run(
      `INSERT INTO role_versions (gun, role, seen_version, seen_sha256) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET seen_version = excluded.seen_version, seen_sha256 = excluded.seen_sha256
       WHERE seen_version IS NULL OR seen_version < excluded.seen_version`,
      gun,
      role,
      seen.version,
      seen.sha256,
    )
  }

  /** Never lowers. Before the signatures exist `sha256` is that of the message. */
  raiseSigned(gun: Gun, role: RoleName, signed: KnownVersion): void {
    this.#database.run(
      `INSERT INTO role_versions (gun, role, signed_version, signed_sha256) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET signed_version = excluded.signed_version, signed_sha256 = excluded.signed_sha256
       WHERE signed_version IS NULL OR signed_version <= excluded.signed_version`,
      gun,
      role,
      signed.version,
      signed.sha256,
    )
  }

  /** Whether we signed exactly this content, or an operator decided about it: accepted it, or disowned it. */
  isAccountedFor(gun: Gun, role: RoleName, version: number, messageSha256: string): boolean {
    const found = this.#database.all(
      `SELECT 1 FROM signed_payloads WHERE gun = ? AND role = ? AND version = ? AND message_sha256 = ?
       UNION ALL SELECT 1 FROM foreign_versions WHERE gun = ? AND role = ? AND version = ? AND message_sha256 = ? AND accepted <> 0`,
      gun,
      role,
      version,
      messageSha256,
      gun,
      role,
      version,
      messageSha256,
    )[0]
    return found !== undefined
  }

  noteForeign(gun: Gun, role: RoleName, version: number, messageSha256: string): void {
    this.#database.run(
      'INSERT OR IGNORE INTO foreign_versions (gun, role, version, message_sha256) VALUES (?, ?, ?, ?)',
      gun,
      role,
      version,
      messageSha256,
    )
  }

  /** A version by keys that were not here yet when it was made. */
  acceptVersion(gun: Gun, role: RoleName, version: number, messageSha256: string): void {
    this.#database.run(
      'INSERT OR IGNORE INTO foreign_versions (gun, role, version, message_sha256, accepted) VALUES (?, ?, ?, ?, 1)',
      gun,
      role,
      version,
      messageSha256,
    )
  }

  /** What was found of others with this decision, by role and version. */
  foreignOf(gun: Gun, decision: ForeignDecision): ForeignVersion[] {
    return this.#database
      .all<{ role: string; version: number; message_sha256: string }>(
        'SELECT role, version, message_sha256 FROM foreign_versions WHERE gun = ? AND accepted = ? ORDER BY role, version',
        gun,
        DECISIONS[decision],
      )
      .map((row) => ({ role: row.role as RoleName, version: row.version, messageSha256: row.message_sha256 }))
  }

  /** `accepted`: an operator takes them for the truth. `dropped`: signing goes on above them and without what they say. */
  decide(gun: Gun, versions: readonly ForeignVersion[], decision: 'accepted' | 'dropped'): void {
    for (const { role, version, messageSha256 } of versions) {
      this.#database.run(
        'UPDATE foreign_versions SET accepted = ? WHERE gun = ? AND role = ? AND version = ? AND message_sha256 = ?',
        DECISIONS[decision],
        gun,
        role,
        version,
        messageSha256,
      )
    }
  }

  /** The highest disowned version of a role below this one. */
  highestDisowned(gun: Gun, role: RoleName, below: number): number | undefined {
    return this.#highest(gun, role, DECISIONS.dropped, below)
  }

  /** The highest version of a role below this one that others made and an operator accepted. */
  highestAccepted(gun: Gun, role: RoleName, below: number): number | undefined {
    return this.#highest(gun, role, DECISIONS.accepted, below)
  }

  #highest(gun: Gun, role: RoleName, decision: number, below: number): number | undefined {
    const [found] = this.#database.all<{ version: number | null }>(
      'SELECT max(version) AS version FROM foreign_versions WHERE gun = ? AND role = ? AND accepted = ? AND version < ?',
      gun,
      role,
      decision,
      below,
    )
    return found?.version ?? undefined
  }

  /** The digest that a tag stood for last, as far as we know. */
  tagDigest(gun: Gun, tag: string): string | undefined {
    return this.#database.all<{ sha256: string }>(
      'SELECT sha256 FROM tag_digests WHERE gun = ? AND tag = ?',
      gun,
      tag,
    )[0]?.sha256
  }

  rememberTag(gun: Gun, tag: string, sha256: string): void {
    this.#database.run(
      'INSERT INTO tag_digests (gun, tag, sha256) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sha256 = excluded.sha256',
      gun,
      tag,
      sha256,
    )
  }
}

function known<N extends 'highestSeen' | 'highestSigned'>(
  name: N,
  version: number | null,
  sha256: string | null,
): Partial<Record<N, KnownVersion>> {
  if (version === null || sha256 === null) return {}
  return { [name]: { version, sha256 } } as Record<N, KnownVersion>
}
