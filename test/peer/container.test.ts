// The Dockerfile builds, and its image signs: key holder, daemon and trust server as three containers with three users, run as
// deploy/compose.yaml says.
// Where no base image can be pulled a stand-in is made of this machine's own node.
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { stringify } from 'yaml'
import { programVersion } from '../../src/version.ts'
import { builtProgram, checkout } from '../support/countersign-program.ts'
import { freePort } from '../support/free-port.ts'
import { importBaseImage } from '../support/peers/base-image.ts'
import { readComposeFile, readExample, runArguments, type ComposeFile } from '../support/peers/compose-file.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { statusOf } from '../support/peers/readiness.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { runCommand, type CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const IMAGE = 'countersign:test'
const BASE = 'countersign-base:test'
const SERVICES = ['key-holder', 'trust-server', 'daemon'] as const

describe('the container image', function () {
  this.timeout(300_000)
  const scope = new Scope()
  const ca = createTestCa()
  let compose: ComposeFile
  let registry: DockerRegistry
  let docker: DockerClient
  let folder: string
  let port: number
  let trustPort: number

  before(async function () {
    requirePeers(this, 'registry', 'docker', 'docker-engine')
    compose = readComposeFile()
    registry = await startDockerRegistry(scope)
    trustPort = await freePort()
    const notary = { url: trustUrl(), host: `localhost:${trustPort}`, ca }
    const engine = await startDockerEngine(scope, { ca })
    docker = new DockerClient(scope, { notary, engine })
    folder = scope.folder('compose')
    chmodSync(folder, 0o711)
    port = await freePort()
    writeFiles()
    await importBaseImage(scope, docker, BASE)
  })
  after(async () => {
    for (const name of Object.keys(compose.services)) await docker.run(['rm', '--force', name])
    await scope.close()
  })

  const trustUrl = (): string => `https://localhost:${trustPort}`

  /** What deploy/compose.yaml expects beside itself: the example files, with the servers of this test in them. */
  function writeFiles(): void {
    for (const name of ['compose', 'secrets/next', 'tls', 'trust-tls'])
      mkdirSync(join(folder, name), { recursive: true })
    for (const [name, user] of [
      ['tls', 'daemon'],
      ['trust-tls', 'trust-server'],
    ] as const) {
      const tls = ca.issue(['localhost', '127.0.0.1'])
      write(`${name}/server.crt`, tls.certificatePem, 0)
      write(`${name}/server.key`, tls.privateKeyPem, uidOf(user))
    }
    write('tls/ca.crt', ca.certificatePem, 0)
    const token = `cs_${randomBytes(32).toString('base64url')}`
    write('secrets/trust-server.token', `${token}\n`, uidOf('daemon'))
    write('secrets/unlock.key', randomBytes(32), uidOf('key-holder'))
    write('secrets/backup.passphrase', `${randomBytes(24).toString('base64')}\n`, uidOf('key-holder'))
    const http = { ...(readExample('countersign.yaml')['http'] as object), listen: `127.0.0.1:${port}` }
    const [trustServer] = readExample('countersign.yaml')['trustServers'] as object[]
    const repositories = [`${registry.host}/*`]
    const trustServers = [
      { ...trustServer, url: trustUrl(), guns: repositories, caFile: '/etc/countersign/tls/ca.crt' },
    ]
    const registries = [{ host: registry.host, url: registry.url }]
    const config = { ...readExample('countersign.yaml'), http, trustServers, registries }
    write('compose/countersign.yaml', stringify(config), 0)
    write('compose/key-holder.yaml', stringify(readExample('key-holder.yaml')), 0)
    const [limit] = readExample('limits.yaml')['repositories'] as object[]
    const limits = { ...readExample('limits.yaml'), repositories: [{ ...limit, gun: `${registry.host}/*` }] }
    write('compose/limits.yaml', stringify(limits), 0)
    const server = readExample('trust-server.yaml')
    const [access] = (server['access'] as { tokens: object[] }).tokens
    const sha256 = createHash('sha256').update(token).digest('hex')
    const listen = { ...(server['http'] as object), listen: `127.0.0.1:${trustPort}` }
    const tokens = [{ ...access, sha256, repositories }]
    write('compose/trust-server.yaml', stringify({ ...server, http: listen, access: { tokens } }), 0)
  }

  function write(name: string, content: string | Uint8Array, uid: number): void {
    const path = join(folder, name)
    writeFileSync(path, content)
    chownSync(path, uid, 0)
    chmodSync(path, uid === 0 ? 0o644 : 0o600)
  }

  function uidOf(service: string): number {
    return Number(compose.services[service]?.user.split(':')[0])
  }

  async function start(name: string, network: string): Promise<void> {
    const service = compose.services[name]!
    const place = (source: string): string => (source.startsWith('./') ? join(folder, source) : `cs-${source}`)
    const options = runArguments(service, place)
    const args = ['run', '--detach', `--name=${name}`, `--network=${network}`, ...options, IMAGE, ...service.command]
    await docker.must(args)
  }

  function cli(...args: string[]): Promise<CommandResult> {
    const access = ['--server', `https://localhost:${port}`, '--ca-file', join(folder, 'tls/ca.crt')]
    return runCommand(process.execPath, [builtProgram(), ...args, ...access, '--token-file', join(folder, 'token')])
  }

  it('builds', async () => {
    const build = ['build', '--network=host', `--build-arg=BASE=${BASE}`, `--tag=${IMAGE}`, checkout]
    const built = await docker.run(build, { timeoutMs: 240_000 })
    expect(built.status, built.text.slice(-4000)).to.equal(0)
    const { stdout } = await docker.must(['image', 'inspect', IMAGE, '--format', '{{.Config.User}}'])
    expect(stdout.trim()).to.match(/^[1-9]\d*:[1-9]\d*$/)
  })

  it('ships neither sources, tests nor tools of development', async () => {
    const script = `
      const { existsSync, readdirSync } = require('node:fs')
      const has = (name) => existsSync('/opt/countersign/' + name)
      console.log(JSON.stringify(['src', 'test', 'demo', 'node_modules/mocha', 'node_modules/typescript'].filter(has)))`
    const { stdout } = await docker.must(['run', '--rm', '--network=none', '--entrypoint=node', IMAGE, '-e', script])
    expect(JSON.parse(stdout)).to.deep.equal([])
    // As docs/docker-plugin.md has it copied out of the image.
    const client = [
      'run',
      '--rm',
      '--network=none',
      '--entrypoint=node',
      IMAGE,
      '/opt/countersign/dist/countersign-client.cjs',
    ]
    expect((await docker.must([...client, '--version'])).stdout.trim()).to.equal(programVersion())
  })

  it('starts as three containers with three users, the key holder without a network', async () => {
    await start('key-holder', compose.services['key-holder']?.network_mode ?? '')
    // This engine has no bridge, so the others get the host's network in place of a published port.
    await start('trust-server', 'host')
    await start('daemon', 'host')
    await waitFor('the daemon in its container', async () => {
      const { stdout } = await docker.run(['inspect', '--format', '{{.State.Running}}', ...SERVICES])
      if (stdout.includes('false')) throw new Error(await logs())
      const health = await statusOf(`${trustUrl()}/_notary_server/health`, ca.certificatePem)
      const ready = await statusOf(`https://localhost:${port}/readyz`, ca.certificatePem)
      return health === 200 && ready === 200 ? true : undefined
    })
    const users = SERVICES.map((name) => compose.services[name]?.user)
    expect(new Set(users).size).to.equal(3)
  })

  it('signs for stock docker', async () => {
    await docker.must(['cp', 'daemon:/var/lib/countersign/admin.token', join(folder, 'token')])
    chownSync(join(folder, 'token'), 0, 0)
    const image = await pushedImage('1.0')
    expect((await docker.trustedPull(image.reference)).status).not.to.equal(0)
    const initialized = await cli('repo', 'init', image.gun)
    expect(initialized.status, `${initialized.text}\n${await logs()}`).to.equal(0)
    await expectSigned(image)
  })

  it('changes its unlock key without a stop, and starts with it', async () => {
    const next = 'secrets/next/unlock.key'
    write(next, randomBytes(32), uidOf('key-holder'))
    const socket = String(readExample('key-holder.yaml')['operatorSocket'])
    const command = ['node', '/opt/countersign/dist/main.js', 'key', 'rewrap', '--json', `--operator-socket=${socket}`]
    const changed = await docker.run(['exec', 'key-holder', ...command, '--reason=yearly'])
    expect(changed.status, changed.text).to.equal(0)
    expect((JSON.parse(changed.stdout) as { keys: number }).keys).to.be.at.least(3)
    renameSync(join(folder, next), join(folder, 'secrets/unlock.key'))
    await docker.must(['restart', '--time=20', 'key-holder'])
    await expectSigned(await pushedImage('1.1'))
    expect((await docker.run(['logs', 'key-holder'])).text).not.to.include('next unlock key')
  })

  it('the daemon’s container cannot see the folder of the keys', async () => {
    const script = `
      const { readdirSync } = require('node:fs')
      try { console.log(readdirSync('/var/lib/countersign-key-holder').length) } catch (error) { console.log(error.code) }`
    const { stdout } = await docker.must(['exec', 'daemon', 'node', '-e', script])
    expect(stdout.trim()).to.equal('EACCES')
    expect(await mountsOf('daemon')).not.to.contain('countersign-key-holder')
  })

  it('the trust server has neither the keys, nor the service socket, nor the daemon’s token', async () => {
    const script = `
      const { readFileSync, readdirSync } = require('node:fs')
      const code = (look) => { try { return look() } catch (error) { return error.code } }
      const folders = ['/var/lib/countersign-key-holder', '/var/lib/countersign', '/run/countersign', '/run/countersign-trust']
      console.log(JSON.stringify(folders.map((name) => code(() => readdirSync(name)))))`
    const { stdout } = await docker.must(['exec', 'trust-server', 'node', '-e', script])
    expect(JSON.parse(stdout)).to.deep.equal(['EACCES', 'EACCES', [], ['server.sock']])
    expect(await mountsOf('trust-server')).not.to.match(/countersign-key-holder|countersign |secrets/)
    expect(await mountsOf('daemon')).not.to.contain('countersign-trust')
  })

  it('stops in order when asked to', async () => {
    await docker.must(['stop', '--time=20', ...SERVICES.toReversed()])
    const { stdout } = await docker.must(['inspect', '--format', '{{.State.ExitCode}}', ...SERVICES])
    expect(stdout.trim().split('\n')).to.deep.equal(['0', '0', '0'])
  })

  async function pushedImage(tag: string): Promise<PushedImage> {
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    return images.pushIndex('team/app', tag)
  }

  /** Signs it, and pulls it with stock docker. */
  async function expectSigned(image: PushedImage): Promise<void> {
    const signed = await cli('sign', `${image.reference}@sha256:${image.sha256}`)
    expect(signed.status, `${signed.text}\n${await logs()}`).to.equal(0)
    const pulled = await docker.trustedPull(image.reference)
    expect(pulled.status, pulled.text).to.equal(0)
  }

  /** Where it has something mounted, each followed by a space. */
  async function mountsOf(name: string): Promise<string> {
    const format = '{{range .Mounts}}{{.Destination}} {{end}}'
    return (await docker.must(['inspect', '--format', format, name])).stdout
  }

  async function logs(): Promise<string> {
    const texts = await Promise.all(SERVICES.map((name) => docker.run(['logs', name])))
    return texts.map(({ text }) => text).join('\n')
  }
})
