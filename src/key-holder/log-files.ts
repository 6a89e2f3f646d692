// Reads the files of an audit log, which a running key holder may go on writing, and tells a file that is missing from one that
// cannot be read. Decides nothing about what is in them.
import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { damaged, errorCodeOf, recordsInWords, unreadable, type RecordRange } from './audit-faults.ts'
import { TILE_WIDTH } from './merkle.ts'
import { HASH_BYTES, MAX_ENTRY_BYTES, parseBundle, partialFolder, tilePath } from './tiles.ts'

/** A checkpoint or a key, in bytes: both are a few lines. */
const MAX_TEXT_BYTES = 16 * 1024
const MAX_TILE_BYTES = TILE_WIDTH * HASH_BYTES
const MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
/** How often a tile is looked for while its partial forms replace each other. */
const MAX_LOOKS = 1000

/** What says that there is no such file; everything else says nothing about the log. */
const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR'])

/** The hashes of a tile, as wide as asked for. */
export interface HashTile {
  readonly path: string
  readonly hashes: readonly Buffer[]
}

export interface Bundle {
  readonly path: string
  /** As wide as asked for where the file is that wide or wider; else what is there, and what is left over as its last one. */
  readonly entries: readonly Buffer[]
  /** The file, cut to these entries. */
  readonly bytes: Buffer
}

export class LogFiles {
  readonly #folder: string

  /** @param folder the folder `log` of the key holder, or a copy */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** @throws KeyHolderError AUDIT_LOG_DAMAGED `file-missing`, AUDIT_LOG_UNREADABLE */
  text(path: string): string {
    const text = this.textIfPresent(path)
    if (text !== undefined) return text
    const what = `the file ${path} is missing, without which this is no folder of an audit log`
    throw damaged('file-missing', what, { path })
  }

  /** @throws KeyHolderError AUDIT_LOG_UNREADABLE */
  textIfPresent(path: string): string | undefined {
    return this.#read(path, MAX_TEXT_BYTES)?.toString('utf8')
  }

  /** @throws KeyHolderError AUDIT_LOG_DAMAGED `file-missing`, `tile-changed`; AUDIT_LOG_UNREADABLE */
  tile(level: number, index: number, width: number): HashTile {
    const { path, bytes, width: found } = this.#readTile(level, index, width)
    if (bytes.byteLength !== found * HASH_BYTES) {
      throw damaged('tile-changed', `the hash tile ${path} has the wrong length`, {
        path,
        level,
        ...covered(level, index, width),
      })
    }
    const hashes = Array.from({ length: width }, (_, at) => bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES))
    return { path, hashes }
  }

  /** @throws KeyHolderError AUDIT_LOG_DAMAGED `file-missing`, AUDIT_LOG_UNREADABLE */
  bundle(index: number, width: number): Bundle {
    const { path, bytes, width: found } = this.#readTile('entries', index, width)
    const { entries, rest } = parseBundle(bytes)
    const all = rest.byteLength === 0 ? entries : [...entries, rest]
    if (found === width || all.length < width) return { path, entries: all, bytes }
    // What came after the checkpoint is another checkpoint's matter.
    const wanted = entries.slice(0, width)
    return {
      path,
      entries: wanted,
      bytes: bytes.subarray(
        0,
        wanted.reduce((sum, one) => sum + 2 + one.byteLength, 0),
      ),
    }
  }

  /** A tile of at least this width: a log that grew meanwhile has wider ones, which begin with the same. */
  #readTile(
    level: number | 'entries',
    index: number,
    width: number,
  ): { readonly path: string; readonly bytes: Buffer; readonly width: number } {
    const maxBytes = level === 'entries' ? MAX_BUNDLE_BYTES : MAX_TILE_BYTES
    // Partial tiles come and go under a reader, the wider one before the narrower one is removed: a second look that finds none
    // and no whole tile either is final.
    for (let look = 0, empty = 0; look < MAX_LOOKS && empty < 2; look++) {
      const partials = this.#widerPartials(level, index, width)
      for (const candidate of [width, ...partials, TILE_WIDTH]) {
        const path = tilePath(level, index, candidate)
        const bytes = this.#read(path, maxBytes)
        if (bytes !== undefined) return { path, bytes, width: candidate }
      }
      empty = partials.length === 0 ? empty + 1 : 0
    }
    const path = tilePath(level, index, width)
    const records = covered(level === 'entries' ? 0 : level, index, width)
    const of = level === 'entries' ? 'with' : 'with hashes of'
    throw damaged('file-missing', `the file ${path} ${of} ${recordsInWords(records)} is missing`, { path, ...records })
  }

  #widerPartials(level: number | 'entries', index: number, width: number): number[] {
    if (width === TILE_WIDTH) return []
    const folder = partialFolder(level, index)
    try {
      return readdirSync(join(this.#folder, folder))
        .filter((name) => /^[1-9][0-9]{0,2}$/.test(name))
        .map(Number)
        .filter((candidate) => candidate > width && candidate < TILE_WIDTH)
        .sort((one, other) => one - other)
    } catch (cause) {
      if (ABSENT.has(errorCodeOf(cause))) return []
      throw unreadable(folder, cause)
    }
  }

  /** At most one byte more than that, which shows that it is too long. */
  #read(path: string, maxBytes: number): Buffer | undefined {
    try {
      // Non-blocking, so that a named pipe cannot hang the verification.
      const file = openSync(join(this.#folder, path), constants.O_RDONLY | constants.O_NONBLOCK)
      try {
        const stat = fstatSync(file)
        if (!stat.isFile()) return undefined
        return readUpTo(file, Math.min(maxBytes, stat.size) + 1)
      } finally {
        closeSync(file)
      }
    } catch (cause) {
      if (ABSENT.has(errorCodeOf(cause))) return undefined
      throw unreadable(path, cause)
    }
  }
}

/** The records below a tile: `width` nodes of this level. */
export function covered(level: number, tile: number, width: number): RecordRange {
  const each = TILE_WIDTH ** level
  const index = tile * TILE_WIDTH * each
  return { index, to: index + width * each - 1 }
}

function readUpTo(file: number, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  let filled = 0
  for (;;) {
    const count = readSync(file, buffer, filled, bytes - filled, filled)
    filled += count
    if (count === 0 || filled === bytes) return buffer.subarray(0, filled)
  }
}
