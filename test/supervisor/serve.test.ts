import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/log.ts'
import { type RunningServer, startServe } from '../../src/supervisor.ts'
import { expectCodeAsync } from '../support/expect-code.ts'

const main = resolve(import.meta.dirname, '../../src/main.ts')
const program = [process.execPath, '--import=tsx', '--conditions=source', main] as const

/** Long enough for a key holder on a busy machine to start. */
const PATIENCE_MS = 30_000

describe('serve', function () {
  this.timeout(60_000)
  let folder: string
  let data: string
  let lines: string[]
  let told: string[]
  const running: RunningServer[] = []

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cs-serve-'))
    data = join(folder, 'data')
    lines = []
    told = []
  })
  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.stop()))
    rmSync(folder, { recursive: true })
  })

  async function serve(text = 'http: { listen: "127.0.0.1:0" }'): Promise<RunningServer> {
    const file = join(folder, 'countersign.yaml')
    writeFileSync(file, text)
    const server = await startServe(loadConfig(file, { COUNTERSIGN_DATA_FOLDER: data }), {
      program,
      log: createLog('debug', { write: (line) => lines.push(line) }),
      tell: (line) => told.push(line),
    })
    running.push(server)
    return server
  }

  async function isReady(server: RunningServer): Promise<boolean> {
    return (await fetch(`${server.url}/readyz`)).status === 200
  }

  async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS
    while (!(await check())) {
      if (Date.now() > deadline) throw new Error(`waited in vain until ${what}\n${lines.join('')}`)
      await new Promise((wake) => setTimeout(wake, 20))
    }
  }

  function keyHolderPids(): number[] {
    return [...lines.join('').matchAll(/"keyHolderPid":(\d+)/g)].map((match) => Number(match[1]))
  }

  function isAlive(pid: number): boolean {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  }

  const modeOf = (name: string) => (statSync(join(data, name)).mode & 0o777).toString(8)

  it('starts from nothing: private folders, a key, limits and a token whose path it tells', async () => {
    const server = await serve()
    await until('it is ready', () => isReady(server))
    expect(modeOf('.')).to.equal('700')
    expect(modeOf('key-holder')).to.equal('700')
    expect(modeOf('admin.token')).to.equal('600')
    expect(modeOf('key-holder/unlock.key')).to.equal('600')
    expect(modeOf('key-holder/limits.yaml')).to.equal('600')
    expect(statSync(join(data, 'key-holder/unlock.key')).size).to.equal(32)
    const token = readFileSync(join(data, 'admin.token'), 'utf8').trim()
    const answer = await fetch(`${server.url}/v1/tokens`, { headers: { authorization: `Bearer ${token}` } })
    expect(answer.status).to.equal(200)
    expect(told.join('\n')).to.include(join(data, 'admin.token'))
    expect(told.join('\n') + lines.join('')).not.to.include(token)
  })

  it('says that no trust server is configured, and that both processes share a user', async () => {
    await serve()
    expect(told.join('\n')).to.include('No trust server is configured')
    await until('it warns', () =>
      lines.some((line) => line.includes('keyHolderUid') && line.includes('"level":"warn"')),
    )
  })

  it('keeps everything at the second start', async () => {
    const first = await serve()
    await until('it is ready', () => isReady(first))
    const files = ['admin.token', 'key-holder/unlock.key', 'key-holder/key-holder.yaml', 'key-holder/limits.yaml']
    const before = files.map((name) => readFileSync(join(data, name), 'hex'))
    await first.stop()
    writeFileSync(join(data, 'key-holder/limits.yaml'), 'repositories: []\n')
    const second = await serve()
    await until('it is ready', () => isReady(second))
    const after = files.map((name) => readFileSync(join(data, name), 'hex'))
    expect(after.slice(0, 3)).to.deep.equal(before.slice(0, 3))
    expect(readFileSync(join(data, 'key-holder/limits.yaml'), 'utf8')).to.equal('repositories: []\n')
  })

  it('starts a key holder that was killed again, and is not ready meanwhile', async () => {
    const server = await serve()
    await until('it is ready', () => isReady(server))
    // An answer of the key holder counts for a second, in which the next one may be up already: the last answer has to be old.
    await new Promise((wake) => setTimeout(wake, 1_100))
    const [pid = 0] = keyHolderPids()
    process.kill(pid, 'SIGKILL')
    await until('it is dead', () => !isAlive(pid))
    await until('it is not ready', async () => !(await isReady(server)))
    await until('it is ready again', () => isReady(server))
    expect(keyHolderPids()).to.have.length(2)
  })

  it('stops the key holder after itself', async () => {
    const server = await serve()
    const [pid = 0] = keyHolderPids()
    expect(isAlive(pid)).to.equal(true)
    await server.stop()
    expect(isAlive(pid)).to.equal(false)
  })

  it('uses a key holder that its killed predecessor left, and replaces it when it ends', async () => {
    const first = await serve()
    await until('it is ready', () => isReady(first))
    await first.stop()
    const config = join(data, 'key-holder/key-holder.yaml')
    const left = spawn(program[0], [...program.slice(1), 'key-holder', '--config', config], { stdio: 'ignore' })
    try {
      const socket = join(data, 'key-holder/run/service.sock')
      await until('the other listens', () => existsSync(socket))
      lines = []
      const second = await serve()
      await until('it is ready', () => isReady(second))
      expect(keyHolderPids()).to.deep.equal([])
      left.kill('SIGKILL')
      await until('its own is started', () => keyHolderPids().length === 1)
      await until('it is ready again', () => isReady(second))
    } finally {
      left.kill('SIGKILL')
    }
  })

  it('refuses a data folder whose database is gone', async () => {
    const server = await serve()
    await until('it is ready', () => isReady(server))
    await server.stop()
    for (const name of readdirSync(data).filter((entry) => entry.startsWith('countersign.db'))) rmSync(join(data, name))
    await expectCodeAsync('FIRST_START_REFUSED', () => serve())
    expect(existsSync(join(data, 'countersign.db'))).to.equal(false)
  })

  it('refuses a data folder that others can write', async () => {
    mkdirSync(data)
    chmodSync(data, 0o777)
    await expectCodeAsync('DATA_FOLDER_EXPOSED', () => serve())
    expect(readdirSync(data)).to.deep.equal([])
  })

  it('does not start where its key holder does not', async () => {
    const configFile = join(folder, 'faulty.yaml')
    writeFileSync(configFile, 'colour: red\n')
    await expectCodeAsync('KEY_HOLDER_NOT_STARTED', () =>
      serve(`{ http: { listen: "127.0.0.1:0" }, keyHolder: { supervise: { configFile: ${configFile} } } }`),
    )
    const [pid = 0] = keyHolderPids()
    expect(isAlive(pid)).to.equal(false)
  })

  it('leaves no key holder behind where its address is taken', async () => {
    const other = await occupy()
    try {
      const { port } = other.address() as AddressInfo
      let code = ''
      await serve(`http: { listen: "127.0.0.1:${port}" }`).catch((error: unknown) => {
        code = (error as NodeJS.ErrnoException).code ?? ''
      })
      expect(code).to.equal('EADDRINUSE')
      const [pid = 0] = keyHolderPids()
      expect(pid).to.be.greaterThan(0)
      expect(isAlive(pid)).to.equal(false)
    } finally {
      other.close()
    }
  })
})

function occupy(): Promise<Server> {
  return new Promise((done) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      done(server)
    })
  })
}
