// What a thief of the daemon has: its user, its memory, its files. Nothing of it leads to a key. The test knows the keys and looks for
// them; it finds them first where they have to be.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign, DAEMON_UID, KEY_HOLDER_UID, SHARED_GID } from '../support/countersign.ts'
import { startDockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { programOnPath, requirePeers } from '../support/peers/require-peers.ts'
import { plantedScalar } from '../support/planted-key.ts'
import { countInMemory } from '../support/process-memory.ts'
import { runCommand, type CommandResult } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { secretForms } from '../support/secret-forms.ts'
import { createTestCa } from '../support/tls.ts'

/** PTRACE_ATTACH is 16; the number of the system call differs. */
const PTRACE = process.arch === 'arm64' ? 117 : 101

describe('the daemon’s user and the keys', function () {
  this.timeout(120_000)
  const scope = new Scope()
  let countersign: Countersign
  let image: PushedImage
  let secrets: ReadonlyMap<string, Buffer>
  const answers: string[] = []

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'two-users')
    const registry = await startDockerRegistry(scope)
    const notary = await startNotaryServer(scope, { ca: createTestCa() })
    countersign = await Countersign.start(scope, { notary, registry })
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    image = await images.pushManifest('team/app', '1.0')
    for (const args of [
      ['repo', 'init', image.gun],
      ['sign', image.reference],
      ['verify', image.reference],
      ['inspect', image.gun],
      ['repo', 'status', image.gun],
      ['request', 'list'],
      ['token', 'list'],
    ]) {
      answers.push((await countersign.must([...args, '--json'])).text)
    }
    const scalar = plantedScalar(scope, countersign, image.gun, 'targets/countersign')
    secrets = new Map([
      ...secretForms('delegation key', scalar),
      ...secretForms('unlock key', readFileSync(countersign.unlockKeyFile)),
    ])
  })
  after(() => scope.close())

  function asDaemon(command: string, args: readonly string[]): Promise<CommandResult> {
    return runCommand(command, args, { uid: DAEMON_UID, gid: SHARED_GID })
  }

  /** What the daemon's user gets when it reads: `read`, or the error's code. */
  async function readAsDaemon(path: string): Promise<string> {
    const script = `
      const { readdirSync, readFileSync, statSync, openSync, readSync } = require('node:fs')
      try {
        const path = process.argv[1]
        statSync(path).isDirectory() ? readdirSync(path) : readSync(openSync(path, 'r'), Buffer.alloc(1))
        console.log('read')
      } catch (error) { console.log(error.code) }`
    return (await asDaemon(process.execPath, ['-e', script, path])).stdout.trim()
  }

  function found(text: Uint8Array): string[] {
    return [...secrets].filter(([, form]) => Buffer.from(text).includes(form)).map(([name]) => name)
  }

  it('run as two users', () => {
    expect(ownerOf(countersign.keyHolder.pid)).to.equal(KEY_HOLDER_UID)
    expect(ownerOf(countersign.daemon.pid)).to.equal(DAEMON_UID)
  })

  it('the daemon’s user reads its own files, so that the refusals below mean something', async () => {
    expect(await readAsDaemon(countersign.dataFolder)).to.equal('read')
    expect(await readAsDaemon(countersign.serviceSocket)).to.equal('ENXIO')
    expect(await readAsDaemon(`/proc/${countersign.daemon.pid}/maps`)).to.equal('read')
  })

  it('cannot read keys, pins, versions, log, or the unlock key', async () => {
    const files = filesBelow(countersign.keyHolderFolder)
    expect(files.length).to.be.greaterThan(2)
    for (const path of [countersign.keyHolderFolder, countersign.unlockKeyFile, ...files]) {
      expect(await readAsDaemon(path), path).to.equal('EACCES')
    }
  })

  it('cannot read the memory or the environment of the key holder', async () => {
    for (const name of ['mem', 'maps', 'environ', 'fd']) {
      expect(await readAsDaemon(`/proc/${countersign.keyHolder.pid}/${name}`), name).to.be.oneOf(['EACCES', 'EPERM'])
    }
  })

  it('cannot trace the key holder, which root can', async () => {
    const { pid } = countersign.keyHolder
    const script = `print syscall(${PTRACE}, 16, ${pid}, 0, 0) == 0 ? "attached" : $!{EPERM} ? "EPERM" : $!`
    const perl = ['-MErrno', '-e', script]
    expect((await asDaemon(programOnPath('perl'), perl)).stdout).to.equal('EPERM')
    expect((await runCommand(programOnPath('perl'), perl)).stdout).to.equal('attached')
    countersign.keyHolder.signal('SIGCONT')
  })

  it('cannot reach the operator socket', async () => {
    const script = `
      require('node:net').connect(process.argv[1])
        .on('connect', () => { console.log('connected'); process.exit() })
        .on('error', (error) => console.log(error.code))`
    const connect = async (socket: string): Promise<string> =>
      (await asDaemon(process.execPath, ['-e', script, socket])).stdout.trim()
    expect(await connect(countersign.serviceSocket)).to.equal('connected')
    expect(await connect(countersign.operatorSocket)).to.equal('EACCES')
  })

  it('the keys are in the key holder’s memory, and not in the daemon’s', async () => {
    // Right after a signature a key is in memory, unless the garbage collector came first: so there are several.
    const found = new Set<string>()
    for (let round = 0; round < 8 && !found.has('delegation key'); round++) {
      await countersign.must([round % 2 === 0 ? 'unsign' : 'sign', image.reference])
      for (const [name, count] of countInMemory(countersign.keyHolder.pid, secrets)) {
        if (count > 0) found.add(/^(unlock|delegation) key/.exec(name)?.[0] ?? name)
      }
    }
    expect([...found]).to.include.members(['unlock key', 'delegation key'])

    const inDaemon = countInMemory(countersign.daemon.pid, new Map([...secrets, ['gun', Buffer.from(image.gun)]]))
    expect(inDaemon.get('gun')).to.be.greaterThan(0)
    expect([...inDaemon].filter(([name, count]) => name !== 'gun' && count > 0)).to.deep.equal([])
  })

  it('no database, log, or answer holds a key', () => {
    const stored = [...filesBelow(countersign.dataFolder), ...filesBelow(countersign.keyHolderFolder)]
    expect(stored.some((path) => readFileSync(path).includes(image.gun))).to.equal(true)
    for (const path of stored) expect(found(readFileSync(path)), path).to.deep.equal([])
    expect(found(Buffer.from(countersign.logs()))).to.deep.equal([])
    expect(answers.join('').length).to.be.greaterThan(100)
    expect(found(Buffer.from(answers.join('\n')))).to.deep.equal([])
  })

  it('attack: Secrets not wiped: a crash leaves no key behind', async () => {
    for (const process of [countersign.keyHolder, countersign.daemon]) {
      process.signal('SIGABRT')
      await process.stop()
      expect(found(Buffer.from(process.output()))).to.deep.equal([])
    }
    for (const path of filesBelow(countersign.folder).filter((name) => name !== countersign.unlockKeyFile)) {
      expect(found(readFileSync(path)), path).to.deep.equal([])
    }
  })
})

function ownerOf(pid: number): number {
  return Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}
