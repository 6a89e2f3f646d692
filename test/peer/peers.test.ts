// The harness itself: the stock tools work against the peers that these tests start. Countersign plays no part here.
import { expect } from 'chai'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine, type DockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { LOOPBACK, nonLoopbackHost, type PeerHost } from '../support/peers/host-names.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers, trustingDockerClients } from '../support/peers/require-peers.ts'
import { tarOf } from '../support/peers/tar.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const ca = createTestCa()

for (const variant of [
  { title: 'localhost, keys in the server', keys: 'local', loopback: true },
  { title: 'localhost, keys in a notary-signer', keys: 'signer', loopback: true },
  { title: 'a name that is not loopback, over TLS', keys: 'local', loopback: false },
] as const) {
  describe(`the real peers: ${variant.title}`, function () {
    this.timeout(60_000)
    const scope = new Scope()
    let host: PeerHost
    let registry: DockerRegistry
    let notary: NotaryServer
    let engine: DockerEngine
    let publisher: DockerClient

    before(async function () {
      requirePeers(this, 'notary-server', 'notary', 'registry', 'docker', 'docker-engine')
      host = variant.loopback ? LOOPBACK : await nonLoopbackHost(scope)
      registry = await startDockerRegistry(scope, { host, ...(variant.loopback ? {} : { ca }) })
      notary = await startNotaryServer(scope, { ca, host, keys: variant.keys })
      engine = await startDockerEngine(scope, { ca })
      publisher = new DockerClient(scope, { notary, engine })
    })
    after(() => scope.close())

    it('docker pushes and signs, every docker client pulls, notary lists', async () => {
      const reference = `${registry.host}/team/app:v1`
      const tar = tarOf([{ name: 'hello.txt', content: Buffer.from('hello') }])
      await publisher.must(['import', '-', reference], { input: tar })
      const pushed = await publisher.trusted(['push', reference])
      expect(pushed.status, pushed.text).to.equal(0)
      const digest = /sha256:([0-9a-f]{64})/.exec(pushed.stdout)?.[1]

      const inspection = await publisher.inspectTrust(`${registry.host}/team/app`)
      expect(inspection.SignedTags).to.deep.equal([{ SignedTag: 'v1', Digest: digest, Signers: ['Repo Admin'] }])

      for (const { path, version } of trustingDockerClients()) {
        const consumer = new DockerClient(scope, { notary, engine, program: path })
        const pulled = await consumer.trustedPull(reference)
        expect(pulled.status, `${version}: ${pulled.text}`).to.equal(0)
      }

      const listed = await new NotaryClient(scope, { notary }).list(`${registry.host}/team/app`)
      expect(listed.map(({ name, sha256, role }) => ({ name, sha256, role }))).to.deep.equal([
        { name: 'v1', sha256: digest, role: 'targets' },
      ])
    })

    it('docker refuses what nobody has signed', async () => {
      const maker = new ImageMaker(registry)
      scope.add(() => maker.close())
      const image = await maker.pushManifest('team/unsigned', 'v1')
      const pulled = await publisher.trustedPull(image.reference)
      expect(pulled.status).not.to.equal(0)
      expect(pulled.text).to.contain('does not have trust data')
      expect((await publisher.run(['pull', image.reference])).status).to.equal(0)
    })

    it('the registry keeps an index, a list and a manifest byte for byte', async () => {
      const maker = new ImageMaker(registry)
      scope.add(() => maker.close())
      for (const image of [
        await maker.pushIndex('team/shapes', 'index'),
        await maker.pushIndex('team/shapes', 'list', { flavour: 'docker' }),
        await maker.pushManifest('team/shapes', 'oci'),
        await maker.pushManifest('team/shapes', 'docker', { flavour: 'docker' }),
      ]) {
        const pulled = await publisher.must(['pull', image.reference])
        expect(pulled.stdout).to.contain(`sha256:${image.sha256}`)
      }
    })

    it(`the name is ${variant.loopback ? 'one that Docker trusts blindly' : 'one for which Docker checks TLS'}`, async () => {
      const strangers = createTestCa('an authority that nobody knows')
      const impostor = await startNotaryServer(scope, { ca: strangers, host })
      // The client is told to expect another authority for this host.
      const client = new DockerClient(scope, { notary: { ...impostor, ca }, engine })
      const pulled = await client.trustedPull(`${registry.host}/team/app:v1`)
      expect(pulled.status).not.to.equal(0)
      expect(pulled.text).to.contain(variant.loopback ? 'does not have trust data' : 'unknown authority')
    })
  })
}
