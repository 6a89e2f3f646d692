// The main road: a repository is published, read by every name, changed, deleted and begun again.
import { parseRoleName, ROOT, SNAPSHOT, TARGETS, verifyFiles } from '@countersign/tuf'
import { expect } from 'chai'
import { RepositoryBuilder, sha256Of } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { filesOf, newRepository, startTestTrustServer, type TestTrustServer } from '../support/trust-server/server.ts'

const RELEASES = 'targets/releases'
const SIGNER = 'targets/countersign'
const ALL = [ROOT, TARGETS, RELEASES, SIGNER]

describe('the trust server', () => {
  const scope = new Scope()
  let server: TestTrustServer
  before(async () => {
    server = await startTestTrustServer(scope)
  })
  after(() => scope.close())

  /** What a client makes of the repository. */
  async function read(builder: RepositoryBuilder, firstRoot = builder.firstRoot()) {
    const files = new Map<string, Uint8Array>()
    const add = async (name: string): Promise<Buffer | undefined> => {
      const { status, body } = await server.http.get(builder.gun, name)
      if (status === 200) files.set(name, body)
      return status === 200 ? body : undefined
    }
    const timestamp = await add('timestamp.json')
    const snapshotHash = hashesIn(timestamp).get(SNAPSHOT) ?? ''
    const snapshot = await add(`snapshot.${snapshotHash}.json`)
    for (const [role, hash] of hashesIn(snapshot)) await add(`${role}.${hash}.json`)
    for (let version = 1; version <= builder.role(ROOT).version; version++) await add(`${version}.root.json`)
    await add('root.json')
    return verifyFiles(files, { gun: builder.gun, now: server.clock.now, pin: { kind: 'root', bytes: firstRoot } })
  }

  it('publishes what clients verify, and serves it by every name', async () => {
    const builder = await newRepository(server, 'registry.example.com:5000/team/app')
    builder.put(RELEASES, '1.0', 'image')
    const files = filesOf(builder, ...ALL)
    const answer = await server.http.post(builder.gun, files)
    expect(answer.status).to.equal(200)
    expect(answer.body.byteLength).to.equal(0)
    const trusted = await read(builder)
    expect([...trusted.delegations.keys()]).to.have.members([RELEASES, SIGNER])
    for (const [role, bytes] of files) {
      for (const name of [`${role}.json`, `1.${role}.json`, `${role}.${sha256Of(bytes)}.json`]) {
        expect((await server.http.get(builder.gun, name)).body.equals(bytes), name).to.equal(true)
      }
    }
    expect((await server.http.get(builder.gun, '01.root.json')).status).to.equal(200)
    for (const name of ['0.root.json', '2.root.json', `root.${'0'.repeat(64)}.json`, 'targets/nobody.json']) {
      expect(await server.http.get(builder.gun, name), name).to.include({ status: 404, code: 'METADATA_NOT_FOUND' })
    }
  })

  it('answers with the headers of the original', async () => {
    const builder = await newRepository(server, 'registry.example.com/headers')
    await server.http.post(builder.gun, filesOf(builder, ...ALL))
    const { headers } = await server.http.get(builder.gun, 'timestamp.json')
    expect(headers).to.include({
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'public, max-age=300, s-maxage=300, must-revalidate',
      'last-modified': 'Mon, 01 Jun 2026 00:00:00 UTC',
    })
    const fixed = await server.http.get(builder.gun, '1.root.json')
    expect(fixed.headers['cache-control']).to.equal('public, max-age=2592000, s-maxage=2592000')
    expect((await server.http.get(builder.gun, 'targets/nobody.json')).headers).not.to.have.property('cache-control')
  })

  it('keeps every version, and lists in the snapshot what no update touched', async () => {
    const builder = await newRepository(server, 'registry.example.com/versions')
    await server.http.post(builder.gun, filesOf(builder, ...ALL))
    for (let version = 2; version <= 5; version++) {
      builder.put(RELEASES, `1.${version}`, 'image').nextVersions(RELEASES)
      expect((await server.http.post(builder.gun, filesOf(builder, RELEASES))).status).to.equal(200)
    }
    const { delegations } = await read(builder)
    expect(delegations.get(parseRoleName(RELEASES))?.metadata.version).to.equal(5)
    expect(delegations.get(parseRoleName(SIGNER))?.metadata.version).to.equal(1)
    for (let version = 1; version <= 5; version++) {
      expect((await server.http.get(builder.gun, `${version}.${RELEASES}.json`)).status).to.equal(200)
      expect((await server.http.get(builder.gun, `${version}.timestamp.json`)).status).to.equal(200)
    }
  })

  it('walks the chain of roots', async () => {
    const builder = await newRepository(server, 'registry.example.com/roots')
    await server.http.post(builder.gun, filesOf(builder, ...ALL))
    builder.nextRoot((root) => (root.keys = [builder.rootKey('second')]))
    expect((await server.http.post(builder.gun, filesOf(builder, ROOT))).status).to.equal(200)
    builder.nextRoot()
    expect((await server.http.post(builder.gun, filesOf(builder, ROOT))).status).to.equal(200)
    expect((await read(builder)).root.metadata.version).to.equal(3)
  })

  it('gives out the key that the root lists, and a new one for a rotation', async () => {
    const builder = await newRepository(server, 'registry.example.com/keys')
    const key = (method: string) =>
      server.http
        .call({ method, path: `/v2/${builder.gun}/_trust/tuf/timestamp.key` })
        .then(({ body }) => body.toString())
    const first = await key('GET')
    expect(first).to.match(/^\{"keytype":"ecdsa","keyval":\{"public":"[^"]+","private":null\}\}$/)
    expect(await key('GET')).to.equal(first)
    await server.http.post(builder.gun, filesOf(builder, ...ALL))
    const second = await key('POST')
    expect(second).not.to.equal(first)
    expect(await key('POST')).to.equal(second)
    expect(await key('GET')).to.equal(first)
  })

  it('deletes all of a repository and none of its name, and begins again with higher versions (row D21)', async () => {
    const builder = await newRepository(server, 'registry.example.com/deleted')
    const other = await newRepository(server, 'registry.example.com/deleted/other')
    for (const one of [builder, other]) await server.http.post(one.gun, filesOf(one, ...ALL))
    const path = `/v2/${builder.gun}/_trust/tuf/`
    const byHash = `targets.${sha256Of(filesOf(builder, TARGETS).get(TARGETS) ?? Buffer.alloc(0))}.json`
    expect((await server.http.get(builder.gun, byHash)).status).to.equal(200)
    expect((await server.http.call({ method: 'DELETE', path })).status).to.equal(200)
    expect((await server.http.call({ method: 'DELETE', path })).status).to.equal(200)
    expect((await server.http.get(builder.gun, byHash)).status).to.equal(404)
    for (const name of ['root.json', '1.root.json', 'timestamp.json', '1.targets.json']) {
      expect((await server.http.get(builder.gun, name)).status, name).to.equal(404)
      expect((await server.http.get(other.gun, name)).status, name).to.equal(200)
    }
    builder.nextRoot().nextVersions(TARGETS, RELEASES, SIGNER)
    expect((await server.http.post(builder.gun, filesOf(builder, ...ALL))).status).to.equal(200)
    const timestamp = await server.http.get(builder.gun, 'timestamp.json')
    expect(timestamp.body.toString()).to.match(/"version":2\},"signatures"/)
    // Whoever knew the old root walks on from it.
    expect((await read(builder)).root.metadata.version).to.equal(2)
  })

  it('tells what changed', async () => {
    const builder = await newRepository(server, 'registry.example.com/changes')
    await server.http.post(builder.gun, filesOf(builder, ...ALL))
    builder.nextVersions(RELEASES)
    await server.http.post(builder.gun, filesOf(builder, RELEASES))
    await server.http.call({ method: 'DELETE', path: `/v2/${builder.gun}/_trust/tuf/` })
    const feed = async (query: string) => {
      const { body } = await server.http.call({ path: `/v2/${builder.gun}/_trust/changefeed?${query}` })
      return JSON.parse(body.toString()) as {
        count: number
        records: { ID: string; Version: number; Category: string }[]
      }
    }
    const { count, records } = await feed('records=10')
    expect(count).to.equal(3)
    expect(records.map(({ Version, Category }) => `${Category} ${Version}`)).to.deep.equal([
      'update 1',
      'update 2',
      'deletion 0',
    ])
    expect((await feed(`records=1&change_id=${records[0]?.ID}`)).records).to.deep.equal([records[1]])
    expect((await feed(`records=-1&change_id=${records[2]?.ID}`)).records).to.deep.equal([records[1]])
    expect((await feed('records=1&change_id=-1')).records).to.deep.equal([records[2]])
    expect((await feed('records=0&change_id=999999')).records).to.deep.equal([])
    const all = await server.http.call({ path: '/v2/_trust/changefeed?records=1000' })
    expect((JSON.parse(all.body.toString()) as { count: number }).count).to.be.greaterThan(3)
  })

  it('reports its health', async () => {
    const path = '/_notary_server/health'
    expect(await server.http.call({ path, isAuthorized: false })).to.include({ status: 200 })
    server.signer.fails = 'KEY_HOLDER_SEALED'
    const sealed = await server.http.call({ path, isAuthorized: false })
    server.signer.fails = undefined
    expect(sealed.status).to.equal(503)
    expect(sealed.body.toString()).to.equal('{"Trust operational":"KEY_HOLDER_SEALED"}')
  })

  it('counts what it answers', async () => {
    const { body } = await server.http.call({ path: '/metrics', isAuthorized: false })
    expect(body.toString()).to.match(
      /countersign_trust_server_request_duration_seconds_count\{route="update",status="200"\} [0-9]/,
    )
    expect(body.toString()).not.to.include('registry.example.com')
  })
})

function hashesIn(file: Buffer | undefined): ReadonlyMap<string, string> {
  if (file === undefined) return new Map()
  const { signed } = JSON.parse(file.toString()) as { signed: { meta: Record<string, { hashes: { sha256: string } }> } }
  return new Map(
    Object.entries(signed.meta).map(([role, { hashes }]) => [
      role,
      Buffer.from(hashes.sha256, 'base64').toString('hex'),
    ]),
  )
}
