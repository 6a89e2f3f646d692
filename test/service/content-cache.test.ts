// What the trust server served under a hash is asked for once; whether it is current is asked each time.
import { createHash } from 'node:crypto'
import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { ContentCache } from '../../src/service/content-cache.ts'

const gun = parseGun('registry.example.com/team/app')
const other = parseGun('registry.example.com/team/other')

function hashed(role: string, text: string): string {
  return `${role}.${createHash('sha256').update(text).digest('hex')}.json`
}

describe('a cache of served files', () => {
  let asked: string[]
  let served: Map<string, string>

  function cacheOf(maxBytes: number): ContentCache {
    return new ContentCache(
      {
        read: (from, fileName) => {
          asked.push(from === gun ? fileName : `other ${fileName}`)
          const text = served.get(fileName)
          return Promise.resolve(text === undefined ? undefined : Buffer.from(text))
        },
      },
      maxBytes,
    )
  }

  async function read(cache: ContentCache, fileName: string, o: { maxBytes?: number; from?: typeof gun } = {}) {
    const bytes = await cache.read(o.from ?? gun, fileName, o.maxBytes ?? 1000)
    return bytes === undefined ? undefined : Buffer.from(bytes).toString()
  }

  beforeEach(() => {
    asked = []
    served = new Map()
  })

  it('asks for a file by its hash once, of each repository', async () => {
    const name = hashed('targets/releases', 'content')
    served.set(name, 'content')
    const cache = cacheOf(1000)
    expect([await read(cache, name), await read(cache, name)]).to.deep.equal(['content', 'content'])
    expect(await read(cache, name, { from: other })).to.equal('content')
    expect(asked).to.deep.equal([name, `other ${name}`])
  })

  it('asks for the timestamp and for roots by number each time', async () => {
    const cache = cacheOf(1000)
    for (const name of ['timestamp.json', 'root.json', '2.root.json']) {
      served.set(name, 'old')
      expect(await read(cache, name)).to.equal('old')
      served.set(name, 'new')
      expect(await read(cache, name)).to.equal('new')
    }
  })

  it('asks again for what was not there', async () => {
    const name = hashed('targets', 'content')
    const cache = cacheOf(1000)
    expect(await read(cache, name)).to.equal(undefined)
    served.set(name, 'content')
    expect(await read(cache, name)).to.equal('content')
  })

  it('does not keep what has another content than its name says', async () => {
    const name = hashed('snapshot', 'content')
    const cache = cacheOf(1000)
    served.set(name, 'forged')
    // Passed on as received: the verifier refuses it, with its code.
    expect(await read(cache, name)).to.equal('forged')
    served.set(name, 'content')
    expect(await read(cache, name)).to.equal('content')
  })

  it('gives nothing that is longer than what is asked for', async () => {
    const name = hashed('targets', 'content')
    served.set(name, 'content')
    const cache = cacheOf(1000)
    await read(cache, name)
    await read(cache, name, { maxBytes: 6 })
    // The source is asked, whose limit it is to refuse it.
    expect(asked).to.deep.equal([name, name])
  })

  it('is bounded: what was used least recently goes first, and what is too large is not kept', async () => {
    const names = ['aaaa', 'bbbb', 'cccc'].map((text) => {
      const name = hashed('targets', text)
      served.set(name, text)
      return name
    })
    const [a, b, c] = [names[0]!, names[1]!, names[2]!]
    const cache = cacheOf(8)
    for (const name of [a, b, a, c, a, c, b]) await read(cache, name)
    expect(asked).to.deep.equal([a, b, c, b])
    const large = hashed('targets', 'much too large')
    served.set(large, 'much too large')
    await read(cache, large)
    await read(cache, large)
    await read(cache, b)
    expect(asked.slice(4)).to.deep.equal([large, large])
  })
})
