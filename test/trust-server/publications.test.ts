// What is left by crashes, lost answers, races and restored databases, and who is asked for new signatures when.
import { RELEASES, ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { createDatabase } from '../../src/sqlite/database.ts'
import { MetadataStore } from '../../src/trust-server/metadata-store.ts'
import { SCHEMA } from '../../src/trust-server/schema.ts'
import { NOW, type RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { interleave } from '../support/trust-server/interleavings.ts'
import {
  filesOf,
  newRepository,
  startTestTrustServer,
  testConfig,
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
    // The others of a thousand are in test/long.
    await interleave(scope, 100)
  })

  describe('are signed again', () => {
    it('in the background days before the timestamp ends (row D15)', async () => {
      const { server, builder } = await published({ config: testConfig('', "renewal: { every: '1s' }") })
      const { body } = await server.http.get(builder.gun, 'timestamp.json')
      server.clock.now = new Date(NOW.getTime() + 11.5 * DAY_MS)
      await eventually(async () => !(await server.http.get(builder.gun, 'timestamp.json')).body.equals(body))
    })

    it('only once half of their life is over, however wide the window is', async () => {
      const { server } = await published({ config: testConfig('', "renewal: { every: '1d' }") })
      const store = new MetadataStore(server.database, () => server.clock.now)
      // A wide window of one role alone, some days after everything was published: a timestamp lives 14 days, a snapshot 1095.
      const due = (days: number, o: { timestamp?: number; snapshot?: number }): number =>
        store.expiring(new Date(NOW.getTime() + days * DAY_MS), {
          timestampBeforeMs: (o.timestamp ?? -2000) * DAY_MS,
          snapshotBeforeMs: (o.snapshot ?? -2000) * DAY_MS,
        }).length
      expect([6.9, 7, 13].map((days) => due(days, { timestamp: 13.5 }))).to.deep.equal([0, 1, 1])
      expect([547, 548, 900].map((days) => due(days, { snapshot: 1000 }))).to.deep.equal([0, 1, 1])
      expect(
        [10.9, 11.1].map((days) => due(days, { timestamp: 3 })),
        'a window that is shorter',
      ).to.deep.equal([0, 1])
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

    for (const [why, code] of [
      ['away', 'KEY_HOLDER_UNREACHABLE'],
      ['sealed', 'KEY_HOLDER_SEALED'],
    ] as const) {
      it(`in the background once the key holder is no longer ${why}; what has not ended is served meanwhile`, async () => {
        const { server, builder } = await published({ config: testConfig('', "renewal: { every: '1s' }") })
        server.signer.fails = code
        server.clock.now = new Date(NOW.getTime() + 12 * DAY_MS)
        await eventually(() => Promise.resolve(refreshes(server) > 0))
        for (const name of ['timestamp.json', 'snapshot.json', 'targets.json', `${RELEASES}.json`]) {
          expect((await server.http.get(builder.gun, name)).status, name).to.equal(200)
        }
        server.signer.fails = undefined
        await eventually(async () => {
          const { body } = await server.http.get(builder.gun, 'timestamp.json')
          return /"version":2\},"signatures"/.test(body.toString())
        })
      })
    }

    it('not for every reader while that fails: once in five seconds', async () => {
      const { server, builder } = await published({ config: testConfig('', "renewal: { every: '1d' }") })
      server.signer.fails = 'KEY_HOLDER_SEALED'
      const later = (milliseconds: number): void => {
        server.clock.now = new Date(server.clock.now.getTime() + milliseconds)
      }
      later(15 * DAY_MS)
      for (const expected of [1, 2]) {
        for (let count = 0; count < 10; count++) {
          expect((await server.http.get(builder.gun, 'timestamp.json')).status).to.equal(503)
        }
        expect(refreshes(server)).to.equal(expected)
        later(5001)
      }
      server.signer.fails = undefined
      expect((await server.http.get(builder.gun, 'timestamp.json')).status).to.equal(200)
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

function refreshes({ signer }: TestTrustServer): number {
  return signer.calls.filter((call) => call.startsWith('refresh')).length
}

async function eventually(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 8_000
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error('it did not come to pass')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
