// The root key signs a change on a machine that has no server, by the commands of docs/operations/root-ceremony.md, and everybody follows: a stock client that has the old root in its cache, a
// new one, and Countersign itself.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { startDockerEngine } from '../support/peers/docker-engine.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { argumentsOf, commandsOf } from '../support/page-commands.ts'
import { runToSuccess } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { SOFTHSM_MODULE, SoftHsm, TOKEN_URI } from '../support/softhsm.ts'
import { createTestCa } from '../support/tls.ts'

const PAGE = 'docs/operations/root-ceremony.md'
const FILE = /^(passphrase|[\w-]+\.(key|key\.crt|json))$/

describe('a root ceremony', function () {
  this.timeout(90_000)
  const scope = new Scope()
  let countersign: Countersign
  let cached: DockerClient
  let newDocker: () => DockerClient
  let images: ImageMaker
  let image: PushedImage
  let folder: string
  let gun: string
  let hsm: SoftHsm
  let notary: NotaryServer

  const path = (name: string): string => join(folder, name)
  const inToken = (): readonly string[] => ['--module', SOFTHSM_MODULE, '--pin-file', hsm.pinFile]
  const rootKey = (name: string): readonly string[] => {
    const opening = name === 'token.key' ? inToken() : ['--passphrase-file', path('passphrase')]
    return ['--root', path(name), ...opening]
  }
  /** On a machine that knows of no server. */
  const offline = (...args: readonly string[]) =>
    runToSuccess(process.execPath, [countersign.program, ...args], { env: hsm.environment })
  const create = (name: string) =>
    offline('root', 'create', '--gun', gun, '--out', path(name), '--passphrase-file', path('passphrase'))
  /** What the page says: the root key's machine knows of no server. Returns what was printed. */
  async function follow(commands: readonly string[], renamed: Readonly<Record<string, string>> = {}): Promise<string> {
    let printed = ''
    for (const command of commands) {
      const argv = argumentsOf(command, new Map([['registry.example.com/team/app', gun]])).map((word) =>
        FILE.test(word) ? path(renamed[word] ?? word) : word,
      )
      const isOffline = argv[0] === 'root' && ['create', 'show', 'sign'].includes(argv[1] ?? '')
      const env = { COUNTERSIGN_OPERATOR_SOCKET: countersign.operatorSocket }
      printed += (await (isOffline ? offline(...argv) : countersign.must(argv, { env }))).stdout
    }
    return printed
  }
  /** Exports, signs with each of these keys, applies. */
  async function ceremony(name: string, asked: readonly string[], keys: readonly string[]): Promise<string> {
    const socket = ['--operator-socket', countersign.operatorSocket]
    await countersign.must(['root', 'export', gun, ...asked, ...socket, '--out', path(`${name}-0.json`)])
    for (const [index, key] of keys.entries()) {
      const files = [path(`${name}-${index}.json`), '--out', path(`${name}-${index + 1}.json`)]
      await offline('root', 'sign', ...files, ...rootKey(key))
    }
    const shown = await offline('root', 'show', path(`${name}-${keys.length}.json`))
    await countersign.must(['root', 'apply', path(`${name}-${keys.length}.json`)])
    return shown.stdout
  }

  async function expectFollowed(version: number): Promise<void> {
    for (const docker of [cached, newDocker()]) {
      const pulled = await docker.trustedPull(image.reference)
      expect(pulled.status, pulled.text).to.equal(0)
    }
    const status = JSON.parse((await countersign.must(['repo', 'status', gun, '--json'])).stdout) as {
      roles: { role: string; version: number }[]
    }
    expect(status.roles.find(({ role }) => role === 'root')?.version).to.equal(version)
    const tag = await images.pushManifest('team/app', `after-root-${version}`)
    await countersign.must(['sign', tag.reference])
    const pulled = await cached.trustedPull(tag.reference)
    expect(pulled.status, pulled.text).to.equal(0)
  }

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'docker', 'docker-engine', 'softhsm')
    hsm = SoftHsm.make(scope)
    const ca = createTestCa()
    const registry = await startDockerRegistry(scope)
    notary = await startNotaryServer(scope, { ca })
    const engine = await startDockerEngine(scope, { ca })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    countersign = await Countersign.start(scope, { notary, registry })
    image = await images.pushManifest('team/app', '1.0')
    ;({ gun } = image)
    folder = scope.folder('ceremony')
    writeFileSync(path('passphrase'), 'correct horse battery\n', { mode: 0o600 })
    await follow(commandsOf(PAGE, 'Keep the root key offline').slice(0, 2))
    await countersign.must(['sign', image.reference])
    newDocker = () => new DockerClient(scope, { notary, engine })
    cached = newDocker()
    expect((await cached.trustedPull(image.reference)).status).to.equal(0)
  })
  after(() => scope.close())

  it('gives targets another key, which signs it at once, and the roles of the trust server', async () => {
    const shown = await follow(commandsOf(PAGE, 'Change what root lists'))
    expect(shown)
      .to.match(/Role targets +NEW/)
      .and.to.match(/Role targets +GOES/)
    await ceremony('server', ['--rotate', 'snapshot', '--rotate', 'timestamp'], ['root.key'])
    await expectFollowed(3)
    const { keys } = JSON.parse((await countersign.must(['key', 'list', gun, '--json'])).stdout) as {
      keys: { role: string; state: string }[]
    }
    expect(keys.filter(({ role }) => role === 'targets').map(({ state }) => state)).to.deep.equal([
      'replaced',
      'active',
    ])
  })

  it('gives root another key, which signs beside the old one, and alone from then on', async () => {
    await follow(commandsOf(PAGE, 'Give root another key'))
    // To a token, which also begins a repository.
    const team = gun.replace(/[^/]+$/, '*')
    const place = ['--pkcs11', TOKEN_URI, ...inToken(), '--out', path('token.key')]
    await offline('root', 'create', '--gun', team, ...place)
    await ceremony('renewed', ['--root-certificate', path('token.key.crt')], ['next.key', 'token.key'])
    await expectFollowed(5)
    const begun = gun.replace(/[^/]+$/, 'begun-in-token')
    await countersign.must(['repo', 'init', begun, ...rootKey('token.key')], { env: hsm.environment })
    const former = await countersign.run([
      'root',
      'sign',
      path('renewed-0.json'),
      '--out',
      path('x'),
      ...rootKey('root.key'),
    ])
    expect(former.status).to.equal(1)
    expect(former.text).to.include('ROOT_NOT_AS_EXPECTED')
  })

  it('a root key that was made online goes offline, and gives its place to one that never was', async () => {
    const tag = await images.pushManifest('team/online', '1.0')
    const online = tag.gun
    const statusOf = async () =>
      JSON.parse((await countersign.must(['repo', 'status', online, '--json'])).stdout) as {
        root: string
        warnings: { code: string }[]
      }
    await countersign.must(['repo', 'init', online])
    expect((await statusOf()).warnings.map(({ code }) => code)).to.include('ROOT_KEY_ONLINE')
    gun = online
    await follow(commandsOf(PAGE, 'Keep the root key offline').slice(2), { 'root.key': 'online.key' })
    expect((await statusOf()).warnings.map(({ code }) => code)).to.not.include('ROOT_KEY_ONLINE')
    expect((await statusOf()).root).to.equal('offline')
    await create('never-online.key')
    await ceremony('online', ['--root-certificate', path('never-online.key.crt')], ['online.key', 'never-online.key'])
    await countersign.must(['sign', tag.reference])
    const pulled = await newDocker().trustedPull(tag.reference)
    expect(pulled.status, pulled.text).to.equal(0)
  })

  it('the files of root keys are read by the notary client, which signs with them', async () => {
    const env = { NOTARY_ROOT_PASSPHRASE: 'correct horse battery' }
    const wrapped = (command: string, args: readonly string[]) => ({ command, args, env })
    // By `root create` and by `root take-offline`.
    for (const [index, name] of ['root.key', 'online.key'].entries()) {
      const client = new NotaryClient(scope, { notary, wrapped })
      await client.must(['key', 'import', path(name)])
      const begun = gun.replace(/[^/]+$/, `by-notary-${index}`)
      await client.must(['init', '--publish', begun])
      const { stdout } = await client.must(['key', 'list'])
      const id = /^path: ([0-9a-f]{64})$/m.exec(readFileSync(path(name), 'utf8'))?.[1] ?? 'none'
      expect(stdout).to.match(new RegExp(`^ *root .*${id}`, 'm'))
    }
  })

  it('ROOT_CHANGE_OUTDATED: a change that was made for an older root', async () => {
    const late = await countersign.run(['root', 'apply', path('signed.json')])
    expect(late.status).to.equal(1)
    expect(late.text).to.include('ROOT_CHANGE_OUTDATED')
  })

  it('ROOT_SIGNATURES_MISSING: one signature of two', async () => {
    const unfinished = await countersign.run(['root', 'apply', path('once.json')])
    expect(unfinished.status).to.equal(1)
    expect(unfinished.text).to.include('ROOT_SIGNATURES_MISSING')
  })
})
