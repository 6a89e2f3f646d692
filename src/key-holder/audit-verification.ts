// Verifies the audit log offline, from its folder alone: every entry, every tile, the checkpoint, and that an older checkpoint,
// kept elsewhere, is its beginning. Reads only; needs no database and no key holder. A running key holder may write meanwhile.
//
// Entries first, then the tiles above them, then the root: so what is found first is nearest to what was done.
import { judgeBundle, type BundleVerdict } from './audit-diagnosis.ts'
import { damaged, recordsInWords, type RecordRange } from './audit-faults.ts'
import { verifyCheckpoint, type Checkpoint } from './checkpoint.ts'
import { covered, LogFiles, type Bundle, type HashTile } from './log-files.ts'
import { leafHash, perfectRoot, rootHash, TILE_WIDTH, type Nodes } from './merkle.ts'
import { tilePath } from './tiles.ts'

export interface AuditVerification {
  readonly origin: string
  /** Number of entries. */
  readonly size: number
  /** Base64. */
  readonly rootHash: string
  /** The checkpoint that it was verified by, as a signed note: the one to keep. */
  readonly checkpoint: string
}

export interface AuditVerificationOptions {
  /** The log's public key as `status` gives it. Without it the key beside the log is taken, which proves only that the log is whole. */
  readonly verifierKey?: string
  /** Checkpoints kept elsewhere: each must be a beginning of this log. */
  readonly olderCheckpoints?: readonly string[]
  /** Called for every entry in order. None of them is vouched for before the verification has ended. */
  readonly onEntry?: (entry: Buffer, index: number) => void
}

/** How far a verification is. */
export interface AuditProgress {
  /** Entries that were looked at. */
  readonly checked: number
  readonly size: number
}

/**
 * @param folder the folder `log` of the key holder, or a copy
 * @throws KeyHolderError AUDIT_LOG_DAMAGED with `fault`, `what` and the place of the first thing that is wrong; AUDIT_LOG_UNREADABLE
 */
