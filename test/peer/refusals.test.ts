// What must not be signed: each refusal has its own code, and the Notary server holds the same bytes afterwards.
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, MEDIA_TYPES, type PushedImage } from '../support/peers/images.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { publishedFile } from '../support/peers/published.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import {
  startScriptedRegistry,
  type ScriptedAnswer,
  type ScriptedRegistry,
} from '../support/peers/scripted-registry.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
const OTHER_DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`

const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociManifest,
  config: { mediaType: MEDIA_TYPES.ociConfig, digest: OTHER_DIGEST, size: 2 },
  layers: [],
})

const SCRIPTED: readonly { readonly title: string; readonly answer: ScriptedAnswer; readonly code: string }[] = [
  {
    title: 'a schema 1 manifest',
    answer: {
      status: 200,
      headers: { 'content-type': SCHEMA_1 },
      body: JSON.stringify({ schemaVersion: 1, name: 'team/app', tag: 'x', fsLayers: [], history: [] }),
    },
    code: 'MANIFEST_SCHEMA1_REFUSED',
  },
  {
    title: 'a manifest over the limit',
    answer: {
      status: 200,
      headers: { 'content-type': MEDIA_TYPES.ociManifest },
      body: manifest.padEnd(5 * 1024 ** 2, ' '),
    },
    code: 'MANIFEST_TOO_LARGE',
  },
  {
    title: 'a registry that lies about the digest of what it sends',
    answer: {
      status: 200,
      headers: { 'content-type': MEDIA_TYPES.ociManifest, 'docker-content-digest': OTHER_DIGEST },
      body: manifest,
    },
    code: 'REGISTRY_DIGEST_MISMATCH',
  },
  {
    title: 'a registry that sends a page where a manifest should be',
    answer: { status: 200, headers: { 'content-type': 'text/html' }, body: '<p>Welcome</p>' },
    code: 'MANIFEST_MALFORMED',
  },
  {
    title: 'a manifest of a type that nobody pulls',
    answer: {
      status: 200,
      headers: { 'content-type': 'application/vnd.example.manifest+json' },
      body: JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.example.manifest+json' }),
    },
    code: 'MANIFEST_TYPE_UNSUPPORTED',
  },
  {
    title: 'a registry that fails',
    answer: { status: 503, body: 'maintenance' },
    code: 'REGISTRY_UNAVAILABLE',
  },
  {
    title: 'a registry that sends us elsewhere',
    answer: { status: 307, headers: { location: 'https://elsewhere.example.com/' } },
    code: 'REGISTRY_REDIRECTED',
  },
]

describe('refusing to sign', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  let registry: DockerRegistry
  let scripted: ScriptedRegistry
  let notary: NotaryServer
  let images: ImageMaker
  let countersign: Countersign
  let signed: PushedImage

  before(async function () {
    requirePeers(this, 'notary-server', 'registry')
    registry = await startDockerRegistry(scope)
    scripted = await startScriptedRegistry(scope)
    notary = await startNotaryServer(scope, { ca })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    countersign = await Countersign.start(scope, { notary, registry, otherRegistries: [scripted] })
    signed = await images.pushManifest('team/app', '1.0')
    for (const gun of [signed.gun, `${scripted.host}/team/app`]) await countersign.must(['repo', 'init', gun])
    await countersign.must(['sign', signed.reference])
  })
  after(() => scope.close())

  /** Runs the command, and looks whether the timestamp, and with it anything at all, has changed. */
  async function expectRefused(gun: string, args: readonly string[], code: string): Promise<void> {
    const before = await publishedFile(notary, gun, 'timestamp.json')
    const refusal = await countersign.refusal(args)
    expect(refusal.code, `${refusal.text}\n${countersign.logs()}`).to.equal(code)
    expect(refusal.status).to.equal(1)
    expect(before).not.to.equal(undefined)
    expect(await publishedFile(notary, gun, 'timestamp.json')).to.equal(before)
  }

  it('a tag whose digest is not the one named', async () => {
    await expectRefused(signed.gun, ['sign', `${signed.reference}@${OTHER_DIGEST}`], 'DIGEST_MISMATCH')
  })

  it('a tag that does not exist', async () => {
    await expectRefused(signed.gun, ['sign', `${signed.gun}:absent`], 'IMAGE_NOT_FOUND')
  })

  it('an image that is in no registry of ours', async () => {
    const refusal = await countersign.refusal(['sign', 'registry.example.com/team/app:1'])
    expect(refusal).to.include({ status: 3, code: 'NOT_PERMITTED' })
  })

  it('one bad image among good ones: nothing of the request is published', async () => {
    const good = await images.pushManifest('team/app', 'good')
    await expectRefused(signed.gun, ['sign', good.reference, `${signed.gun}:absent`], 'IMAGE_NOT_FOUND')
  })

  it('unsigning what is not signed', async () => {
    await expectRefused(signed.gun, ['unsign', `${signed.gun}:absent`], 'TAG_NOT_SIGNED')
  })

  for (const { title, answer, code } of SCRIPTED) {
    it(title, async () => {
      scripted.answer = () => answer
      const gun = `${scripted.host}/team/app`
      await expectRefused(gun, ['sign', `${gun}:1.0`], code)
    })
  }
})
