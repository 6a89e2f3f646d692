// The simulators keep the rules of the servers they stand for, so that a test that leans on them proves something.
import { parseTag, parseTimestamp, RELEASES, SNAPSHOT, TIMESTAMP } from '@countersign/tuf'
import { expect } from 'chai'
import { publishRelease, publishTargets } from '../support/fakes/rival.ts'
import { app, World } from '../support/fakes/world.ts'
import { HostileWorld } from '../support/hostile-world.ts'
import { expectCodeAsync } from '../support/expect-code.ts'

const FIRST = { kind: 'put', name: parseTag('first'), sha256: 'a'.repeat(64), length: 7 } as const
const PUT = { kind: 'put', name: parseTag('rival'), sha256: 'b'.repeat(64), length: 7 } as const
const DAY_MS = 86_400_000

describe('the simulated Notary server', () => {
  let world: World
  beforeEach(async () => {
    world = await World.withRepository()
    await publishRelease(world, app, [FIRST])
  })
  afterEach(() => {
    world.close()
  })

  it('takes a version once, and none below it', async () => {
    const before = world.server.currentFile(app, RELEASES)
    await publishRelease(world, app, [PUT])
    const again = new Map([[RELEASES, before!]])
    await expectCodeAsync('NOTARY_CONFLICT', () => world.server.publish(app, again))
  })

  it('raises snapshot and timestamp with each update', async () => {
    const before = [SNAPSHOT, TIMESTAMP].map((role) => world.server.version(app, role))
    await publishRelease(world, app, [PUT])
    const after = [SNAPSHOT, TIMESTAMP].map((role) => world.server.version(app, role))
    expect(after).to.deep.equal(before.map((version) => version + 1))
  })

  it('renews an expired timestamp on reading, unless frozen', async () => {
    const read = async () => parseTimestamp((await world.server.read(app, 'timestamp.json', 1e6))!).metadata.version
    const before = await read()
    world.time.advance(15 * DAY_MS)
    expect(await read()).to.equal(before + 1)
    world.server.freeze()
    world.time.advance(15 * DAY_MS)
    expect(await read()).to.equal(before + 1)
    world.server.serveTruth()
    expect(await read()).to.equal(before + 2)
  })

  it('goes back to a state, and forgets what came later', async () => {
    const state = world.server.state()
    await publishRelease(world, app, [PUT])
    await publishTargets(world, app, [PUT])
    world.server.restore(state)
    expect(world.server.version(app, RELEASES)).to.equal(1)
    await publishRelease(world, app, [PUT])
    expect(state.get(app)?.versions.get(RELEASES), 'a state is a copy').to.equal(1)
  })
})

describe('the simulators over HTTP', () => {
  let hostile: HostileWorld
  before(async () => {
    hostile = await HostileWorld.start()
  })
  after(() => hostile.close())

  it('carry a signature from the manifest to the read-back', async () => {
    expect(await hostile.sign('2.0')).to.equal('published')
    expect(await hostile.world.found('2.0')).to.not.equal(undefined)
    expect(hostile.notary.heard.some(({ method }) => method === 'POST')).to.equal(true)
  })

  it('answer as the real server: 404, VERSION, UPDATING, INVALID_UPDATE', async () => {
    const get = async (path: string) => (await fetch(hostile.notary.url + path)).status
    expect(await get(`/v2/${app}/_trust/tuf/9.root.json`)).to.equal(404)
    expect(await get(`/v2/${app}/_trust/tuf/targets/nobody.json`)).to.equal(404)
    const form = (bytes: Uint8Array) => {
      const body = new FormData()
      body.append('files', new Blob([new Uint8Array(bytes)]), RELEASES)
      return fetch(`${hostile.notary.url}/v2/${app}/_trust/tuf/`, { method: 'POST', body })
    }
    const codeOf = async (response: Response) =>
      ((await response.json()) as { errors: { code: string }[] }).errors[0]?.code
    const current = hostile.world.server.currentFile(app, RELEASES)!
    const stale = await form(current)
    expect([stale.status, await codeOf(stale)]).to.deep.equal([400, 'VERSION'])
    const next = Buffer.from(
      Buffer.from(current)
        .toString()
        .replace(/"version":\d+/, '"version":99'),
    )
    const unsigned = await form(next)
    expect([unsigned.status, await codeOf(unsigned)]).to.deep.equal([400, 'INVALID_UPDATE'])
    const malformed = await form(Buffer.from('{'))
    expect([malformed.status, await codeOf(malformed)]).to.deep.equal([400, 'MALFORMED_JSON'])
  })
})
