// Merkle tree of the audit log: RFC 6962 hashing over nodes as tiles store them. Pure; knows no files and no entries' meaning.
import { createHash } from 'node:crypto'

/** Leaves under one node of the next tile level: tlog-tiles have height 8. */
export const TILE_WIDTH = 256

/** The hash of node `index` at tile level `level`: the root over 256^level leaves that begin at index * 256^level. */
export type Nodes = (level: number, index: number) => Uint8Array

/** RFC 6962, 2.1: MTH of one leaf. */
export function leafHash(entry: Uint8Array): Buffer {
  return createHash('sha256').update(LEAF_PREFIX).update(entry).digest()
}

/** RFC 6962, 2.1: the hash of an inner node. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return createHash('sha256').update(NODE_PREFIX).update(left).update(right).digest()
}

/** The root over a power of two of hashes: a node of the next tile level from the tile below. */
export function perfectRoot(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 1 && hashes[0] !== undefined) return hashes[0]
  const middle = hashes.length / 2
  return nodeHash(perfectRoot(hashes.slice(0, middle)), perfectRoot(hashes.slice(middle)))
}

/** RFC 6962, 2.1: MTH of the first `size` leaves. */
export function rootHash(size: number, nodes: Nodes): Uint8Array {
  return size === 0 ? createHash('sha256').digest() : rangeHash(0, size, nodes)
}

/** RFC 6962, 2.1.1: the path that proves leaf `index` in the tree of `size`, leaf side first. */
export function inclusionProof(index: number, size: number, nodes: Nodes): Uint8Array[] {
  const path = (lo: number, hi: number): Uint8Array[] => {
    if (hi - lo === 1) return []
    const middle = lo + splitPoint(hi - lo)
    return index < middle
      ? [...path(lo, middle), rangeHash(middle, hi, nodes)]
      : [...path(middle, hi), rangeHash(lo, middle, nodes)]
  }
  return path(0, size)
}

/** The root that a leaf and its path lead to; undefined where the path cannot belong to this index and size. */
export function rootOfInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
): Uint8Array | undefined {
  const walk = (lo: number, hi: number, length: number): Uint8Array | undefined => {
    if (hi - lo === 1) return length === 0 ? leaf : undefined
    const sibling = proof[length - 1]
    if (sibling === undefined) return undefined
    const middle = lo + splitPoint(hi - lo)
    const inner = index < middle ? walk(lo, middle, length - 1) : walk(middle, hi, length - 1)
    if (inner === undefined) return undefined
    return index < middle ? nodeHash(inner, sibling) : nodeHash(sibling, inner)
  }
  return index >= 0 && index < size ? walk(0, size, proof.length) : undefined
}

/** RFC 6962, 2.1.2: what proves that the tree of `older` leaves is the beginning of the tree of `newer` leaves. */
export function consistencyProof(older: number, newer: number, nodes: Nodes): Uint8Array[] {
  const proof = (lo: number, hi: number, whole: boolean): Uint8Array[] => {
    if (hi === older) return whole ? [] : [rangeHash(lo, hi, nodes)]
    const middle = lo + splitPoint(hi - lo)
    return older <= middle
      ? [...proof(lo, middle, whole), rangeHash(middle, hi, nodes)]
      : [...proof(middle, hi, false), rangeHash(lo, middle, nodes)]
  }
  return older === 0 || older === newer ? [] : proof(0, newer, true)
}

/** Whether the proof leads from the older root to the newer one. */
export function isConsistent(
  older: { readonly size: number; readonly root: Uint8Array },
  newer: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): boolean {
  if (older.size > newer.size) return false
  if (older.size === newer.size) return proof.length === 0 && isEqual(older.root, newer.root)
  if (older.size === 0) return proof.length === 0
  const walk = (
    lo: number,
    hi: number,
    whole: boolean,
    length: number,
  ): { readonly old: Uint8Array; readonly now: Uint8Array } | undefined => {
    if (hi === older.size) {
      const hash = whole ? older.root : proof[length - 1]
      if (hash === undefined || length !== (whole ? 0 : 1)) return undefined
      return { old: hash, now: hash }
    }
    const sibling = proof[length - 1]
    if (sibling === undefined) return undefined
    const middle = lo + splitPoint(hi - lo)
    if (older.size <= middle) {
      const left = walk(lo, middle, whole, length - 1)
      return left === undefined ? undefined : { old: left.old, now: nodeHash(left.now, sibling) }
    }
    const right = walk(middle, hi, false, length - 1)
    return right === undefined ? undefined : { old: nodeHash(sibling, right.old), now: nodeHash(sibling, right.now) }
  }
  const roots = walk(0, newer.size, true, proof.length)
  return roots !== undefined && isEqual(roots.old, older.root) && isEqual(roots.now, newer.root)
}

const LEAF_PREFIX = Uint8Array.of(0)
const NODE_PREFIX = Uint8Array.of(1)

/** The hash over leaves lo..hi; every range asked for is one that RFC 6962 splits into, so perfect parts are aligned. */
function rangeHash(lo: number, hi: number, nodes: Nodes): Uint8Array {
  const size = hi - lo
  let level = 0
  let width = 1
  while (width * TILE_WIDTH <= size && lo % (width * TILE_WIDTH) === 0 && size % (width * TILE_WIDTH) === 0) {
    width *= TILE_WIDTH
    level++
  }
  if (size === width) return nodes(level, lo / width)
  const middle = lo + splitPoint(size)
  return nodeHash(rangeHash(lo, middle, nodes), rangeHash(middle, hi, nodes))
}

/** The largest power of two below `size`. */
function splitPoint(size: number): number {
  let split = 1
  while (split * 2 < size) split *= 2
  return split
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
