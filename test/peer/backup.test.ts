// A backup is restored beside the original, at one real notary-server: of two versions with one number it takes one, and the other
// instance stops with a clear code at the first version of which it has no record.
import { chownSync, cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseGun, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { Countersign, DAEMON_UID, KEY_HOLDER_UID, SHARED_GID } from '../support/countersign.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startScriptedRegistry } from '../support/peers/scripted-registry.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const TYPE = 'application/vnd.oci.image.manifest.v1+json'

describe('a backup that is restored while the original runs', function () {
  this.timeout(180_000)
  const scope = new Scope()
  before(function () {
    requirePeers(this, 'notary-server', 'notary')
  })
  after(() => scope.close())

  it('publishes at most one of two versions, and stops the other instance', async () => {
    const registry = await startScriptedRegistry(scope)
    registry.answer = (tag) => ({ status: 200, headers: { 'content-type': TYPE }, body: manifestOf(tag) })
    const notary = await startNotaryServer(scope, { ca: createTestCa() })
    const original = await Countersign.start(scope, { notary, registry })
    const gun = parseGun(`${registry.host}/team/cloned`)
    await original.must(['repo', 'init', gun])
    await original.must(['sign', `${gun}:before`])
    const clone = await Countersign.start(scope, { notary, registry })
    await clone.daemon.stop()
    await clone.keyHolder.stop()
    const file = join(scope.folder('backup'), 'night.age')
    const passphrase = join(original.folder, 'etc/backup.passphrase')
    const socket = ['--operator-socket', original.operatorSocket]
    await original.must(['backup', 'create', file, '--daemon-folder', original.dataFolder, ...socket])
    const restored = join(scope.folder('restored'), 'data')
    await original.must(['backup', 'restore', file, restored, '--passphrase-file', passphrase])
    replace(clone.keyHolderFolder, join(restored, 'key-holder/state'), KEY_HOLDER_UID)
    replace(clone.dataFolder, restored, DAEMON_UID, ['countersign.db'])
    cpSync(join(restored, 'key-holder/unlock.key'), clone.unlockKeyFile)
    own(clone.unlockKeyFile, KEY_HOLDER_UID)
    // Tokens are no part of a backup; the restored database knows the original's.
    cpSync(join(original.dataFolder, 'admin.token'), join(clone.dataFolder, 'admin.token'))
    own(clone.dataFolder, DAEMON_UID)
    await clone.startKeyHolder()
    await clone.startDaemon()

    const [ours, theirs] = await Promise.all([
      original.run(['sign', `${gun}:by-original`, '--json']),
      clone.run(['sign', `${gun}:by-clone`, '--json']),
    ])
    const listed = await new NotaryClient(scope, { notary }).list(gun, RELEASES)
    const tags = listed.map(({ name }) => name).filter((name) => name !== 'before')
    expect(tags, `${ours.text}\n${theirs.text}`).to.have.length(1)
    const [winner, loser] = tags[0] === 'by-original' ? [ours, theirs] : [theirs, ours]
    expect([winner.status, loser.status], `${ours.text}\n${theirs.text}`).to.deep.equal([0, 1])
    expect(loser.stdout).to.include('BASE_VERSION_NOT_OURS')
  })
})

function manifestOf(tag: string): string {
  const empty = { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${'0'.repeat(64)}`, size: 2 }
  return JSON.stringify({ schemaVersion: 2, mediaType: TYPE, config: empty, layers: [], annotations: { tag } })
}

/** Puts these names of a restored folder in the place of everything in another one. */
function replace(folder: string, from: string, uid: number, names = readdirSync(from)): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true })
  for (const name of names) cpSync(join(from, name), join(folder, name), { recursive: true })
  own(folder, uid)
}

/** And everything in it. */
function own(path: string, uid: number): void {
  if (process.getuid?.() !== 0) return
  chownSync(path, uid, SHARED_GID)
  for (const entry of entriesOf(path)) chownSync(join(path, entry), uid, SHARED_GID)
}

function entriesOf(path: string): string[] {
  try {
    return readdirSync(path, { recursive: true }).map(String)
  } catch {
    return []
  }
}
