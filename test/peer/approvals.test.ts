// Two people say yes before anything is signed: by the real program, from policy files, with keys of their own that the key holder checks;
// judged by unmodified docker clients.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { printApproverKey } from '../../src/approval-statement.ts'
import { Countersign, type SigningRequestJson } from '../support/countersign.ts'
import { OidcIssuer } from '../support/oidc-issuer.ts'
import { AUDIENCE, githubClaims } from '../support/workload-claims.ts'
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

/** Seconds that the ID token of a run lives: less than people take to approve. */
const ID_TOKEN_SECONDS = 8

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
  let issuer: OidcIssuer
  /** Where a run of GitHub asks for its ID token. */
  let runUrl: string

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'docker', 'docker-engine')
    registry = await startDockerRegistry(scope)
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    const notary = await startNotaryServer(scope, { ca })
    const engine = await startDockerEngine(scope, { ca })
    docker = new DockerClient(scope, { notary, engine, program: trustingDockerClients()[0]!.path })
    gun = `${registry.host}/${NAME}`
    issuer = await OidcIssuer.start(scope)
    runUrl = await startRun()
    folder = scope.folder('policies')
    chmodSync(folder, 0o755)
    writePolicies(['nobody-yet'])
    countersign = await Countersign.start(scope, {
      notary,
      registry,
      config: { policies: { folder }, identity: { issuers: [githubIssuer()] } },
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

  /** The endpoint of a run that gives out its ID token; everything that a pipeline has. */
  async function startRun(): Promise<string> {
    const server = createServer((_request, response) => {
      const claims = githubClaims(issuer.url, new Date(), { repository_id: '74', actor_id: '2', ...runClaims })
      const exp = Math.floor(Date.now() / 1000) + ID_TOKEN_SECONDS
      void issuer.sign({ ...claims, exp }).then((value) => response.end(JSON.stringify({ value })))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    scope.add(() => {
      server.close()
      server.closeAllConnections()
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/token?run=1`
  }
  let runClaims: Readonly<Record<string, unknown>> = {}

  const githubIssuer = () => ({
    name: 'github',
    issuer: issuer.url,
    audience: AUDIENCE,
    provider: 'github',
    identities: [
      { match: { repository_id: '74' }, grants: [{ grant: 'submit', repositories: [`${registry.host}/*`] }] },
    ],
  })

  /** `countersign ARGS` in a pipeline: with nothing but what the run gives it. */
  const inPipeline = (args: readonly string[]) =>
    countersign.run(args, {
      env: {
        COUNTERSIGN_TOKEN_FILE: undefined,
        COUNTERSIGN_OIDC: 'github',
        COUNTERSIGN_OIDC_AUDIENCE: AUDIENCE,
        ACTIONS_ID_TOKEN_REQUEST_URL: runUrl,
        ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'token-of-the-run',
      },
    })

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
      const github = { ann: 1, bob: 2, cat: 3 }[name] ?? 0
      return `  ${name}: { ${key}identities: [${tokens.get(name)?.id ?? `nobody-${name}`}, "github:user:${github}"] }`
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
  pipeline:
    submitters: ["identity:github:repository:74"]
    tags: ["*"]
    origin:
      issuers: ["${issuer.url}"]
      repositoryIds: ["74"]
      refs: [refs/heads/main]
      events: [push]
    approvals: { required: 2, from: [group:managers] }
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
    expect((await docker.trustedPull(pushed[0]!.reference)).status).to.not.equal(0)
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

  describe('asked for by a pipeline with nothing but an OIDC token', () => {
    it('is published after two approvals that come when its token has expired', async () => {
      const pushed = await Promise.all(['ci-1', 'ci-1-debug', 'ci-1-arm'].map((tag) => images.pushManifest(NAME, tag)))
      const named = pushed.map(({ reference, sha256 }) => `${reference}@sha256:${sha256}`)
      const submitted = await inPipeline(['sign', ...named, '--policy', 'pipeline', '--no-wait', '--json'])
      expect(submitted.status, submitted.text).to.equal(4)
      const request = JSON.parse(submitted.stdout) as SigningRequestJson & {
        submitter: { id: string; actors: string[]; origin: { commit: string; repositoryId: string } }
      }
      expect(request.submitter).to.deep.include({ id: 'github:repository:74', actors: ['github:user:2'] })
      expect(request.submitter.origin).to.include({ repositoryId: '74', commit: 'a'.repeat(40) })
      await delay((ID_TOKEN_SECONDS + 1) * 1000)
      const behind = await approve('bob', request)
      expect(behind.status, behind.text).to.equal(3)
      expect(behind.text).to.contain('APPROVER_IS_SUBMITTER')
      for (const name of ['ann', 'cat']) expect((await approve(name, request)).status).to.equal(0)
      expect((await outcome(request)).status, countersign.logs()).to.equal('published')
      const { SignedTags } = await docker.inspectTrust(gun)
      expect(SignedTags.map(({ Digest }) => Digest)).to.include.members(pushed.map(({ sha256 }) => sha256))
      expect((await docker.trustedPull(pushed[0]!.reference)).status).to.equal(0)
    })

    for (const [what, claims] of [
      ['from another branch', { ref: 'refs/heads/attack' }],
      ['that is a repetition', { run_attempt: '2' }],
      ['from an unprotected ref', { ref_protected: 'false' }],
    ] as const) {
      it(`is denied for a run ${what}`, async () => {
        runClaims = claims
        const { reference, sha256 } = await images.pushManifest(NAME, 'ci-2')
        const refused = await inPipeline(['sign', `${reference}@sha256:${sha256}`, '--policy', 'pipeline'])
        runClaims = {}
        expect(refused.status, refused.text).to.equal(3)
        expect(refused.text).to.contain('ORIGIN_')
      })
    }

    it('is refused for another repository of the same name', async () => {
      runClaims = { repository_id: '75' }
      const refused = await inPipeline(['sign', `${gun}:ci-1`, '--policy', 'pipeline'])
      runClaims = {}
      expect(refused.status, refused.text).to.not.equal(0)
      expect(refused.text).to.contain('OIDC_IDENTITY_UNKNOWN')
    })
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
