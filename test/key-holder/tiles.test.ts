import { expect } from 'chai'
import fc from 'fast-check'
import { encodeBundle, parseBundle, partialFolder, tilePath, tilesOf } from '../../src/key-holder/tiles.ts'

describe('tiles of the audit log', () => {
  it('have the names of tlog-tiles', () => {
    expect(tilePath(0, 0, 256)).to.equal('tile/0/000')
    expect(tilePath(0, 1234067, 256)).to.equal('tile/0/x001/x234/067')
    expect(tilePath(2, 67, 9)).to.equal('tile/2/067.p/9')
    expect(tilePath('entries', 1000, 255)).to.equal('tile/entries/x001/000.p/255')
    expect(partialFolder('entries', 1000)).to.equal('tile/entries/x001/000.p')
  })

  it('cover a log completely', () => {
    expect(tilesOf(0)).to.deep.equal([])
    expect(tilesOf(1)).to.deep.equal([{ level: 0, index: 0, width: 1 }])
    expect(tilesOf(257)).to.deep.equal([
      { level: 0, index: 0, width: 256 },
      { level: 0, index: 1, width: 1 },
      { level: 1, index: 0, width: 1 },
    ])
  })

  it('that are new are exactly those that the smaller log lacked', () => {
    fc.assert(
      fc.property(fc.nat(200_000), fc.nat(2000), (from, more) => {
        const known = new Set(tilesOf(from).map((tile) => JSON.stringify(tile)))
        const fresh = tilesOf(from + more).filter((tile) => !known.has(JSON.stringify(tile)))
        expect(tilesOf(from + more, from)).to.deep.equal(fresh)
      }),
      { numRuns: 30 },
    )
  })

  it('give back the entries that went in', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 256 }), (entries) => {
        const parsed = parseBundle(encodeBundle(entries))
        expect(parsed.entries.map((entry) => [...entry])).to.deep.equal(entries.map((entry) => [...entry]))
        expect(parsed.rest.byteLength).to.equal(0)
      }),
    )
  })

  it('give back what is left over of a cut bundle', () => {
    const bundle = encodeBundle([Buffer.from('one'), Buffer.from('two')])
    const texts = (bytes: Buffer) => {
      const { entries, rest } = parseBundle(bytes)
      return [entries.map(String), rest.toString('latin1')]
    }
    expect(texts(bundle)).to.deep.equal([['one', 'two'], ''])
    expect(texts(bundle.subarray(0, -1))).to.deep.equal([['one'], '\0\x03tw'])
    expect(texts(Buffer.concat([bundle, Buffer.of(7)]))).to.deep.equal([['one', 'two'], '\x07'])
    expect(texts(Buffer.alloc(0))).to.deep.equal([[], ''])
  })
})
