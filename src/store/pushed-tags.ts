// The tags that registries told of and that are not signed, and what was told of each since it was looked at, in SQLite.
import { parseGun, parseTag, type Gun } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import type { EventOutbox, PushedTags, DueTag } from '../domain/ports.ts'
import {
  type PushCounts,
  type PushedImage,
  type PushedTag,
  type ToldDigest,
  unsignedNews,
} from '../domain/push-event.ts'
import { imageOf, type ImageRecord, type RequestKind, type RequestStatus } from '../domain/signing-request.ts'
import type { WebhookNews } from '../domain/webhook-event.ts'
import type { StoreDatabase } from './database.ts'

/** Tags of one source that are kept at most: each of them was found in its registry, or waits for that. */
const MAX_TAGS = 100_000

interface PushedRow {
  readonly gun: string
  readonly tag: string
  readonly source: string
  readonly since: string
  readonly sha256: string | null
  readonly request: string | null
  readonly status: RequestStatus | null
  readonly trouble: string | null
  readonly told_at: string | null
  readonly due_at: string
}

export class SqlitePushedTags implements PushedTags {
  readonly #database: StoreDatabase
  readonly #outbox: EventOutbox | undefined
  readonly #statements

  constructor(database: StoreDatabase, outbox?: EventOutbox) {
    this.#database = database
    this.#outbox = outbox
    this.#statements = prepareStatements(database.sqlite)
  }

  add(images: readonly PushedImage[], source: string, at: Date, limit: number): void {
    const { addTag, addClaim, size } = this.#statements
    this.#database.transaction(() => {
      for (const { gun, tag, sha256 = '' } of images) {
        addTag.run({ gun, tag, source, at: at.toISOString() })
        addClaim.run(gun, tag, sha256, source)
      }
      // What was there already is no more than before; so the size is looked at afterwards, and an exception takes all of it back.
      const { claims = 0, tags = 0 } = size.get({ source }) ?? {}
      if (claims <= limit && tags <= MAX_TAGS) return
      throw new DomainError('PUSH_QUEUE_FULL', 'More pushed tags of this source wait than may wait.', { source, limit })
    })
  }

  due(now: Date, limit: number): readonly DueTag[] {
    const rows = this.#statements.due.all(now.toISOString(), limit)
    return rows.map((row) => ({ ...this.#toTag(row), mark: row.due_at }))
  }

  note(read: DueTag, { sha256, request }: Pick<PushedTag, 'sha256' | 'request'>, dueAt: Date): void {
    this.#database.transaction(() => {
      this.#dropClaims(read)
      this.#statements.note.run({
        gun: read.gun,
        tag: read.tag,
        sha256: sha256 ?? null,
        request: request ?? null,
        mark: read.mark,
        dueAt: dueAt.toISOString(),
      })
    })
  }

  defer({ gun, tag, mark }: DueTag, trouble: string, dueAt: Date): void {
    const row = { gun, tag, trouble, mark, dueAt: dueAt.toISOString() }
    this.#database.transaction(() => {
      this.#statements.defer.run(row)
    })
  }

  forget(read: DueTag, news?: WebhookNews): void {
    this.#database.transaction(() => {
      this.#dropClaims(read)
      const { changes } = this.#statements.forget.run(read.gun, read.tag)
      if (changes === 0) this.#statements.setDue.run('', read.gun, read.tag)
      else if (news !== undefined) this.#outbox?.record(news)
    })
  }

  postpone(registry: string, trouble: string, dueAt: Date): void {
    // Everything below the host: '0' follows '/'.
    const range = { from: `${registry}/`, to: `${registry}0`, trouble, dueAt: dueAt.toISOString() }
    this.#database.transaction(() => {
      this.#statements.postpone.run(range)
    })
  }

  list(gun: Gun, limit: number): readonly PushedTag[] {
    return this.#statements.list.all(gun, limit).map((row) => this.#toTag(row))
  }

  counts(gun?: Gun): PushCounts {
    const { unsigned = 0, waiting = 0, oldest = null } = this.#statements.counts.get({ gun: gun ?? null }) ?? {}
    return { unsigned, waiting, ...(oldest !== null && { oldest: new Date(oldest) }) }
  }

  overdue(before: Date, limit: number): readonly PushedTag[] {
    return this.#statements.overdue.all(before.toISOString(), limit).map((row) => this.#toTag(row))
  }

  noteTold({ gun, tag }: PushedTag, at: Date, news: WebhookNews): void {
    this.#database.transaction(() => {
      const { changes } = this.#statements.tell.run(at.toISOString(), gun, tag)
      if (changes === 1) this.#outbox?.record(news)
    })
  }

  /** Call in the transaction that stores the image as published. What was told and not looked at yet stays, and is due. */
  notePublished(kind: RequestKind, record: ImageRecord): void {
    const image = imageOf(record)
    if (image === undefined || kind !== 'sign') return
    const row = this.#statements.find.get(image.gun, image.tag)
    if (row === undefined) return
    const tag = this.#toTag(row)
    const { changes } = this.#statements.forget.run(tag.gun, tag.tag)
    if (changes === 0) this.#statements.setDue.run('', tag.gun, tag.tag)
    else if (tag.toldAt !== undefined) this.#outbox?.record(unsignedNews(tag, 'signed', record.at))
  }

  #dropClaims({ gun, tag, claims }: DueTag): void {
    for (const { sha256, source } of claims) this.#statements.dropClaim.run(gun, tag, sha256, source)
  }

  #toTag(row: PushedRow): PushedTag {
    return {
      gun: parseGun(row.gun),
      tag: parseTag(row.tag),
      source: row.source,
      since: new Date(row.since),
      claims: this.#statements.claims.all(row.gun, row.tag),
      ...(row.sha256 !== null && { sha256: row.sha256 }),
      ...(row.request !== null && { request: row.request }),
      ...(row.status !== null && { status: row.status }),
      ...(row.trouble !== null && { trouble: row.trouble }),
      ...(row.told_at !== null && { toldAt: new Date(row.told_at) }),
    }
  }
}

