// What is left by crashes, lost answers, races and restored databases, and who is asked for new signatures when.
import { RELEASES, ROOT, TARGETS, verifyFiles } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { createDatabase } from '../../src/sqlite/database.ts'
import { SCHEMA } from '../../src/trust-server/schema.ts'
import { NOW, type RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import {
  filesOf,
  newRepository,
  startTestTrustServer,
  testConfig,
  type Answer,
  type TestTrustServer,
  type TestTrustServerOptions,
} from '../support/trust-server/server.ts'

const SIGNER = 'targets/countersign'
const ALL = [ROOT, TARGETS, RELEASES, SIGNER]
const DAY_MS = 86_400_000

describe('publications', () => {
  let scope: Scope
  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  async function published(
    o: TestTrustServerOptions = {},
  ): Promise<{ server: TestTrustServer; builder: RepositoryBuilder }> {
    const server = await startTestTrustServer(scope, o)
    const builder = await newRepository(server, 'registry.example.com/team/app')
    expect((await server.http.post(builder.gun, filesOf(builder, ...ALL))).status).to.equal(200)
    return { server, builder }
  }

  for (const step of ['staged', 'signed', 'committed'] as const) {
    it(`end whole or not at all where the process ends when ${step}`, async () => {
      let isArmed = false
      const { server, builder } = await published({
        step: (passed) => {
          if (isArmed && passed === step) throw new Error('the process ends here')
        },
      })
      isArmed = true
      builder.nextVersions(RELEASES)
      expect((await server.http.post(builder.gun, filesOf(builder, RELEASES))).status).to.equal(500)
      // Readers see the old state or the new one, whole.
      expect(await versionRead(server, builder)).to.equal(step === 'committed' ? 2 : 1)
      // Another process on the same database and key holder.
      const { database, signer, clock } = server
      const next = await startTestTrustServer(scope, { database, signer, clock })
      await eventually(async () => (await versionRead(next, builder)) === 2)
      expect(await next.http.post(builder.gun, filesOf(builder, RELEASES))).to.include({ status: 400, code: 'VERSION' })
      builder.nextVersions(RELEASES)
      expect((await next.http.post(builder.gun, filesOf(builder, RELEASES))).status).to.equal(200)
      expect(await versionRead(next, builder)).to.equal(3)
    })
  }

  it('whose answer was lost are published once', async () => {
    const { server, builder } = await published()
    server.signer.losesNextAnswer = true
    builder.nextVersions(RELEASES)
    expect(await server.http.post(builder.gun, filesOf(builder, RELEASES))).to.include({
      status: 503,
      code: 'UNAVAILABLE',
    })
    expect(await server.http.post(builder.gun, filesOf(builder, RELEASES))).to.include({ status: 400, code: 'VERSION' })
    expect(await versionRead(server, builder)).to.equal(2)
  })

  it('that are refused leave nothing', async () => {
    const { server, builder } = await published()
    builder.nextVersions(RELEASES)
    server.signer.fails = 'KEY_HOLDER_SEALED'
    expect(await server.http.post(builder.gun, filesOf(builder, RELEASES))).to.include({
      status: 503,
      code: 'UNAVAILABLE',
    })
    server.signer.fails = undefined
    expect((await server.http.post(builder.gun, filesOf(builder, RELEASES))).status).to.equal(200)
  })

  it('stop where the key holder knows of files that are missing here, until they are replaced', async () => {
    const { server, builder } = await published()
    const restored = await startTestTrustServer(scope, {
      database: createDatabase(':memory:', SCHEMA),
      signer: server.signer,
      clock: server.clock,
    })
    builder.nextVersions(RELEASES)
    expect(await restored.http.post(builder.gun, filesOf(builder, RELEASES))).to.include({
      status: 503,
      code: 'UNAVAILABLE',
    })
    expect(server.signer.calls.filter((call) => call.startsWith('update'))).to.have.length(1)
    builder.nextRoot().nextVersions(TARGETS, SIGNER)
    expect((await restored.http.post(builder.gun, filesOf(builder, ...ALL))).status).to.equal(200)
    expect(await versionRead(restored, builder)).to.equal(2)
  })

  it('of one version have one winner (row D9)', async () => {
    const { server, builder } = await published()
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, index) => {
        builder.role(RELEASES).version = 2
        builder.put(RELEASES, 'tag', `image ${index}`)
        return server.http.post(builder.gun, filesOf(builder, RELEASES))
      }),
    )
    const [won, lost] = [
      answers.filter(({ status }) => status === 200),
      answers.filter(({ code }) => code === 'VERSION'),
    ]
    expect([won.length, lost.length]).to.deep.equal([1, 15])
  })

  it('by two writers, interleaved in any way, leave a chain that clients verify at every version', async function () {
    this.timeout(120_000)
    const { server, builder } = await published()
    const versions = new Map([RELEASES as string, SIGNER].map((role) => [role, 1]))
    let publications = 1
    const writer = (role: string, pauses: readonly number[]): (() => Promise<Answer>) => {
      const version = (versions.get(role) ?? 0) + 1
      builder.role(role).version = version
      builder.put(role, `v${version % 7}`, `${role} ${version} ${pauses.length}`)
      const files = filesOf(builder, role)
      return () => server.http.post(builder.gun, files)
    }
    const interleaving = fc.record({
      same: fc.boolean(),
      pauses: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 6 }),
    })
    await fc.assert(
      fc.asyncProperty(interleaving, async ({ same, pauses }) => {
        let at = 0
        server.signer.pause = async () => {
          for (let left = pauses[at++ % pauses.length] ?? 0; left > 0; left--)
            await new Promise((resolve) => setImmediate(resolve))
        }
        const roles = same ? [RELEASES, RELEASES] : [RELEASES, SIGNER]
        const posts = roles.map((role, index) => writer(role, pauses.slice(index)))
        const answers = await Promise.all(posts.map((post) => post()))
        const won = answers.filter(({ status }) => status === 200).length
        expect(won).to.equal(same ? 1 : 2)
        expect(answers.filter(({ code }) => code === 'VERSION').length).to.equal(2 - won)
        for (const role of new Set(roles)) versions.set(role, (versions.get(role) ?? 0) + 1)
        publications += won
      }),
      { numRuns: 1000 },
    )
    for (let version = 1; version <= publications; version++) await verifyAt(server, builder, version)
  })

  describe('are signed again', () => {
    it('in the background days before the timestamp ends (row D15)', async () => {
      const { server, builder } = await published({ config: testConfig('', "renewal: { every: '1s' }") })
      const { body } = await server.http.get(builder.gun, 'timestamp.json')
      server.clock.now = new Date(NOW.getTime() + 11.5 * DAY_MS)
      await eventually(async () => !(await server.http.get(builder.gun, 'timestamp.json')).body.equals(body))
    })

    it('on reading where it has ended: once, however many read', async () => {
      const { server, builder } = await published({ config: testConfig('', "renewal: { every: '1d' }") })
      server.clock.now = new Date(NOW.getTime() + 15 * DAY_MS)
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => server.http.get(builder.gun, 'timestamp.json')),
      )
      expect(new Set(answers.map(({ status, body }) => `${status} ${body.toString()}`)).size).to.equal(1)
      expect(server.signer.calls.filter((call) => call.startsWith('refresh'))).to.have.length(1)
      expect(answers[0]?.body.toString()).to.match(/"version":2\},"signatures"/)
    })

    it('never while the timestamp holds: it is served without the key holder (row D15)', async () => {
      const { server, builder } = await published({ config: testConfig('', "renewal: { every: '1d' }") })
      server.signer.fails = 'KEY_HOLDER_UNREACHABLE'
      server.clock.now = new Date(NOW.getTime() + 13 * DAY_MS)
      expect((await server.http.get(builder.gun, 'timestamp.json')).status).to.equal(200)
      server.clock.now = new Date(NOW.getTime() + 15 * DAY_MS)
      expect(await server.http.get(builder.gun, 'timestamp.json')).to.include({ status: 503, code: 'UNAVAILABLE' })
      expect((await server.http.get(builder.gun, 'root.json')).status).to.equal(200)
    })
  })
})

