// The documented path: a root key made offline, a repository that it begins, and a stock client that trusts nothing but its pin.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { publishedFile } from '../support/peers/published.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startScriptedRegistry, type ScriptedRegistry } from '../support/peers/scripted-registry.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const EMPTY = { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${'0'.repeat(64)}`, size: 2 }
const MANIFEST = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config: EMPTY, layers: [] })

describe('a root key that stays offline', function () {
  this.timeout(60_000)
  const scope = new Scope()
  let notary: NotaryServer
  let registry: ScriptedRegistry
  let countersign: Countersign
  let root: readonly string[]
  let tufKeyId: string

  before(async function () {
    requirePeers(this, 'notary-server')
    registry = await startScriptedRegistry(scope)
    registry.answer = () => ({ status: 200, headers: { 'content-type': MANIFEST_TYPE }, body: MANIFEST })
    notary = await startNotaryServer(scope, { ca: createTestCa() })
    countersign = await Countersign.start(scope, { notary, registry })
    const folder = scope.folder('ceremony')
    const passphraseFile = join(folder, 'passphrase')
    writeFileSync(passphraseFile, 'correct horse battery\n', { mode: 0o600 })
    const files = ['--out', join(folder, 'root.key'), '--passphrase-file', passphraseFile]
    const { stdout } = await countersign.must([
      'root',
      'create',
      '--gun',
      `${registry.host}/team/*`,
      ...files,
      '--json',
    ])
    tufKeyId = (JSON.parse(stdout) as { tufKeyId: string }).tufKeyId
    root = ['--root', join(folder, 'root.key'), '--passphrase-file', passphraseFile]
  })
  after(() => scope.close())

  it('begins repositories of the pattern, with and without delegations', async () => {
    for (const [name, more] of [
      ['app', []],
      ['plain', ['--no-delegations']],
    ] as const) {
      const gun = `${registry.host}/team/${name}`
      const { stdout } = await countersign.must(['repo', 'init', gun, ...root, ...more, '--json'])
      expect(JSON.parse(stdout)).to.deep.equal({ gun, state: 'ready', rootKeyIds: [tufKeyId], root: 'offline' })
    }
  })

  it('trap Q35: names the keys that the server gave last, however many it made before', async () => {
    const gun = `${registry.host}/team/minted`
    const minted = [await publishedFile(notary, gun, 'snapshot.key'), await publishedFile(notary, gun, 'snapshot.key')]
    expect(new Set(minted).size, 'this server makes a key at each look').to.equal(2)
    await countersign.must(['repo', 'init', gun, ...root])
    const status = await countersign.must(['sign', `${gun}:1.0`, '--json'])
    expect(JSON.parse(status.stdout)).to.include({ status: 'published' })
  })

  it('may be repeated, and not with other settings', async () => {
    const gun = `${registry.host}/team/app`
    const again = await countersign.must(['repo', 'init', gun, ...root, '--json'])
    expect(JSON.parse(again.stdout)).to.deep.include({ state: 'ready', rootKeyIds: [tufKeyId] })
    const other = await countersign.run(['repo', 'init', gun, ...root, '--no-delegations'])
    expect(other.status).to.equal(1)
    expect(other.text).to.include('REPOSITORY_ALREADY_REGISTERED')
  })

  it('signs, and no warning speaks of an online root', async () => {
    const { request, status } = await countersign.request(['sign', `${registry.host}/team/app:1.0`])
    expect([status, request.status]).to.deep.equal([0, 'published'])
    const { stdout } = await countersign.must(['repo', 'status', `${registry.host}/team/app`, '--json'])
    expect(stdout).not.to.include('ROOT_KEY_ONLINE')
    expect(stdout).to.include(tufKeyId)
  })

  it('begins no repository outside the pattern, and nothing is asked of the server', async () => {
    const refused = await countersign.run(['repo', 'init', `${registry.host}/other/app`, ...root])
    expect(refused.status).to.equal(1)
    expect(refused.text).to.match(/CERTIFICATE_/)
  })
})
