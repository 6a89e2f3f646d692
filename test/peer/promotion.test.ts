// From one registry and Notary server to another pair: what is signed there is signed here, and nothing else is. Judged by the notary client.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign, type SigningRequestJson } from '../support/countersign.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { type NotaryServer, startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const NAME = 'team/app'

interface Side {
  readonly registry: DockerRegistry
  readonly notary: NotaryServer
  readonly images: ImageMaker
  readonly gun: string
}

describe('a promotion across two registries and two Notary servers', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  let staging: Side
  let production: Side
  let countersign: Countersign
  let policies: string
  let annFile: string

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry')
    ;[staging, production] = await Promise.all([startSide(), startSide()])
    policies = scope.folder('policies')
    chmodSync(policies, 0o755)
    writePolicies('nobody-yet')
    const authorities = scope.folder('authorities')
    chmodSync(authorities, 0o755)
    const caFile = join(authorities, 'ca.crt')
    writeFileSync(caFile, ca.certificatePem, { mode: 0o644 })
    const trustServers = [staging, production].map(({ registry: { host }, notary: { url } }, index) => ({
      name: `side-${index}`,
      url,
      guns: [`${host}/*`],
      caFile,
    }))
    const { registry, notary } = staging
    const config = { trustServers, policies: { folder: policies } }
    countersign = await Countersign.start(scope, { registry, notary, otherRegistries: [production.registry], config })
    for (const { gun } of [staging, production]) await countersign.must(['repo', 'init', gun])
    mkdirSync(join(countersign.folder, 'cli/people'))
    annFile = join(countersign.folder, 'cli/people/ann.token')
    const grant = ['--grant', 'submit:*', '--out', annFile, '--json']
    const { stdout } = await countersign.must(['token', 'create', 'ann', ...grant])
    const inForce = () => countersign.daemon.output().split('policies are in force').length
    const before = inForce()
    writePolicies((JSON.parse(stdout) as { id: string }).id)
    await waitFor('the policies are in force', () => (inForce() > before ? true : undefined))
  })
  after(() => scope.close())

  async function startSide(): Promise<Side> {
    const registry = await startDockerRegistry(scope)
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    return { registry, images, notary: await startNotaryServer(scope, { ca }), gun: `${registry.host}/${NAME}` }
  }

  /** In production one person approves what somebody else has asked for. */
  function writePolicies(ann: string): void {
    const files = {
      'people.yaml': `people:\n  ann: { identities: [${ann}] }\n`,
      ...projectFile('staging', staging, ''),
      ...projectFile('production', production, 'approvals: { required: 1, from: [person:ann] }'),
    }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(policies, name), text, { mode: 0o644 })
  }

  const projectFile = (project: string, { registry }: Side, approvals: string) => ({
    [`${project}.yaml`]: `project: ${project}
repositories: ["${registry.host}/*"]
default: any
policies:
  any:
    submitters: [anyone]
    tags: ["*"]
    digest: optional
    moveTags: true
    kinds: [sign, unsign]
    ${approvals}
`,
  })

  const signed = async (tag: string) =>
    (await new NotaryClient(scope, { notary: production.notary }).list(production.gun, 'targets/releases')).find(
      ({ name }) => name === tag,
    )

  /** The same image on both sides, signed at the first. */
  async function copied(tag: string): Promise<{ from: string; to: string; sha256: string }> {
    const content = `content of ${tag}`
    const image = await staging.images.pushManifest(NAME, tag, { content })
    const copy = await production.images.pushManifest(NAME, tag, { content })
    expect(copy.sha256).to.equal(image.sha256)
    await countersign.must(['sign', image.reference])
    return { from: image.reference, to: copy.reference, sha256: image.sha256 }
  }

  async function ask(from: string, to: string): Promise<SigningRequestJson> {
    const asked = await countersign.run(['promote', from, to, '--no-wait', '--json'])
    expect(asked.status, asked.text).to.equal(4)
    return JSON.parse(asked.stdout) as SigningRequestJson
  }

  /** Ann says yes; the code with which it ended, or its status. */
  async function approved({ id }: SigningRequestJson): Promise<string> {
    const { stdout } = await countersign.must(['request', 'show', id, '--json'])
    const { approvalDigest } = JSON.parse(stdout) as { approvalDigest: string }
    await countersign.must(['request', 'approve', id, '--digest', approvalDigest], { tokenFile: annFile })
    const end = await countersign.request(['request', 'show', id, '--wait', '--timeout', '30s'])
    const [image] = end.request.images
    return image?.error?.code ?? String(image?.status)
  }

  it('signs at the destination, under its policy, and shows where it came from', async () => {
    const { from, to, sha256 } = await copied('v1')
    const request = await ask(from, to)
    expect(await signed('v1')).to.equal(undefined)
    expect(await approved(request)).to.equal('published')
    expect(await signed('v1')).to.include({ sha256 })
    const { stdout } = await countersign.must(['request', 'show', request.id])
    expect(stdout).to.match(
      new RegExp(`^Promoted from: ${from}@sha256:${sha256}, signed in targets/releases v[0-9]+$`, 'm'),
    )
  })

  it('is refused where the destination serves something else, or the source is not signed', async () => {
    const { from } = await copied('v2')
    const { reference } = await production.images.pushManifest(NAME, 'v2')
    expect(await countersign.refusal(['promote', from, reference])).to.include({
      status: 1,
      code: 'PROMOTION_DESTINATION_DIFFERS',
    })
    expect(await countersign.refusal(['promote', `${staging.gun}:v9`, reference])).to.include({
      status: 1,
      code: 'PROMOTION_SOURCE_NOT_SIGNED',
    })
  })

  it('ends where the destination or the source moved meanwhile, and nothing is signed', async () => {
    const first = await copied('v3')
    const second = await copied('v4')
    const requests = [await ask(first.from, first.to), await ask(second.from, second.to)] as const
    await production.images.pushManifest(NAME, 'v3')
    await staging.images.pushManifest(NAME, 'v4')
    await countersign.must(['sign', second.from])
    expect(await approved(requests[0])).to.equal('DIGEST_MISMATCH')
    expect(await approved(requests[1])).to.equal('PROMOTION_SOURCE_MOVED')
    expect([await signed('v3'), await signed('v4')]).to.deep.equal([undefined, undefined])
  })
})
