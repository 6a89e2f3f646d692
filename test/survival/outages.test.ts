// Disks that are full or read-only, a database that somebody else holds, and folders restored from yesterday, under real processes:
// a code says so, nothing that was acknowledged is lost, and nothing is signed without a record.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Connection } from '../../src/sqlite/connection.ts'
import { parseGun, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import { connectKeyHolder } from '../../src/holder/connection.ts'
import { KillablePair } from '../support/killable-pair.ts'
import type { Kind } from '../support/killable.ts'
import { faultsOfHistory, publishedHistory, unrecordedVersions } from '../support/published-history.ts'
import { Scope } from '../support/scope.ts'

const gun = parseGun('registry.example.com/team/app')

function canMount(scope: Scope): boolean {
  const folder = scope.folder('mount')
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', folder], { stdio: 'ignore' })
    execFileSync('umount', [folder])
    return true
  } catch {
    return false
  }
}

function remount(folder: string, mode: 'ro' | 'rw'): void {
  execFileSync('mount', ['-o', `remount,${mode}`, folder])
}

/** Signed and published tags are exactly these, each once, and every version is in the audit log, which verifies. */
async function expectPublished(pair: KillablePair, tags: readonly string[]): Promise<void> {
  const expected = new Map(tags.map((tag) => [tag, pair.registry.pushManifest(gun, tag, tag)]))
  const history = await publishedHistory(pair.server, gun, RELEASES)
  expect(faultsOfHistory(history, expected)).to.deep.equal([])
  expect(unrecordedVersions(history, gun, pair.auditLog())).to.deep.equal([])
}

