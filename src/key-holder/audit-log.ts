// The audit log: what is committed to its tree (log-tree.ts) is published as tlog-tiles with a signed checkpoint. The database is the truth;
// the files are derived from it, and the same function writes what a crash left out.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { KeyObject } from 'node:crypto'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { errorCodeOf, unreadable } from './audit-faults.ts'
import { signCheckpoint, verifyCheckpoint, type Checkpoint } from './checkpoint.ts'
import type { StateDatabase } from './database.ts'
import { prepareFiles, syncFolderLater, writeContentDurably, writeDurably, writeUnflushed } from './durable-file.ts'
import { inconsistent, LogTree } from './log-tree.ts'
import { leafHash, rootOfInclusion, TILE_WIDTH } from './merkle.ts'
import { encodeVerifierKey } from './signed-note.ts'
import { partialFolder, tilePath, tilesOf } from './tiles.ts'

/** How long entries whose publication nothing waits for may stand in the database alone, in milliseconds. */
export const PUBLISH_DELAY_MS = 100
/** Entry bundles that are compared at start. */
const BUNDLES_CHECKED = 16

/** Tiles are written, the checkpoint is not: before a signature, or of entries that no signature waits for. */
export type LogStep = 'tiles-written' | 'later-tiles-written'

interface SignedCheckpoint {
  readonly checkpoint: Checkpoint
  readonly note: string
  readonly bytes: Buffer
}

/** An inclusion proof, and the checkpoint that it leads to. */
export interface LogProof {
  readonly leafHash: Uint8Array
  /** RFC 6962, leaf side first. */
  readonly hashes: readonly Uint8Array[]
  readonly note: string
}

export class AuditLog {
  readonly origin: string
  /** The log's public key as verifiers take it. */
  readonly verifierKey: string
  /** What was committed, published or not. */
  readonly tree: LogTree
  readonly #folder: string
  readonly #privateKey: KeyObject
  readonly #step: (step: LogStep) => void
  readonly #onFailure: (error: unknown) => void
  #timer: NodeJS.Timeout | undefined
  /** Of `publishUpTo`; at most one at a time. */
  #round: Promise<void> | undefined
  #isFailing = false
  /** Size up to which superseded partial tiles are gone. */
  #cleaned = 0
  #published: Checkpoint | undefined
  #note = ''

  constructor(o: {
    folder: string
    origin: string
    database: StateDatabase
    publicKey: KeyObject
    privateKey: KeyObject
    step: (step: LogStep) => void
    /** Hears of a failure that no caller waits for. */
    onFailure: (error: unknown) => void
  }) {
    this.#folder = o.folder
    this.origin = o.origin
    this.verifierKey = encodeVerifierKey(o.origin, o.publicKey)
    this.tree = new LogTree(o.database)
    this.#privateKey = o.privateKey
    this.#step = o.step
    this.#onFailure = o.onFailure
  }

  /**
   * What proves that an entry is in the log of the newest checkpoint; undefined where it came later.
   * @throws KeyHolderError AUDIT_LOG_DAMAGED where the database does not lead to that checkpoint
   */
  prove(position: number, entry: Uint8Array): LogProof | undefined {
    const { note } = this.checkpoint
    const published = this.#published
    if (published === undefined || position >= published.size) return undefined
    const leaf = leafHash(entry)
    const hashes = this.tree.proof(position, published.size)
    const root = rootOfInclusion(leaf, position, published.size, hashes)
    if (root === undefined || Buffer.compare(root, published.rootHash) !== 0) {
      throw inconsistent('the database does not lead to the checkpoint', position)
    }
    return { leafHash: leaf, hashes, note }
  }

