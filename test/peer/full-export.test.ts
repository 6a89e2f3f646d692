// `repo export --full` against a real notary-server that wants tokens, for a repository that the stock client made: with a rotated root
// and delegations. The copy behind a plain web server is what stock clients read.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import type { ExportManifest } from '../../src/cli/export-manifest.ts'
import { builtProgram } from '../support/countersign-program.ts'
import { DockerClient } from '../support/peers/docker-client.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startStaticServer } from '../support/peers/static-server.ts'
import { startTokenServer, type TokenServer } from '../support/peers/token-server.ts'
import { runCommand, type CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const HOST = 'registry.example.com'
const GUN = `${HOST}/team/app`
const OWNER = { username: 'carol', password: 'test-only' }
const READER = { username: 'reader', password: 'test-only' }

describe('a full copy of a repository on a real notary-server', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  let tokens: TokenServer
  let notary: NotaryServer
  const sha256 = createHash('sha256').update('an image').digest('hex')

  before(async function () {
    requirePeers(this, 'notary-server', 'notary', 'docker')
    tokens = await startTokenServer(scope, {
      ca,
      accounts: {
        carol: { password: OWNER.password, actions: () => ['push', 'pull', '*'] },
        reader: { password: READER.password, actions: () => ['pull'] },
      },
    })
    notary = await startNotaryServer(scope, { ca, tokens })
    const owner = new NotaryClient(scope, { notary, login: OWNER })
    await owner.must(['init', GUN, '-p'])
    await owner.must(['key', 'rotate', GUN, 'snapshot', '-r'])
    const key = join(scope.folder('signer'), 'signer')
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    writeFileSync(`${key}.pem`, publicKey.export({ type: 'spki', format: 'pem' }))
    writeFileSync(`${key}-key.pem`, privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 })
    await owner.must(['key', 'import', `${key}-key.pem`, '--role', 'targets/releases'])
    await owner.must(['addhash', GUN, '1.0', '8', '--sha256', sha256, '-p'])
    const rotated = await owner.run(['key', 'rotate', GUN, 'root'], 'yes\n')
    expect(rotated.status, rotated.text).to.equal(0)
    await owner.must(['delegation', 'add', GUN, 'targets/alice', `${key}.pem`, '--all-paths', '-p'])
    await owner.must(['delegation', 'add', GUN, 'targets/releases', `${key}.pem`, '--all-paths', '-p'])
    for (const role of ['targets/alice', 'targets/releases']) {
      await owner.must(['addhash', GUN, '2.0', '8', '--sha256', sha256, '--roles', role, '-p'])
    }
  })
  after(() => scope.close())

  /** `countersign repo export --full` with what that account's Docker configuration holds. */
  async function exported(more: readonly string[], login?: typeof READER): Promise<CommandResult & { folder: string }> {
    const folder = join(scope.folder('export'), 'tree')
    const { folder: config } = new DockerClient(scope, { notary, logins: login === undefined ? {} : { [HOST]: login } })
    const args = ['repo', 'export', GUN, folder, '--full', '--trust-server', notary.url, '--ca-file', notary.caFile]
    const realm = ['--realm', tokens.realm, '--json']
    const env = { DOCKER_CONFIG: config }
    return {
      ...(await runCommand(process.execPath, [builtProgram(), ...args, ...more, ...realm], { env })),
      folder,
    }
  }

  it('holds every root and is what stock clients read, from first use and after', async () => {
    const ran = await exported(['--tofu'], READER)
    expect(ran.status, ran.text).to.equal(0)
    const manifest = JSON.parse(readFileSync(join(ran.folder, 'countersign-export.json'), 'utf8')) as ExportManifest
    expect(manifest).to.deep.include({ gun: GUN, server: notary.url, pin: 'tofu', expired: [], leftOut: [] })
    expect(manifest.clients.accept).to.equal(true)
    const { first, last } = manifest.roots
    expect(first).to.equal(1)
    // The snapshot key, and then the root key.
    expect(last).to.equal(3)
    const names = readdirSync(join(ran.folder, 'v2', GUN, '_trust/tuf'))
    expect(names).to.include.members(['1.root.json', '2.root.json', '3.root.json', 'root.json', 'timestamp.json'])
    const [oldest = [], , newest = []] = manifest.rootPins.map(({ certificateKeyIds }) => certificateKeyIds)
    expect(oldest).not.to.deep.equal(newest)

    const server = await startStaticServer(scope, ca, ran.folder)
    const reader = new NotaryClient(scope, { notary: { ...notary, url: server.url } })
    for (const [name, role] of [
      ['1.0', 'targets'],
      ['2.0', 'targets/alice'],
      ['2.0', 'targets/releases'],
    ] as const) {
      expect(await reader.list(GUN, role)).to.deep.equal([{ name, sha256, length: 8, role }])
    }
    expect((await reader.delegations(GUN)).map(({ role }) => role)).to.have.members([
      'targets/alice',
      'targets/releases',
    ])
    const trust = await new DockerClient(scope, { notary: server }).inspectTrust(GUN)
    expect(trust.SignedTags).to.deep.equal([
      { SignedTag: '1.0', Digest: sha256, Signers: ['Repo Admin'] },
      { SignedTag: '2.0', Digest: sha256, Signers: ['alice'] },
    ])
    const ends = /\/4\.root\.json$/
    expect(server.missing.filter((path) => !ends.test(path))).to.deep.equal([])

    // The same certificate is what Docker shows as the root's.
    const shown = trust.AdministrativeKeys.find(({ Name }) => Name === 'Root')?.Keys[0]?.ID ?? ''
    const pinned = await exported(['--pin', shown], READER)
    expect(pinned.status, pinned.text).to.equal(0)
    expect((JSON.parse(pinned.stdout) as ExportManifest).roots).to.deep.equal({ first: 1, last: 3, pinnedFrom: 3 })
  })

  it('without the credentials that the server wants, nothing is written', async () => {
    const ran = await exported(['--tofu'])
    expect(ran.status).to.equal(1)
    expect(JSON.parse(ran.stdout)).to.deep.include({ code: 'NOTARY_UNAUTHORIZED' })
    expect(() => readdirSync(ran.folder)).to.throw('ENOENT')
  })
})
