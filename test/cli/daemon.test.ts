// The command line against the real daemon, started as `countersign serve` without a configuration: a first try on a laptop.
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect } from 'chai'
import { freePort } from '../support/free-port.ts'
import { GUN } from './support/resources.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const TOP = resolve(import.meta.dirname, '../..')
const MAIN = resolve(TOP, 'src/main.ts')

describe('cli with a daemon', function () {
  this.timeout(60_000)
  let place: Workplace
  let child: ChildProcess
  let ended: Promise<number | null>
  let server: string
  let said = ''

  before(async () => {
    place = new Workplace()
    server = `http://127.0.0.1:${await freePort()}`
    child = spawn(process.execPath, ['--import=tsx', '--conditions=source', MAIN, 'serve'], {
      cwd: TOP,
      env: {
        PATH: process.env['PATH'] ?? '',
        COUNTERSIGN_DATA_FOLDER: place.path('data'),
        COUNTERSIGN_HTTP__LISTEN: server.slice('http://'.length),
        TRUST_SERVER_HTTP__LISTEN: `127.0.0.1:${await freePort()}`,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    ended = new Promise((done) => child.on('close', done))
    const started = new Promise<void>((listening) => {
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes('token is in')) listening()
      })
    })
    await Promise.race([started, ended])
  })
  after(async () => {
    child.kill('SIGKILL')
    await ended
    place.remove()
  })

  function cli(argv: readonly string[], tokenFile = place.path('data/admin.token')): Promise<Ran> {
    return place.run([...argv, '--server', server, '--token-file', tokenFile, '--json'])
  }

  it('says where the first token is, and not the token', () => {
    expect(said).to.include(place.path('data/admin.token'))
    expect(said).not.to.include(readFileSync(place.path('data/admin.token'), 'utf8').trim())
  })

  it('creates, lists and revokes tokens', async () => {
    const out = place.path('bot.token')
    const created = await cli([
      'token',
      'create',
      'bot',
      '--grant',
      'submit:registry.example.com/*',
      '--expires',
      '1h',
      '--out',
      out,
    ])
    expect(created.stderr + created.stdout).not.to.include(readFileSync(out, 'utf8').trim())
    expect(created.exit).to.equal(0)
    const { id } = created.json() as { id: string }
    const { tokens } = (await cli(['token', 'list'])).json() as { tokens: { id: string }[] }
    expect(tokens.map((token) => token.id)).to.include(id)
    expect((await cli(['request', 'list'], out)).json()).to.deep.equal({ requests: [] })
    expect((await cli(['token', 'create', 'x', '--grant', 'admin:*'], out)).exit).to.equal(3)
    expect((await cli(['token', 'revoke', id])).exit).to.equal(0)
    expect((await cli(['request', 'list'], out)).codes()).to.deep.equal(['TOKEN_INVALID'])
  })

  it('3: a repository that is not registered', async () => {
    for (const argv of [
      ['sign', `${GUN}:1.4`],
      ['unsign', `${GUN}:1.4`],
      ['verify', `${GUN}:1.4`],
      ['inspect', GUN],
      ['repo', 'status', GUN],
    ]) {
      const ran = await cli(argv)
      expect([argv[0], ran.exit, ran.codes()]).to.deep.equal([argv[0], 3, ['NOT_PERMITTED']])
    }
  })

  it('shows empty lists, and what is not there', async () => {
    expect((await cli(['repo', 'list'])).json()).to.deep.equal({ repositories: [] })
    expect((await cli(['repo', 'status'])).json()).to.deep.equal({ repositories: [] })
    expect((await cli(['request', 'show', 'req-none'])).codes()).to.deep.equal(['REQUEST_NOT_FOUND'])
  })

  it('stops in order on SIGTERM, and ends with 0', async () => {
    child.kill('SIGTERM')
    expect(await ended).to.equal(0)
  })
})
