// The Dockerfile builds, and its image signs: daemon and key holder as two containers with two users, run as deploy/compose.yaml says.
// Where no base image can be pulled a stand-in is made of this machine's own node.
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { stringify } from 'yaml'
import { builtProgram, checkout } from '../support/countersign-program.ts'
import { freePort } from '../support/free-port.ts'
import { importBaseImage } from '../support/peers/base-image.ts'
import { readComposeFile, readExample, runArguments, type ComposeFile } from '../support/peers/compose-file.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { statusOf } from '../support/peers/readiness.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { runCommand, type CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const IMAGE = 'countersign:test'
const BASE = 'countersign-base:test'

describe('the container image', function () {
  this.timeout(300_000)
  const scope = new Scope()
  const ca = createTestCa()
  let compose: ComposeFile
  let registry: DockerRegistry
  let notary: NotaryServer
  let docker: DockerClient
  let folder: string
  let port: number

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'docker', 'docker-engine')
    compose = readComposeFile()
    registry = await startDockerRegistry(scope)
    notary = await startNotaryServer(scope, { ca })
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

  /** What deploy/compose.yaml expects beside itself: the example files, with the servers of this test in them. */
  function writeFiles(): void {
    for (const name of ['compose', 'secrets', 'tls']) mkdirSync(join(folder, name))
    const tls = ca.issue(['localhost', '127.0.0.1'])
    write('tls/server.crt', tls.certificatePem, 0)
    write('tls/server.key', tls.privateKeyPem, uidOf('daemon'))
    copyFileSync(notary.caFile, join(folder, 'tls/ca.crt'))
    write('secrets/unlock.key', randomBytes(32), uidOf('key-holder'))
    const http = { ...(readExample('countersign.yaml')['http'] as object), listen: `127.0.0.1:${port}` }
    const trustServers = [{ url: notary.url, guns: [`${registry.host}/*`], caFile: '/etc/countersign/tls/ca.crt' }]
    const registries = [{ host: registry.host, url: registry.url }]
    const config = { ...readExample('countersign.yaml'), http, trustServers, registries }
    write('compose/countersign.yaml', stringify(config), 0)
    write('compose/key-holder.yaml', stringify(readExample('key-holder.yaml')), 0)
    const limits = { ...readExample('limits.yaml'), repositories: [{ gun: `${registry.host}/*`, initialize: true }] }
    write('compose/limits.yaml', stringify(limits), 0)
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
  })

  it('starts as two containers with two users, the key holder without a network', async () => {
    await start('key-holder', compose.services['key-holder']?.network_mode ?? '')
    // This engine has no bridge, so the daemon gets the host's network in place of a published port.
    await start('daemon', 'host')
    await waitFor('the daemon in its container', async () => {
      const { stdout } = await docker.run(['inspect', '--format', '{{.State.Running}}', 'key-holder', 'daemon'])
      if (stdout.includes('false')) throw new Error(await logs())
      return (await statusOf(`https://localhost:${port}/readyz`, ca.certificatePem)) === 200 ? true : undefined
    })
    const users = ['key-holder', 'daemon'].map((name) => compose.services[name]?.user)
    expect(new Set(users).size).to.equal(2)
  })

  it('signs for stock docker', async () => {
    await docker.must(['cp', 'daemon:/var/lib/countersign/admin.token', join(folder, 'token')])
    chownSync(join(folder, 'token'), 0, 0)
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    const image = await images.pushIndex('team/app', '1.0')
    expect((await docker.trustedPull(image.reference)).status).not.to.equal(0)
    const initialized = await cli('repo', 'init', image.gun)
    expect(initialized.status, `${initialized.text}\n${await logs()}`).to.equal(0)
    const signed = await cli('sign', `${image.reference}@sha256:${image.sha256}`)
    expect(signed.status, `${signed.text}\n${await logs()}`).to.equal(0)
    const pulled = await docker.trustedPull(image.reference)
    expect(pulled.status, pulled.text).to.equal(0)
  })

  it('the daemon’s container cannot see the folder of the keys', async () => {
    const script = `
      const { readdirSync } = require('node:fs')
      try { console.log(readdirSync('/var/lib/countersign-key-holder').length) } catch (error) { console.log(error.code) }`
    const { stdout } = await docker.must(['exec', 'daemon', 'node', '-e', script])
    expect(stdout.trim()).to.equal('EACCES')
    const mounts = await docker.must(['inspect', '--format', '{{range .Mounts}}{{.Destination}} {{end}}', 'daemon'])
    expect(mounts.stdout).not.to.contain('countersign-key-holder')
  })

  it('stops in order when asked to', async () => {
    await docker.must(['stop', '--time=20', 'daemon', 'key-holder'])
    const { stdout } = await docker.must(['inspect', '--format', '{{.State.ExitCode}}', 'daemon', 'key-holder'])
    expect(stdout.trim().split('\n')).to.deep.equal(['0', '0'])
  })

  async function logs(): Promise<string> {
    const texts = await Promise.all(['key-holder', 'daemon'].map((name) => docker.run(['logs', name])))
    return texts.map(({ text }) => text).join('\n')
  }
})
