// The main job, judged by unmodified clients: what `countersign sign` publishes is what docker and notary accept, and nothing else is.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign, KEY_HOLDER_UID, SHARED_GID, type CountersignOptions } from '../support/countersign.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine, type DockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { LOOPBACK, nonLoopbackHost, type PeerHost } from '../support/peers/host-names.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers, trustingDockerClients } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { SoftHsm } from '../support/softhsm.ts'
import { createTestCa } from '../support/tls.ts'

const ca = createTestCa()

/** Settings of a key holder that makes the keys of every repository in a token of its user. */
function inToken(scope: Scope): Pick<CountersignOptions, 'keyHolderConfig' | 'limits'> {
  const owner = process.getuid?.() === 0 ? { uid: KEY_HOLDER_UID, gid: SHARED_GID } : {}
  const { setting } = SoftHsm.make(scope, undefined, owner)
  return {
    keyHolderConfig: { tokens: [setting] },
    limits: { repositories: [{ gun: '*', initialize: true, custody: setting.uri }] },
  }
}

const VARIANTS = [
  { title: 'keys in the Notary server', keys: 'local', loopback: true, custody: 'sealed' },
  {
    title:
      'keys in a notary-signer (ECDSA), and a name that is not loopback, so that Docker checks TLS; our own keys in a PKCS#11 token',
    keys: 'signer',
    loopback: false,
    custody: 'token',
  },
] as const

