// Signing requests, their images and publications in SQLite. Writes are conditional on the revision that was read.
import { parseGun, parseRoleName } from '@countersign/tuf'
import { DomainError } from '../domain/errors.ts'
import type {
  CreationOutcome,
  EventOutbox,
  IdempotencyKey,
  ImageUpdate,
  PendingImage,
  RequestQuery,
  RequestStore,
  SignedRole,
} from '../domain/ports.ts'
import type { Publication } from '../domain/publication.ts'
import {
  type ImageStatus,
  imageOf,
  isFinal,
  requestStatus,
  type RequestImage,
  type RequestKind,
  type RequestStatus,
  type SigningRequest,
  type RoleVersion,
  type Submitter,
} from '../domain/signing-request.ts'
import { eventOfMove, requestNews } from '../domain/webhook-event.ts'
import type { StoreDatabase } from './database.ts'
import { SqlitePushedTags } from './pushed-tags.ts'
import { SqliteSignedTags } from './signed-tags.ts'
import { decodeImageRecord, decodeSubmitter, decodePublication, encodeRecord } from './record-json.ts'

interface RequestRow {
  readonly sequence: number
  readonly id: string
  readonly kind: RequestKind
  readonly submitter_id: string
  readonly submitter_name: string
  readonly submitter: string | null
  readonly description: string | null
  readonly policy: string | null
  readonly origin: string | null
  readonly resubmits: string | null
  readonly created_at: string
}
interface ImageRow {
  readonly record: string
  readonly revision: number
}

/** Rows fetched at a time while listing; requests are small. */
const PAGE_ROWS = 100
/** Published images that are looked at for versions once proven, of all kinds and of those without a tag. */
const PROVEN_ROWS = 16
/** Versions of a role that were signed for us, for which that is remembered: hours of the highest rate. */
const KEPT_VERSIONS = 2_000

export class SqliteRequestStore implements RequestStore {
  readonly #database: StoreDatabase
  readonly #outbox: EventOutbox | undefined
  readonly #statements
  readonly #tags: SqliteSignedTags
  readonly #pushed: SqlitePushedTags

  /** @param outbox is told of each status that a request comes into, in the same transaction */
  constructor(database: StoreDatabase, outbox?: EventOutbox) {
    this.#database = database
    this.#outbox = outbox
    this.#statements = prepareStatements(database.sqlite)
    this.#tags = new SqliteSignedTags(database)
    this.#pushed = new SqlitePushedTags(database, outbox)
  }