function prepareStatements(sqlite: StoreDatabase['sqlite']) {
  const select = `SELECT p.gun, p.tag, p.source, p.since, p.sha256, p.request, r.status, p.trouble, p.told_at, p.due_at
    FROM pushed_tags p LEFT JOIN requests r ON r.id = p.request`
  const hasClaims = 'EXISTS (SELECT 1 FROM pushed_claims c WHERE c.gun = pushed_tags.gun AND c.tag = pushed_tags.tag)'
  return {
    // What has trouble keeps its turn: events must not make a registry be asked that does not answer.
    addTag: sqlite.prepare(
      `INSERT INTO pushed_tags (gun, tag, source, since, due_at) VALUES (:gun, :tag, :source, :at, :at)
       ON CONFLICT (gun, tag) DO UPDATE SET due_at = CASE WHEN trouble IS NULL THEN min(due_at, :at) ELSE due_at END`,
    ),
    addClaim: sqlite.prepare('INSERT OR IGNORE INTO pushed_claims (gun, tag, sha256, source) VALUES (?, ?, ?, ?)'),
    size: sqlite.prepare<[object], { claims: number; tags: number }>(
      `SELECT (SELECT count(*) FROM pushed_claims WHERE source = :source) AS claims,
         (SELECT count(*) FROM pushed_tags WHERE source = :source) AS tags`,
    ),
    due: sqlite.prepare<[string, number], PushedRow>(`${select} WHERE p.due_at <= ? ORDER BY p.due_at LIMIT ?`),
    find: sqlite.prepare<[string, string], PushedRow>(`${select} WHERE p.gun = ? AND p.tag = ?`),
    claims: sqlite.prepare<[string, string], ToldDigest>(
      'SELECT sha256, source FROM pushed_claims WHERE gun = ? AND tag = ?',
    ),
    setDue: sqlite.prepare('UPDATE pushed_tags SET due_at = ? WHERE gun = ? AND tag = ?'),
    dropClaim: sqlite.prepare('DELETE FROM pushed_claims WHERE gun = ? AND tag = ? AND sha256 = ? AND source = ?'),
    // Whoever made it due meanwhile, or told of it, wants another look.
    note: sqlite.prepare(
      `UPDATE pushed_tags SET sha256 = :sha256, request = :request, trouble = NULL,
         due_at = CASE WHEN due_at <> :mark OR ${hasClaims} THEN '' ELSE :dueAt END
       WHERE gun = :gun AND tag = :tag`,
    ),
    defer: sqlite.prepare(
      `UPDATE pushed_tags SET trouble = :trouble, due_at = CASE WHEN due_at = :mark THEN :dueAt ELSE due_at END
       WHERE gun = :gun AND tag = :tag`,
    ),
    forget: sqlite.prepare(`DELETE FROM pushed_tags WHERE gun = ? AND tag = ? AND NOT ${hasClaims}`),
    postpone: sqlite.prepare(
      'UPDATE pushed_tags SET due_at = :dueAt, trouble = :trouble WHERE gun >= :from AND gun < :to AND due_at < :dueAt',
    ),
    list: sqlite.prepare<[string, number], PushedRow>(`${select} WHERE p.gun = ? ORDER BY p.since, p.tag LIMIT ?`),
    counts: sqlite.prepare<[object], { unsigned: number; waiting: number; oldest: string | null }>(
      `SELECT count(*) AS unsigned, count(*) FILTER (WHERE sha256 IS NULL) AS waiting, min(since) AS oldest
       FROM pushed_tags WHERE :gun IS NULL OR gun = :gun`,
    ),
    overdue: sqlite.prepare<[string, number], PushedRow>(
      `${select} WHERE p.since <= ? AND p.told_at IS NULL ORDER BY p.since LIMIT ?`,
    ),
    tell: sqlite.prepare('UPDATE pushed_tags SET told_at = ? WHERE gun = ? AND tag = ? AND told_at IS NULL'),
  }
}
