// A repository that stood at another server comes to the trust server and its key holder: whoever knows it from there follows.
import {
  parseTimestamp,
  RELEASES,
  RepositoryVerifier,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  type KnownVersion,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { expect } from 'chai'
import { silentLog } from '../../src/log.ts'
import { passwordSource } from '../../src/net/credentials.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { createDatabase } from '../../src/sqlite/database.ts'
import { parseTrustServerConfig } from '../../src/trust-server/config.ts'
import { startTrustServer } from '../../src/trust-server/main.ts'
import { SCHEMA } from '../../src/trust-server/schema.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, TestKeyHolder } from '../support/key-holder.ts'
import { NOW, RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { testKey } from '../support/test-keys.ts'
import { filesOf, testConfig, TOKEN } from '../support/trust-server/server.ts'

const SIGNER = 'targets/countersign' as RoleName
const ALL = [ROOT, TARGETS, RELEASES, SIGNER] as const

describe('a repository from another server, at the trust server', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let client: NotaryClient
  let database: ReturnType<typeof createDatabase>
  let builder: RepositoryBuilder
  /** The two roots of the other server, oldest first. */
  let older: Uint8Array[]
  /** What a client of the other server has in its cache. */
  let known: Map<RoleName, KnownVersion>

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    database = createDatabase(':memory:', SCHEMA)
    const socket = holder.config.trustServerSocket ?? ''
    const running = await startTrustServer(parseTrustServerConfig(testConfig('', `keyHolderSocket: '${socket}'`)), {
      now: () => NOW,
      database,
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
    builder = RepositoryBuilder.withSigner('countersign', 'registry.example.com/team/moved')
    // The former root key is gone: only who has both roots can follow.
    builder.nextRoot((root) => {
      root.keys = [builder.rootKey('successor')]
    })
    builder.put(RELEASES, '1.0', 'image').nextVersions(RELEASES)
    for (let publication = 0; publication < 5; publication++) builder.nextVersions()
    const files = builder.files()
    older = ['1.root.json', '2.root.json'].map((name) => files.get(name)!)
    const { timestamp, snapshot, targets, delegations } = builder.verify()
    known = new Map(
      [[TIMESTAMP, timestamp] as const, [SNAPSHOT, snapshot] as const, [TARGETS, targets] as const, ...delegations].map(
        ([role, { metadata, sha256 }]) => [role, { version: metadata.version, sha256 }],
      ),
    )
    await holder.operator.call(
      'pin-repository',
      {
        gun: builder.gun,
        certificateKeyIds: [builder.rootKey('successor').publicKey.tufKeyId],
        signer: 'newcomer',
        files: [...files.keys()],
        evidence: EVIDENCE,
      },
      files,
    )
  })
  afterEach(() => scope.close())

  /** The next root, with the keys of the server. */
  async function nextRoot(): Promise<void> {
    builder.nextRoot()
    for (const role of [SNAPSHOT, TIMESTAMP]) {
      const publicKey = await client.serverKey(builder.gun, role)
      builder.role(role).keys = [{ privateKey: testKey(role).privateKey, publicKey }]
    }
  }
  const publish = (...roles: readonly RoleName[]) =>
    client.publish(builder.gun, filesOf(builder, ...roles) as Map<RoleName, Uint8Array>)
  async function walk(root: Uint8Array): Promise<TrustedRepository> {
    const pin = { kind: 'root', bytes: root } as const
    const verifier = new RepositoryVerifier({ gun: builder.gun, pin, now: NOW, highest: known })
    for (let file = verifier.next(); file !== undefined; file = verifier.next()) {
      verifier.accept(await client.read(builder.gun, file.fileName, file.maxBytes))
    }
    return verifier.result()
  }

  it('is followed from each of its roots, and no version goes back', async () => {
    await nextRoot()
    await client.bringOlderRoots(builder.gun, older)
    expect(await client.rootVersions(builder.gun)).to.deep.equal([])
    await publish(...ALL)
    expect(await client.rootVersions(builder.gun)).to.deep.equal([1, 2, 3])
    for (const root of older) {
      const { timestamp, snapshot, delegations, rootChain } = await walk(root)
      expect(rootChain).to.have.length(root === older[0] ? 3 : 2)
      expect(delegations.get(RELEASES)?.metadata.targets.has('1.0')).to.equal(true)
      // Room for what the other server still signs.
      for (const { metadata, role } of [
        { ...timestamp, role: TIMESTAMP },
        { ...snapshot, role: SNAPSHOT },
      ] as const) {
        expect(metadata.version).to.be.greaterThan(known.get(role)!.version + 50)
      }
    }
    // Once more is the same, and other roots are none of it.
    await client.bringOlderRoots(builder.gun, older)
    const stranger = RepositoryBuilder.withSigner('countersign', builder.gun)
    stranger.role(ROOT).keys = [stranger.rootKey('stranger')]
    await expectCodeAsync('NOTARY_CONFLICT', () => client.bringOlderRoots(builder.gun, [stranger.firstRoot()]))
    const record = holder.log().find(({ kind }) => kind === 'snapshot-signed')
    expect(record).to.include({ follows: 2 })
    const version = parseTimestamp((await client.read(builder.gun, 'timestamp.json', 1e6))!).metadata.version
    builder.put(RELEASES, '2.0', 'next').nextVersions(RELEASES)
    await publish(RELEASES)
    const next = parseTimestamp((await client.read(builder.gun, 'timestamp.json', 1e6))!).metadata.version
    expect(next).to.equal(version + 1)
  })

  it('older roots that the first one does not follow are not served', async () => {
    const stranger = RepositoryBuilder.withSigner('countersign', builder.gun)
    stranger.role(ROOT).keys = [stranger.rootKey('stranger')]
    stranger.nextRoot()
    await nextRoot()
    await client.bringOlderRoots(builder.gun, [stranger.firstRoot(), stranger.files().get('2.root.json')!])
    await publish(...ALL)
    expect(await client.rootVersions(builder.gun)).to.deep.equal([3])
    // The right ones can still be added, all at once or one before the other; others cannot.
    await expectCodeAsync('NOTARY_CONFLICT', () => client.bringOlderRoots(builder.gun, [stranger.firstRoot()]))
    await expectCodeAsync('NOTARY_CONFLICT', () => client.bringOlderRoots(builder.gun, older.slice(0, 1)))
    await client.bringOlderRoots(builder.gun, older.slice(1))
    expect(await client.rootVersions(builder.gun)).to.deep.equal([2, 3])
    await client.bringOlderRoots(builder.gun, older)
    expect(await client.rootVersions(builder.gun)).to.deep.equal([1, 2, 3])
    for (const root of older) await walk(root)
  })

  it('older roots stay while updates of others are refused', async () => {
    const ours = builder
    await client.bringOlderRoots(ours.gun, older)
    const stranger = RepositoryBuilder.withSigner('countersign', ours.gun)
    stranger.role(ROOT).keys = [stranger.rootKey('stranger')]
    builder = stranger
    await expectCodeAsync('NOTARY_UPDATE_INVALID', () => publish(...ALL))
    builder = ours
    await nextRoot()
    await publish(...ALL)
    expect(await client.rootVersions(builder.gun)).to.deep.equal([1, 2, 3])
  })

  for (const [what, roots] of [
    ['with a gap', () => [older[0]!, builder.nextRoot().files().get('3.root.json')!]],
    ['that nobody signed over', () => [older[1]!, older[0]!]],
    ['that are no roots', () => [Buffer.from('{}')]],
  ] as const) {
    it(`refuses older roots ${what}`, async () => {
      await expectCodeAsync('NOTARY_UPDATE_INVALID', () => client.bringOlderRoots(builder.gun, roots()))
    })
  }

  it('keeps no more once too many wait in other repositories, and those of a publication do not count', async () => {
    const waiting = (gun: string): void => {
      database.sqlite.exec(`INSERT INTO repositories (gun, is_deleted) VALUES ('${gun}', 1);
        INSERT INTO files (repository, role, version, sha256, created_at, bytes)
        SELECT id, 'root', 1, '00', '', zeroblob(64 * 1024 * 1024) FROM repositories WHERE gun = '${gun}'`)
    }
    waiting('registry.example.com/team/deleted')
    database.sqlite.exec(`INSERT INTO changes (gun, version, sha256, category, created_at)
      VALUES ('registry.example.com/team/deleted', 0, '', 'deletion', '')`)
    await client.bringOlderRoots(builder.gun, older.slice(0, 1))
    waiting('registry.example.com/team/waiting')
    const { facts } = await expectCodeAsync('NOTARY_UNAVAILABLE', () => client.bringOlderRoots(builder.gun, older))
    expect(facts).to.include({ status: 429 })
  })

  it('keeps nothing of a repository that may not be served', async () => {
    const other = RepositoryBuilder.withSigner('countersign', 'registry.example.com/elsewhere')
    await expectCodeAsync('NOTARY_UPDATE_INVALID', () => client.bringOlderRoots(other.gun, [other.firstRoot()]))
  })

  describe('is refused', () => {
    it('without a root', async () => {
      await nextRoot()
      await expectCodeAsync('NOTARY_UPDATE_INVALID', () => publish(TARGETS, RELEASES, SIGNER))
    })

    it('without a delegated role that was seen', async () => {
      await nextRoot()
      await expectCodeAsync('NOTARY_UPDATE_INVALID', () => publish(ROOT, TARGETS, SIGNER))
    })

    it('once more, after it was deleted here: NOTARY_CONFLICT before anything is published', async () => {
      await nextRoot()
      await client.bringOlderRoots(builder.gun, older)
      await publish(...ALL)
      await holder.trustServer.call('serve-delete', { gun: builder.gun, evidence: EVIDENCE })
      await expectCodeAsync('NOTARY_CONFLICT', () => client.bringOlderRoots(builder.gun, [older[1]!]))
    })

    it('with a root of somebody else, whatever its version', async () => {
      for (const roots of [0, 1, 2]) {
        const stranger = RepositoryBuilder.withSigner('countersign', builder.gun)
        stranger.role(ROOT).keys = [stranger.rootKey('stranger')]
        for (let root = 0; root < roots; root++) stranger.nextRoot()
        builder = stranger
        for (const role of [SNAPSHOT, TIMESTAMP]) {
          const publicKey = await client.serverKey(builder.gun, role)
          builder.role(role).keys = [{ privateKey: testKey(role).privateKey, publicKey }]
        }
        await expectCodeAsync('NOTARY_UPDATE_INVALID', () => publish(...ALL))
      }
    })

    it('with another content under the version of its last root', async () => {
      for (const role of [SNAPSHOT, TIMESTAMP]) {
        const publicKey = await client.serverKey(builder.gun, role)
        builder.role(role).keys = [{ privateKey: testKey(role).privateKey, publicKey }]
      }
      expect(builder.role(ROOT).version).to.equal(2)
      await expectCodeAsync('NOTARY_CONFLICT', () => publish(...ALL))
    })

    it('where a role is older than it was seen, or another under the same version', async () => {
      await nextRoot()
      const releases = builder.role(RELEASES)
      releases.version--
      await expectCodeAsync('NOTARY_CONFLICT', () => publish(...ALL))
      releases.version++
      builder.put(RELEASES, '1.0', 'another')
      await expectCodeAsync('NOTARY_CONFLICT', () => publish(...ALL))
    })
  })
})
