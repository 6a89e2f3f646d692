// Registered repositories in SQLite, with the daemon's own copy of each trusted root.
import {
  encodeCanonical,
  encodePublicKey,
  parseGun,
  parseJson,
  parsePublicKey,
  type PublicKey,
  sha256Hex,
} from '@countersign/tuf'
import * as z from 'zod'
import { DomainError } from '../domain/errors.ts'
import type { RepositoryStore } from '../domain/ports.ts'
import type { Repository } from '../domain/repository.ts'
import type { StoreDatabase } from './database.ts'
import { StoreError } from './errors.ts'
import { decode, encodeRecord } from './record-json.ts'

interface RepositoryRow {
  readonly gun: string
  readonly revision: number
  readonly record: string
  readonly root: Buffer | null
  readonly created_at: string
  readonly created_by: string
}

/** A key is kept as the JSON text of metadata, inside the record's JSON. */
const keyText = z
  .string()
  .transform((text) => parsePublicKey(parseJson(Buffer.from(text), { maxBytes: 100_000, maxDepth: 4 })))

const recordSchema = z.strictObject({
  state: z.enum(['initializing', 'awaiting-root-signature', 'ready']),
  rootKind: z.enum(['online', 'offline', 'adopted']),
  certificatePem: z.string().exactOptional(),
  signer: z.string().nullable(),
  keyType: z.enum(['ecdsa', 'ed25519', 'rsa']),
  serverKeys: z.strictObject({ snapshot: keyText, timestamp: keyText }).exactOptional(),
  rootSha256: z.string().exactOptional(),
  rootKeyIds: z.array(z.string()),
  trustServer: z.string().exactOptional(),
  rootSigned: z
    .base64()
    .transform((text): Uint8Array => Buffer.from(text, 'base64'))
    .exactOptional(),
})

type DecodedRecord = Omit<z.output<typeof recordSchema>, 'rootSha256'> & Pick<Repository, 'root'>

/** Beyond as many repositories the memory of decoded rows begins anew. */
const MAX_ROWS_REMEMBERED = 4096

export class SqliteRepositoryStore implements RepositoryStore {
  readonly #database: StoreDatabase
  readonly #statements
  /** The last record read of each repository and what it says; used as long as the row is the same, byte for byte. */
  readonly #read = new Map<string, { readonly row: RepositoryRow; readonly record: DecodedRecord }>()

  constructor(database: StoreDatabase) {
    this.#database = database
    this.#statements = prepareStatements(database.sqlite)
  }

  create(repository: Repository): void {
    this.#database.transaction(() => {
      const { gun, createdAt, createdBy } = repository
      if (this.#statements.find.get(gun) !== undefined) {
        throw new DomainError('RECORD_EXISTS', 'This repository is registered.', { gun })
      }
      this.#statements.insert.run({
        gun,
        ...columns(repository),
        createdAt: createdAt.toISOString(),
        createdBy,
      })
      this.#saveFirstFiles(repository)
    })
  }

  update(repository: Repository): Repository {
    return this.#database.transaction(() => {
      const { gun, revision } = repository
      const { changes } = this.#statements.update.run({ gun, revision, ...columns(repository) })
      if (changes !== 1) throw new DomainError('RECORD_CHANGED', 'Somebody else changed this repository.', { gun })
      this.#saveFirstFiles(repository)
      return { ...repository, revision: revision + 1 }
    })
  }

  remove({ gun, revision }: Pick<Repository, 'gun' | 'revision'>): void {
    this.#database.transaction(() => {
      this.#statements.deleteFiles.run(gun)
      this.#statements.deleteTags.run(gun)
      this.#statements.deletePushedTags.run(gun)
      this.#statements.deleteClaims.run(gun)
      const { changes } = this.#statements.remove.run({ gun, revision })
      if (changes !== 1) throw new DomainError('RECORD_CHANGED', 'Somebody else changed this repository.', { gun })
    })
    this.#read.delete(gun)
  }

  find(gun: string): Repository | undefined {
    const row = this.#statements.find.get(gun)
    return row === undefined ? undefined : this.#toRepository(row)
  }

  list(): readonly Repository[] {
    return this.#statements.list.all().map((row) => this.#toRepository(row))
  }

  #decoded(row: RepositoryRow): DecodedRecord {
    const known = this.#read.get(row.gun)
    if (known !== undefined && known.row.record === row.record && isSameBlob(known.row.root, row.root)) {
      return known.record
    }
    const record = decodeRow(row)
    if (this.#read.size >= MAX_ROWS_REMEMBERED) this.#read.clear()
    this.#read.set(row.gun, { row, record })
    return record
  }

  #saveFirstFiles({ gun, firstFiles }: Repository): void {
    this.#statements.deleteFiles.run(gun)
    for (const [name, bytes] of firstFiles ?? []) this.#statements.insertFile.run(gun, name, bytes)
  }

  #toRepository(row: RepositoryRow): Repository {
    const files = this.#statements.findFiles.all(row.gun)
    return {
      ...this.#decoded(row),
      gun: parseGun(row.gun),
      revision: row.revision,
      ...(files.length === 0 ? {} : { firstFiles: new Map(files.map(({ name, bytes }) => [name, bytes])) }),
      createdAt: new Date(row.created_at),
      createdBy: row.created_by,
    }
  }
}

