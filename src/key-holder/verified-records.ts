// Reads records of an audit log in any order, each vouched for by the checkpoint, without reading the whole log: the root vouches for
// the newest tiles, and a hash in a tile for the whole tile below it. Keeps one tile of each level besides the newest ones.
import { readCheckpoint } from './audit-verification.ts'
import { damaged } from './audit-faults.ts'
import { LogFiles, type HashTile } from './log-files.ts'
import { leafHash, perfectRoot, rootHash, TILE_WIDTH } from './merkle.ts'

export class VerifiedRecords {
  readonly origin: string
  /** Number of records. */
  readonly size: number
  readonly #files: LogFiles
  /** By level: the rightmost tile, which the root vouches for. */
  readonly #edges = new Map<number, HashTile>()
  readonly #kept = new Map<number, HashTile & { readonly index: number }>()

  /**
   * @param folder the folder `log` of the key holder, or a copy
   * @throws KeyHolderError AUDIT_LOG_DAMAGED, AUDIT_LOG_UNREADABLE
   */
  constructor(folder: string, verifierKey: string) {
    this.#files = new LogFiles(folder)
    const { signed } = readCheckpoint(this.#files, verifierKey)
    this.origin = signed.origin
    this.size = signed.size
    for (let level = 0, count = this.size; count > 0; level++, count = Math.floor(count / TILE_WIDTH)) {
      const width = count % TILE_WIDTH
      if (width > 0) this.#edges.set(level, this.#files.tile(level, Math.floor(count / TILE_WIDTH), width))
    }
    const root = rootHash(this.size, (level, index) => nodeOf(this.#edges.get(level), index))
    if (Buffer.compare(root, signed.rootHash) !== 0) throw unfit()
  }

  /** Number of bundles. */
  get bundles(): number {
    return Math.ceil(this.size / TILE_WIDTH)
  }

  /**
   * The records of one bundle, and the index of the first of them.
   * @throws KeyHolderError AUDIT_LOG_DAMAGED, AUDIT_LOG_UNREADABLE
   */
  bundle(bundle: number): { readonly first: number; readonly entries: readonly Buffer[] } {
    const { hashes } = this.#tile(0, bundle)
    const { entries } = this.#files.bundle(bundle, hashes.length)
    const isLogged =
      entries.length === hashes.length && entries.every((entry, at) => hashes[at]?.equals(leafHash(entry)))
    if (!isLogged) throw unfit()
    return { first: bundle * TILE_WIDTH, entries }
  }

  #tile(level: number, index: number): HashTile {
    const count = Math.floor(this.size / TILE_WIDTH ** level)
    if ((index + 1) * TILE_WIDTH > count) return this.#edges.get(level) ?? outside()
    const kept = this.#kept.get(level)
    if (kept?.index === index) return kept
    const above = nodeOf(this.#tile(level + 1, Math.floor(index / TILE_WIDTH)), index)
    const tile = this.#files.tile(level, index, TILE_WIDTH)
    if (Buffer.compare(perfectRoot(tile.hashes), above) !== 0) throw unfit()
    this.#kept.set(level, { index, ...tile })
    return tile
  }
}

function nodeOf(tile: HashTile | undefined, index: number): Buffer {
  return tile?.hashes[index % TILE_WIDTH] ?? outside()
}

function outside(): never {
  throw new RangeError('The log has no such node.')
}

/** What and where it is, only the whole verification finds out. */
function unfit(): ReturnType<typeof damaged> {
  return damaged('root-mismatch', 'the records are not those of the checkpoint')
}