for (const { title, keys, loopback, custody } of VARIANTS) {
  describe(`signing for stock clients: ${title}`, function () {
    this.timeout(60_000)
    const scope = new Scope()
    let registry: DockerRegistry
    let notary: NotaryServer
    let engine: DockerEngine
    let images: ImageMaker
    let countersign: Countersign
    let clients: readonly { readonly version: string; readonly docker: DockerClient }[]

    before(async function () {
      requirePeers(this, 'notary-server', 'notary', 'registry', 'docker', 'docker-engine', 'softhsm')
      const host: PeerHost = loopback ? LOOPBACK : await nonLoopbackHost(scope)
      registry = await startDockerRegistry(scope, { host, ...(loopback ? {} : { ca }) })
      notary = await startNotaryServer(scope, { ca, host, keys })
      engine = await startDockerEngine(scope, { ca })
      images = new ImageMaker(registry)
      scope.add(() => images.close())
      countersign = await Countersign.start(scope, { notary, registry, ...(custody === 'token' && inToken(scope)) })
      clients = trustingDockerClients().map(({ path, version }) => ({
        version,
        docker: new DockerClient(scope, { notary, engine, program: path }),
      }))
    })
    after(() => scope.close())

    /** What every docker client says to a trusted pull. */
    async function expectPulls(reference: string, outcome: 'accepted' | 'refused'): Promise<void> {
      for (const { version, docker } of clients) {
        const pulled = await docker.trustedPull(reference)
        expect(pulled.status === 0, `docker ${version}: ${pulled.text}`).to.equal(outcome === 'accepted')
      }
    }

    /** Signs, and checks digest and length against the bytes that were pushed. */
    async function expectSigned(image: PushedImage, roles: readonly string[]): Promise<void> {
      const signed = await countersign.request(['sign', image.reference])
      expect(signed.status, `${signed.text}\n${countersign.logs()}`).to.equal(0)
      const [result] = signed.request.images
      expect(result).to.include({ status: 'published', digest: `sha256:${image.sha256}`, length: image.length })
      expect(result?.roles?.map(({ role }) => role)).to.have.members(roles)
      await expectPulls(image.reference, 'accepted')
      for (const role of roles) {
        const [entry] = (await new NotaryClient(scope, { notary }).list(image.gun, role)).filter(
          ({ name }) => name === image.tag,
        )
        expect(entry).to.deep.equal({ name: image.tag, sha256: image.sha256, length: image.length, role })
      }
    }

    describe('with delegations', () => {
      const name = 'team/app'
      const roles = ['targets/releases', 'targets/countersign']
      let gun: string
      let first: PushedImage

      before(async () => {
        gun = `${registry.host}/${name}`
        first = await images.pushManifest(name, '1.0')
      })

      it('a trusted pull is refused before there is any trust data', async () => {
        await expectPulls(first.reference, 'refused')
      })

      it('repo init publishes both delegations with one key of this repository, and signs nothing', async () => {
        await countersign.must(['repo', 'init', gun])
        const inspection = await clients[0]!.docker.inspectTrust(gun)
        expect(inspection.SignedTags).to.deep.equal([])
        expect(inspection.Signers.map(({ Name }) => Name)).to.deep.equal(['countersign'])
        await expectPulls(first.reference, 'refused')
        const { keys } = JSON.parse((await countersign.must(['key', 'list', gun, '--json'])).stdout) as {
          keys: { role: string; custody: string }[]
        }
        const signer = keys.find(({ role }) => role === 'targets/countersign')
        expect(signer?.custody).to.match(custody === 'token' ? /^PKCS#11 token / : /^sealed/)
      })

      it('a trusted pull succeeds after sign', async () => {
        await expectSigned(first, roles)
      })

      it('docker trust inspect shows tag, digest and signer, as JSON and in words', async () => {
        for (const { docker } of clients) {
          const inspection = await docker.inspectTrust(gun)
          expect(inspection.SignedTags).to.deep.equal([
            { SignedTag: '1.0', Digest: first.sha256, Signers: ['countersign'] },
          ])
          const { stdout } = await docker.must(['trust', 'inspect', '--pretty', gun])
          expect(stdout).to.match(new RegExp(`^1\\.0 +${first.sha256} +countersign$`, 'm'))
        }
      })

      it('notary list and notary delegation list agree', async () => {
        const client = new NotaryClient(scope, { notary })
        // Without a role it shows one of the roles that hold the tag, in the order of the file.
        const [entry, ...others] = await client.list(gun)
        expect(entry).to.deep.include({ name: '1.0', sha256: first.sha256, length: first.length })
        expect(entry?.role).to.be.oneOf(roles)
        expect(others).to.deep.equal([])
        expect(await client.list(gun, 'targets')).to.deep.equal([])
        const delegations = await client.delegations(gun)
        expect(delegations.map(({ role }) => role)).to.have.members(roles)
        expect(new Set(delegations.flatMap(({ keyIds }) => keyIds)).size).to.equal(1)
        expect(delegations.map(({ threshold }) => threshold)).to.deep.equal([1, 1])
      })

      it('signs an OCI index, a schema 2 list and a schema 2 manifest by their raw bytes', async () => {
        await expectSigned(await images.pushIndex(name, 'index'), roles)
        await expectSigned(await images.pushIndex(name, 'list', { flavour: 'docker' }), roles)
        await expectSigned(await images.pushManifest(name, 'docker', { flavour: 'docker' }), roles)
      })

      it('signs an image that docker itself pushed', async () => {
        const { docker } = clients[0]!
        const pulled = await images.pushManifest(name, 'source')
        await docker.must(['pull', pulled.reference])
        await docker.must(['tag', pulled.reference, `${gun}:pushed`])
        const { stdout } = await docker.must(['push', `${gun}:pushed`])
        const [, sha256 = '', length = ''] = /digest: sha256:([0-9a-f]{64}) size: (\d+)/.exec(stdout) ?? []
        await expectSigned(
          { ...pulled, reference: `${gun}:pushed`, tag: 'pushed', sha256, length: Number(length) },
          roles,
        )
      })

      it('a tag that moved is pulled at the signed digest until it is signed again', async () => {
        const old = await images.pushManifest(name, 'moving')
        await expectSigned(old, roles)
        const moved = await images.pushManifest(name, 'moving')
        const { docker } = clients[0]!
        expect((await docker.trustedPull(old.reference)).stdout).to.contain(old.sha256)
        await expectSigned(moved, roles)
        expect((await docker.trustedPull(old.reference)).stdout).to.contain(moved.sha256)
      })

      it('signs several images in one request, and lists them all', async () => {
        const several = [await images.pushManifest(name, 'a1'), await images.pushManifest(name, 'a2')]
        const signed = await countersign.request(['sign', ...several.map(({ reference }) => reference)])
        expect(signed.status, signed.text).to.equal(0)
        for (const { reference } of several) await expectPulls(reference, 'accepted')
      })

      // Once is enough: nothing in it depends on the variant.
      if (loopback) {
        it('signs what a Compose file and the metadata file of a build name: all of it or nothing, or each', async () => {
          const signedTags = async () => {
            const { SignedTags } = await clients[0]!.docker.inspectTrust(gun)
            return SignedTags.map(({ SignedTag }) => SignedTag).filter((tag) => /^r[0-9]$/.test(tag))
          }
          const five = await Promise.all(['r1', 'r2', 'r3', 'r4'].map((tag) => images.pushManifest(name, tag)))
          const references = [...five.map(({ reference }) => reference), `${gun}:r5`]
          const services = references.map((image, index) => `  s${index}: { <<: *base, image: '${image}' }`)
          const compose = join(scope.folder('release'), 'compose.yaml')
          writeFileSync(compose, ['x-base: &base { restart: always }', 'services:', ...services, ''].join('\n'))

          const digests = [...five.map(({ sha256 }) => sha256), '0'.repeat(64)]
          const targets = references.map((image, index) => [
            `t${index}`,
            { 'image.name': image, 'containerimage.digest': `sha256:${digests[index]}` },
          ])
          const bake = join(scope.folder('release'), 'bake.json')
          writeFileSync(bake, JSON.stringify(Object.fromEntries(targets)))
          expect((await countersign.refusal(['sign', '--from', compose])).code).to.equal('IMAGE_NOT_FOUND')
          expect(await signedTags()).to.deep.equal([])
          const partial = await countersign.request(['sign', '--from', bake, '--each'])
          expect(partial.status, partial.text).to.equal(1)
          expect(partial.request.status).to.equal('partial')
          expect(partial.request.images.map(({ status }) => status)).to.deep.equal([
            ...five.map(() => 'published'),
            'failed',
          ])
          expect(await signedTags()).to.have.members(['r1', 'r2', 'r3', 'r4'])

          await images.pushManifest(name, 'r5')
          const rest = await countersign.request(['sign', '--from', compose])
          expect(rest.status, rest.text).to.equal(0)
          expect(await signedTags()).to.have.members(['r1', 'r2', 'r3', 'r4', 'r5'])
        })
      }

      if (loopback) {
        it('prune unsigns the tags that are gone from the registry, as it has shown', async () => {
          const gone = await images.pushManifest(name, 'gone')
          await countersign.must(['sign', gone.reference])
          await images.remove(gone)
          const shown = await countersign.must(['prune', gun, '--gone', '--json'])
          const { entries, signed } = JSON.parse(shown.stdout) as { entries: { tag: string }[]; signed: number }
          expect(entries.map(({ tag }) => tag)).to.deep.equal(['gone'])
          const before = await clients[0]!.docker.inspectTrust(gun)
          expect(before.SignedTags).to.have.length(signed)
          const plan = join(scope.folder('prune'), 'plan.json')
          writeFileSync(plan, shown.stdout)
          await countersign.must(['prune', gun, '--apply', plan])
          const { SignedTags } = await clients[0]!.docker.inspectTrust(gun)
          expect(SignedTags).to.deep.equal(before.SignedTags.filter(({ SignedTag }) => SignedTag !== 'gone'))
        })
      }

      it('verify agrees with docker, for a signed and for an unsigned tag', async () => {
        const unsigned = await images.pushManifest(name, 'unsigned')
        expect((await countersign.run(['verify', first.reference])).status).to.equal(0)
        expect((await countersign.run(['verify', unsigned.reference])).status).to.equal(1)
        await expectPulls(unsigned.reference, 'refused')
      })

      it('inspect prints what docker trust inspect prints', async () => {
        const { stdout } = await countersign.must(['inspect', gun, '--json'])
        expect((JSON.parse(stdout) as unknown[])[0]).to.deep.equal(await clients[0]!.docker.inspectTrust(gun))
      })

      it('unsign makes a trusted pull fail, and leaves the other tags', async () => {
        const unsigned = await countersign.request(['unsign', first.reference])
        expect(unsigned.status, unsigned.text).to.equal(0)
        await expectPulls(first.reference, 'refused')
        await expectPulls(`${gun}:index`, 'accepted')
      })
    })

    describe('without delegations', () => {
      const name = 'team/plain'

      it('the tag stands in targets, and unsign takes it away', async () => {
        const image = await images.pushManifest(name, '1.0')
        await countersign.must(['repo', 'init', image.gun, '--no-delegations'])
        await expectSigned(image, ['targets'])
        expect((await clients[0]!.docker.inspectTrust(image.gun)).Signers).to.deep.equal([])
        expect((await countersign.request(['unsign', image.reference])).status).to.equal(0)
        await expectPulls(image.reference, 'refused')
      })
    })
  })
}
