// Layout of a tlog-tiles folder: names of tiles and the form of entry bundles. Pure; reads and writes no files.
// Source: C2SP tlog-tiles (v0.1.0): tile paths, partial tiles, entry bundles.
import { TILE_WIDTH } from './merkle.ts'

/** Bytes of one hash in a hash tile. */
export const HASH_BYTES = 32
/** An entry's length is a 16-bit number in its bundle. */
export const MAX_ENTRY_BYTES = 65_535

/** `log/tile/0/x001/234.p/17`: the path of a hash tile (`level` a number) or entry bundle, below the log folder. */
export function tilePath(level: number | 'entries', index: number, width: number): string {
  const path = `tile/${level}/${indexPath(index)}`
  return width === TILE_WIDTH ? path : `${path}.p/${width}`
}

/** The folder of a tile's partial forms. */
export function partialFolder(level: number | 'entries', index: number): string {
  return `tile/${level}/${indexPath(index)}.p`
}

export interface Tile {
  readonly level: number
  readonly index: number
  /** Hashes in it: 256, or less at the right edge. */
  readonly width: number
}

/** Tiles of a log of this size, lowest level first, that hold anything that a log of size `from` did not have. */
export function tilesOf(size: number, from = 0): Tile[] {
  const tiles: Tile[] = []
  for (let level = 0, count = size, known = from; count > known; level++) {
    for (let index = Math.floor(known / TILE_WIDTH); index * TILE_WIDTH < count; index++) {
      tiles.push({ level, index, width: Math.min(TILE_WIDTH, count - index * TILE_WIDTH) })
    }
    count = Math.floor(count / TILE_WIDTH)
    known = Math.floor(known / TILE_WIDTH)
  }
  return tiles
}

/** Entries as an entry bundle holds them: each behind its length in two bytes, big endian. */
export function encodeBundle(entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    entries.flatMap((entry) => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(entry.byteLength)
      return [length, entry]
    }),
  )
}

/** Entries that are read of a bundle: more than it may have, so that what was added shows, and few enough for any memory. */
const MAX_PARSED = 2 * TILE_WIDTH

/** The entries of a bundle, and what is left over: nothing, unless the bundle was cut or damaged. */
export function parseBundle(bundle: Buffer): { readonly entries: Buffer[]; readonly rest: Buffer } {
  const entries: Buffer[] = []
  let offset = 0
  while (offset + 2 <= bundle.byteLength && entries.length < MAX_PARSED) {
    const end = offset + 2 + bundle.readUInt16BE(offset)
    if (end > bundle.byteLength) break
    entries.push(bundle.subarray(offset + 2, end))
    offset = end
  }
  return { entries, rest: bundle.subarray(offset) }
}

/** 1234067 -> `x001/x234/067`. */
function indexPath(index: number): string {
  const digits = String(index)
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0')
  const groups = padded.match(/.{3}/g) ?? []
  return groups.map((group, at) => (at === groups.length - 1 ? group : `x${group}`)).join('/')
}
