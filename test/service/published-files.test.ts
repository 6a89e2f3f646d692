import { parseRoleName, parseRoot, sha256Hex, verifyFiles } from '@countersign/tuf'
import { expect } from 'chai'
import { expectCodeAsync } from '../support/expect-code.ts'
import { app, everybody, principal, World } from '../support/fakes/world.ts'

describe('published metadata', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    world.registry.push(app, '1.0', 'a')
    await world.sign(`${app}:1.0`)
    world.faults.plan(undefined)
  })
  afterEach(() => {
    world.close()
  })

  it('is every file once, as clients name it, and verifies from its first root', async () => {
    const { gun, files } = await world.services.verifications.published(everybody, app)
    expect(gun).to.equal(app)
    const names = files.map(({ name }) => name)
    expect(new Set(names).size).to.equal(names.length)
    expect(names.slice(0, 2)).to.deep.equal(['1.root.json', 'timestamp.json'])
    for (const { name, sha256, bytes } of files) {
      expect(sha256Hex(bytes), name).to.equal(sha256)
      if (/[0-9a-f]{64}/.test(name)) expect(name).to.include(sha256)
    }
    const roles = names.slice(2).map((name) => name.replace(/\.[0-9a-f]{64}\.json$/, ''))
    expect(roles).to.have.members(['snapshot', 'targets', 'targets/releases', 'targets/countersign'])

    const [root] = files
    if (root === undefined) throw new Error('No root.')
    expect(parseRoot(root.bytes).metadata.version).to.equal(1)
    const byName = new Map(files.map(({ name, bytes }) => [name, bytes]))
    byName.set(`root.${root.sha256}.json`, root.bytes)
    const trusted = verifyFiles(byName, { gun: app, pin: { kind: 'root', bytes: root.bytes }, now: world.time.now() })
    expect(trusted.delegations.has(parseRoleName('targets/releases'))).to.equal(true)
  })

  it('is given to those who may read the repository, and of registered ones only', async () => {
    await expectCodeAsync('NOT_PERMITTED', () => world.services.verifications.published(principal('x'), app))
  })

  it('is refused where what the server has does not verify', async () => {
    world.server.isReadable = false
    await expectCodeAsync('NOTARY_UNAVAILABLE', () => world.services.verifications.published(everybody, app))
  })
})
