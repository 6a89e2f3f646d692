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

/** The example tree of the Certificate Transparency projects: entries, the roots of its sizes, and paths from leaf to root. */
const EXAMPLE = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
const EXAMPLE_ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]
const EXAMPLE_PATHS: readonly (readonly [index: number, size: number, path: readonly string[]])[] = [
  [0, 1, []],
  [
    0,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    5,
    8,
    [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [2, 3, ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125']],
  [
    1,
    5,
    [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
]

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

  it('has the roots and paths of the example that other implementations are tested with', () => {
    const entries = EXAMPLE.map((hex) => Buffer.from(hex, 'hex'))
    const nodes = nodesOf(entries)
    const hex = (hash: Uint8Array | undefined) => Buffer.from(hash ?? []).toString('hex')
    expect(EXAMPLE_ROOTS.map((_, at) => hex(rootHash(at + 1, nodes)))).to.deep.equal(EXAMPLE_ROOTS)
    for (const [index, size, path] of EXAMPLE_PATHS) {
      expect(inclusionProof(index, size, nodes).map(hex)).to.deep.equal(path)
      const hashes = path.map((one) => Buffer.from(one, 'hex'))
      expect(hex(rootOfInclusion(leafHash(entries[index]!), index, size, hashes))).to.equal(EXAMPLE_ROOTS[size - 1])
    }
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
