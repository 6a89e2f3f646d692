// What was signed, or is about to be: the exact bytes of each version, which keys sign it, and why. One version, one content.
import type { Gun, RoleName } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { StateDatabase } from './database.ts'

/** A version of a role that is recorded, whether or not its signatures exist yet. */
export interface Payload {
  readonly gun: Gun
  readonly role: RoleName
  readonly version: number
  /** The idempotency key of the operation that it came from. */
  readonly publication: string
  /** Canonical bytes of `signed`: what signatures are over. */
  readonly message: Buffer
  /** 64 hex digits of `message`. */
  readonly messageSha256: string
  /** Which of our keys sign it: canonical key ID to the key ID as the role lists it. */
  readonly signingKeys: readonly (readonly [canonicalKeyId: string, tufKeyId: string])[]
  /** The earlier version whose content it has, where it does not follow what was published. */
  readonly restoredVersion?: number
  /** The complete file, once signed. */
  readonly file?: Buffer
}

export interface RequestedTag {
  readonly request: string
  readonly tag: string
}

interface Row {
  gun: string
  role: string
  version: number
  publication: string
  message: Buffer
  message_sha256: string
  signing_keys: string
  restored_version: number | null
  file: Buffer | null
}

export class PayloadTable {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  /** Records what is about to be signed. @throws KeyHolderError STATE_UNWRITABLE where this version has a content already */
  insert(payload: Omit<Payload, 'file'>, reason: string, at: Date): void {
    this.#database.run(
      `INSERT INTO signed_payloads (gun, role, version, publication, message, message_sha256, signing_keys, restored_version, reason,
         intended_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      payload.gun,
      payload.role,
      payload.version,
      payload.publication,
      payload.message,
      payload.messageSha256,
      JSON.stringify(payload.signingKeys),
      payload.restoredVersion ?? null,
      reason,
      at.toISOString(),
    )
  }

  /** Stores the signed file, once. */
  complete(payload: Payload, file: Uint8Array, fileSha256: string): void {
    this.#database.run(
      'UPDATE signed_payloads SET file = ?, file_sha256 = ? WHERE gun = ? AND role = ? AND version = ? AND file IS NULL',
      Buffer.from(file),
      fileSha256,
      payload.gun,
      payload.role,
      payload.version,
    )
  }

  /** @throws KeyHolderError KEY_HOLDER_STATE_DAMAGED where it is not there */
  get(gun: Gun, role: RoleName, version: number): Payload {
    const found = this.find(gun, role, version)
    if (found === undefined) {
      throw new KeyHolderError('KEY_HOLDER_STATE_DAMAGED', 'A recorded version is missing.', { gun, role, version })
    }
    return found
  }

  find(gun: Gun, role: RoleName, version: number): Payload | undefined {
    const row = this.#database.all<Row>(
      'SELECT * FROM signed_payloads WHERE gun = ? AND role = ? AND version = ?',
      gun,
      role,
      version,
    )[0]
    return row === undefined ? undefined : toPayload(row)
  }

  /** Lets go of the bytes of a version that nobody can ask for again; that it existed, and with which content, stays known. */
  dropBytes(gun: Gun, role: RoleName, version: number): void {
    this.#database.run(
      `UPDATE signed_payloads SET message = x'', file = NULL WHERE gun = ? AND role = ? AND version = ?`,
      gun,
      role,
      version,
    )
  }

  ofPublication(gun: Gun, publication: string): Payload[] {
    return this.#database
      .all<Row>('SELECT * FROM signed_payloads WHERE gun = ? AND publication = ? ORDER BY rowid', gun, publication)
      .map(toPayload)
  }

  /** Whether every role of a publication has been signed. */
  isSigned(gun: Gun, publication: string): boolean {
    const [counted] = this.#database.all<{ recorded: number; signed: number }>(
      'SELECT count(*) AS recorded, count(file_sha256) AS signed FROM signed_payloads WHERE gun = ? AND publication = ?',
      gun,
      publication,
    )
    return counted !== undefined && counted.recorded > 0 && counted.recorded === counted.signed
  }

  /** What an earlier call with this idempotency key asked for. */
  publication(id: string): { readonly gun: string; readonly requestDigest: string } | undefined {
    const row = this.#database.all<{ gun: string; request_digest: string }>(
      'SELECT gun, request_digest FROM publications WHERE id = ?',
      id,
    )[0]
    return row === undefined ? undefined : { gun: row.gun, requestDigest: row.request_digest }
  }

  insertPublication(id: string, gun: Gun, requestDigest: string, roles: readonly RoleName[]): void {
    this.#database.run(
      'INSERT INTO publications (id, gun, request_digest, roles) VALUES (?, ?, ?, ?)',
      id,
      gun,
      requestDigest,
      JSON.stringify(roles),
    )
  }

  /** What a publication changes, and for whom. */
  insertChange(publication: string, gun: Gun, { request, tag }: RequestedTag): void {
    this.#database.run(
      'INSERT OR IGNORE INTO signed_changes (gun, request, tag, publication) VALUES (?, ?, ?, ?)',
      gun,
      request,
      tag,
      publication,
    )
  }

  /** A version was found published: the publication that it came from, if it is ours, is so too. */
  markPublished(gun: Gun, role: RoleName, version: number, messageSha256: string): void {
    this.#database.run(
      `UPDATE publications SET is_published = 1 WHERE id =
         (SELECT publication FROM signed_payloads WHERE gun = ? AND role = ? AND version = ? AND message_sha256 = ?)`,
      gun,
      role,
      version,
      messageSha256,
    )
  }

  /** The newest version of a role that was found published, below this one; the first files of a repository count. */
  lastPublished(gun: Gun, role: RoleName, below: number): Payload | undefined {
    const [row] = this.#database.all<Row>(
      `SELECT signed_payloads.* FROM signed_payloads LEFT JOIN publications ON publications.id = publication
       WHERE signed_payloads.gun = ? AND role = ? AND version < ? AND file IS NOT NULL AND coalesce(is_published, 1) = 1
       ORDER BY version DESC LIMIT 1`,
      gun,
      role,
      below,
    )
    return row === undefined ? undefined : toPayload(row)
  }

  /** The publication that did for this request what it asked for this tag, if it was found published. */
  publishedFor(gun: Gun, { request, tag }: RequestedTag): string | undefined {
    return this.#database.all<{ id: string }>(
      `SELECT id FROM signed_changes JOIN publications ON id = publication
       WHERE signed_changes.gun = ? AND request = ? AND tag = ? AND is_published = 1`,
      gun,
      request,
      tag,
    )[0]?.id
  }
}

function toPayload(row: Row): Payload {
  return {
    gun: row.gun as Gun,
    role: row.role as RoleName,
    version: row.version,
    publication: row.publication,
    message: row.message,
    messageSha256: row.message_sha256,
    signingKeys: JSON.parse(row.signing_keys) as [string, string][],
    ...(row.restored_version !== null && { restoredVersion: row.restored_version }),
    ...(row.file !== null && { file: row.file }),
  }
}
