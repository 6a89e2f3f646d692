// Two people say yes before anything is signed: by the real program, from policy files, with keys of their own that the key holder checks;
// judged by unmodified docker clients.
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { printApproverKey } from '../../src/approval-statement.ts'
import { Countersign, type SigningRequestJson } from '../support/countersign.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine } from '../support/peers/docker-engine.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers, trustingDockerClients } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const PASSPHRASE = 'a test passphrase'
const APPROVERS = ['ann', 'bob'] as const
const NAME = 'team/app'

interface Token {
  readonly id: string
  readonly file: string
}

describe('a release that two people approve', function () {
  this.timeout(120_000)
  const scope = new Scope()
  const ca = createTestCa()
  const keys = Object.fromEntries(APPROVERS.map((name) => [name, generateKeyPairSync('ed25519').privateKey]))
  const tokens = new Map<string, Token>()
  let folder: string
  let registry: DockerRegistry
  let images: ImageMaker
  let docker: DockerClient
  let countersign: Countersign
  let gun: string

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'docker', 'docker-engine')
    registry = await startDockerRegistry(scope)
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    const notary = await startNotaryServer(scope, { ca })
    const engine = await startDockerEngine(scope, { ca })
    docker = new DockerClient(scope, { notary, engine, program: trustingDockerClients()[0]!.path })
    gun = `${registry.host}/${NAME}`
    folder = scope.folder('policies')
    chmodSync(folder, 0o755)
    writePolicies(['nobody-yet'])
    countersign = await Countersign.start(scope, {
      notary,
      registry,
      config: { policies: { folder } },
      limits: {
        repositories: [
          {
            gun: '*',
            initialize: true,
            approvals: {
              tags: ['v*'],
              required: 2,
              approvers: Object.fromEntries(APPROVERS.map((name) => [name, publicKey(name)])),
            },
          },
        ],
      },
    })
    await countersign.must(['repo', 'init', gun])
    mkdirSync(join(countersign.folder, 'cli/people'))
    for (const name of APPROVERS) await token(name, 'submit')
    await token('cat', 'read')
    await token('bot', 'submit')
    for (const name of APPROVERS) {
      const pem = keys[name]!.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE })
      writeFileSync(keyFile(name), pem, { mode: 0o600 })
    }
    writeFileSync(passphraseFile(), `${PASSPHRASE}\n`, { mode: 0o600 })
    await load()
  })
  after(() => scope.close())

  const publicKey = (name: string): string => printApproverKey(keys[name]!) ?? ''
  const keyFile = (name: string): string => join(countersign.folder, `cli/people/${name}.key`)
  const passphraseFile = (): string => join(countersign.folder, 'cli/people/passphrase')
  const tokenFile = (name: string): string => tokens.get(name)?.file ?? ''

  async function token(name: string, grant: string): Promise<void> {
    const file = join(countersign.folder, `cli/people/${name}.token`)
    const { stdout } = await countersign.must([
      'token',
      'create',
      name,
      '--grant',
      `${grant}:${gun}`,
      '--out',
      file,
      '--json',
    ])
    tokens.set(name, { id: (JSON.parse(stdout) as { id: string }).id, file })
  }

  function writePolicies(bots: readonly string[], more = ''): void {
    const person = (name: string): string => {
      const key = name in keys ? `approvalKey: "${publicKey(name)}", ` : ''
      return `  ${name}: { ${key}identities: [${tokens.get(name)?.id ?? `nobody-${name}`}] }`
    }
    const people = ['people:', ...['ann', 'bob', 'cat'].map(person), 'groups: { managers: [ann, bob, cat] }', '']
    const project = `
project: team
repositories: ["*/team/*"]
default: release
policies:
  release:
    submitters: [${[...bots.map((id) => `"identity:${id}"`), 'person:ann'].join(', ')}]
    tags: ["v*"]
    approvals: { required: 2, signed: true, from: [group:managers] }
${more}`
    for (const [name, text] of [
      ['people.yaml', people.join('\n')],
      ['team.yaml', project],
    ] as const) {
      writeFileSync(join(folder, name), text, { mode: 0o644 })
    }
  }

  /** Until the daemon has taken the folder over. */
  async function load(more = ''): Promise<void> {
    const inForce = () => countersign.daemon.output().split('policies are in force').length
    const before = inForce()
    writePolicies([tokens.get('bot')?.id ?? ''], more)
    await waitFor('the policies are in force', () => (inForce() > before ? true : undefined))
  }

  async function submit(pushed: readonly PushedImage[], as = 'bot'): Promise<SigningRequestJson> {
    const named = pushed.map(({ reference, sha256 }) => `${reference}@sha256:${sha256}`)
    const { status, stdout, text } = await countersign.run(['sign', ...named, '--no-wait', '--json'], {
      tokenFile: tokenFile(as),
    })
    expect(status, text).to.equal(4)
    return JSON.parse(stdout) as SigningRequestJson
  }

  async function approve(name: string, { id }: SigningRequestJson): Promise<{ status: number | null; text: string }> {
    const { stdout } = await countersign.must(['request', 'show', id, '--json'], { tokenFile: tokenFile(name) })
    const { approvalDigest } = JSON.parse(stdout) as { approvalDigest: string }
    const key = name in keys ? ['--key', keyFile(name), '--passphrase-file', passphraseFile()] : []
    return countersign.run(['request', 'approve', id, '--digest', approvalDigest, ...key], {
      tokenFile: tokenFile(name),
    })
  }

  const outcome = async ({ id }: SigningRequestJson): Promise<SigningRequestJson & { exit: number | null }> => {
    const ran = await countersign.run(['request', 'show', id, '--wait', '--timeout', '60s', '--json'])
    return { ...(JSON.parse(ran.stdout) as SigningRequestJson), exit: ran.status }
  }

  it('publishes three images in one request, after the second of them, and not before', async () => {
    const pushed = await Promise.all(['v1.0', 'v1.0-debug', 'v1.0-arm'].map((tag) => images.pushManifest(NAME, tag)))
    const request = await submit(pushed)
    expect((await approve('ann', request)).status).to.equal(0)
    for (const { reference } of pushed) expect((await docker.trustedPull(reference)).status).to.not.equal(0)
    expect((await approve('bob', request)).status).to.equal(0)
    const { exit, status } = await outcome(request)
    expect([exit, status], countersign.logs()).to.deep.equal([0, 'published'])
    for (const { reference } of pushed) {
      const pulled = await docker.trustedPull(reference)
      expect(pulled.status, pulled.text).to.equal(0)
    }
  })

  it('refuses the approval of who asked, and one without a key', async () => {
    const request = await submit([await images.pushManifest(NAME, 'v1.1')], 'ann')
    const own = await approve('ann', request)
    expect(own.status, own.text).to.equal(3)
    expect(own.text).to.contain('APPROVER_IS_SUBMITTER')
    const keyless = await approve('cat', request)
    expect(keyless.text).to.contain('APPROVAL_SIGNATURE_MISSING')
    await countersign.must(['request', 'withdraw', request.id], { tokenFile: tokenFile('ann') })
    expect((await outcome(request)).status).to.equal('withdrawn')
  })

  it('ends with one denial, and says so to who waits', async () => {
    const pushed = await images.pushManifest(NAME, 'v1.2')
    const request = await submit([pushed])
    await approve('ann', request)
    await countersign.must(['request', 'deny', request.id, '--reason', 'not tested'], { tokenFile: tokenFile('cat') })
    const { exit, status } = await outcome(request)
    expect([exit, status]).to.deep.equal([3, 'denied'])
    expect((await docker.trustedPull(pushed.reference)).status).to.not.equal(0)
  })

  it('signs nothing where the tag was moved after the first approval', async () => {
    const request = await submit([await images.pushManifest(NAME, 'v1.3')])
    await approve('ann', request)
    const moved = await images.pushManifest(NAME, 'v1.3')
    await approve('bob', request)
    const { exit, images: results } = await outcome(request)
    expect([exit, results[0]?.error?.code]).to.deep.equal([1, 'DIGEST_MISMATCH'])
    expect((await docker.trustedPull(moved.reference)).status).to.not.equal(0)
  })

  it('never moves a tag that is signed', async () => {
    const { reference, sha256 } = await images.pushManifest(NAME, 'v1.0')
    const args = ['sign', `${reference}@sha256:${sha256}`]
    const refused = await countersign.run(args, { tokenFile: tokenFile('bot') })
    expect(refused.status, refused.text).to.equal(3)
    expect(refused.text).to.contain('TAG_LOCK_REFUSED')
  })

  it('gets nothing signed for a daemon that asks nobody: the key holder wants the approvals itself', async () => {
    // As if a thief had the policy folder, or the daemon.
    await load('  free: { submitters: [anyone], tags: ["v*"], digest: optional }\n')
    const pushed = await images.pushManifest(NAME, 'v2.0')
    const args = ['sign', pushed.reference, '--policy', 'free', '--json']
    const { status, stdout } = await countersign.run(args, { tokenFile: tokenFile('bot') })
    const [result] = (JSON.parse(stdout) as SigningRequestJson).images
    expect([status, result?.error?.code]).to.deep.equal([1, 'LIMIT_APPROVALS'])
    expect((await docker.trustedPull(pushed.reference)).status).to.not.equal(0)
  })
})