describe('outages of the machine', function () {
  this.timeout(60_000)
  let scope: Scope

  beforeEach(() => {
    scope = new Scope()
  })
  afterEach(() => scope.close())

  const DISKS = [
    { kind: 'daemon', name: 'data', codes: ['STORE_UNWRITABLE'] },
    { kind: 'key-holder', name: 'keys', codes: ['STATE_UNWRITABLE', 'AUDIT_LOG_UNWRITABLE'] },
  ] as const
  for (const { kind, name, codes } of DISKS) {
    describe(`a disk under the folder ${name}`, () => {
      let pair: KillablePair
      let folder: string

      beforeEach(async function () {
        if (!canMount(scope)) {
          process.stderr.write('      skipped: a small disk needs the right to mount (run as root)\n')
          this.skip()
        }
        pair = await KillablePair.start(scope, {
          prepare: (parent) => {
            folder = join(parent, name)
            execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'none', folder])
            scope.add(() => {
              execFileSync('umount', ['-l', folder])
            })
          },
        })
        await pair.initialize(gun)
        expect(await pair.sign(gun, 'before')).to.equal('published')
      })

      it('that is full', async () => {
        const filler = join(folder, 'filler')
        fill(filler)
        // Room that is left over in pages already there is used up first.
        const seen = new Set<string>()
        const taken: string[] = []
        for (let attempt = 0; attempt < 200 && seen.size === 0; attempt++) {
          const code = await pair.refusal(gun, `full-${attempt}`)
          if (code === undefined) taken.push(`full-${attempt}`)
          else seen.add(code)
        }
        expect(codes).to.include.members([...seen])
        expect(seen).to.have.property('size', 1)
        rmSync(filler)
        for (const tag of [...taken, 'after']) expect(await pair.sign(gun, tag)).to.equal('published')
        await expectPublished(pair, ['before', ...taken, 'after'])
      })

      it('that is read-only at the start', async () => {
        await pair.process(kind).kill()
        remount(folder, 'ro')
        // The key holder does not start; the daemon does, for those who read, and takes nothing.
        const started = await pair.startAgain(kind).then(
          () => 'started',
          (error: unknown) => String(error),
        )
        if (kind === 'daemon') expect(await pair.refusal(gun, 'refused')).to.equal(codes[0])
        else expect(started).to.include(codes[0])
        await pair.process(kind).kill()
        remount(folder, 'rw')
        await pair.startAgain(kind)
        expect(await pair.sign(gun, 'after')).to.equal('published')
        await expectPublished(pair, ['before', 'after'])
      })
    })
  }

  it('the database of the daemon locked by another process', async () => {
    const pair = await KillablePair.start(scope)
    await pair.initialize(gun)
    const other = new Connection(join(pair.folder, 'data/countersign.db'))
    try {
      other.exec('BEGIN IMMEDIATE')
      expect(await pair.refusal(gun, 'locked')).to.equal('STORE_UNWRITABLE')
      other.exec('ROLLBACK')
    } finally {
      other.close()
    }
    expect(await pair.sign(gun, 'locked')).to.equal('published')
    await expectPublished(pair, ['locked'])
  })

  describe('restored from yesterday', () => {
    let pair: KillablePair
    const FOLDERS: Readonly<Record<Kind, string>> = { daemon: 'data', 'key-holder': 'keys' }

    beforeEach(async () => {
      pair = await KillablePair.start(scope)
      await pair.initialize(gun)
      expect(await pair.sign(gun, 'monday')).to.equal('published')
      await stopped(keep)
      expect(await pair.sign(gun, 'tuesday')).to.equal('published')
    })

    function keep(): void {
      for (const folder of Object.values(FOLDERS)) {
        cpSync(join(pair.folder, folder), join(pair.folder, 'backup', folder), { recursive: true })
      }
    }

    async function stopped(work: () => void): Promise<void> {
      for (const kind of ['daemon', 'key-holder'] as const) await pair.process(kind).kill()
      work()
      await pair.startAgain('key-holder')
      await pair.startAgain('daemon')
    }

    async function restore(...kinds: readonly Kind[]): Promise<void> {
      await stopped(() => {
        for (const kind of kinds) {
          const folder = join(pair.folder, FOLDERS[kind])
          rmSync(folder, { recursive: true })
          cpSync(join(pair.folder, 'backup', FOLDERS[kind]), folder, { recursive: true })
          expect(existsSync(folder)).to.equal(true)
        }
      })
    }

    async function unfreeze(): Promise<void> {
      const operator = connectKeyHolder(pair.operatorSocket, { timeoutMs: 15_000 })
      try {
        const evidence = { request: 'restored', principal: 'operator' }
        await operator.call('unfreeze', { gun, reason: 'restored from a backup', evidence })
      } finally {
        operator.close()
      }
    }

    it('the daemon: what it forgot stands, and asking again signs nothing twice', async () => {
      await restore('daemon')
      expect(pair.storedStatus('tuesday')).to.equal(undefined)
      expect(await pair.sign(gun, 'tuesday')).to.equal('published')
      expect(await pair.sign(gun, 'wednesday')).to.equal('published')
      await expectPublished(pair, ['monday', 'tuesday', 'wednesday'])
    })

    it('the daemon, with a request that was published and undone since: it is closed, and nothing is signed again', async () => {
      pair.server.isReadable = false
      pair.registry.pushManifest(gun, 'late', 'late')
      const { id } = await pair.submit(gun, 'late')
      await stopped(() => {
        rmSync(join(pair.folder, 'backup'), { recursive: true })
        keep()
        pair.server.isReadable = true
      })
      expect((await pair.finished(id)).images[0]?.status).to.equal('published')
      expect(await pair.unsign(gun, 'late')).to.equal('published')
      const publications = pair.server.published.length
      await restore('daemon')
      expect((await pair.finished(id)).images[0]?.error?.code).to.equal('REQUEST_ALREADY_PUBLISHED')
      expect(pair.server.published.length).to.equal(publications)
    })

    for (const kinds of [['key-holder'], ['key-holder', 'daemon']] as const) {
      it(`${kinds.join(' and ')}: versions without a record freeze the repository until an operator decides`, async () => {
        const before = pair.auditLog()
        await restore(...kinds)
        const publications = pair.server.published.length
        // The watch may have found it first.
        for (const tag of ['wednesday', 'thursday']) {
          expect(await pair.sign(gun, tag)).to.match(/^failed (REPOSITORY_FROZEN|BASE_VERSION_NOT_OURS)$/)
        }
        expect(pair.server.published.length).to.equal(publications)
        await unfreeze()
        expect(await pair.sign(gun, 'friday')).to.equal('published')
        const expected = new Map(
          ['monday', 'tuesday', 'friday'].map((tag) => [tag, pair.registry.pushManifest(gun, tag, tag)]),
        )
        const history = await publishedHistory(pair.server, gun, RELEASES)
        expect(faultsOfHistory(history, expected)).to.deep.equal([])
        // The versions of the lost day are recorded in the log as it was.
        expect(unrecordedVersions(history, gun, [...before, ...pair.auditLog()])).to.deep.equal([])
      })
    }
  })
})

/** Until nothing fits any more. */
function fill(path: string): void {
  for (let bytes = 1024 * 1024; bytes >= 512; bytes /= 2) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(bytes), { flag: 'a' })
    } catch {
      // A smaller piece may fit.
    }
  }
}