function decodeRow(row: RepositoryRow): DecodedRecord {
  const { rootSha256, ...record } = decode(recordSchema, row.record)
  if (row.root === null || rootSha256 === undefined) return record
  return { ...record, root: checkedRoot(row.root, rootSha256) }
}

function isSameBlob(one: Buffer | null, other: Buffer | null): boolean {
  return one === null || other === null ? one === other : one.equals(other)
}

/** A copy that does not have its own hash is no pin. */
function checkedRoot(bytes: Buffer, expected: string): NonNullable<Repository['root']> {
  if (sha256Hex(bytes) === expected) return { sha256: expected, bytes }
  throw new StoreError('STORE_DAMAGED', 'The stored root of a repository is damaged.', { sha256: expected })
}

function columns({ root, ...repository }: Repository) {
  const { state, rootKind, certificatePem, signer, keyType, serverKeys, rootKeyIds, rootSigned, trustServer } =
    repository
  const record = encodeRecord({
    state,
    rootKind,
    ...(certificatePem === undefined ? {} : { certificatePem }),
    signer,
    keyType,
    ...(serverKeys === undefined
      ? {}
      : { serverKeys: { snapshot: encodeKey(serverKeys.snapshot), timestamp: encodeKey(serverKeys.timestamp) } }),
    ...(root === undefined ? {} : { rootSha256: root.sha256 }),
    rootKeyIds,
    ...(trustServer === undefined ? {} : { trustServer }),
    ...(rootSigned === undefined ? {} : { rootSigned: Buffer.from(rootSigned).toString('base64') }),
  })
  return { record, root: root?.bytes ?? null }
}

function encodeKey(key: PublicKey): string {
  return Buffer.from(encodeCanonical(encodePublicKey(key))).toString('utf8')
}

function prepareStatements(sqlite: StoreDatabase['sqlite']) {
  return {
    insert: sqlite.prepare(
      `INSERT INTO repositories (gun, revision, record, root, created_at, created_by)
       VALUES (:gun, 1, :record, :root, :createdAt, :createdBy)`,
    ),
    update: sqlite.prepare(
      `UPDATE repositories SET record = :record, root = :root, revision = revision + 1
       WHERE gun = :gun AND revision = :revision`,
    ),
    remove: sqlite.prepare('DELETE FROM repositories WHERE gun = :gun AND revision = :revision'),
    find: sqlite.prepare<[string], RepositoryRow>('SELECT * FROM repositories WHERE gun = ?'),
    list: sqlite.prepare<[], RepositoryRow>('SELECT * FROM repositories ORDER BY gun'),
    findFiles: sqlite.prepare<[string], { name: string; bytes: Buffer }>(
      'SELECT name, bytes FROM first_files WHERE gun = ? ORDER BY name',
    ),
    insertFile: sqlite.prepare('INSERT INTO first_files (gun, name, bytes) VALUES (?, ?, ?)'),
    deleteFiles: sqlite.prepare('DELETE FROM first_files WHERE gun = ?'),
    deleteTags: sqlite.prepare('DELETE FROM signed_tags WHERE gun = ?'),
    deletePushedTags: sqlite.prepare('DELETE FROM pushed_tags WHERE gun = ?'),
    deleteClaims: sqlite.prepare('DELETE FROM pushed_claims WHERE gun = ?'),
  }
}
