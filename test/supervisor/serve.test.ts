import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'
import { ELSEWHERE, HTTP, isAlive, occupy, PROGRAM, Serving } from '../support/serving.ts'

describe('serve', function () {
  this.timeout(60_000)
  let scope: Scope
  let place: Serving

  beforeEach(() => {
    scope = new Scope()
    place = new Serving(scope)
  })
  afterEach(() => scope.close())

  it('starts from nothing: private folders, a key, limits and a token whose path it tells', async () => {
    const server = await place.ready()
    expect(place.modeOf('.')).to.equal('700')
    expect(place.modeOf('key-holder')).to.equal('700')
    expect(place.modeOf('admin.token')).to.equal('600')
    expect(place.modeOf('key-holder/unlock.key')).to.equal('600')
    expect(place.modeOf('key-holder/limits.yaml')).to.equal('600')
    expect(statSync(join(place.data, 'key-holder/unlock.key')).size).to.equal(32)
    const token = place.read('admin.token').trim()
    const answer = await fetch(`${server.url}/v1/tokens`, { headers: { authorization: `Bearer ${token}` } })
    expect(answer.status).to.equal(200)
    expect(place.told.join('\n')).to.include(join(place.data, 'admin.token'))
    expect(place.told.join('\n') + place.lines.join('')).not.to.include(token)
  })

  it('starts no trust server where another is configured, and says that both processes share a user', async () => {
    await place.start()
    await place.until('it warns', () =>
      place.lines.some((line) => line.includes('keyHolderUid') && line.includes('"level":"warn"')),
    )
    expect(place.pidsOf('trust-server')).to.deep.equal([])
    expect(existsSync(join(place.data, 'trust-server'))).to.equal(false)
    expect(existsSync(join(place.data, 'authority'))).to.equal(false)
  })

  it('keeps everything at the second start, and says so where the key holder has no socket for a trust server', async () => {
    await place.ready()
    const files = ['admin.token', 'key-holder/unlock.key', 'key-holder/key-holder.yaml', 'key-holder/limits.yaml']
    await place.stop()
    const config = place.read('key-holder/key-holder.yaml').replace(/^trustServerSocket.*\n/m, '')
    writeFileSync(join(place.data, 'key-holder/key-holder.yaml'), config)
    writeFileSync(join(place.data, 'key-holder/limits.yaml'), 'repositories: []\n')
    const before = files.map((name) => place.read(name))
    await place.ready(HTTP)
    expect(files.map((name) => place.read(name))).to.deep.equal(before)
    expect(place.told.join('\n')).to.include('trustServerSocket')
    expect(place.pidsOf('trust-server')).to.deep.equal([])
  })

  it('starts a key holder that was killed again, and is not ready meanwhile', async () => {
    await place.ready()
    // An answer of the key holder counts for a second, in which the next one may be up already: the last answer has to be old.
    await new Promise((wake) => setTimeout(wake, 1_100))
    const pid = place.pidOf('key-holder')
    process.kill(pid, 'SIGKILL')
    await place.until('it is dead', () => !isAlive(pid))
    await place.until('it is not ready', async () => !(await place.isReady()))
    await place.until('it is ready again', () => place.isReady())
    expect(place.pidsOf('key-holder')).to.have.length(2)
  })

  it('stops the key holder after itself', async () => {
    await place.start()
    const pid = place.pidOf('key-holder')
    expect(isAlive(pid)).to.equal(true)
    await place.stop()
    expect(isAlive(pid)).to.equal(false)
  })

  it('uses a key holder that its killed predecessor left, and replaces it when it ends', async () => {
    await place.ready()
    await place.stop()
    const config = join(place.data, 'key-holder/key-holder.yaml')
    const left = spawn(PROGRAM[0], [...PROGRAM.slice(1), 'key-holder', '--config', config], { stdio: 'ignore' })
    try {
      await place.until('the other listens', () => existsSync(join(place.data, 'key-holder/run/service.sock')))
      place.lines = []
      await place.ready()
      expect(place.pidsOf('key-holder')).to.deep.equal([])
      left.kill('SIGKILL')
      await place.until('its own is started', () => place.pidsOf('key-holder').length === 1)
      await place.until('it is ready again', () => place.isReady())
    } finally {
      left.kill('SIGKILL')
    }
  })

  it('refuses a data folder whose database is gone', async () => {
    await place.ready()
    await place.stop()
    const names = readdirSync(place.data).filter((entry) => entry.startsWith('countersign.db'))
    for (const name of names) rmSync(join(place.data, name))
    await expectCodeAsync('FIRST_START_REFUSED', () => place.start())
    expect(existsSync(join(place.data, 'countersign.db'))).to.equal(false)
  })

  it('refuses a data folder that others can write', async () => {
    mkdirSync(place.data)
    chmodSync(place.data, 0o777)
    await expectCodeAsync('DATA_FOLDER_EXPOSED', () => place.start())
    expect(readdirSync(place.data)).to.deep.equal([])
  })

  it('does not start where its key holder does not', async () => {
    const configFile = join(place.folder, 'faulty.yaml')
    writeFileSync(configFile, 'colour: red\n')
    await expectCodeAsync('KEY_HOLDER_NOT_STARTED', () =>
      place.start(`${HTTP}, ${ELSEWHERE}, keyHolder: { supervise: { configFile: ${configFile} } }`),
    )
    expect(isAlive(place.pidOf('key-holder'))).to.equal(false)
  })

  it('leaves no key holder behind where its address is taken', async () => {
    let code = ''
    await place.start(`http: { listen: "127.0.0.1:${await occupy(scope)}" }, ${ELSEWHERE}`).catch((error: unknown) => {
      code = (error as NodeJS.ErrnoException).code ?? ''
    })
    expect(code).to.equal('EADDRINUSE')
    expect(place.pidOf('key-holder')).to.be.greaterThan(0)
    expect(isAlive(place.pidOf('key-holder'))).to.equal(false)
  })
})