async function versionRead({ http }: TestTrustServer, { gun }: RepositoryBuilder): Promise<number> {
  const { body } = await http.get(gun, `${RELEASES}.json`)
  return Number(/"version":([0-9]+)\},"signatures"/.exec(body.toString())?.[1])
}

/** From the timestamp of this version down to every file, as a client that came by at the time. */
async function verifyAt({ http, clock }: TestTrustServer, builder: RepositoryBuilder, version: number): Promise<void> {
  const files = new Map<string, Uint8Array>()
  const add = async (name: string, as = name): Promise<Buffer> => {
    const { status, body } = await http.get(builder.gun, name)
    expect(status, name).to.equal(200)
    files.set(as, body)
    return body
  }
  const root = await add('root.json')
  const timestamp = await add(`${version}.timestamp.json`, 'timestamp.json')
  const [snapshot] = hashesIn(timestamp)
  for (const [role, hex] of hashesIn(await add(`snapshot.${snapshot?.[1] ?? ''}.json`)))
    await add(`${role}.${hex}.json`)
  const trusted = verifyFiles(files, { gun: builder.gun, now: clock.now, pin: { kind: 'root', bytes: root } })
  expect(trusted.timestamp.metadata.version).to.equal(version)
  expect([...trusted.unusable]).to.deep.equal([])
}

function hashesIn(file: Buffer): readonly (readonly [string, string])[] {
  const { signed } = JSON.parse(file.toString()) as { signed: { meta: Record<string, { hashes: { sha256: string } }> } }
  return Object.entries(signed.meta).map(
    ([role, { hashes }]) => [role, Buffer.from(hashes.sha256, 'base64').toString('hex')] as const,
  )
}

async function eventually(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 8_000
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error('it did not come to pass')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
