// Roots of our making at a real notary-server: the stock client that has the old one in its cache follows, and so does a new one.
import {
  newRoot,
  newTargets,
  nextRoot,
  parseGun,
  parseTag,
  editTargets,
  renewTargets,
  RepositoryVerifier,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  verifyNextRoot,
  type BaseRoleChange,
  type RoleName,
  type RootPin,
  type TrustedRepository,
} from '@countersign/tuf'
import { expect } from 'chai'
import { ANONYMOUS } from '../../src/net/credentials.ts'
import { NotaryClient as OurClient } from '../../src/notary/client.ts'
import { newRootKey, newSigningKey, signFile, type SigningKey } from '../support/fakes/signing-key.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const TAG = parseTag('1.0')
const YEAR_MS = 365 * 86_400_000
const inAYear = (): Date => new Date(Date.now() + YEAR_MS)

describe('a change of root at a real notary-server', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  const gun = parseGun('registry.example.com/team/root-change')
  let ours: OurClient
  let cached: NotaryClient
  let newClient: () => NotaryClient
  let rootKeys: SigningKey[] = [newRootKey(gun)]
  let targetsKey = newSigningKey()
  let pin: RootPin

  before(async function () {
    requirePeers(this, 'notary-server', 'notary')
    const notary = await startNotaryServer(scope, { ca })
    ours = new OurClient({
      url: notary.url,
      tls: { caPem: ca.certificatePem },
      timeouts: { connectMs: 5_000, headersMs: 10_000, totalMs: 20_000 },
      tokenRealms: [],
      credentials: ANONYMOUS,
    })
    scope.add(() => ours.close())
    newClient = () => new NotaryClient(scope, { notary })
    cached = newClient()
    const root = newRoot({
      version: 1,
      expiresAt: inAYear(),
      rootKeys: rootKeys.map(({ publicKey }) => publicKey),
      targetsKeys: [targetsKey.publicKey],
      snapshotKeys: [await ours.serverKey(gun, SNAPSHOT)],
      timestampKeys: [await ours.serverKey(gun, TIMESTAMP)],
    })
    const bytes = signFile(root, rootKeys)
    pin = { kind: 'root', bytes }
    await ours.publish(
      gun,
      new Map([
        [ROOT, bytes],
        [TARGETS, signFile(newTargets({ role: TARGETS, version: 1, expiresAt: inAYear() }), [targetsKey])],
      ]),
    )
    const put = [{ kind: 'put', name: TAG, sha256: 'ab'.repeat(32), length: 7 }] as const
    const edited = editTargets(await verified(), TARGETS, put, { version: 2, expiresAt: inAYear() })
    if (edited === undefined) throw new Error('the tag was there before')
    await ours.publish(gun, new Map([[TARGETS, signFile(edited, [targetsKey])]]))
    expect(await cached.list(gun)).to.have.length(1)
  })
  after(() => scope.close())

  /** The repository as the server has it, verified from the first root. */
  async function verified(): Promise<TrustedRepository> {
    const verifier = new RepositoryVerifier({ gun, pin, now: new Date() })
    for (let asked = verifier.next(); asked !== undefined; asked = verifier.next()) {
      verifier.accept(await ours.read(gun, asked.fileName, asked.maxBytes))
    }
    return verifier.result()
  }

  /** Publishes the change, signed by all root keys that there were so far, and the new ones. */
  async function publish(changes: readonly BaseRoleChange[]): Promise<void> {
    const repository = await verified()
    const files = new Map<RoleName, Uint8Array>([[ROOT, signFile(nextRoot(repository, changes, inAYear()), rootKeys)]])
    if (changes.some(({ role }) => role === TARGETS)) {
      const version = repository.targets.metadata.version + 1
      files.set(TARGETS, signFile(renewTargets(repository, TARGETS, { version, expiresAt: inAYear() }), [targetsKey]))
    }
    verifyNextRoot(repository, files, changes)
    await ours.publish(gun, files)
  }

  async function expectFollowed(version: number): Promise<void> {
    const repository = await verified()
    expect(repository.root.metadata.version).to.equal(version)
    for (const client of [cached, newClient()]) {
      expect((await client.list(gun)).map(({ name, sha256 }) => [name, sha256])).to.deep.equal([[TAG, 'ab'.repeat(32)]])
    }
  }

  it('that gives targets another key', async () => {
    targetsKey = newSigningKey()
    await publish([{ role: TARGETS, keys: [targetsKey.publicKey] }])
    await expectFollowed(2)
  })

  it('that gives the server’s roles other keys of the server', async () => {
    const snapshot = await ours.rotateServerKey(gun, SNAPSHOT)
    const timestamp = await ours.rotateServerKey(gun, TIMESTAMP)
    await publish([
      { role: SNAPSHOT, keys: [snapshot] },
      { role: TIMESTAMP, keys: [timestamp] },
    ])
    await expectFollowed(3)
  })

  it('that gives root another key, and then leaves the former one out', async () => {
    const [former] = rootKeys
    const successor = newRootKey(gun)
    rootKeys = [...rootKeys, successor]
    await publish([{ role: ROOT, keys: [successor.publicKey] }])
    await expectFollowed(4)
    rootKeys = rootKeys.filter((key) => key !== former)
    await publish([])
    await expectFollowed(5)
  })

  it('that changes every key at once', async () => {
    targetsKey = newSigningKey()
    const successor = newRootKey(gun)
    rootKeys = [...rootKeys, successor]
    await publish([
      { role: ROOT, keys: [successor.publicKey] },
      { role: TARGETS, keys: [targetsKey.publicKey] },
      { role: SNAPSHOT, keys: [await ours.rotateServerKey(gun, SNAPSHOT)] },
      { role: TIMESTAMP, keys: [await ours.rotateServerKey(gun, TIMESTAMP)] },
    ])
    await expectFollowed(6)
  })
})