  /** The newest signed checkpoint on disk. */
  get checkpoint(): { readonly note: string; readonly size: number; readonly rootHash: string } {
    return {
      note: this.#note,
      size: this.#published?.size ?? 0,
      rootHash: Buffer.from(this.#published?.rootHash ?? []).toString('base64'),
    }
  }

  /**
   * Publishes within a moment, together with what else comes: for entries that no signature waits for. They are durable in the
   * database already; a crash before leaves files that the next start brings up to date. Where the last attempt failed it
   * publishes at once, so that the caller hears of a log that cannot be written.
   * @throws KeyHolderError AUDIT_LOG_UNWRITABLE
   */
  publishSoon(): void {
    if (this.#isFailing) {
      this.publish()
      return
    }
    this.#timer ??= setTimeout(() => {
      try {
        this.#publishAs('later-tiles-written')
      } catch (error) {
        this.#onFailure(error)
      }
    }, PUBLISH_DELAY_MS)
  }

  /**
   * Writes tiles, bundles and checkpoint up to the last committed entry, each flushed. Nothing may be signed before it returns.
   * A crash before the checkpoint leaves tiles that no checkpoint names yet; a crash after it leaves nothing to do.
   * @throws KeyHolderError AUDIT_LOG_UNWRITABLE
   */
  publish(): void {
    this.#publishAs('tiles-written')
  }

  /**
   * For entries that a signature waits for, where the database, in which they are durable, can tell them after any crash: writes them beside
   * the log's newest ones without waiting for the disk, so that a log that cannot be written is noticed before a key is used; the files of
   * the log follow within a moment.
   * @throws KeyHolderError AUDIT_LOG_UNWRITABLE
   */
  writeAhead(): void {
    if (!this.#isFailing) {
      const { size } = this.tree
      const from = Math.max(this.#published?.size ?? 0, size - TILE_WIDTH)
      this.#tried(() => {
        if (size > from) this.#writeFile(aheadPath(size - 1), this.tree.bundle(from, size - from), writeUnflushed)
      })
    }
    this.publishSoon()
  }

  /**
   * As `publish`, up to this size at least, without holding up other operations, and with few waits for the disk. Those who come while
   * a round is under way share the next one.
   * @throws KeyHolderError AUDIT_LOG_UNWRITABLE
   */
  async publishUpTo(size: number): Promise<void> {
    while ((this.#published?.size ?? 0) < size) {
      this.#round ??= this.#publishRound().finally(() => {
        this.#round = undefined
      })
      await this.#round
    }
  }

  #publishAs(step: LogStep): void {
    this.#cancelTimer()
    this.#tried(() => {
      const { size } = this.tree
      const from = this.#published?.size ?? 0
      if (size > from) {
        // Their names become durable with the checkpoint's, or the next start writes the files again.
        for (const { path, bytes } of this.#newTiles(size, from)) this.#writeFile(path, bytes, writeContentDurably)
        this.#step(step)
        const next = this.#signCheckpoint(size)
        this.#writeFile('checkpoint', next.bytes)
        this.#take(next)
      }
      this.#removeSuperseded()
    })
  }

  /** Contents first, all at once; then the names, the checkpoint's last; then their folder. A crash between leaves as little as above. */
  async #publishRound(): Promise<void> {
    this.#cancelTimer()
    await this.#triedLater(async () => {
      const { size } = this.tree
      const next = this.#signCheckpoint(size)
      const files = [...this.#newTiles(size, this.#published?.size ?? 0), { path: 'checkpoint', bytes: next.bytes }]
      const prepared = await prepareFiles(files.map(({ path, bytes }) => ({ path: join(this.#folder, path), bytes })))
      // Somebody who could not wait may have published more meanwhile; a checkpoint never goes back.
      if (!this.#isNews(next)) {
        for (const file of prepared) file.discard()
        return
      }
      for (const file of prepared.slice(0, -1)) file.place()
      this.#step('tiles-written')
      prepared.at(-1)?.place()
      await syncFolderLater(this.#folder)
      if (this.#isNews(next)) this.#take(next)
    })
  }

  #isNews({ checkpoint }: SignedCheckpoint): boolean {
    return checkpoint.size > (this.#published?.size ?? 0)
  }

  #signCheckpoint(size: number): SignedCheckpoint {
    const checkpoint = { origin: this.origin, size, rootHash: this.tree.newestRoot(size) }
    const note = signCheckpoint(checkpoint, this.#privateKey)
    return { checkpoint, note, bytes: Buffer.from(note) }
  }

  #take({ checkpoint, note }: SignedCheckpoint): void {
    this.#published = checkpoint
    this.#note = note
  }

  #cancelTimer(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #tried(work: () => void): void {
    // Stands unless everything below has succeeded.
    this.#isFailing = true
    try {
      work()
    } catch (cause) {
      throw unwritable(cause)
    }
    this.#isFailing = false
  }

  async #triedLater(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (cause) {
      this.#isFailing = true
      throw unwritable(cause)
    }
    this.#isFailing = false
  }

  /** Tiles and bundles that a log of size `from` did not have in this form. */
  #newTiles(size: number, from: number): { readonly path: string; readonly bytes: Buffer }[] {
    return tilesOf(size, from).flatMap(({ level, index, width }) => {
      const first = index * TILE_WIDTH
      const tile = { path: tilePath(level, index, width), bytes: this.tree.tile(level, first, width) }
      return level > 0
        ? [tile]
        : [tile, { path: tilePath('entries', index, width), bytes: this.tree.bundle(first, width) }]
    })
  }

  /**
   * Compares the files with the database, then writes what is missing.
   * @throws KeyHolderError AUDIT_LOG_DAMAGED (another content, or files ahead of the database), AUDIT_LOG_UNREADABLE,
   * AUDIT_LOG_UNWRITABLE
   */
  open(): void {
    const note = this.#read('checkpoint')?.toString('utf8')
    this.#writeKey()
    if (note !== undefined) {
      const checkpoint = verifyCheckpoint(note, this.verifierKey)
      const { size } = this.tree
      if (checkpoint.size > size) {
        throw inconsistent('the checkpoint is ahead of the database, which may be an old copy', checkpoint.size)
      }
      if (Buffer.compare(checkpoint.rootHash, this.tree.root(checkpoint.size)) !== 0) {
        throw inconsistent('the checkpoint speaks of other entries', checkpoint.size)
      }
      this.#checkTiles(checkpoint.size)
      this.#take({ checkpoint, note, bytes: Buffer.from(note) })
      this.#cleaned = checkpoint.size
    }
    this.publish()
  }

  /** Ends the wait of `publishSoon`. What was not published is published by the next start. */
  close(): void {
    clearTimeout(this.#timer)
  }

  /**
   * Files of the published size: missing ones are written again, different ones are evidence and stay. Of the bundles only the
   * newest are compared, so that a large log starts soon; the offline verification reads them all.
   */
  #checkTiles(size: number): void {
    for (const { level, index, width } of tilesOf(size)) {
      const first = index * TILE_WIDTH
      this.#checkFile(tilePath(level, index, width), () => this.tree.tile(level, first, width))
      if (level === 0 && first + BUNDLES_CHECKED * TILE_WIDTH >= size)
        this.#checkFile(tilePath('entries', index, width), () => this.tree.bundle(first, width))
    }
  }

  #checkFile(path: string, expected: () => Buffer): void {
    const found = this.#read(path)
    if (found === undefined) this.#writeFile(path, expected())
    else if (!found.equals(expected())) throw inconsistent(`${path} has another content`, found.byteLength)
  }

  /** The public key beside the log, for verifiers; a different one there is refused. */
  #writeKey(): void {
    this.#checkFile('verifier-key', () => Buffer.from(`${this.verifierKey}\n`))
  }

  /** Partial tiles that the new checkpoint needs no more. A crash between leaves them; they are harmless. */
  #removeSuperseded(): void {
    // What a round is about to put in place lies in the same folders; the next time is early enough.
    if (this.#round !== undefined) return
    const size = this.#published?.size ?? 0
    for (const { level, index, width } of tilesOf(size, this.#cleaned)) {
      for (const kind of level === 0 ? ([0, 'entries'] as const) : [level]) {
        const folder = join(this.#folder, partialFolder(kind, index))
        if (!existsSync(folder)) continue
        if (width === TILE_WIDTH) rmSync(folder, { recursive: true })
        else for (const name of readdirSync(folder)) if (name !== String(width)) rmSync(join(folder, name))
      }
    }
    this.#cleaned = size
  }

  #read(path: string): Buffer | undefined {
    try {
      return readFileSync(join(this.#folder, path))
    } catch (cause) {
      if (errorCodeOf(cause) === 'ENOENT') return undefined
      throw unreadable(path, cause)
    }
  }

  #writeFile(path: string, bytes: Uint8Array, write: (path: string, bytes: Uint8Array) => void = writeDurably): void {
    try {
      write(join(this.#folder, path), bytes)
    } catch (cause) {
      throw unwritable(cause, { path })
    }
  }
}

/** Beside the partial bundles of this entry, and removed like a superseded one; nobody reads it. */
function aheadPath(position: number): string {
  return `${partialFolder('entries', Math.floor(position / TILE_WIDTH))}/ahead`
}

function unwritable(cause: unknown, facts: { readonly path?: string } = {}): KeyHolderError {
  if (cause instanceof KeyHolderError) return cause
  const message = 'The audit log cannot be written, so nothing is signed.'
  return new KeyHolderError('AUDIT_LOG_UNWRITABLE', message, facts, { cause })
}
