// `docker countersign push` and `pull`, as docker itself starts them: with a real engine, registry and Notary server, and judged by what the stock client pulls
// with DOCKER_CONTENT_TRUST=1.
import { chmodSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { builtClient } from '../support/countersign-program.ts'
import { Countersign } from '../support/countersign.ts'
import { freePort } from '../support/free-port.ts'
import { commandsOf } from '../support/page-commands.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { type DockerEngine, startDockerEngine } from '../support/peers/docker-engine.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { programOnPath, requirePeers } from '../support/peers/require-peers.ts'
import { tarOf } from '../support/peers/tar.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import {
  eventsOf,
  expectSignedOnce,
  forgedEvents,
  pushBurst,
  PUSH_SECRET,
  PUSH_SECRETS,
  sendEvents,
  signOnPush,
} from '../support/push-burst.ts'
import { waitFor } from '../support/polling.ts'
import { runCommand } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const NAME = 'team/app'

describe('docker countersign', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  let registry: DockerRegistry
  let images: ImageMaker
  let countersign: Countersign
  let docker: DockerClient
  let engine: DockerEngine
  let notary: NotaryServer
  let gun: string

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'docker', 'docker-engine')
    const port = await freePort()
    const url = `http://127.0.0.1:${port}/v1/events/main`
    registry = await startDockerRegistry(scope, { events: { url, secret: PUSH_SECRET } })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    engine = await startDockerEngine(scope, { ca })
    notary = await startNotaryServer(scope, { ca })
    gun = `${registry.host}/${NAME}`
    countersign = await Countersign.start(scope, {
      notary,
      registry,
      port,
      secrets: PUSH_SECRETS,
      config: { policies: { folder: writePolicies() }, signOnPush: signOnPush(registry.host, gun) },
    })
    await countersign.must(['repo', 'init', gun])
    const own = { XDG_STATE_HOME: scope.folder('state'), COUNTERSIGN_PINS: join(scope.folder('pins'), 'pins.json') }
    const environment = { ...countersign.clientEnvironment, ...own }
    docker = new DockerClient(scope, { notary, engine, environment })
    docker.addPlugin('countersign', builtClient())
  })
  after(() => scope.close())

  function writePolicies(): string {
    const folder = scope.folder('policies')
    chmodSync(folder, 0o755)
    const project = `project: team
repositories: ["${registry.host}/*"]
default: release
policies:
  release: { submitters: [anyone], tags: ['v*'] }
  careful: { submitters: [anyone], tags: ['v*'], approvals: { required: 1, from: [person:ann] } }
`
    writeFileSync(join(folder, 'people.yaml'), 'people:\n  ann: { identities: [token_ann] }\n', { mode: 0o644 })
    writeFileSync(join(folder, 'team.yaml'), project, { mode: 0o644 })
    return folder
  }

  /** An image that only the engine has. */
  async function build(tag: string): Promise<string> {
    const reference = `${gun}:${tag}`
    const input = tarOf([{ name: 'hello.txt', content: Buffer.from(`${tag}\n`) }])
    await docker.must(['import', '-', reference], { input })
    return reference
  }

  /** The image that the engine has under a tag; undefined: none. */
  async function imageId(reference: string): Promise<string | undefined> {
    const { status, stdout } = await docker.run(['image', 'inspect', '--format', '{{.Id}}', reference])
    return status === 0 ? stdout.trim() : undefined
  }

  /** That `docker countersign pull` and a trusted pull of the stock client bring the same image. */
  async function expectSamePull(reference: string, ...options: readonly string[]): Promise<void> {
    const trusted = await docker.trustedPull(reference)
    expect(trusted.status, trusted.text).to.equal(0)
    const theirs = await imageId(reference)
    await docker.must(['image', 'rm', '--force', theirs ?? ''])
    const pulled = await docker.trusted(['countersign', 'pull', reference, ...options])
    expect(pulled.status, pulled.text).to.equal(0)
    expect(await imageId(reference)).to.equal(theirs)
    expect(trusted.stdout).to.include(/sha256:[0-9a-f]{64}/.exec(pulled.stdout)?.[0])
  }

  it('is found by docker, with its description', async () => {
    expect((await docker.must(['--help'])).stdout).to.match(/^ +countersign\* *Push, sign, verify and pull/m)
  })

  it('push signs what docker pushed, and a trusted pull of the stock client succeeds', async () => {
    const reference = await build('v1')
    // Docker would sign this push itself, and fail for want of keys.
    const pushed = await docker.trusted(['countersign', 'push', reference, '--json'])
    expect(pushed.status, `${pushed.text}\n${countersign.logs()}`).to.equal(0)
    const { image, digest, result } = JSON.parse(pushed.stdout) as { image: string; digest: string; result: object }
    expect([image, result]).to.deep.include.members([reference])
    expect(result).to.include({ status: 'published' })
    const pulled = await docker.trustedPull(reference)
    expect(pulled.status, pulled.text).to.equal(0)
    expect(pulled.stdout).to.include(digest)
  })

  it('push --manifest signs a list of several platforms', async () => {
    const parts = ['amd64', 'arm64'].map((tag) => images.pushManifest(NAME, tag, { flavour: 'docker' }))
    const reference = `${gun}:v1-multi`
    const members = (await Promise.all(parts)).map((part) => part.reference)
    await docker.must(['manifest', 'create', '--insecure', reference, ...members])
    const pushed = await docker.trusted(['countersign', 'push', '--manifest', '--insecure', reference])
    expect(pushed.status, pushed.text).to.equal(0)
    const pulled = await docker.trustedPull(reference)
    expect(pulled.status, pulled.text).to.equal(0)
    expect(pushed.stdout).to.include(/sha256:[0-9a-f]{64}/.exec(pulled.stdout)?.[0])
  })

  it('the first signed push of docs/first-push.md takes minutes, from an empty folder', async () => {
    const page = 'docs/first-push.md'
    const home = scope.folder('home')
    const here = (text: string): string =>
      text
        .replaceAll('registry.example.com', registry.host)
        .replaceAll('https://countersign.example.com', countersign.clientEnvironment['COUNTERSIGN_SERVER'] ?? '')
        .replaceAll('https://notary.example.com', notary.url)
    const operator = { COUNTERSIGN_OPERATOR_SOCKET: countersign.operatorSocket }
    let fingerprint = ''
    for (const command of commandsOf(page, 'From the operator')) {
      const words = here(command).split(' ').slice(1)
      const args = words.map((word) => word.replace(/^\w+\.(token|pins)$/, join(home, '$&')))
      const done = await countersign.run(args, { env: operator })
      expect(done.status, done.text).to.equal(0)
      fingerprint = /Fingerprint: (\w+)/.exec(done.stdout)?.[1] ?? fingerprint
    }
    copyFileSync(builtClient(), join(home, 'countersign-client.cjs'))
    const tls = join(home, '.docker/tls', notary.host)
    mkdirSync(tls, { recursive: true })
    writeFileSync(join(tls, 'ca.crt'), ca.certificatePem)
    const steps = ['Once on your machine', 'Push', 'Look at it'].flatMap((heading) => commandsOf(page, heading))
    const script = steps.map((step) => here(step).replace('FINGERPRINT', fingerprint)).join('\n')
    const env = { HOME: home, PATH: process.env['PATH'] ?? '', DOCKER_HOST: engine.address }
    const begin = Date.now()
    const ran = await runCommand(programOnPath('bash'), ['-euc', script], { cwd: home, env, timeoutMs: 290_000 })
    expect(ran.status, ran.text).to.equal(0)
    expect(Date.now() - begin).to.be.below(5 * 60_000)
    expect(ran.stdout)
      .to.match(/^published +\S+team\/app:v1\.0 /m)
      .and.to.match(/^signed +\S+team\/app:v1\.0 /m)
    expect((await docker.trustedPull(`${gun}:v1.0`)).status).to.equal(0)
  })

  describe('pull', () => {
    it('brings what a trusted pull brings: one platform, several, and the signed image of a tag that has moved', async () => {
      const bundle = join(scope.folder('pins'), 'team.pins')
      const env = { COUNTERSIGN_OPERATOR_SOCKET: countersign.operatorSocket }
      const exported = await countersign.run(['pin', 'export', bundle, '--json'], { env })
      const { fingerprint } = JSON.parse(exported.stdout) as { fingerprint: string }
      await docker.must(['countersign', 'pin', 'import', bundle, '--key', fingerprint])
      await images.pushManifest(NAME, 'v1')
      await expectSamePull(`${gun}:v1`)
      await expectSamePull(`${gun}:v1-multi`)
    })

    it('leaves everything as it is where the pin is wrong, or the tag is not signed', async () => {
      await docker.run(['image', 'rm', '--force', `${gun}:v1`])
      const wrong = await docker.run(['countersign', 'pull', `${gun}:v1`, '--pin', 'ab'.repeat(32)])
      expect([wrong.status, /ROOT_NOT_PINNED/.test(wrong.stderr)], wrong.text).to.deep.equal([1, true])
      const unsigned = await docker.run(['countersign', 'pull', `${gun}:arm64`])
      expect([unsigned.status, /IMAGE_NOT_SIGNED/.test(unsigned.stderr)], unsigned.text).to.deep.equal([1, true])
      expect([await imageId(`${gun}:v1`), await imageId(`${gun}:arm64`)]).to.deep.equal([undefined, undefined])
    })
  })

  describe('an event of the registry', () => {
    it('has each of many pushed tags signed once, late and repeated ones too, and leads nowhere else', async () => {
      const victim = await startScriptedServer(scope, (_, response) => response.writeHead(200).end())
      const pushed = await pushBurst(images, NAME, 20)
      const denied = await images.pushManifest(NAME, 'w-push-1')
      const forged = forgedEvents(new URL(victim.url).host)
      const ignored = { accepted: 0, ignored: forged.length }
      expect(await sendEvents(countersign, forged)).to.deep.equal({ status: 202, json: ignored })
      expect((await sendEvents(countersign, eventsOf(pushed, NAME), 'x'.repeat(40))).status).to.equal(401)
      const others = [`${denied.tag} denied`]
      await expectSignedOnce(countersign, gun, pushed, { others, withinMs: 30_000 })
      const late = [...pushed].reverse()
      expect((await sendEvents(countersign, eventsOf([...late, ...late], NAME))).status).to.equal(202)
      await expectSignedOnce(countersign, gun, pushed, { others, withinMs: 10_000 })
      expect(victim.heard).to.deep.equal([])
      const { SignedTags } = await docker.inspectTrust(gun)
      const signed = SignedTags.filter(({ SignedTag }) => /^v-push-\d/.test(SignedTag))
      expect(signed.map(({ SignedTag, Digest }) => [SignedTag, Digest])).to.have.deep.members(
        pushed.map(({ tag, sha256 }) => [tag, sha256]),
      )
    })
  })

  it('a stock push by somebody who holds no key: doctor explains the error, and this machine; the event has it signed', async () => {
    const reference = await build('v-push-stock')
    const stock = await docker.trusted(['push', reference])
    expect(stock.status, stock.text).to.equal(1)
    expect(stock.text).to.include(`failed to sign ${reference}: no valid signing keys for delegation roles`)
    expect(readdirSync(join(docker.folder, 'trust/private')), 'keys on this machine').to.deep.equal([])
    const pulled = await waitFor('the signature', async () => {
      const { status, stdout } = await docker.trustedPull(reference)
      return status === 0 ? stdout : undefined
    })
    expect(pulled).to.include(/digest: (sha256:[0-9a-f]{64})/.exec(stock.stdout)?.[1])
    const explained = await docker.must(['countersign', 'doctor', '--explain', stock.text, '--json'])
    expect(JSON.parse(explained.stdout)).to.include({ id: 'no-signing-keys' })
    const examined = await docker.trusted(['countersign', 'doctor', reference, '--json'])
    const { findings } = JSON.parse(examined.stdout) as { findings: { id: string; state: string }[] }
    const states = Object.fromEntries(findings.map(({ id, state }) => [id, state]))
    expect(examined.status, examined.text).to.equal(0)
    expect(states).to.include({
      'docker-client': 'ok',
      server: 'ok',
      token: 'ok',
      'trust-server': 'ok',
      registry: 'ok',
    })
    expect(states).to.include({
      'content-trust': 'warning',
      pins: 'warning',
      'left-over-secrets': 'warning',
      clock: 'ok',
    })
  })

  describe('where the image is pushed and not signed', () => {
    it('3: denied by the policy; 4: waits for approval; the text says what to do', async () => {
      const denied = await docker.trusted(['countersign', 'push', await build('nightly')])
      expect(denied.status, denied.text).to.equal(3)
      expect(denied.stderr)
        .to.match(/REQUEST_DENIED/)
        .and.to.match(/IMAGE_PUSHED_UNSIGNED: \S+@sha256:\S+ IS PUSHED/)
      // Docker is ended, which leaves the request; without a terminal it tells its plugin by a socket.
      const waiting = docker.begin(scope, ['countersign', 'push', await build('v2'), '--policy', 'careful'])
      await waitFor('the request waits', () => (waiting.output().includes('awaiting-approval') ? true : undefined))
      process.kill(waiting.pid, 'SIGTERM')
      await waitFor('docker ends', () => waiting.ended())
      expect(waiting.ended(), waiting.output()).to.equal('status 4')
      expect(waiting.output())
        .to.match(/IMAGE_PUSHED_UNSIGNED/)
        .and.to.match(/countersign request show req\S+ --wait/)
      for (const tag of ['nightly', 'v2']) expect((await docker.trustedPull(`${gun}:${tag}`)).status).not.to.equal(0)
    })

    it('1: somebody else pushes to the tag before it is signed', async () => {
      const [reference, other] = [await build('v3'), await build('other')]
      const folder = scope.folder('bin')
      const real = docker.program
      const attacker = `"${real}" tag ${other} ${reference} && "${real}" push ${reference} > /dev/null`
      const script = `#!/bin/sh\n"${real}" "$@" || exit\n${attacker}\n`
      writeFileSync(join(folder, 'docker'), script, { mode: 0o755 })
      const env = { DOCKER_HOST: engine.address, PATH: `${folder}:${process.env['PATH'] ?? ''}` }
      const pushed = await countersign.run(['push', reference], { env })
      expect(pushed.status, pushed.text).to.equal(1)
      expect(pushed.stderr)
        .to.match(/countersign: DIGEST_MISMATCH: /)
        .and.to.include('IS PUSHED, BUT NOT SIGNED')
      expect((await docker.trustedPull(reference)).status).not.to.equal(0)
    })

    it('1: the daemon is down', async () => {
      const reference = await build('v4')
      await countersign.daemon.stop()
      const pushed = await docker.trusted(['countersign', 'push', reference])
      expect(pushed.status, pushed.text).to.equal(1)
      expect(pushed.stderr)
        .to.match(/SERVER_UNREACHABLE/)
        .and.to.include('IS PUSHED, BUT NOT SIGNED')
      const [, next = ''] = /When this is settled: countersign (.+)/.exec(pushed.stderr) ?? []
      await countersign.startDaemon()
      expect((await docker.run(['countersign', ...next.split(' ')])).status).to.equal(0)
      expect((await docker.trustedPull(reference)).status).to.equal(0)
    })
  })
})
