// Repositories move between a real notary-server and our trust server, by the commands of docs/operations/moving-a-repository.md: stock
// clients that have the old server in their caches, have pinned the root, or are new, verify at the new server.
import { chownSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseRoot, ROOT } from '@countersign/tuf'
import { expect } from 'chai'
import { silentLog } from '../../src/log.ts'
import { parseTrustServerConfig } from '../../src/trust-server/config.ts'
import { startTrustServer } from '../../src/trust-server/main.ts'
import { Countersign, DAEMON_UID, SHARED_GID } from '../support/countersign.ts'
import { freePort } from '../support/free-port.ts'
import { commandsOf } from '../support/page-commands.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import type { CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'
import { testConfig, TOKEN } from '../support/trust-server/server.ts'

const PAGE = 'docs/operations/moving-a-repository.md'
const PASSPHRASE = 'test passphrase'

describe('a repository moves', function () {
  this.timeout(120_000)
  const scope = new Scope()
  const ca = createTestCa()
  let notary: NotaryServer
  let ours: { readonly url: string; readonly caFile: string }
  let countersign: Countersign
  let images: ImageMaker
  let host: string

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'registry')
    const registry = await startDockerRegistry(scope)
    ;({ host } = registry)
    notary = await startNotaryServer(scope, { ca })
    images = new ImageMaker(registry)
    scope.add(() => images.close())
    const port = await freePort()
    ours = { url: `https://localhost:${port}`, caFile: notary.caFile }
    const server = { caFile: daemonFile('ca.crt', ca.certificatePem) }
    const own = {
      ...server,
      url: ours.url,
      tokenRealms: [`${ours.url}/token`],
      credentials: { kind: 'file', username: 'daemon', passwordFile: daemonFile('password', TOKEN) },
    }
    countersign = await Countersign.start(scope, {
      notary,
      registry,
      hasTrustServerSocket: true,
      limits: { repositories: [{ gun: '*', initialize: true, serve: true }] },
      config: {
        trustServers: [
          { ...server, name: 'notary', url: notary.url, guns: [`${host}/public/*`] },
          { ...own, name: 'ours', guns: [`${host}/*`] },
          { ...server, name: 'elsewhere', url: notary.url, guns: [`${host}/ours/*`] },
        ],
      },
    })
    const { certificatePem, privateKeyPem } = ca.issue(['localhost', '127.0.0.1'])
    const folder = scope.folder('trust-server')
    writeFileSync(join(folder, 'tls.crt'), certificatePem)
    writeFileSync(join(folder, 'tls.key'), privateKeyPem, { mode: 0o600 })
    const tls = `tls: { certFile: '${folder}/tls.crt', keyFile: '${folder}/tls.key' }`
    const files = `keyHolderSocket: '${countersign.trustServerSocket}'\ndataFolder: '${scope.folder('ts')}'`
    const config = testConfig('', files).replace("listen: '127.0.0.1:0'", `listen: '127.0.0.1:${port}', ${tls}`)
    const running = await startTrustServer(parseTrustServerConfig(config), { log: silentLog })
    scope.add(() => running.stop())
  })
  after(() => scope.close())

  /** A file of the daemon's user. */
  function daemonFile(name: string, content: string): string {
    const folder = scope.folder('daemon')
    const file = join(folder, name)
    writeFileSync(file, content, { mode: 0o600 })
    if (process.getuid?.() === 0) for (const path of [folder, file]) chownSync(path, DAEMON_UID, SHARED_GID)
    return file
  }

  /** Clients that come at a server, by the URL of either. */
  const pointedAt = (client: NotaryClient, url: string, gun: string) => client.run(['-s', url, 'list', gun])
  /** A client with the pins that `pin export --format notary` writes. */
  async function pinnedClient(gun: string, change = (pins: string) => pins): Promise<NotaryClient> {
    const client = new NotaryClient(scope, { notary })
    const file = join(client.folder, 'config.json')
    const pins = join(scope.folder('pins'), 'pins.json')
    const env = { COUNTERSIGN_OPERATOR_SOCKET: countersign.operatorSocket }
    const exported = await countersign.run(['pin', 'export', gun, pins, '--format', 'notary'], { env })
    expect(exported.status, exported.text).to.equal(0)
    const config = [file, pins].map((path) => JSON.parse(change(readFileSync(path, 'utf8'))) as object)
    writeFileSync(file, JSON.stringify(Object.assign({}, ...config)))
    return client
  }

  /** The commands of the page, from the plan to the move. */
  async function follow(o: {
    readonly gun: string
    readonly to: string
    readonly pin: string
    readonly rootKey: string
    readonly from: string
  }): Promise<CommandResult[]> {
    const folder = scope.folder('ceremony')
    writeFileSync(join(folder, 'passphrase'), PASSPHRASE, { mode: 0o600 })
    const headings = ['What it takes', 'Look at the plan', 'Sign the root', 'Move it']
    const results: CommandResult[] = []
    for (const command of headings.flatMap((heading) => commandsOf(PAGE, heading))) {
      const words = command.split(' ').map((word) =>
        word
          .replace(/^(\w+\.json|passphrase|COPY)$/, join(folder, '$1'))
          .replace(/^GUN$/, o.gun)
          .replace(/^NEW_SERVER$/, o.to)
          .replace(/^OLD_SERVER$/, o.from)
          .replace(/^ROOT_CERTIFICATE$/, o.pin)
          .replace(/^ROOT_KEY$/, o.rootKey),
      )
      results.push(await countersign.run(words.slice(1), { env: { COUNTERSIGN_CA_FILE: notary.caFile } }))
    }
    return results
  }
  const told = (results: readonly CommandResult[]) => results.map(({ text }) => text).join('\n') + countersign.logs()
  const tags = async (client: NotaryClient, url: string, gun: string): Promise<string> => {
    const { status, text } = await pointedAt(client, url, gun)
    expect(status, text).to.equal(0)
    return text
  }

  it('from a notary-server into ours, two roots old, with the keys that notary made', async () => {
    const image = await images.pushManifest('public/app', '1.0')
    const { gun } = image
    const owner = new NotaryClient(scope, { notary })
    await owner.must(['init', gun, '-p'])
    const first = new NotaryClient(scope, { notary })
    await tags(first, notary.url, gun)
    // Another root key since: whoever knows the first root alone needs the one between.
    await owner.must(['key', 'rotate', gun, 'root'])
    await owner.must(['key', 'rotate', gun, 'snapshot', '-r'])
    const { pin, file } = rootOf(owner, gun)
    const adopted = [
      ['key', 'import', '--from', owner.folder, '--gun', gun, '--trust-server', notary.url],
      ['repo', 'adopt', gun, '--pin', pin, '--trust-server', notary.url, '--imported-keys'],
      ['sign', image.reference],
    ]
    for (const args of adopted) {
      const env = {
        COUNTERSIGN_OPERATOR_SOCKET: countersign.operatorSocket,
        COUNTERSIGN_CA_FILE: notary.caFile,
        NOTARY_TARGETS_PASSPHRASE: PASSPHRASE,
      }
      const done = await countersign.run(args, { env })
      expect(done.status, done.text + countersign.logs()).to.equal(0)
    }
    const cached = new NotaryClient(scope, { notary })
    expect(await tags(cached, notary.url, gun)).to.include('1.0')

    const results = await follow({ gun, to: 'ours', pin, rootKey: file, from: notary.url })
    expect(
      results.map(({ status }) => status),
      told(results),
    ).to.deep.equal([0, 0, 0, 0, 0, 0, 0])
    expect(results[1]?.stdout).to.include('clients can follow from each of them')

    const pinned = await pinnedClient(gun)
    for (const client of [cached, first, pinned, new NotaryClient(scope, { notary })]) {
      expect(await tags(client, ours.url, gun)).to.include('1.0')
    }
    const wrong = await pinnedClient(gun, (pins) => pins.replace(pin, 'ab'.repeat(32)))
    const refused = await pointedAt(wrong, ours.url, gun)
    expect([refused.status, /1\.0/.test(refused.text)], refused.text).to.deep.equal([1, false])
    expect(refused.text).to.match(/trust pinning|certificate|not trust/i)
    // From here on signatures go to the new server, and whoever has been there refuses the old one.
    const next = await images.pushManifest('public/app', '2.0')
    await countersign.must(['sign', next.reference])
    expect(await tags(cached, ours.url, gun)).to.include('2.0')
    const back = await pointedAt(cached, notary.url, gun)
    expect(back.status, back.text).not.to.equal(0)
    expect(back.text).not.to.include('2.0')
    expect(await tags(new NotaryClient(scope, { notary }), notary.url, gun)).to.include('1.0')
  })

  it('from ours to a notary-server, which has versions above ours afterwards', async () => {
    const image = await images.pushManifest('ours/app', '1.0')
    const { gun } = image
    const folder = scope.folder('root')
    writeFileSync(join(folder, 'passphrase'), PASSPHRASE, { mode: 0o600 })
    const rootKey = join(folder, 'root.key')
    const own = ['--passphrase-file', join(folder, 'passphrase')]
    await countersign.must(['root', 'create', '--gun', gun, '--out', rootKey, ...own])
    await countersign.must(['repo', 'init', gun, '--root', rootKey, ...own])
    await countersign.must(['sign', image.reference])
    const cached = new NotaryClient(scope, { notary })
    expect(await tags(cached, ours.url, gun)).to.include('1.0')

    const results = await follow({ gun, to: 'elsewhere', pin: rootOf(cached, gun).pin, rootKey, from: ours.url })
    expect(
      results.map(({ status }) => status),
      told(results),
    ).to.deep.equal([0, 0, 0, 0, 0, 0, 0])
    for (const client of [cached, new NotaryClient(scope, { notary })]) {
      expect(await tags(client, notary.url, gun)).to.include('1.0')
    }
    const next = await images.pushManifest('ours/app', '2.0')
    await countersign.must(['sign', next.reference])
    expect(await tags(cached, notary.url, gun)).to.include('2.0')
  })
})

/** The certificate that the newest root lists, and the file of its key: notary keeps the former one, too. */
function rootOf(client: NotaryClient, gun: string): { readonly pin: string; readonly file: string } {
  const bytes = readFileSync(join(client.folder, 'tuf', gun, 'metadata/root.json'))
  const { roles, keys } = parseRoot(bytes).metadata
  const [pin] = roles.get(ROOT)?.keyIds ?? []
  const key = pin && keys.get(pin)
  if (key === undefined) throw new Error('The root lists no root key.')
  return { pin: key.tufKeyId, file: join(client.folder, 'private', `${key.canonicalKeyId}.key`) }
}
