import { createHash } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  consistencyProof,
  inclusionProof,
  isConsistent,
  leafHash,
  perfectRoot,
  rootHash,
  rootOfInclusion,
  TILE_WIDTH,
  type Nodes,
} from '../../src/key-holder/merkle.ts'

/** RFC 6962, 2.1, word by word, over entries. */
function naiveRoot(entries: readonly Buffer[]): Buffer {
  if (entries.length === 0) return createHash('sha256').digest()
  if (entries.length === 1)
    return createHash('sha256')
      .update(Buffer.concat([Buffer.of(0), entries[0]!]))
      .digest()
  let k = 1
  while (k * 2 < entries.length) k *= 2
  const parts = [Buffer.of(1), naiveRoot(entries.slice(0, k)), naiveRoot(entries.slice(k))]
  return createHash('sha256').update(Buffer.concat(parts)).digest()
}

function entriesOf(size: number): Buffer[] {
  return Array.from({ length: size }, (_, index) => Buffer.from(`entry ${index}`))
}

function nodesOf(entries: readonly Buffer[]): Nodes {
  const levels: Uint8Array[][] = [entries.map(leafHash)]
  for (let below = levels[0]!; below.length >= TILE_WIDTH; below = levels[levels.length - 1]!) {
    const level: Uint8Array[] = []
    for (let at = 0; at + TILE_WIDTH <= below.length; at += TILE_WIDTH) {
      level.push(perfectRoot(below.slice(at, at + TILE_WIDTH)))
    }
    levels.push(level)
  }
  return (level, index) => levels[level]![index]!
}

const LARGE = entriesOf(1200)
const LARGE_NODES = nodesOf(LARGE)
const sizes = fc.integer({ min: 0, max: LARGE.length })

describe('the Merkle tree', () => {
  it('has the root of RFC 6962 for every size', () => {
    fc.assert(
      fc.property(sizes, (size) => {
        expect(Buffer.from(rootHash(size, LARGE_NODES)).toString('hex')).to.equal(
          naiveRoot(LARGE.slice(0, size)).toString('hex'),
        )
      }),
      { numRuns: 60, examples: [[0], [1], [255], [256], [257], [512], [768], [1024], [1025]] },
    )
  })

  it('has the known root of the empty tree', () => {
    expect(Buffer.from(rootHash(0, LARGE_NODES)).toString('hex')).to.equal(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    )
  })

  it('proves every leaf in every tree', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: LARGE.length }), fc.nat(), (size, seed) => {
        const index = seed % size
        const proof = inclusionProof(index, size, LARGE_NODES)
        const root = rootOfInclusion(leafHash(LARGE[index]!), index, size, proof)
        expect(root).to.deep.equal(rootHash(size, LARGE_NODES))
      }),
    )
  })

  it('proves no leaf at another place, in another size, or with another path', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: LARGE.length }), fc.nat(), (size, seed) => {
        const index = seed % size
        const root = rootHash(size, LARGE_NODES)
        const proof = inclusionProof(index, size, LARGE_NODES)
        const leaf = leafHash(LARGE[index]!)
        expect(rootOfInclusion(leaf, (index + 1) % size, size, proof)).to.not.deep.equal(root)
        expect(rootOfInclusion(leaf, index, size, proof.slice(1))).to.not.deep.equal(root)
        expect(rootOfInclusion(leaf, index, size, [...proof, leaf])).to.equal(undefined)
        expect(rootOfInclusion(leaf, size, size, proof)).to.equal(undefined)
      }),
    )
  })

  it('proves that an older tree is the beginning of a newer one', () => {
    fc.assert(
      fc.property(sizes, sizes, (a, b) => {
        const [older, newer] = a < b ? [a, b] : [b, a]
        const proof = consistencyProof(older, newer, LARGE_NODES)
        const oldTree = { size: older, root: rootHash(older, LARGE_NODES) }
        const newTree = { size: newer, root: rootHash(newer, LARGE_NODES) }
        expect(isConsistent(oldTree, newTree, proof)).to.equal(true)
      }),
    )
  })

  it('finds a changed past', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 600 }), fc.nat(), (older, more, seed) => {
        const forged = [...LARGE]
        forged[seed % older] = Buffer.from('forged')
        const newer = older + more
        const nodes = nodesOf(forged)
        const oldTree = { size: older, root: rootHash(older, LARGE_NODES) }
        const newTree = { size: newer, root: rootHash(newer, nodes) }
        expect(isConsistent(oldTree, newTree, consistencyProof(older, newer, nodes))).to.equal(false)
      }),
      { numRuns: 25 },
    )
  })

  it('calls no tree consistent with a smaller one', () => {
    const tree = (size: number) => ({ size, root: rootHash(size, LARGE_NODES) })
    expect(isConsistent(tree(5), tree(4), [])).to.equal(false)
    expect(isConsistent(tree(4), tree(5), [])).to.equal(false)
    expect(isConsistent(tree(4), { size: 4, root: Buffer.alloc(32) }, [])).to.equal(false)
  })
})
