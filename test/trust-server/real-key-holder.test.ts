// The trust server on the real key holder's socket, and our own Notary client on the trust server's.
import { RELEASES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, verifyFiles, type RoleName } from '@countersign/tuf'
import { expect } from 'chai'
import { silentLog } from '../../src/log.ts'
import { passwordSource } from '../../src/net/credentials.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { createDatabase } from '../../src/sqlite/database.ts'
import { parseTrustServerConfig } from '../../src/trust-server/config.ts'
import { startTrustServer, type RunningTrustServer } from '../../src/trust-server/main.ts'
import { SCHEMA } from '../../src/trust-server/schema.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { TestKeyHolder } from '../support/key-holder.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'
import { filesOf, HttpCaller, testConfig, TOKEN } from '../support/trust-server/server.ts'

describe('the trust server and the key holder', () => {
  const scope = new Scope()
  let holder: TestKeyHolder
  let running: RunningTrustServer
  let client: NotaryClient
  const builder = RepositoryBuilder.withSigner('countersign', 'registry.example.com/team/real')

  before(async () => {
    holder = new TestKeyHolder(scope)
    await holder.start()
    const socket = holder.config.trustServerSocket ?? ''
    running = await startTrustServer(parseTrustServerConfig(testConfig('', `keyHolderSocket: '${socket}'`)), {
      now: () => NOW,
      database: createDatabase(':memory:', SCHEMA),
      log: silentLog,
    })
    scope.add(() => running.stop())
    client = new NotaryClient({
      url: running.url,
      tls: {},
      timeouts: { connectMs: 5000, headersMs: 5000, totalMs: 10_000 },
      tokenRealms: [`${running.url}/token`],
      credentials: passwordSource(
        () => 'daemon',
        () => TOKEN,
      ),
    })
    scope.add(() => client.close())
  })
  after(() => scope.close())

  const publish = (...roles: RoleName[]) =>
    client.publish(builder.gun, filesOf(builder, ...roles) as Map<RoleName, Uint8Array>)

  it('publishes with keys of the key holder, by way of the token realm', async () => {
    for (const role of [SNAPSHOT, TIMESTAMP]) {
      const publicKey = await client.serverKey(builder.gun, role)
      expect(await client.serverKey(builder.gun, role)).to.deep.equal(publicKey)
      builder.role(role).keys = [{ privateKey: testKey(role).privateKey, publicKey }]
    }
    await publish(ROOT, TARGETS, RELEASES, 'targets/countersign' as RoleName)
    builder.put(RELEASES, '1.0', 'image').nextVersions(RELEASES)
    await publish(RELEASES)
    expect((await verified()).delegations.get(RELEASES)?.metadata.targets.has('1.0')).to.equal(true)
  })

  it('tells our client which repositories changed, by the same realm', async () => {
    const all = await client.changes(builder.gun, { scope: 'server', after: 0, records: 10 })
    const own = await client.changes(builder.gun, { scope: 'repository', after: 0, records: 10 })
    expect(own).to.have.length(2)
    expect(all).to.deep.equal(own)
    const timestamp = await client.read(builder.gun, `timestamp.${own?.[0]?.timestamp}.json`, 10_000)
    expect(timestamp, 'what was superseded can still be had').to.be.instanceOf(Uint8Array)
    expect(await client.changes(builder.gun, { scope: 'server', after: 'newest', records: 1 })).to.deep.equal(
      own?.slice(1),
    )
  })

  it('refuses what the key holder refuses, in the words of the protocol', async () => {
    await expectCodeAsync('NOTARY_CONFLICT', () => publish(RELEASES))
    builder.nextVersions(RELEASES)
    builder.role(RELEASES).signers = [testKey('stranger')]
    await expectCodeAsync('NOTARY_UPDATE_INVALID', () => publish(RELEASES))
    delete builder.role(RELEASES).signers
    await publish(RELEASES)
  })

  it('gives no key for a repository that nobody allowed, and takes no update of it (row D13)', async () => {
    const other = RepositoryBuilder.withSigner('countersign', 'registry.example.com/elsewhere')
    const { gun } = other
    await expectCodeAsync('NOTARY_RESPONSE_MALFORMED', () => client.serverKey(gun, TIMESTAMP))
    const http = new HttpCaller(running.url)
    expect(await http.get(gun, 'timestamp.key')).to.include({ status: 404, code: 'METADATA_NOT_FOUND' })
    expect(await http.post(gun, filesOf(other, ROOT, TARGETS))).to.include({ status: 400, code: 'INVALID_GUN' })
  })

  it('leaves the key holder well where files are deep, long or broken behind a good beginning and end', async () => {
    const http = new HttpCaller(running.url)
    for (const inside of [
      '['.repeat(1_000_000),
      `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`,
      `"${'x'.repeat(8_000_000)}"`,
      '{"a":1',
    ]) {
      const file = `{"signed":{"_type":"Targets","targets":${inside},"version":99},"signatures":[]}`
      const answer = await http.post(builder.gun, new Map([[TARGETS, Buffer.from(file)]]))
      expect(answer.status, answer.code).to.equal(400)
    }
    builder.nextVersions(RELEASES)
    await publish(RELEASES)
  })

  it('serves on while the key holder is away, and refuses updates', async () => {
    await holder.stop()
    await verified()
    builder.nextVersions(RELEASES)
    await expectCodeAsync('NOTARY_ANSWER_LOST', () => publish(RELEASES))
    await holder.start()
    // What was left is ended with the next request: the same update is published by then.
    await expectCodeAsync('NOTARY_CONFLICT', () => publish(RELEASES))
    expect((await verified()).delegations.get(RELEASES)?.metadata.version).to.equal(builder.role(RELEASES).version)
  })

  async function verified() {
    const files = new Map<string, Uint8Array>()
    const add = async (name: string): Promise<Uint8Array> => {
      const bytes = await client.read(builder.gun, name, 100_000)
      if (bytes === undefined) throw new Error(`${name} is not there`)
      files.set(name, bytes)
      return bytes
    }
    await add('root.json')
    const [snapshot] = hashesIn(await add('timestamp.json'))
    for (const [role, hex] of hashesIn(await add(`snapshot.${snapshot?.[1] ?? ''}.json`)))
      await add(`${role}.${hex}.json`)
    const root = files.get('root.json') ?? new Uint8Array()
    return verifyFiles(files, { gun: builder.gun, now: NOW, pin: { kind: 'root', bytes: root } })
  }
})

function hashesIn(file: Uint8Array): readonly (readonly [string, string])[] {
  const { signed } = JSON.parse(Buffer.from(file).toString()) as {
    signed: { meta: Record<string, { hashes: { sha256: string } }> }
  }
  return Object.entries(signed.meta).map(
    ([role, { hashes }]) => [role, Buffer.from(hashes.sha256, 'base64').toString('hex')] as const,
  )
}
