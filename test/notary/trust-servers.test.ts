import { expect } from 'chai'
import { parseGun, publicKeyOf, TARGETS, TIMESTAMP, type Gun } from '@countersign/tuf'
import { parsePattern } from '../../src/domain/pattern.ts'
import { TrustServers, type TrustServer } from '../../src/notary/trust-servers.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { testKey } from '../support/test-keys.ts'

describe('TrustServers', () => {
  let heard: string[]
  let servers: TrustServers
  beforeEach(() => {
    heard = []
    servers = new TrustServers([
      recording('special', ['registry.test/team/special']),
      recording('team', ['registry.test/team/*', 'other.test/*']),
      recording('rest', ['registry.test/*']),
    ])
  })

  function recording(name: string, patterns: readonly string[]): TrustServer {
    const note = (what: string) => (gun: Gun) => {
      heard.push(`${name} ${what} ${gun}`)
      return Promise.resolve()
    }
    const key = async (gun: Gun) => {
      await note('key')(gun)
      return publicKeyOf(testKey('timestamp').privateKey)
    }
    return {
      name,
      url: `https://${name}.test`,
      guns: patterns.map(parsePattern),
      client: {
        read: async (gun) => {
          await note('read')(gun)
          return undefined
        },
        publish: note('publish'),
        serverKey: key,
        rotateServerKey: key,
        changes: async (gun) => {
          await note('changes')(gun)
          return []
        },
        rootVersions: () => Promise.resolve(undefined),
        bringOlderRoots: note('roots'),
        close: () => {
          heard.push(`${name} close`)
          return Promise.resolve()
        },
      },
    }
  }

  for (const [gun, name] of [
    ['registry.test/team/special', 'special'],
    ['registry.test/team/special/sub', 'team'],
    ['registry.test/team/app', 'team'],
    ['other.test/app', 'team'],
    ['registry.test/app', 'rest'],
  ] as const) {
    it(`sends ${gun} to the first server whose pattern matches`, async () => {
      const parsed = parseGun(gun)
      await servers.read(parsed, 'root.json', 1)
      await servers.publish(parsed, new Map([[TARGETS, Buffer.from('{}')]]))
      await servers.serverKey(parsed, TIMESTAMP)
      await servers.rotateServerKey(parsed, TIMESTAMP)
      expect(heard).to.deep.equal(['read', 'publish', 'key', 'key'].map((what) => `${name} ${what} ${gun}`))
    })
  }

  it('finds the server of a repository that has moved by its name, and by its address where it got a name later', async () => {
    const gun = parseGun('registry.test/team/app')
    for (const place of ['rest', 'https://rest.test']) {
      const moved = new TrustServers([recording('team', ['*']), recording('rest', ['*'])], () => place)
      await moved.read(gun, 'root.json', 1)
      expect(moved.at(gun, place)).to.not.equal(undefined)
    }
    expect(heard).to.deep.equal([`rest read ${gun}`, `rest read ${gun}`])
  })

  it('asks nobody for a repository that no pattern matches', async () => {
    const gun = parseGun('registry.test.evil.test/team/app')
    for (const work of [
      () => servers.read(gun, 'root.json', 1),
      () => servers.publish(gun, new Map()),
      () => servers.serverKey(gun, TIMESTAMP),
      () => servers.rotateServerKey(gun, TIMESTAMP),
    ]) {
      expect((await expectCodeAsync('NOTARY_NOT_CONFIGURED', work)).facts).to.deep.equal({ gun })
    }
    expect(heard).to.deep.equal([])
  })

  it('asks the server to which a repository has moved, and no other in its place', async () => {
    const gun = parseGun('registry.test/team/app')
    const moved = (place: string) =>
      new TrustServers([recording('team', ['registry.test/*']), recording('rest', ['registry.test/*'])], () => place)
    await moved('rest').read(gun, 'root.json', 1)
    expect(heard).to.deep.equal([`rest read ${gun}`])
    const gone = await expectCodeAsync('NOTARY_NOT_CONFIGURED', () => moved('gone').read(gun, 'root.json', 1))
    expect(gone.facts).to.deep.equal({ gun, trustServer: 'gone' })
    expect(servers.namesFor(gun)).to.deep.equal(['team', 'rest'])
    expect(servers.at(gun, 'special')).to.equal(undefined)
    await servers.at(gun, 'rest')?.bringOlderRoots(gun, [])
    expect(heard.at(-1)).to.equal(`rest roots ${gun}`)
  })

  it('closes every client', async () => {
    await servers.close()
    expect(heard).to.deep.equal(['special close', 'team close', 'rest close'])
  })
})
