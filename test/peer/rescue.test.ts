// Repositories that docker and notary made, with the keys that they wrote, come under Countersign and are repaired where they have expired:
// by the commands of docs/operations, as they stand there.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  METADATA_LIMITS,
  parseGun,
  parsePrivateKeyFile,
  parseRoleName,
  publicKeyOf,
  RELEASES,
  renewTargets,
  RepositoryVerifier,
  TARGETS,
  targetsOf,
  type RoleName,
} from '@countersign/tuf'
import { expect } from 'chai'
import { ANONYMOUS } from '../../src/net/credentials.ts'
import { NotaryClient as Publisher } from '../../src/notary/client.ts'
import { Countersign } from '../support/countersign.ts'
import { signFile } from '../support/fakes/signing-key.ts'
import { commandsOf } from '../support/page-commands.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine, type DockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import type { CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const ALICE = parseRoleName('targets/alice')
const PASSPHRASE = 'test repository passphrase'
/** Long enough for an upload, short enough to wait for. */
const SOON_MS = 10_000

describe('repositories that others made', function () {
  this.timeout(240_000)
  const scope = new Scope()
  const ca = createTestCa()
  let notary: NotaryServer
  let engine: DockerEngine
  let owner: DockerClient
  let images: ImageMaker
  let countersign: Countersign
  let publisher: Publisher

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry', 'docker', 'docker-engine')
    const registry = await startDockerRegistry(scope)
    notary = await startNotaryServer(scope, { ca })
    engine = await startDockerEngine(scope, { ca })
    owner = new DockerClient(scope, { notary, engine })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    const timeouts = { connectMs: 5_000, headersMs: 10_000, totalMs: 20_000 }
    const tls = { caPem: ca.certificatePem }
    publisher = new Publisher({ url: notary.url, tls, timeouts, tokenRealms: [], credentials: ANONYMOUS })
    scope.add(() => publisher.close())
    countersign = await Countersign.start(scope, { notary, registry })
    await owner.must(['trust', 'key', 'generate', 'alice', '--dir', owner.folder])
  })
  after(() => scope.close())

  /** Signed by docker as alice, in a repository of its own. */
  async function dockerSigns(name: string): Promise<PushedImage> {
    const image = await images.pushManifest(name, '1.0', { flavour: 'docker' })
    await owner.must(['trust', 'signer', 'add', '--key', join(owner.folder, 'alice.pub'), 'alice', image.gun])
    await owner.must(['pull', image.reference])
    await owner.must(['trust', 'sign', '--local', image.reference])
    return image
  }

  /** The owner signs these roles again, with a moment for their expiry that is near. */
  async function expireSoon(gunText: string, roles: readonly RoleName[]): Promise<Date> {
    const gun = parseGun(gunText)
    const verifier = new RepositoryVerifier({ gun, pin: { kind: 'tofu' }, now: new Date() })
    for (let file = verifier.next(); file !== undefined; file = verifier.next()) {
      verifier.accept(await publisher.read(gun, file.fileName, METADATA_LIMITS.maxBytes))
    }
    const trusted = verifier.result()
    const expiresAt = new Date(Date.now() + SOON_MS)
    const folder = join(owner.folder, 'trust/private')
    const keys = readdirSync(folder).flatMap((name) => {
      const bytes = readFileSync(join(folder, name))
      return bytes.includes('role: root') ? [] : parsePrivateKeyFile(bytes, Buffer.from(PASSPHRASE))
    })
    const files = roles.map((role) => {
      const version = (targetsOf(trusted, role)?.metadata.version ?? 0) + 1
      const unsigned = renewTargets(trusted, role, { version, expiresAt })
      const key = keys.find((one) => (role === TARGETS ? one.gun === gunText : one.role === 'alice'))?.privateKey
      if (key === undefined) throw new Error(`docker has no key of ${role}.`)
      return [role, signFile(unsigned, [{ privateKey: key, publicKey: publicKeyOf(key) }])] as const
    })
    await publisher.publish(gun, new Map(files))
    return expiresAt
  }

  const rootKeyId = (gun: string): string => {
    const root = JSON.parse(readFileSync(join(owner.folder, 'trust/tuf', gun, 'metadata/root.json'), 'utf8')) as {
      signed: { roles: { root: { keyids: string[] } } }
    }
    return root.signed.roles.root.keyids[0] ?? ''
  }

  /** The commands of a section, one after the other. */
  async function follow(page: string, heading: string, o: { gun: string; pin: string; folder: string }) {
    const results: CommandResult[] = []
    const commands = commandsOf(page, heading)
    expect(commands.length).to.be.greaterThan(1)
    for (const command of commands) {
      const words = command
        .replaceAll('ROOT_CERTIFICATE', o.pin)
        .replaceAll('TRUST_FOLDER', o.folder)
        .replaceAll('TRUST_SERVER', notary.url)
        .replaceAll('GUN', o.gun)
        .split(' ')
      const env = {
        COUNTERSIGN_OPERATOR_SOCKET: countersign.operatorSocket,
        COUNTERSIGN_CA_FILE: notary.caFile,
        DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: PASSPHRASE,
        NOTARY_TARGETS_PASSPHRASE: 'test passphrase',
      }
      results.push(await countersign.run(words.slice(1), { env }))
    }
    return results
  }
  const statuses = (results: readonly CommandResult[]) => results.map(({ status }) => status)
  const texts = (results: readonly CommandResult[]) => results.map(({ text }) => text).join('\n') + countersign.logs()

  it('with targets, delegations or both expired: imported, adopted, repaired, and docker pulls again', async () => {
    const cases = [
      { name: 'rescue/targets', expired: [TARGETS] },
      { name: 'rescue/delegations', expired: [RELEASES, ALICE] },
      { name: 'rescue/both', expired: [TARGETS, RELEASES, ALICE] },
    ]
    const cached = new DockerClient(scope, { notary, engine })
    const signed: (PushedImage & { readonly digest: string })[] = []
    for (const { name } of cases) {
      const image = await dockerSigns(name)
      expect((await cached.trustedPull(image.reference)).status).to.equal(0)
      // Docker pushes the image once more, and signs what it has pushed.
      const [entry] = (await owner.inspectTrust(image.gun)).SignedTags
      signed.push({ ...image, digest: entry?.Digest ?? '' })
    }
    let last = new Date()
    for (const [index, { expired }] of cases.entries()) last = await expireSoon(signed[index]!.gun, expired)
    await waitFor('the expiry', () => (Date.now() > last.getTime() + 1000 ? true : undefined))

    for (const [index, { expired }] of cases.entries()) {
      const { gun, reference, digest } = signed[index]!
      expect((await cached.trustedPull(reference)).status, reference).to.not.equal(0)
      const o = { gun, pin: rootKeyId(gun), folder: join(owner.folder, 'trust') }
      const imported = await follow('docs/operations/adoption.md', 'Import the keys', o)
      expect(statuses(imported), texts(imported)).to.deep.equal([0, 0])
      expect(imported[1]?.stdout)
        .to.match(/^imported .* targets /m)
        .and.match(/^May be destroyed: /m)
      const adopted = await follow('docs/operations/adoption.md', 'Take the repository over', o)
      const isDead = expired.includes(TARGETS)
      expect(statuses(adopted), texts(adopted)).to.deep.equal(isDead ? [0, 1, 1] : [0, 0, 0])
      const repaired = await follow('docs/operations/expiry.md', 'Repair a repository', o)
      expect(statuses(repaired), texts(repaired)).to.deep.equal([0, 0])

      const pulled = await cached.trustedPull(reference)
      expect(pulled.status, pulled.text).to.equal(0)
      const { SignedTags } = await cached.inspectTrust(gun)
      expect(SignedTags.map(({ SignedTag, Digest }) => [SignedTag, Digest])).to.deep.equal([['1.0', digest]])
    }
    // From now on as any other, also for a client that comes for the first time.
    const next = await images.pushManifest('rescue/both', '2.0')
    await countersign.must(['sign', next.reference])
    expect((await new DockerClient(scope, { notary, engine }).trustedPull(next.reference)).status).to.equal(0)
  })

  it('made by notary, without delegations: tags are signed in targets with the imported key', async () => {
    const image = await images.pushManifest('rescue/notary', '1.0')
    const { gun, reference } = image
    const client = new NotaryClient(scope, { notary })
    await client.must(['init', gun, '-p'])
    await client.must(['key', 'rotate', gun, 'snapshot', '-r'])
    const { AdministrativeKeys } = await new DockerClient(scope, { notary }).inspectTrust(gun)
    const pin = AdministrativeKeys.find(({ Name }) => Name === 'Root')?.Keys[0]?.ID ?? ''
    const o = { gun, pin, folder: client.folder }
    const done = [
      ...(await follow('docs/operations/adoption.md', 'Import the keys', o)),
      ...(await follow('docs/operations/adoption.md', 'Take the repository over', o)),
    ]
    expect(statuses(done), texts(done)).to.deep.equal([0, 0, 0, 0, 0])
    await countersign.must(['sign', reference])
    expect((await client.list(gun)).map(({ name, role }) => [name, role])).to.deep.equal([['1.0', TARGETS]])
    expect((await new DockerClient(scope, { notary, engine }).trustedPull(reference)).status).to.equal(0)
  })
})
