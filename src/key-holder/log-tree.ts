// The entries of the audit log and the Merkle tree over them (RFC 6962), in the database: committed with the state that they speak of.
// Knows no files.
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { StateDatabase } from './database.ts'
import { inclusionProof, leafHash, perfectRoot, rootHash, TILE_WIDTH, type Nodes } from './merkle.ts'
import { encodeBundle, MAX_ENTRY_BYTES, tilesOf } from './tiles.ts'

export class LogTree {
  readonly #database: StateDatabase

  constructor(database: StateDatabase) {
    this.#database = database
  }

  /** Number of entries committed. */
  get size(): number {
    return (
      this.#database.all<{ size: number }>('SELECT coalesce(max(position) + 1, 0) AS size FROM log_entries')[0]?.size ??
      0
    )
  }

  /**
   * Appends one entry. Call inside the transaction that holds the change it speaks of.
   * @returns its position. @throws KeyHolderError OPERATION_MALFORMED where it is too large, STATE_UNWRITABLE
   */
  append(entry: Readonly<Record<string, unknown>>): number {
    const bytes = Buffer.from(JSON.stringify(entry), 'utf8')
    if (bytes.byteLength > MAX_ENTRY_BYTES) {
      throw new KeyHolderError('OPERATION_MALFORMED', 'This is too large for one record.', { bytes: bytes.byteLength })
    }
    const position = this.size
    this.#database.run('INSERT INTO log_entries (position, entry) VALUES (?, ?)', position, bytes)
    let hash: Uint8Array = leafHash(bytes)
    for (let level = 0, at = position; ; level++) {
      this.#database.run('INSERT INTO log_nodes (level, position, hash) VALUES (?, ?, ?)', level, at, Buffer.from(hash))
      if ((at + 1) % TILE_WIDTH !== 0) break
      hash = perfectRoot(this.#hashes(level, at + 1 - TILE_WIDTH, TILE_WIDTH))
      at = Math.floor(at / TILE_WIDTH)
    }
    return position
  }

  /** Entries that hold this text, oldest first, a few at a time: reads through all of the log, and is for rare work. */
  *entriesWith(text: string): Generator<string> {
    for (let from = 0; ;) {
      const rows = this.#database.all<{ position: number; entry: Buffer }>(
        'SELECT position, entry FROM log_entries WHERE position >= ? AND instr(entry, ?) > 0 ORDER BY position LIMIT 256',
        from,
        Buffer.from(text),
      )
      for (const { entry } of rows) yield entry.toString('utf8')
      const last = rows.at(-1)
      if (last === undefined) return
      from = last.position + 1
    }
  }

  /** Entries whose member `publication` is this one and that hold this text, oldest first. */
  ofPublication(publication: string, text: string): { readonly position: number; readonly entry: Buffer }[] {
    return this.#database.all(
      // The first two conditions are those of the index.
      `SELECT position, entry FROM log_entries
       WHERE instr(CAST(entry AS TEXT), '"publication":"') > 0 AND CAST(entry AS TEXT) ->> '$.publication' = ?
         AND instr(CAST(entry AS TEXT), ?) > 0 ORDER BY position`,
      publication,
      text,
    )
  }

  /** Of the first `size` entries. @throws KeyHolderError AUDIT_LOG_DAMAGED */
  root(size: number): Uint8Array {
    return rootHash(size, this.#nodes)
  }

  /** As `root`, for a size at the end: with fewer reads. @throws KeyHolderError AUDIT_LOG_DAMAGED */
  newestRoot(size: number): Uint8Array {
    return rootHash(size, this.#edgeNodes(size))
  }

  /** What leads from an entry to the root of the first `size` entries, leaf side first. @throws KeyHolderError AUDIT_LOG_DAMAGED */
  proof(position: number, size: number): readonly Uint8Array[] {
    return inclusionProof(position, size, this.#tileNodes())
  }

  /** The hashes of one tile, one after the other. */
  tile(level: number, first: number, width: number): Buffer {
    return Buffer.concat(this.#hashes(level, first, width))
  }

  /** The entries beside a tile of level 0. */
  bundle(first: number, width: number): Buffer {
    const rows = this.#database.all<{ entry: Buffer }>(
      'SELECT entry FROM log_entries WHERE position >= ? AND position < ? ORDER BY position',
      first,
      first + width,
    )
    return encodeBundle(rows.map(({ entry }) => entry))
  }

  readonly #nodes: Nodes = (level, index) => {
    const row = this.#database.all<{ hash: Buffer }>(
      'SELECT hash FROM log_nodes WHERE level = ? AND position = ?',
      level,
      index,
    )[0]
    if (row === undefined) throw inconsistent('a node is missing', index)
    return row.hash
  }

  /** As `#nodes`, with the newest tile of each level read at once: the root of a growing log is made of them. */
  #edgeNodes(size: number): Nodes {
    const tiles = tilesOf(size, size - 1).map(({ level, index, width }) => {
      const first = index * TILE_WIDTH
      return { level, first, hashes: this.#hashes(level, first, width) }
    })
    return (level, index) => {
      const tile = tiles.find((one) => one.level === level)
      return tile?.hashes[index - tile.first] ?? this.#nodes(level, index)
    }
  }

  /** As `#nodes`, with each tile read at once and kept: a path goes through a few of them. */
  #tileNodes(): Nodes {
    const tiles = new Map<string, readonly Buffer[]>()
    return (level, index) => {
      const first = index - (index % TILE_WIDTH)
      const name = `${level} ${first}`
      const tile = tiles.get(name) ?? this.#hashes(level, first, TILE_WIDTH)
      tiles.set(name, tile)
      const hash = tile[index - first]
      if (hash === undefined) throw inconsistent('a node is missing', index)
      return hash
    }
  }

  #hashes(level: number, first: number, width: number): Buffer[] {
    const rows = this.#database.all<{ hash: Buffer }>(
      'SELECT hash FROM log_nodes WHERE level = ? AND position >= ? AND position < ? ORDER BY position',
      level,
      first,
      first + width,
    )
    return rows.map(({ hash }) => hash)
  }
}

/** Files and database do not fit together, or a part of the tree is missing. @param at a position, or a size, near the place */
export function inconsistent(what: string, at: number): KeyHolderError {
  return new KeyHolderError('AUDIT_LOG_DAMAGED', `The audit log is damaged: ${what}.`, { what, at })
}
