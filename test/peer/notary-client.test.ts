// The client and a real notary-server over TLS with a private authority: what the server says is taken for what it means.
import {
  findTarget,
  newRoot,
  newTargets,
  parseGun,
  parseRoleName,
  RELEASES,
  RepositoryVerifier,
  ROOT,
  SNAPSHOT,
  TARGETS,
  targetsOf,
  TIMESTAMP,
  type Gun,
  type RoleName,
  type TrustedRepository,
} from '@countersign/tuf'
import { expect } from 'chai'
import { ANONYMOUS, passwordSource, type CredentialSource } from '../../src/net/credentials.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { newRootKey, newSigningKey, signFile, type SigningKey } from '../support/fakes/signing-key.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startTokenServer, type TokenServer } from '../support/peers/token-server.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const ca = createTestCa()
const TIMEOUTS = { connectMs: 5_000, headersMs: 10_000, totalMs: 20_000 }
const SIGNER = parseRoleName('targets/countersign')
const YEAR_MS = 365 * 86_400_000

describe('NotaryClient at a real notary-server', function () {
  this.timeout(30_000)
  const scope = new Scope()
  let notary: NotaryServer
  let client: NotaryClient
  let count = 0

  before(async function () {
    requirePeers(this, 'notary-server')
    notary = await startNotaryServer(scope, { ca })
    client = clientOf(notary)
  })
  after(() => scope.close())

  function clientOf(server: NotaryServer, options: { credentials?: CredentialSource; tokens?: TokenServer } = {}) {
    const made = new NotaryClient({
      url: server.url,
      tls: { caPem: ca.certificatePem },
      timeouts: TIMEOUTS,
      tokenRealms: options.tokens === undefined ? [] : [options.tokens.realm],
      credentials: options.credentials ?? ANONYMOUS,
    })
    scope.add(() => made.close())
    return made
  }

  function freshGun(): Gun {
    return parseGun(`registry.example.com:5000/team/app-${++count}`)
  }

  interface Repository {
    readonly gun: Gun
    readonly targetsKey: SigningKey
    readonly signerKey: SigningKey
    readonly files: ReadonlyMap<RoleName, Uint8Array>
  }

  /** A new repository with delegations: the server holds snapshot and timestamp. */
  async function newRepository(at: NotaryClient = client): Promise<Repository> {
    const gun = freshGun()
    const [rootKey, targetsKey, signerKey] = [newRootKey(gun), newSigningKey(), newSigningKey()]
    const expiresAt = new Date(Date.now() + YEAR_MS)
    const root = newRoot({
      version: 1,
      expiresAt,
      rootKeys: [rootKey.publicKey],
      targetsKeys: [targetsKey.publicKey],
      snapshotKeys: [await at.serverKey(gun, SNAPSHOT)],
      timestampKeys: [await at.serverKey(gun, TIMESTAMP)],
    })
    const delegations = [RELEASES, SIGNER].map((name) => {
      return { name, keys: [signerKey.publicKey], paths: [''], threshold: 1 }
    })
    const targets = newTargets({ role: TARGETS, version: 1, expiresAt, delegations })
    const files = new Map([
      [ROOT, signFile(root, [rootKey])],
      [TARGETS, signFile(targets, [targetsKey])],
      ...[RELEASES, SIGNER].map((role) => [role, emptyRole(role, 1, signerKey)] as const),
    ])
    return { gun, targetsKey, signerKey, files }
  }

  function emptyRole(role: RoleName, version: number, key: SigningKey): Uint8Array {
    return signFile(newTargets({ role, version, expiresAt: new Date(Date.now() + YEAR_MS) }), [key])
  }

  /** Reads and verifies as a consumer would. */
  async function load(gun: Gun, at: NotaryClient = client): Promise<TrustedRepository> {
    const verifier = new RepositoryVerifier({ gun, pin: { kind: 'tofu' }, now: new Date() })
    for (let request = verifier.next(); request !== undefined; request = verifier.next()) {
      verifier.accept(await at.read(gun, request.fileName, request.maxBytes))
    }
    return verifier.result()
  }

  it('finds nothing where nothing was published', async () => {
    const gun = freshGun()
    for (const name of ['root.json', 'timestamp.json', 'targets/releases.json', `targets.${'0'.repeat(64)}.json`]) {
      expect(await client.read(gun, name, 1_000_000), name).to.equal(undefined)
    }
  })

  it('publishes all roles in one update, delegations under their whole names, and reads back the same bytes', async () => {
    const { gun, files } = await newRepository()
    await client.publish(gun, files)
    const trusted = await load(gun)
    for (const role of [TARGETS, RELEASES, SIGNER]) {
      expect(Buffer.from(targetsOf(trusted, role)?.bytes ?? []), role).to.deep.equal(Buffer.from(files.get(role) ?? []))
    }
    expect(Buffer.from(trusted.root.bytes)).to.deep.equal(Buffer.from(files.get(ROOT) ?? []))
    expect(findTarget(trusted, 'v1')).to.equal(undefined)
    expect(await client.read(gun, '1.root.json', 1_000_000)).not.to.equal(undefined)
    expect(await client.read(gun, '2.root.json', 1_000_000)).to.equal(undefined)
    expect(await client.read(gun, 'targets/nobody.json', 1_000_000)).to.equal(undefined)
  })

  it('takes the same version again for a lost race', async () => {
    const { gun, files } = await newRepository()
    await client.publish(gun, files)
    await expectCodeAsync('NOTARY_CONFLICT', () => client.publish(gun, files))
  })

  it('lets one of several simultaneous updates win; the others have lost a race', async () => {
    const { gun, files, signerKey } = await newRepository()
    await client.publish(gun, files)
    const outcomes = await Promise.allSettled(
      Array.from({ length: 6 }, () => client.publish(gun, new Map([[RELEASES, emptyRole(RELEASES, 2, signerKey)]]))),
    )
    const lost = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(outcomes.length - lost.length).to.equal(1)
    for (const { reason } of lost) expect(reason).to.include({ code: 'NOTARY_CONFLICT' })
    expect(targetsOf(await load(gun), RELEASES)?.metadata.version).to.equal(2)
  })

  it("takes a wrong signature for an invalid update, in the server's words", async () => {
    const { gun, files } = await newRepository()
    await client.publish(gun, files)
    const forged = new Map([[TARGETS, emptyRole(TARGETS, 2, newSigningKey())]])
    const error = await expectCodeAsync('NOTARY_UPDATE_INVALID', () => client.publish(gun, forged))
    expect(error.facts).to.include({ name: 'ErrBadTargets' })
    expect(error.facts['words']).to.contain('did not meet threshold')
  })

  it('gets a key that stays until a root lists another', async () => {
    const { gun, files } = await newRepository()
    await client.publish(gun, files)
    const listed = await client.serverKey(gun, SNAPSHOT)
    const rotated = await client.rotateServerKey(gun, SNAPSHOT)
    expect(rotated.tufKeyId).not.to.equal(listed.tufKeyId)
    expect((await client.serverKey(gun, SNAPSHOT)).tufKeyId).to.equal(listed.tufKeyId)
  })

  it('does not speak to a server whose certificate another authority made', async () => {
    const stranger = new NotaryClient({
      url: notary.url,
      tls: { caPem: createTestCa().certificatePem },
      timeouts: TIMEOUTS,
      tokenRealms: [],
      credentials: ANONYMOUS,
    })
    scope.add(() => stranger.close())
    await expectCodeAsync('NET_TLS', () => stranger.read(freshGun(), 'root.json', 1_000))
  })

  describe('that asks for tokens', () => {
    let tokens: TokenServer
    let guarded: NotaryServer

    before(async () => {
      tokens = await startTokenServer(scope, {
        ca,
        accounts: {
          carol: { password: 'test-only', actions: () => ['push', 'pull'] },
          reader: { password: 'test-only', actions: () => ['pull'] },
        },
      })
      guarded = await startNotaryServer(scope, { ca, tokens })
    })

    function account(username: string, password = 'test-only'): NotaryClient {
      const credentials = passwordSource(
        () => username,
        () => password,
      )
      return clientOf(guarded, { credentials, tokens })
    }

    it('publishes and reads with an account that may, and asks for no more than each step needs', async () => {
      const carol = account('carol')
      const { gun, files } = await newRepository(carol)
      await carol.publish(gun, files)
      const before = tokens.requests.length
      await load(gun, carol)
      await expectCodeAsync('NOTARY_CONFLICT', () => carol.publish(gun, files))
      const scopes = tokens.requests.slice(before).flatMap((one) => one.scopes)
      expect(scopes).to.deep.equal([`repository:${gun}:pull`])
    })

    it('lets an account that may only read not publish', async () => {
      const { gun, files } = await newRepository(account('carol'))
      await expectCodeAsync('NOTARY_UNAUTHORIZED', () => account('reader').publish(gun, files))
      expect(await account('reader').read(gun, 'root.json', 1_000_000)).to.equal(undefined)
    })

    it('says so where the password is wrong, and where there is none', async () => {
      const gun = freshGun()
      await expectCodeAsync('TOKEN_REFUSED', () => account('carol', 'wrong').read(gun, 'root.json', 1_000))
      const nobody = clientOf(guarded, { tokens })
      await expectCodeAsync('NOTARY_UNAUTHORIZED', () => nobody.read(gun, 'root.json', 1_000))
    })

    it('shows its password to no realm that is not configured', async () => {
      const before = tokens.requests.length
      const credentials = passwordSource(
        () => 'carol',
        () => 'test-only',
      )
      const careful = clientOf(guarded, { credentials })
      const error = await expectCodeAsync('TOKEN_REALM_NOT_ALLOWED', () => careful.read(freshGun(), 'root.json', 1_000))
      expect(error.facts).to.include({ realm: tokens.realm })
      expect(tokens.requests.length).to.equal(before)
    })
  })
})
