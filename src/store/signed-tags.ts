// The tags that were signed here, and how they were last found in their registries, in SQLite. A look costs the same however many there are.
import { parseGun, parseTag, type Gun, type TargetName } from '@countersign/tuf'
import type { DriftCounts, SignedTag } from '../domain/drift.ts'
import type { EventOutbox, SignedTags } from '../domain/ports.ts'
import { imageOf, type ImageRecord, type RequestKind } from '../domain/signing-request.ts'
import type { WebhookNews } from '../domain/webhook-event.ts'
import type { StoreDatabase } from './database.ts'

interface TagRow {
  readonly gun: string
  readonly tag: string
  readonly sha256: string | null
  readonly state: SignedTag['state']
  readonly found: string | null
  readonly since: string
  readonly checked_at: string
  readonly suspect_since: string | null
  readonly trouble: string | null
}

export class SqliteSignedTags implements SignedTags {
  readonly #database: StoreDatabase
  readonly #outbox: EventOutbox | undefined
  readonly #statements

  constructor(database: StoreDatabase, outbox?: EventOutbox) {
    this.#database = database
    this.#outbox = outbox
    this.#statements = prepareStatements(database.sqlite)
  }

  /** Call in the transaction that stores the image as published. */
  notePublished(kind: RequestKind, record: ImageRecord): void {
    const image = imageOf(record)
    if (image === undefined) return
    const { gun, tag, sha256 } = image
    const at = record.at.toISOString()
    if (kind === 'unsign') {
      this.#statements.dropMatching.run(gun, tag)
      this.#statements.unsign.run(gun, tag)
    } else if (sha256 !== undefined) this.#statements.sign.run({ gun, tag, sha256, at })
  }

  next(queuedBefore: Date): SignedTag | undefined {
    const row = this.#statements.next.get(queuedBefore.toISOString())
    return row && toTag(row)
  }

  note(read: SignedTag, tag: SignedTag, queuedAt: Date, news?: WebhookNews): void {
    this.#database.transaction(() => {
      this.#statements.update.run({
        gun: read.gun,
        tag: read.tag,
        read: read.sha256 ?? null,
        sha256: tag.sha256 ?? null,
        state: tag.state,
        found: tag.found ?? null,
        since: tag.since.toISOString(),
        checkedAt: tag.checkedAt.toISOString(),
        suspectSince: tag.suspectSince?.toISOString() ?? null,
        trouble: tag.trouble ?? null,
        queuedAt: queuedAt.toISOString(),
      })
      if (news !== undefined) this.#outbox?.record(news)
    })
  }

  forget({ gun, tag, sha256 }: SignedTag, news?: WebhookNews): void {
    this.#database.transaction(() => {
      this.#statements.forget.run(gun, tag, sha256 ?? null)
      if (news !== undefined) this.#outbox?.record(news)
    })
  }

  postpone(registry: string, queuedAt: Date): void {
    const until = queuedAt.toISOString()
    // Everything below the host: '0' follows '/'.
    this.#database.transaction(() => {
      this.#statements.postpone.run({ from: `${registry}/`, to: `${registry}0`, until })
    })
  }

  hurry(gun: Gun, tag: TargetName): void {
    this.#statements.hurry.run(gun, tag)
  }

  drifted(gun: Gun, limit: number): readonly SignedTag[] {
    return this.#statements.drifted.all(gun, limit).map(toTag)
  }

  counts(gun?: Gun): DriftCounts {
    const { counts, countsOf } = this.#statements
    const row = gun === undefined ? counts.get() : countsOf.get({ gun })
    return row ?? { signed: 0, moved: 0, gone: 0, unknown: 0 }
  }
}

function toTag(row: TagRow): SignedTag {
  return {
    gun: parseGun(row.gun),
    tag: parseTag(row.tag),
    sha256: row.sha256 ?? undefined,
    state: row.state,
    since: new Date(row.since),
    checkedAt: new Date(row.checked_at),
    ...(row.found !== null && { found: row.found }),
    ...(row.suspect_since !== null && { suspectSince: new Date(row.suspect_since) }),
    ...(row.trouble !== null && { trouble: row.trouble }),
  }
}

function prepareStatements(sqlite: StoreDatabase['sqlite']) {
  const columns = 'gun, tag, sha256, state, found, since, checked_at, suspect_since, trouble'
  // Left to itself, SQLite walks through all tags of a repository.
  const count = (of: string): string =>
    `SELECT (SELECT count(*) FROM signed_tags ${of && `WHERE ${of}`}) AS signed,
       (SELECT count(*) FROM signed_tags INDEXED BY signed_tags_drifted WHERE state <> 'matches' AND state = 'moved' ${of && `AND ${of}`}) AS moved,
       (SELECT count(*) FROM signed_tags INDEXED BY signed_tags_drifted WHERE state <> 'matches' AND state = 'gone' ${of && `AND ${of}`}) AS gone,
       (SELECT count(*) FROM signed_tags INDEXED BY signed_tags_troubled WHERE trouble IS NOT NULL ${of && `AND ${of}`}) AS unknown`
  return {
    // One that had drifted is looked at at once: that its drift has ended has to be told.
    sign: sqlite.prepare(
      `INSERT INTO signed_tags (gun, tag, sha256, state, since, checked_at, queued_at)
       VALUES (:gun, :tag, :sha256, 'matches', :at, :at, :at)
       ON CONFLICT (gun, tag) DO UPDATE SET sha256 = :sha256, suspect_since = NULL,
         queued_at = CASE WHEN state = 'matches' THEN :at ELSE '' END`,
    ),
    dropMatching: sqlite.prepare("DELETE FROM signed_tags WHERE gun = ? AND tag = ? AND state = 'matches'"),
    unsign: sqlite.prepare("UPDATE signed_tags SET sha256 = NULL, queued_at = '' WHERE gun = ? AND tag = ?"),
    next: sqlite.prepare<[string], TagRow>(
      `SELECT ${columns} FROM signed_tags WHERE queued_at <= ? ORDER BY queued_at LIMIT 1`,
    ),
    update: sqlite.prepare(
      // What was signed since the question was asked counts, and is asked for again.
      `UPDATE signed_tags SET state = :state, found = :found, since = :since, checked_at = :checkedAt,
         suspect_since = :suspectSince, trouble = :trouble,
         queued_at = CASE WHEN sha256 IS :read THEN :queuedAt ELSE '' END,
         sha256 = CASE WHEN sha256 IS :read THEN :sha256 ELSE sha256 END
       WHERE gun = :gun AND tag = :tag`,
    ),
    forget: sqlite.prepare('DELETE FROM signed_tags WHERE gun = ? AND tag = ? AND sha256 IS ?'),
    postpone: sqlite.prepare(
      'UPDATE signed_tags SET queued_at = :until WHERE gun >= :from AND gun < :to AND queued_at < :until',
    ),
    hurry: sqlite.prepare("UPDATE signed_tags SET queued_at = '' WHERE gun = ? AND tag = ?"),
    drifted: sqlite.prepare<[string, number], TagRow>(
      `SELECT ${columns} FROM signed_tags INDEXED BY signed_tags_drifted WHERE gun = ? AND state <> 'matches' ORDER BY since DESC, tag LIMIT ?`,
    ),
    counts: sqlite.prepare<[], DriftCounts>(count('')),
    countsOf: sqlite.prepare<[object], DriftCounts>(count('gun = :gun')),
  }
}