  create(request: SigningRequest, idempotency?: IdempotencyKey): { request: SigningRequest; isRepeated: boolean } {
    return this.#database.transaction(() => {
      const repeated = idempotency === undefined ? undefined : this.findRepeated(idempotency)
      if (repeated !== undefined) return { request: repeated, isRepeated: true }
      const sql = this.#statements
      if (sql.find.get(request.id) !== undefined) {
        throw new DomainError('RECORD_EXISTS', 'A request with this identifier exists.', { request: request.id })
      }
      const { lastInsertRowid: sequence } = sql.insert.run({
        id: request.id,
        kind: request.kind,
        submitterId: request.submitter.id,
        submitterName: request.submitter.name,
        submitter: encodeSubmitter(request.submitter),
        description: request.description ?? null,
        policy: request.policy ?? null,
        origin: request.origin ?? null,
        resubmits: request.resubmits ?? null,
        status: requestStatus(request.images),
        createdAt: request.createdAt.toISOString(),
      })
      for (const [position, { record }] of request.images.entries()) {
        const { gun } = record.subject
        const tag = imageOf(record)?.tag ?? ''
        sql.insertImage.run({ ...imageColumns(record), sequence, position, gun, tag })
      }
      if (idempotency !== undefined) sql.insertKey.run({ ...idempotency, sequence })
      this.#tell(undefined, requestStatus(request.images), () => request)
      return { request, isRepeated: false }
    })
  }

  createAll(
    submissions: readonly (readonly [request: SigningRequest, idempotency: IdempotencyKey | undefined])[],
  ): readonly CreationOutcome[] {
    return this.#database.transaction(() =>
      submissions.map(([request, idempotency]) => {
        try {
          // A transaction within one: what is refused leaves nothing, and the others stand.
          return this.create(request, idempotency)
        } catch (error) {
          if (error instanceof DomainError) return { refusal: error }
          throw error
        }
      }),
    )
  }

  findRepeated({ principal, key, bodySha256 }: IdempotencyKey): SigningRequest | undefined {
    const row = this.#statements.findKey.get(principal, key)
    if (row === undefined) return undefined
    if (row.body_sha256 !== bodySha256) {
      throw new DomainError(
        'IDEMPOTENCY_KEY_REUSED',
        'This idempotency key was used for another request. Use a new key.',
      )
    }
    return this.#read(row)
  }

  find(id: string): SigningRequest | undefined {
    const row = this.#statements.find.get(id)
    return row === undefined ? undefined : this.#read(row)
  }

  findAsked(gun: string, tag: string, sha256: string): string | undefined {
    return this.#statements.findAsked.get(gun, tag, sha256)?.id
  }

  list(query: RequestQuery): { requests: readonly SigningRequest[]; nextCursor?: string } {
    const requests: SigningRequest[] = []
    const { gun = null, status = null } = query
    let before = parseCursor(query.cursor)
    for (;;) {
      const rows = this.#statements.list.all({ before, gun, status, rows: PAGE_ROWS })
      for (const row of rows) {
        const request = this.#read(row)
        if (query.isVisible(request)) {
          // One more than the limit is visible: so there is a next page, which starts after the last one given.
          if (requests.length === query.limit) return { requests, nextCursor: `r${before}` }
          requests.push(request)
        }
        before = row.sequence
      }
      if (rows.length < PAGE_ROWS) return { requests }
    }
  }

  unfinished(gun?: string): readonly PendingImage[] {
    return this.#statements.unfinished.all({ gun: gun ?? null }).map((row) => ({
      request: row.id,
      position: row.position,
      kind: row.kind,
      submitter: readSubmitter(row),
      ...(row.policy === null ? {} : { policy: row.policy }),
      ...(row.origin === null ? {} : { origin: row.origin }),
      revision: row.revision,
      record: decodeImageRecord(row.record),
    }))
  }

  countImages(since: Date, of: { readonly submitter: string } | { readonly gun: string }): number {
    const { countBySubmitter, countByGun } = this.#statements
    const at = since.toISOString()
    const row = 'gun' in of ? countByGun.get(at, of.gun) : countBySubmitter.get(at, of.submitter)
    return row?.images ?? 0
  }

  lastSigned(gun: string): ReadonlyMap<string, { readonly sha256: string; readonly at: Date }> {
    const rows = this.#statements.lastSigned.all(gun)
    return new Map(
      rows.flatMap(({ tag, kind, sha256, at }) =>
        kind === 'sign' && sha256 !== null ? [[tag, { sha256, at: new Date(at) }] as const] : [],
      ),
    )
  }

  proven(gun: string): readonly RoleVersion[] {
    return this.#statements.published.all({ gun }).flatMap(({ record }) => {
      const image = decodeImageRecord(record)
      return image.status === 'published' ? image.roles : []
    })
  }

  hasSigned(gun: string, { role, version, sha256 }: RoleVersion): boolean {
    return this.#statements.findSigned.get(gun, role, version)?.sha256 === sha256
  }

  save(updates: readonly ImageUpdate[], publication?: Publication, forgetFilesOf?: string): void {
    this.#database.transaction(() => {
      if (publication !== undefined) this.#savePublication(publication)
      if (forgetFilesOf !== undefined) this.#statements.deleteFiles.run(forgetFilesOf)
      const touched = new Set<string>()
      for (const { request, position, revision, record } of updates) {
        const { changes } = this.#statements.updateImage.run({ ...imageColumns(record), request, position, revision })
        if (changes !== 1) {
          throw new DomainError('RECORD_CHANGED', 'Somebody else moved this request.', { request, position })
        }
        touched.add(request)
        if (record.status === 'published') {
          const kind = this.#kindOf(request)
          this.#tags.notePublished(kind, record)
          this.#pushed.notePublished(kind, record)
        }
      }
      for (const id of touched) {
        const statuses = this.#statements.findStatuses.all(id).map(({ status }) => ({ record: { status } }))
        const status = requestStatus(statuses)
        const before = this.#statements.findStatus.get(id)?.status
        this.#statements.updateStatus.run(status, id)
        this.#tell(before, status, () => this.find(id))
      }
    })
  }

  publication(id: string): Publication | undefined {
    const row = this.#statements.findPublication.get(id)
    if (row === undefined) return undefined
    const files = this.#statements.findFiles
      .all(id)
      .map((file): SignedRole => ({ ...file, role: parseRoleName(file.role) }))
    return { id, gun: parseGun(row.gun), createdAt: new Date(row.created_at), ...decodePublication(row.record), files }
  }

  #kindOf(id: string): RequestKind {
    const row = this.#statements.find.get(id)
    if (row === undefined) throw new Error('A request with images is there.')
    return row.kind
  }

  #tell(from: RequestStatus | undefined, to: RequestStatus, read: () => SigningRequest | undefined): void {
    const type = eventOfMove(from, to)
    if (this.#outbox === undefined || type === undefined || !this.#outbox.isWanted(type)) return
    const request = read()
    if (request !== undefined) this.#outbox.record(requestNews(type, request))
  }

  #savePublication({ id, gun, createdAt, files, ...record }: Publication): void {
    const { kind, roles, changes, keys, renewal, repair, root, base } = record
    this.#statements.savePublication.run({
      id,
      gun,
      createdAt: createdAt.toISOString(),
      record: encodeRecord({
        kind,
        roles,
        changes,
        ...(keys !== undefined && { keys }),
        ...(renewal !== undefined && { renewal }),
        ...(repair !== undefined && { repair }),
        ...(root !== undefined && { root }),
        base,
      }),
    })
    for (const { role, version, sha256, bytes } of files) {
      this.#statements.insertFile.run({ publication: id, role, version, sha256, bytes })
      this.#statements.insertSigned.run({ gun, role, version, sha256 })
      this.#statements.dropSigned.run({ gun, role, before: version - KEPT_VERSIONS })
    }
  }

  #read(row: RequestRow): SigningRequest {
    const images = this.#statements.findImages
      .all(row.sequence)
      .map((image): RequestImage => ({ record: decodeImageRecord(image.record), revision: image.revision }))
    return {
      id: row.id,
      kind: row.kind,
      submitter: readSubmitter(row),
      ...(row.description === null ? {} : { description: row.description }),
      ...(row.policy === null ? {} : { policy: row.policy }),
      ...(row.origin === null ? {} : { origin: row.origin }),
      ...(row.resubmits === null ? {} : { resubmits: row.resubmits }),
      createdAt: new Date(row.created_at),
      images,
    }
  }
}