export function verifyAuditLog(folder: string, options: AuditVerificationOptions = {}): AuditVerification {
  const steps = verifyingAuditLog(folder, options)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** The same bundle by bundle, for callers that have something else to do between. */
export function* verifyingAuditLog(
  folder: string,
  { verifierKey, olderCheckpoints = [], onEntry }: AuditVerificationOptions = {},
): Generator<AuditProgress, AuditVerification, void> {
  const files = new LogFiles(folder)
  const checkpoint = readCheckpoint(files, verifierKey)
  const { origin, size } = checkpoint.signed
  const older = olderCheckpoints
    .map((note) => verifyCheckpoint(note, checkpoint.verifierKey))
    .sort((one, other) => one.size - other.size)
  requireSize(size, older)
  const tree = new TileTree(files, checkpoint.signed)
  for (let tile = 0; tile * TILE_WIDTH < size; tile++) {
    const { entries } = checkBundle(files, tree, tile)
    for (const [at, entry] of entries.entries()) onEntry?.(entry, tile * TILE_WIDTH + at)
    yield { checked: tile * TILE_WIDTH + entries.length, size }
  }
  for (const place of checkUpperTiles(tree)) yield { checked: place, size }
  checkRoot(tree, older)
  checkBeginnings(tree, older)
  const root = Buffer.from(checkpoint.signed.rootHash).toString('base64')
  return { origin, size, rootHash: root, checkpoint: checkpoint.note }
}

/**
 * The checkpoint of a log, and the key that it was verified with.
 * @throws KeyHolderError AUDIT_LOG_DAMAGED, AUDIT_LOG_UNREADABLE
 */
export function readCheckpoint(
  files: LogFiles,
  verifierKey?: string,
): { readonly signed: Checkpoint; readonly note: string; readonly verifierKey: string } {
  const beside = verifierKey === undefined ? files.text('verifier-key') : files.textIfPresent('verifier-key')
  const key = verifierKey ?? beside?.trimEnd() ?? ''
  const note = files.text('checkpoint')
  const signed = verifyCheckpoint(note, key)
  if (beside !== undefined && beside !== `${key}\n`) {
    throw damaged('key-file-changed', 'the file verifier-key does not hold the key of this log', {
      path: 'verifier-key',
    })
  }
  return { signed, note, verifierKey: key }
}

/** The hashes of a log of one size, with the tile of each level that was read last kept. */
class TileTree {
  readonly checkpoint: Checkpoint
  readonly size: number
  readonly #files: LogFiles
  readonly #kept = new Map<number, HashTile & { readonly index: number }>()

  constructor(files: LogFiles, checkpoint: Checkpoint) {
    this.#files = files
    this.checkpoint = checkpoint
    this.size = checkpoint.size
  }

  /** How many hashes this level has. */
  count(level: number): number {
    return Math.floor(this.size / TILE_WIDTH ** level)
  }

  tile(level: number, index: number): HashTile {
    const kept = this.#kept.get(level)
    if (kept?.index === index) return kept
    const width = Math.min(TILE_WIDTH, this.count(level) - index * TILE_WIDTH)
    const tile = { index, ...this.#files.tile(level, index, width) }
    this.#kept.set(level, tile)
    return tile
  }

  readonly nodes: Nodes = (level, index) => {
    const { hashes } = this.tile(level, Math.floor(index / TILE_WIDTH))
    const hash = hashes[index % TILE_WIDTH]
    if (hash === undefined) throw new RangeError('The log has no such node.')
    return hash
  }

  /** Whether the checkpoint vouches for these hashes of a level, beginning with number `first`, all in one tile. */
  isSigned(level: number, first: number, hashes: readonly Uint8Array[]): boolean {
    const known = new Map(hashes.map((hash, at) => [`${level} ${first + at}`, hash]))
    const nodes: Nodes = (upper, index) => known.get(`${upper} ${index}`) ?? this.nodes(upper, index)
    for (let upper = level + 1, at = Math.floor(first / TILE_WIDTH); at < this.count(upper); upper++) {
      known.set(`${upper} ${at}`, rootOver(nodes, upper, at))
      at = Math.floor(at / TILE_WIDTH)
    }
    return Buffer.compare(rootHash(this.size, nodes), this.checkpoint.rootHash) === 0
  }
}

/** A node from the 256 below it. */
function rootOver(nodes: Nodes, level: number, index: number): Uint8Array {
  return perfectRoot(Array.from({ length: TILE_WIDTH }, (_, at) => nodes(level - 1, index * TILE_WIDTH + at)))
}

function requireSize(size: number, older: readonly Checkpoint[]): void {
  const newest = older.at(-1)
  if (newest === undefined || newest.size <= size) return
  const gone = { index: size, to: newest.size - 1 }
  throw damaged(
    'truncated',
    `an older checkpoint speaks of ${newest.size} records and this log has ${size}: ${recordsInWords(gone)} are gone`,
    { ...gone, size, older: newest.size },
  )
}

/** The records of one bundle against their hashes. */
function checkBundle(files: LogFiles, tree: TileTree, tile: number): Bundle {
  const { path: tileName, hashes } = tree.tile(0, tile)
  const bundle = files.bundle(tile, hashes.length)
  const found = bundle.entries.map(leafHash)
  if (found.length === hashes.length && hashes.every((hash, at) => found[at]?.equals(hash))) return bundle
  const verdict = judgeBundle(found, hashes)
  if (verdict === undefined) return bundle
  const first = tile * TILE_WIDTH
  if (found.length === hashes.length && tree.isSigned(0, first, found)) {
    throw changedTile(tileName, 0, { index: first + verdict.at })
  }
  throw wrongRecord(bundle, first, verdict, belongsAt(tree, found[verdict.at]))
}

function wrongRecord(
  { path }: Bundle,
  first: number,
  verdict: BundleVerdict,
  belongs: number | undefined,
): ReturnType<typeof damaged> {
  const index = first + verdict.at
  const range: RecordRange = verdict.count > 1 ? { index, to: index + verdict.count - 1 } : { index }
  switch (verdict.fault) {
    case 'record-missing':
      return damaged('record-missing', `${path} lacks ${recordsInWords(range)}`, { ...range, path })
    case 'record-added':
      return damaged('record-added', `something that was not logged stands in ${path} as ${recordsInWords(range)}`, {
        ...range,
        path,
      })
    default:
      return belongs === undefined
        ? damaged('record-changed', `record ${index} is not the one that was logged`, { index, path })
        : damaged('record-moved', `record ${belongs} stands in the place of record ${index}`, {
            index,
            belongsAt: belongs,
            path,
          })
  }
}

/** Where a record was logged, if anywhere: reads all hashes, once, of a log that is known to be damaged. */
function belongsAt(tree: TileTree, hash: Buffer | undefined): number | undefined {
  if (hash === undefined) return undefined
  for (let tile = 0; tile * TILE_WIDTH < tree.size; tile++) {
    const at = tree.tile(0, tile).hashes.findIndex((logged) => logged.equals(hash))
    if (at >= 0) return tile * TILE_WIDTH + at
  }
  return undefined
}

/** Every hash above the first level follows from 256 below it, so the tiles cannot speak of two logs. */
function* checkUpperTiles(tree: TileTree): Generator<number> {
  for (let level = 1; tree.count(level) > 0; level++) {
    for (let index = 0; index < tree.count(level); index++) {
      const below = rootOver(tree.nodes, level, index)
      const stored = tree.nodes(level, index)
      if (Buffer.compare(below, stored) !== 0) throw wrongNode(tree, level, index, below, stored)
      if (index % TILE_WIDTH === 0) yield tree.size
    }
  }
}

/** Which of the two is it that the checkpoint speaks of? */
function wrongNode(
  tree: TileTree,
  level: number,
  index: number,
  below: Uint8Array,
  stored: Uint8Array,
): ReturnType<typeof damaged> {
  const { path } = tree.tile(level, Math.floor(index / TILE_WIDTH))
  const { index: first, to = first } = covered(level - 1, index, TILE_WIDTH)
  const range = { index: first, to }
  if (tree.isSigned(level, index, [below])) return changedTile(path, level, range)
  if (tree.isSigned(level, index, [stored])) {
    const what = `${recordsInWords(range)} are others than those that were logged, their hashes with them`
    return damaged('records-replaced', what, {
      ...range,
      path: tilePath(level - 1, index, TILE_WIDTH),
      level: level - 1,
    })
  }
  const what = `the hash over ${recordsInWords(range)} does not follow from them, and neither leads to the checkpoint`
  return damaged('root-mismatch', what, { ...range, path, level })
}

function changedTile(path: string, level: number, range: RecordRange): ReturnType<typeof damaged> {
  const what = `the hash of ${recordsInWords(range)} in ${path} was changed; the records are those that were logged`
  return damaged('tile-changed', what, { path, level, ...range })
}

/** Everything fits together. Does it lead to what was signed? */
function checkRoot(tree: TileTree, older: readonly Checkpoint[]): void {
  const { size, checkpoint } = tree
  if (isRootOf(tree, checkpoint)) return
  const index = older.filter((one) => isRootOf(tree, one)).at(-1)?.size ?? 0
  const range = { index, to: Math.max(index, size - 1) }
  const what = `the records fit together, but are not those of the checkpoint: look among ${recordsInWords(range)}`
  throw damaged('root-mismatch', what, { ...range, size })
}

function checkBeginnings(tree: TileTree, older: readonly Checkpoint[]): void {
  const [foreign] = older.filter((one) => !isRootOf(tree, one))
  if (foreign === undefined) return
  const index = older.filter((one) => one.size < foreign.size && isRootOf(tree, one)).at(-1)?.size ?? 0
  const range = { index, to: Math.max(index, foreign.size - 1) }
  const what = `an older checkpoint of ${foreign.size} records speaks of another past: look among ${recordsInWords(range)}`
  throw damaged('forked', what, { ...range, size: tree.size, older: foreign.size })
}

function isRootOf(tree: TileTree, { size, rootHash: root }: Checkpoint): boolean {
  return Buffer.compare(rootHash(size, tree.nodes), root) === 0
}
