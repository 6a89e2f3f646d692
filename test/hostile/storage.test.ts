// Memories that are older than the world: the trust server's, the key holder's, the daemon's; one by one, and two at a time.
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { requestStatus } from '../../src/domain/signing-request.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { load } from '../support/fakes/rival.ts'
import { app, everybody } from '../support/fakes/world.ts'
import { HostileWorld } from '../support/hostile-world.ts'
import { put, TestKeyHolder } from '../support/key-holder.ts'

describe('memories that were restored', () => {
  let hostile: HostileWorld
  beforeEach(async () => {
    hostile = await HostileWorld.start()
  })
  afterEach(() => hostile.close())

  /** A copy of the key holder's folder; the function puts it back in place of the present one. */
  async function backUpKeyHolder(): Promise<() => Promise<void>> {
    const { holder } = hostile
    const backup = join(hostile.scope.folder('backup'), 'state')
    await holder.stop()
    cpSync(holder.folder, backup, { recursive: true })
    await hostile.startHolder()
    return async () => {
      await holder.stop()
      rmSync(holder.folder, { recursive: true })
      mkdirSync(holder.folder, { mode: 0o700 })
      cpSync(backup, holder.folder, { recursive: true })
      await hostile.startHolder()
    }
  }

  /** All rows of the daemon's database; the function puts them back. */
  function backUpDaemon(): () => Promise<void> {
    const { sqlite } = hostile.world.database
    const tables = sqlite
      .prepare<[], { name: string }>(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
      .all()
      .map(({ name }) => ({ name, rows: sqlite.prepare<[], Record<string, unknown>>(`SELECT * FROM ${name}`).all() }))
    return async () => {
      await hostile.world.services.reconciler.stop()
      sqlite.pragma('foreign_keys = OFF')
      for (const { name, rows } of tables) {
        sqlite.exec(`DELETE FROM ${name}`)
        for (const row of rows) {
          const columns = Object.keys(row)
          const holes = columns.map(() => '?').join(', ')
          sqlite.prepare(`INSERT INTO ${name} (${columns.join(', ')}) VALUES (${holes})`).run(...Object.values(row))
        }
      }
      sqlite.pragma('foreign_keys = ON')
      await hostile.world.restart()
    }
  }

  async function refused(code: string): Promise<void> {
    const seen = [hostile.uploads(), hostile.signatures()]
    expect(await hostile.sign('next')).to.equal(`failed ${code}`)
    expect([hostile.uploads(), hostile.signatures()], 'uploads and signatures').to.deep.equal(seen)
  }

  it('attack: Rollback: the trust server is older', async () => {
    const backup = hostile.world.server.state()
    expect(await hostile.sign('2.0')).to.equal('published')
    hostile.world.server.restore(backup)
    await refused('VERSION_ROLLED_BACK')
  })

  it('attack: Rollback: the key holder is older', async () => {
    const restore = await backUpKeyHolder()
    expect(await hostile.sign('2.0')).to.equal('published')
    await restore()
    await refused('BASE_VERSION_NOT_OURS')
  })

  it('attack: Rollback: the daemon is older, and does not publish a second time', async () => {
    const { world } = hostile
    world.registry.pushManifest(app, '2.0', 'two')
    await hostile.holder.stop()
    world.faults.plan(undefined)
    const backup = await (async () => {
      await hostile.startHolder()
      const { request } = await world.services.requests.submit(everybody, { kind: 'sign', images: [`${app}:2.0`] })
      const restore = backUpDaemon()
      await world.settled()
      return { request, restore }
    })()
    const version = world.server.version(app, RELEASES)
    await backup.restore()
    await world.settled()
    const { images } = world.services.requests.find(everybody, backup.request.id)
    expect(requestStatus(images)).to.equal('published')
    expect(world.server.version(app, RELEASES)).to.equal(version)
  })

  it('attack: Rollback: trust server and daemon are older', async () => {
    const restoreDaemon = backUpDaemon()
    const backup = hostile.world.server.state()
    expect(await hostile.sign('2.0')).to.equal('published')
    hostile.world.server.restore(backup)
    await restoreDaemon()
    await refused('VERSION_ROLLED_BACK')
  })

  it('attack: Rollback: key holder and daemon are older', async () => {
    const restoreDaemon = backUpDaemon()
    const restoreHolder = await backUpKeyHolder()
    expect(await hostile.sign('2.0')).to.equal('published')
    await restoreHolder()
    await restoreDaemon()
    await refused('BASE_VERSION_NOT_OURS')
  })

  it('attack: Rollback: trust server and key holder are older, and the daemon knows better', async () => {
    const restoreHolder = await backUpKeyHolder()
    const backup = hostile.world.server.state()
    expect(await hostile.sign('2.0')).to.equal('published')
    hostile.world.server.restore(backup)
    await restoreHolder()
    await refused('VERSION_ROLLED_BACK')
  })

  it('attack: Back-up restored on a second host (split brain): the second to sign finds a version that is not its own', async () => {
    const { holder, scope, world } = hostile
    const clone = new TestKeyHolder(scope)
    await holder.stop()
    cpSync(holder.folder, clone.folder, { recursive: true })
    cpSync(holder.unlockKeyFile, clone.unlockKeyFile)
    await hostile.startHolder()
    await clone.start({ now: () => world.time.now() })
    expect(await hostile.sign('2.0')).to.equal('published')
    const { files } = await load(world, app)
    const roles = ['targets/countersign', 'targets/releases']
    const request = { publication: 'clone-1', gun: app, roles, changes: [put('3.0')], files: [...files.keys()] }
    await expectCodeAsync('BASE_VERSION_NOT_OURS', () => clone.service.call('change-targets', request, files))
    await expectCodeAsync('REPOSITORY_FROZEN', () => clone.service.call('change-targets', request, files))
  })
})
