// What `repo export` writes, behind a plain web server, is a trust server for stock clients that only read.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startStaticServer, type StaticServer } from '../support/peers/static-server.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

describe('an exported repository behind a plain web server', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  let notary: NotaryServer
  let images: ImageMaker
  let countersign: Countersign

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry', 'docker')
    const registry = await startDockerRegistry(scope)
    notary = await startNotaryServer(scope, { ca })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    countersign = await Countersign.start(scope, { notary, registry })
  })
  after(() => scope.close())

  /** Exports to a new folder and serves it. */
  async function serveExport(
    gun: string,
  ): Promise<StaticServer & { readonly folder: string; readonly report: unknown }> {
    const folder = join(scope.folder('export'), 'tree')
    const { stdout } = await countersign.must(['repo', 'export', gun, folder, '--json'])
    const server = await startStaticServer(scope, ca, folder)
    return { ...server, folder, report: JSON.parse(stdout) as unknown }
  }
  /** The notary client, pointed there. */
  const reader = ({ url }: StaticServer): NotaryClient => new NotaryClient(scope, { notary: { ...notary, url } })
  const entry = ({ tag, sha256, length }: PushedImage, role: string) => ({ name: tag, sha256, length, role })

  it('docker and notary find what is signed, and every file that they ask for', async () => {
    const image = await images.pushIndex('team/app', '1.0')
    await countersign.must(['repo', 'init', image.gun])
    await countersign.must(['sign', image.reference])
    const served = await serveExport(image.gun)
    expect(served.report).to.deep.include({ endsFirst: 'timestamp', roots: { first: 1, last: 1 } })

    const docker = new DockerClient(scope, { notary: served })
    const { SignedTags } = await docker.inspectTrust(image.reference)
    expect(SignedTags).to.deep.equal([{ SignedTag: '1.0', Digest: image.sha256, Signers: ['countersign'] }])
    expect(await reader(served).list(image.gun, RELEASES)).to.deep.equal([entry(image, RELEASES)])
    // Where the chain of roots ends, clients learn from a 404.
    expect(served.missing.filter((path) => !path.endsWith('/2.root.json'))).to.deep.equal([])
  })

  it('what was exported does not change when the repository does; the next export has it', async () => {
    const [first, second] = [await images.pushManifest('team/next', '1'), await images.pushManifest('team/next', '2')]
    await countersign.must(['repo', 'init', first.gun])
    await countersign.must(['sign', first.reference])
    const before = await serveExport(first.gun)
    await countersign.must(['sign', second.reference])
    const after = await serveExport(first.gun)
    expect(await reader(before).list(first.gun, RELEASES)).to.deep.equal([entry(first, RELEASES)])
    const names = (await reader(after).list(first.gun, RELEASES)).map(({ name }) => name)
    expect(names.sort()).to.deep.equal(['1', '2'])
    const again = await countersign.run(['repo', 'export', first.gun, before.folder])
    expect([again.status, again.text]).to.satisfy(
      ([status, text]: [number, string]) => status === 1 && text.includes('FILE_EXISTS'),
    )
  })

  it('an adopted repository whose root was rotated: with the older root, so that older clients can follow', async () => {
    const image = await images.pushManifest('team/rotated', '1.0')
    const owner = new NotaryClient(scope, { notary })
    await owner.must(['init', image.gun, '-p'])
    await owner.must(['addhash', image.gun, '1.0', String(image.length), '--sha256', image.sha256, '-p'])
    await owner.must(['key', 'rotate', image.gun, 'snapshot', '-r'])
    const pin = (await new DockerClient(scope, { notary }).inspectTrust(image.gun)).AdministrativeKeys.find(
      ({ Name }) => Name === 'Root',
    )?.Keys[0]?.ID
    const pem = join(scope.folder('adopt'), 'key.pem')
    const from = ['--trust-server', notary.url, '--ca-file', notary.caFile]
    const more = ['--operator-socket', countersign.operatorSocket, '--key-out', pem]
    await countersign.must(['repo', 'adopt', image.gun, '--pin', pin ?? '', ...from, ...more])
    const served = await serveExport(image.gun)
    expect(served.report).to.deep.include({ roots: { first: 1, last: 2 } })
    const names = readdirSync(join(served.folder, 'v2', image.gun, '_trust/tuf'))
    expect(names).to.include.members(['1.root.json', '2.root.json', 'root.json'])
    expect(await reader(served).list(image.gun)).to.deep.equal([entry(image, 'targets')])
  })
})