function imageColumns(record: SigningRequest['images'][number]['record']) {
  return {
    status: record.status,
    isFinal: isFinal(record.status) ? 1 : 0,
    publication: 'publication' in record ? record.publication : null,
    record: encodeRecord(record),
  }
}

function encodeSubmitter({ groups, actors, origin }: SigningRequest['submitter']): string | null {
  if (groups === undefined && actors === undefined && origin === undefined) return null
  return encodeRecord({ ...(groups && { groups }), ...(actors && { actors }), ...(origin && { origin }) })
}

function readSubmitter(row: Pick<RequestRow, 'submitter_id' | 'submitter_name' | 'submitter'>): Submitter {
  const more = row.submitter === null ? {} : decodeSubmitter(row.submitter)
  return { id: row.submitter_id, name: row.submitter_name, ...more }
}

/** The sequence below which a page starts. */
function parseCursor(cursor: string | undefined): number {
  if (cursor === undefined) return Number.MAX_SAFE_INTEGER
  const digits = /^r([0-9]{1,15})$/.exec(cursor)?.[1]
  if (digits === undefined) throw new DomainError('CURSOR_INVALID', 'Use the cursor of the previous page.')
  return Number(digits)
}

function prepareStatements(sqlite: StoreDatabase['sqlite']) {
  const request =
    'r.sequence, r.id, r.kind, r.submitter_id, r.submitter_name, r.submitter, r.description, r.policy, r.origin, r.resubmits, r.created_at'
  return {
    insert: sqlite.prepare(
      `INSERT INTO requests (id, kind, submitter_id, submitter_name, submitter, description, policy, origin, resubmits, status, created_at)
       VALUES (:id, :kind, :submitterId, :submitterName, :submitter, :description, :policy, :origin, :resubmits, :status, :createdAt)`,
    ),
    insertImage: sqlite.prepare(
      `INSERT INTO images (request, position, gun, tag, status, is_final, publication, record, revision)
       VALUES (:sequence, :position, :gun, :tag, :status, :isFinal, :publication, :record, 1)`,
    ),
    insertSigned: sqlite.prepare(
      'INSERT OR REPLACE INTO signed_versions (gun, role, version, sha256) VALUES (:gun, :role, :version, :sha256)',
    ),
    dropSigned: sqlite.prepare('DELETE FROM signed_versions WHERE gun = :gun AND role = :role AND version < :before'),
    findSigned: sqlite.prepare<[string, string, number], { sha256: string }>(
      'SELECT sha256 FROM signed_versions WHERE gun = ? AND role = ? AND version = ?',
    ),
    insertKey: sqlite.prepare(
      `INSERT INTO idempotency_keys (principal, key, body_sha256, request) VALUES (:principal, :key, :bodySha256, :sequence)`,
    ),
    find: sqlite.prepare<[string], RequestRow>(`SELECT ${request} FROM requests r WHERE r.id = ?`),
    findAsked: sqlite.prepare<[string, string, string], { id: string }>(
      `SELECT r.id FROM images i JOIN requests r ON r.sequence = i.request
       WHERE i.gun = ? AND i.tag = ? AND i.tag <> '' AND i.record ->> '$.subject.sha256' = ? AND r.kind = 'sign'
         AND (r.submitter_id GLOB 'push:*' OR i.status = 'published')
       ORDER BY i.request DESC LIMIT 1`,
    ),
    findKey: sqlite.prepare<[string, string], RequestRow & { body_sha256: string }>(
      `SELECT ${request}, k.body_sha256 FROM idempotency_keys k JOIN requests r ON r.sequence = k.request
       WHERE k.principal = ? AND k.key = ?`,
    ),
    findImages: sqlite.prepare<[number], ImageRow>(
      'SELECT record, revision FROM images WHERE request = ? ORDER BY position',
    ),
    findStatuses: sqlite.prepare<[string], { status: ImageStatus }>(
      'SELECT i.status FROM images i JOIN requests r ON r.sequence = i.request WHERE r.id = ?',
    ),
    list: sqlite.prepare<[object], RequestRow>(
      `SELECT ${request} FROM requests r
       WHERE r.sequence < :before AND (:status IS NULL OR r.status = :status)
         AND (:gun IS NULL OR EXISTS (SELECT 1 FROM images i WHERE i.gun = :gun AND i.request = r.sequence))
       ORDER BY r.sequence DESC LIMIT :rows`,
    ),
    unfinished: sqlite.prepare<
      [object],
      {
        id: string
        kind: RequestKind
        submitter_id: string
        submitter_name: string
        submitter: string | null
        policy: string | null
        origin: string | null
        position: number
        revision: number
        record: string
      }
    >(
      `SELECT r.id, r.kind, r.submitter_id, r.submitter_name, r.submitter, r.policy, r.origin, i.position, i.revision, i.record
       FROM images i JOIN requests r ON r.sequence = i.request
       WHERE i.is_final = 0 AND (:gun IS NULL OR i.gun = :gun) ORDER BY i.request, i.position`,
    ),
    countBySubmitter: sqlite.prepare<[string, string], { images: number }>(
      `SELECT COUNT(*) AS images FROM requests r JOIN images i ON i.request = r.sequence
       WHERE r.created_at >= ? AND r.submitter_id = ?`,
    ),
    countByGun: sqlite.prepare<[string, string], { images: number }>(
      `SELECT COUNT(*) AS images FROM requests r JOIN images i ON i.request = r.sequence
       WHERE r.created_at >= ? AND i.gun = ?`,
    ),
    // Requests end in about the order in which they came, so the highest versions are among the last ones. Those of root, and of base targets
    // beside delegations, come by requests for the repository as a whole, which many tags would leave behind.
    published: sqlite.prepare<[{ gun: string }], { record: string }>(
      `SELECT record FROM (SELECT record FROM images WHERE gun = :gun AND status = 'published'
         ORDER BY request DESC, position DESC LIMIT ${PROVEN_ROWS})
       UNION SELECT record FROM (SELECT record FROM images WHERE gun = :gun AND status = 'published' AND tag = ''
         ORDER BY request DESC LIMIT ${PROVEN_ROWS})`,
    ),
    // Of a group, the columns beside max() are those of its last row.
    lastSigned: sqlite.prepare<[string], { tag: string; kind: RequestKind; sha256: string | null; at: string }>(
      `SELECT i.tag, r.kind, i.record ->> '$.subject.sha256' AS sha256, i.record ->> '$.at' AS at, max(i.request)
       FROM images i JOIN requests r ON r.sequence = i.request
       WHERE i.gun = ? AND i.status = 'published' AND i.tag <> '' GROUP BY i.tag`,
    ),
    updateImage: sqlite.prepare(
      `UPDATE images SET status = :status, is_final = :isFinal, publication = :publication, record = :record,
         revision = revision + 1
       WHERE request = (SELECT sequence FROM requests WHERE id = :request) AND position = :position
         AND revision = :revision`,
    ),
    findStatus: sqlite.prepare<[string], { status: RequestStatus }>('SELECT status FROM requests WHERE id = ?'),
    updateStatus: sqlite.prepare('UPDATE requests SET status = ? WHERE id = ?'),
    findPublication: sqlite.prepare<[string], { gun: string; record: string; created_at: string }>(
      'SELECT gun, record, created_at FROM publications WHERE id = ?',
    ),
    // The intent never changes once it is stored; only its files are added.
    savePublication: sqlite.prepare(
      `INSERT INTO publications (id, gun, record, created_at) VALUES (:id, :gun, :record, :createdAt)
       ON CONFLICT (id) DO NOTHING`,
    ),
    findFiles: sqlite.prepare<[string], { role: string; version: number; sha256: string; bytes: Buffer }>(
      'SELECT role, version, sha256, bytes FROM publication_files WHERE publication = ? ORDER BY role',
    ),
    insertFile: sqlite.prepare(
      `INSERT INTO publication_files (publication, role, version, sha256, bytes)
       VALUES (:publication, :role, :version, :sha256, :bytes)`,
    ),
    deleteFiles: sqlite.prepare('DELETE FROM publication_files WHERE publication = ?'),
  }
}
