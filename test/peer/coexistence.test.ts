// Countersign as one signer among others: repositories that docker or the notary client made and go on using. What others signed stays
// as it was, and where Countersign cannot do what was asked it says so by a code and changes nothing.
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { argumentsOf, commandsOf } from '../support/page-commands.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { NotaryClient, type NotaryTarget } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { waitFor } from '../support/polling.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const PAGE = 'docs/operations/adoption.md'

describe('beside other signers', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  let registry: DockerRegistry
  let notary: NotaryServer
  let docker: DockerClient
  let images: ImageMaker
  let countersign: Countersign

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry', 'docker', 'docker-engine')
    registry = await startDockerRegistry(scope)
    notary = await startNotaryServer(scope, { ca, keys: 'signer' })
    const engine = await startDockerEngine(scope, { ca })
    docker = new DockerClient(scope, { notary, engine })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    const drift = { every: '1s', grace: '0s', requestsPerMinute: 600 }
    countersign = await Countersign.start(scope, { notary, registry, config: { drift } })
  })
  after(() => scope.close())

  /** Every entry of every role, as a client without a cache sees it. */
  async function everything(gun: string): Promise<NotaryTarget[]> {
    const reader = new NotaryClient(scope, { notary })
    const found: NotaryTarget[] = []
    for (const role of ['targets', ...(await reader.delegations(gun)).map((delegation) => delegation.role)]) {
      found.push(...(await reader.list(gun, role)))
    }
    return found.sort((a, b) => `${a.role} ${a.name}`.localeCompare(`${b.role} ${b.name}`))
  }

  function entry(image: PushedImage, role: string): NotaryTarget {
    return { name: image.tag, sha256: image.sha256, length: image.length, role }
  }

  /** Registers a repository of others; returns the file of the public key that its owner has to delegate to. */
  async function adopt(gun: string, pin: string): Promise<string> {
    const metadata = join(docker.folder, 'trust/tuf', gun, 'metadata')
    const file = join(countersign.folder, `cli/${gun.replaceAll(/[/:]/g, '-')}.pem`)
    const from = ['--metadata', metadata, '--operator-socket', countersign.operatorSocket, '--key-out', file]
    await countersign.must(['repo', 'adopt', gun, '--pin', pin, ...from])
    return file
  }

  async function rootKeyId(gun: string): Promise<string> {
    const { AdministrativeKeys } = await docker.inspectTrust(gun)
    return AdministrativeKeys.find(({ Name }) => Name === 'Root')?.Keys[0]?.ID ?? ''
  }

  /** Docker signs an image of the registry with all keys it has for that repository. */
  async function dockerSigns(image: PushedImage): Promise<void> {
    await docker.must(['pull', image.reference])
    await docker.must(['trust', 'sign', '--local', image.reference])
  }

  describe('in a repository that docker trust made', () => {
    const name = 'docker/app'
    let gun: string
    let byAlice: PushedImage

    before(async () => {
      gun = `${registry.host}/${name}`
      await docker.must(['trust', 'key', 'generate', 'alice', '--dir', docker.folder])
      await docker.must(['trust', 'signer', 'add', '--key', join(docker.folder, 'alice.pub'), 'alice', gun])
      byAlice = await images.pushManifest(name, 'alice-1', { flavour: 'docker' })
      await dockerSigns(byAlice)
    })

    it('a pinned repository is adopted, and cannot be signed before its owner delegates to our key', async () => {
      const image = await images.pushManifest(name, 'early')
      const before = await everything(gun)
      const file = await adopt(gun, await rootKeyId(gun))
      expect(await countersign.refusal(['sign', image.reference])).to.include({
        status: 1,
        code: 'SIGNING_ROLE_UNAVAILABLE',
      })
      expect(await everything(gun)).to.deep.equal(before)
      // From here on by the page: what waits ends when the owner has run its line.
      const names = new Map([
        ['GUN', gun],
        ['ROOT_CERTIFICATE', await rootKeyId(gun)],
        ['TRUST_SERVER', notary.url],
        ['SIGNER', 'countersign'],
        ['signer.pem', file],
      ])
      const [adoption = '', byOwner = ''] = commandsOf(PAGE, 'As one signer among others')
      const env = { COUNTERSIGN_OPERATOR_SOCKET: countersign.operatorSocket, COUNTERSIGN_CA_FILE: notary.caFile }
      const argv = argumentsOf(adoption, names)
      const early = await countersign.run(
        argv.map((word) => (word === '1h' ? '0s' : word)),
        { env },
      )
      expect([early.status, early.text.includes('OWNER_MUST_ADD_KEY')], early.text).to.deep.equal([4, true])
      const waiting = countersign.run([...argv, '--json'], { env, timeoutMs: 50_000 })
      await docker.must(argumentsOf(byOwner, names))
      const proven = await waiting
      expect(proven.status, proven.text).to.equal(0)
      expect(JSON.parse(proven.stdout)).to.deep.include({
        signer: 'countersign',
        listedIn: ['targets/countersign', 'targets/releases'],
        proven: true,
      })
    })

    it('signing one tag leaves every other entry untouched', async () => {
      const before = await everything(gun)
      const image = await images.pushIndex(name, 'ours-1')
      const signed = await countersign.request(['sign', image.reference])
      expect(signed.status, `${signed.text}\n${countersign.logs()}`).to.equal(0)
      const roles = ['targets/countersign', 'targets/releases']
      expect(await everything(gun)).to.have.deep.members([...before, ...roles.map((role) => entry(image, role))])
      for (const { reference } of [byAlice, image]) {
        expect((await docker.trustedPull(reference)).status, reference).to.equal(0)
      }
    })

    it('a tag that is pushed anew after it was signed is a drift, until it is signed anew', async () => {
      const image = await images.pushManifest(name, 'moving')
      await countersign.must(['sign', image.reference])
      const moved = await images.pushManifest(name, 'moving', { content: 'another' })
      const drift = async () => {
        const { stdout } = await countersign.must(['repo', 'drift', gun, '--json'])
        return JSON.parse(stdout) as { moved: number; tags: { tag: string; signed: string; found: string }[] }
      }
      const { tags } = await waitFor('the drift', async () => {
        const found = await drift()
        return found.moved === 1 ? found : undefined
      })
      expect(tags.map(({ tag, signed, found }) => [tag, signed, found])).to.deep.equal([
        ['moving', `sha256:${image.sha256}`, `sha256:${moved.sha256}`],
      ])
      expect((await countersign.must(['repo', 'status', gun])).stdout).to.include('TAGS_DRIFTED')
      const metrics = await (await fetch(`${countersign.url}/metrics`)).text()
      expect(metrics).to.include('countersign_drifted_tags{state="moved"} 1')
      await countersign.must(['sign', moved.reference])
      await waitFor('its end', async () => ((await drift()).moved === 0 ? true : undefined))
    })

    it('builds on what docker signs in between', async () => {
      const second = await images.pushManifest(name, 'alice-2', { flavour: 'docker' })
      await dockerSigns(second)
      const before = await everything(gun)
      const holders = before.filter(({ name: tag }) => tag === second.tag).map(({ role }) => role)
      expect(holders).to.have.members(['targets/alice', 'targets/releases'])
      const image = await images.pushManifest(name, 'ours-2')
      expect((await countersign.request(['sign', image.reference])).status).to.equal(0)
      expect(await everything(gun)).to.include.deep.members(before)
    })

    it('docker trust inspect names the signer of each tag', async () => {
      const { SignedTags } = await docker.inspectTrust(gun)
      const signers = Object.fromEntries(SignedTags.map(({ SignedTag, Signers }) => [SignedTag, Signers]))
      expect(signers).to.include.deep.keys('alice-1', 'alice-2', 'ours-1', 'ours-2')
      expect(signers['alice-1']).to.deep.equal(['alice'])
      expect(signers['ours-1']).to.deep.equal(['countersign'])
    })
  })

  describe('trap Q7: a tag that stands in base targets', () => {
    it('unsign refuses with a code where it lacks that key, and changes nothing', async () => {
      const name = 'docker/base'
      const image = await images.pushManifest(name, 'v1', { flavour: 'docker' })
      await docker.must(['pull', image.reference])
      const pushed = await docker.trusted(['push', image.reference])
      expect(pushed.status, pushed.text).to.equal(0)
      const file = await adopt(image.gun, await rootKeyId(image.gun))
      await docker.must(['trust', 'signer', 'add', '--key', file, 'countersign', image.gun])
      expect((await countersign.request(['sign', image.reference])).status).to.equal(0)
      const before = await everything(image.gun)
      expect(before.map(({ role }) => role)).to.include('targets')
      expect(await countersign.refusal(['unsign', image.reference])).to.include({
        status: 1,
        code: 'UNSIGN_INCOMPLETE',
      })
      expect(await everything(image.gun)).to.deep.equal(before)
    })
  })

  describe('in a repository that the notary client made', () => {
    /** A repository with one entry in base targets, seen once by docker so that its metadata can be adopted. */
    async function notaryRepository(name: string): Promise<{ owner: NotaryClient; first: PushedImage; pin: string }> {
      const owner = new NotaryClient(scope, { notary })
      const first = await images.pushManifest(name, 'theirs')
      await owner.must(['init', first.gun, '-p'])
      const { tag, length, sha256 } = first
      await owner.must(['addhash', first.gun, tag, String(length), '--sha256', sha256, '-p'])
      return { owner, first, pin: await rootKeyId(first.gun) }
    }

    it('a snapshot key that the client holds is refused with a code', async () => {
      const { owner, first, pin } = await notaryRepository('notary/held')
      const file = await adopt(first.gun, pin)
      for (const role of ['targets/releases', 'targets/countersign']) {
        await owner.must(['delegation', 'add', first.gun, role, file, '--all-paths', '-p'])
      }
      const image = await images.pushManifest('notary/held', 'ours')
      const before = await everything(first.gun)
      expect(await countersign.refusal(['sign', image.reference])).to.include({
        status: 1,
        code: 'SNAPSHOT_KEY_HELD_BY_CLIENT',
      })
      expect(await everything(first.gun)).to.deep.equal(before)

      await owner.must(['key', 'rotate', first.gun, 'snapshot', '-r'])
      const signed = await countersign.request(['sign', image.reference])
      expect(signed.status, `${signed.text}\n${countersign.logs()}`).to.equal(0)
      expect(await everything(first.gun)).to.include.deep.members(before)
    })

    it('delegation paths that do not cover the tag are refused with a code', async () => {
      const name = 'notary/paths'
      const { owner, first, pin } = await notaryRepository(name)
      await owner.must(['key', 'rotate', first.gun, 'snapshot', '-r'])
      const file = await adopt(first.gun, pin)
      for (const role of ['targets/releases', 'targets/countersign']) {
        await owner.must(['delegation', 'add', first.gun, role, file, '--paths', 'v', '-p'])
      }
      const covered = await images.pushManifest(name, 'v1')
      const outside = await images.pushManifest(name, 'x1')
      const before = await everything(first.gun)
      expect((await countersign.refusal(['sign', outside.reference])).code).to.equal('SIGNING_ROLE_UNAVAILABLE')
      expect(await everything(first.gun)).to.deep.equal(before)
      const signed = await countersign.request(['sign', covered.reference])
      expect(signed.status, signed.text).to.equal(0)
      expect((await docker.trustedPull(covered.reference)).status).to.equal(0)
    })

    it('tags whose names are properties of JavaScript objects are entries like any other', async () => {
      const name = 'notary/names'
      const { owner, first, pin } = await notaryRepository(name)
      await owner.must(['key', 'rotate', first.gun, 'snapshot', '-r'])
      const file = await adopt(first.gun, pin)
      for (const role of ['targets/releases', 'targets/countersign']) {
        await owner.must(['delegation', 'add', first.gun, role, file, '--all-paths', '-p'])
      }
      for (const tag of ['__proto__', 'constructor', '10', '9']) {
        const image = await images.pushManifest(name, tag)
        const signed = await countersign.request(['sign', image.reference])
        expect(signed.status, signed.text).to.equal(0)
        expect((await docker.trustedPull(image.reference)).status, tag).to.equal(0)
      }
      const names = (await new NotaryClient(scope, { notary }).list(first.gun)).map((target) => target.name)
      expect(names).to.have.members(['__proto__', 'constructor', '10', '9', 'theirs'])
    })
  })
})
