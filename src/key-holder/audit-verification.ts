// Verifies the audit log offline, from its folder alone: every entry, every tile, the checkpoint, and that an older checkpoint,
// kept elsewhere, is its beginning. Reads only; needs no database and no key holder. A running key holder may write meanwhile.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { verifyCheckpoint, type Checkpoint } from './checkpoint.ts'
import { leafHash, perfectRoot, rootHash, TILE_WIDTH, type Nodes } from './merkle.ts'
import { decodeBundle, HASH_BYTES, partialFolder, tilePath } from './tiles.ts'

export interface AuditVerification {
  readonly origin: string
  /** Number of entries. */
  readonly size: number
  /** Base64. */
  readonly rootHash: string
}

export interface AuditVerificationOptions {
  /** The log's public key as `status` gives it. Without it the key beside the log is taken, which proves only that the log is whole. */
  readonly verifierKey?: string
  /** Checkpoints kept elsewhere: each must be a beginning of this log. */
  readonly olderCheckpoints?: readonly string[]
  /** Called for every entry in order, after it has been verified. */
  readonly onEntry?: (entry: Buffer, index: number) => void
}

/**
 * @param folder the folder `log` of the key holder, or a copy
 * @throws KeyHolderError AUDIT_LOG_DAMAGED with `what` at the first thing that is wrong
 */
export function verifyAuditLog(folder: string, options: AuditVerificationOptions = {}): AuditVerification {
  const verifierKey = options.verifierKey ?? read(folder, 'verifier-key').toString('utf8').trimEnd()
  const checkpoint = verifyCheckpoint(read(folder, 'checkpoint').toString('utf8'), verifierKey)
  const { origin, size } = checkpoint
  const nodes = tileNodes(folder, size)
  checkRoot(checkpoint, nodes)
  checkUpperTiles(size, nodes)
  for (const note of options.olderCheckpoints ?? []) {
    const older = verifyCheckpoint(note, verifierKey)
    if (older.size > size) throw damaged('the log is shorter than an older checkpoint', { size, older: older.size })
    checkRoot(older, nodes)
  }
  for (const { entry, index } of readEntries(folder, size)) {
    if (!leafHash(entry).equals(nodes(0, index))) throw damaged('an entry is not the one that was logged', { index })
    options.onEntry?.(entry, index)
  }
  return { origin, size, rootHash: Buffer.from(checkpoint.rootHash).toString('base64') }
}

/** Every hash above the first level follows from 256 below it, so the tiles cannot speak of two logs. */
function checkUpperTiles(size: number, nodes: Nodes): void {
  for (
    let level = 1, count = Math.floor(size / TILE_WIDTH);
    count > 0;
    level++, count = Math.floor(count / TILE_WIDTH)
  ) {
    for (let index = 0; index < count; index++) {
      const below = Array.from({ length: TILE_WIDTH }, (_, at) => nodes(level - 1, index * TILE_WIDTH + at))
      if (Buffer.compare(perfectRoot(below), nodes(level, index)) !== 0) {
        throw damaged('a tile does not follow from the tiles below it', { level, index })
      }
    }
  }
}

function* readEntries(folder: string, size: number): Iterable<{ readonly entry: Buffer; readonly index: number }> {
  for (let first = 0; first < size; first += TILE_WIDTH) {
    const width = Math.min(TILE_WIDTH, size - first)
    const found = readTile(folder, 'entries', first / TILE_WIDTH, width)
    const entries = decodeBundle(found.bytes, found.width).slice(0, width)
    for (const [at, entry] of entries.entries()) yield { entry, index: first + at }
  }
}

/** Nodes out of the tiles of a log of this size, with the tile of each level read last kept. */
function tileNodes(folder: string, size: number): Nodes {
  const kept = new Map<number, { readonly tile: number; readonly bytes: Buffer }>()
  return (level, index) => {
    const tile = Math.floor(index / TILE_WIDTH)
    let found = kept.get(level)
    if (found?.tile !== tile) {
      const count = Math.floor(size / TILE_WIDTH ** level)
      const { bytes, width } = readTile(folder, level, tile, Math.min(TILE_WIDTH, count - tile * TILE_WIDTH))
      if (bytes.byteLength !== width * HASH_BYTES) throw damaged('a tile has the wrong length', { level, tile })
      found = { tile, bytes }
      kept.set(level, found)
    }
    const offset = (index % TILE_WIDTH) * HASH_BYTES
    return found.bytes.subarray(offset, offset + HASH_BYTES)
  }
}

/** A tile of at least this width: a log that grew meanwhile has wider ones, which begin with the same hashes. */
function readTile(
  folder: string,
  level: number | 'entries',
  index: number,
  width: number,
): { readonly bytes: Buffer; readonly width: number } {
  for (const candidate of [width, ...widerPartials(folder, level, index, width), TILE_WIDTH]) {
    const bytes = find(folder, tilePath(level, index, candidate))
    if (bytes !== undefined) return { bytes, width: candidate }
  }
  throw damaged('a tile is missing', { path: tilePath(level, index, width) })
}

function widerPartials(folder: string, level: number | 'entries', index: number, width: number): number[] {
  try {
    const names = readdirSync(join(folder, partialFolder(level, index)))
    return names
      .filter((name) => /^[1-9][0-9]{0,2}$/.test(name))
      .map(Number)
      .filter((candidate) => candidate > width)
  } catch {
    return []
  }
}

function checkRoot(checkpoint: Checkpoint, nodes: Nodes): void {
  if (Buffer.compare(rootHash(checkpoint.size, nodes), checkpoint.rootHash) !== 0) {
    throw damaged('the tiles do not have the root of the checkpoint', { size: checkpoint.size })
  }
}

function read(folder: string, path: string): Buffer {
  const bytes = find(folder, path)
  if (bytes === undefined) throw damaged('a file is missing', { path })
  return bytes
}

function find(folder: string, path: string): Buffer | undefined {
  try {
    return readFileSync(join(folder, path))
  } catch {
    return undefined
  }
}

function damaged(what: string, facts: Readonly<Record<string, string | number>>): KeyHolderError {
  return new KeyHolderError('AUDIT_LOG_DAMAGED', `The audit log is damaged: ${what}.`, { what, ...facts })
}
