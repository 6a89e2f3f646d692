// The program as a whole: help, version, usage, the plugin protocol, and that docs/cli.md knows every command and option.
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { expect } from 'chai'
import { CLIENT_VARIABLES } from '../../src/cli/client-config.ts'
import { CLI_ERROR_CODES } from '../../src/cli/errors.ts'
import { commandsOf, familiesFor } from '../../src/cli/families.ts'
import { buildProgram, FAMILIES } from '../../src/cli/program.ts'
import { buildWith } from '../../src/cli/run-program.ts'
import { programVersion } from '../../src/version.ts'
import { FakeApi } from './support/fake-api.ts'
import { GUN, published, request } from './support/resources.ts'
import { TOKEN, Workplace } from './support/run-cli.ts'

const top = resolve(import.meta.dirname, '../..')
/** A policy file without a fault. */
const TEAM = `
project: team
repositories: [registry.example.com/team/*]
default: release
policies:
  release: { submitters: [anyone], tags: ['v*'] }
`

const place = new Workplace()
const silent = { write: () => true }
const terminal = {
  stdout: silent,
  stderr: silent,
  stdin: { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: '' }) }) },
  env: {},
  homeFolder: '/nonexistent',
  interrupted: new AbortController().signal,
  now: () => new Date(),
  pause: () => Promise.resolve(),
}
const perform = () => Promise.resolve()
const program = await buildProgram(terminal, perform)

/** `repo init` and its command, for every command that does something. */
function leaves(command: Command, path: readonly string[] = []): [string, Command][] {
  if (command.commands.length === 0) return [[path.join(' '), command]]
  return command.commands.flatMap((child) => leaves(child, [...path, child.name()]))
}

const commands = leaves(program)

after(() => {
  place.remove()
})

describe('cli program', () => {
  it('has commands', () => {
    expect(commands.map(([name]) => name)).to.include.members([
      'sign',
      'repo init',
      'root create',
      'serve',
      'key-holder',
    ])
  })

  for (const [name, command] of commands) {
    describe(name, () => {
      it('has help with a description, examples and the options for all commands', async () => {
        const ran = await place.run([...name.split(' '), '--help'])
        expect(ran.exit).to.equal(0)
        expect(ran.stderr).to.equal('')
        expect(command.description()).not.to.equal('')
        expect(ran.stdout).to.include(`$ countersign ${name}`).and.to.include('Global Options:')
      })

      it('is in docs/cli.md with an example, and so is each of its options', () => {
        const manual = readFileSync(resolve(top, 'docs/cli.md'), 'utf8')
        expect(manual).to.match(new RegExp(`^\\$ (ID=\\$\\()?countersign ${name}\\b`, 'm'))
        expect(manual).to.match(new RegExp(`^## (.*, )?${name}(,.*)?$`, 'm'))
        for (const option of command.options) expect(manual).to.include(option.long)
      })
    })
  }

  for (const family of FAMILIES) {
    it(`is the same where only what ${family.words.join(' or ')} needs is loaded`, async () => {
      const alone = leaves(buildWith(await commandsOf([family]), terminal, perform))
      const same = commands.filter(([name]) => family.words.includes(name.split(' ')[0] ?? ''))
      expect(alone.map(([name]) => name)).to.deep.equal(same.map(([name]) => name))
      expect(new Set(alone.map(([name]) => name.split(' ')[0]))).to.deep.equal(new Set(family.words))
      for (const [index, [name, command]] of alone.entries()) {
        expect(command.helpInformation()).to.equal(same[index]?.[1].helpInformation())
        expect(familiesFor([...name.split(' '), '--json'], FAMILIES)).to.deep.equal([family])
      }
    })
  }

  it('is loaded whole for everything else', () => {
    for (const argv of [[], ['--version'], ['--json', 'sign'], ['help', 'sign'], ['signs']]) {
      expect(familiesFor(argv, FAMILIES)).to.equal(FAMILIES)
    }
  })

  it('documents every environment variable that it reads', () => {
    const manual = readFileSync(resolve(top, 'docs/cli.md'), 'utf8')
    for (const name of [...CLIENT_VARIABLES, 'COUNTERSIGN_CONFIG']) expect(manual).to.include(name)
  })

  it('takes no secret as an argument', () => {
    const options = [...program.options, ...commands.flatMap(([, command]) => command.options)]
    const names = options.map(({ long }) => long ?? '').filter((long) => /token|pass|secret|key$/.test(long))
    // Both of the log's take a public key.
    const open = ['--idempotency-key', '--key', '--log-key']
    expect([...new Set(names)].filter((long) => !long.endsWith('-file') && !open.includes(long))).to.deep.equal([])
  })

  it('names each error code once, uses it, and has it in docs/cli.md', () => {
    expect(new Set(CLI_ERROR_CODES).size).to.equal(CLI_ERROR_CODES.length)
    const folder = resolve(top, 'src/cli')
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.ts') && name !== 'errors.ts',
    )
    const source = files.map((name) => readFileSync(resolve(folder, name), 'utf8')).join('\n')
    const manual = readFileSync(resolve(top, 'docs/cli.md'), 'utf8')
    expect(CLI_ERROR_CODES.filter((code) => !source.includes(`'${code}'`))).to.deep.equal([])
    expect(CLI_ERROR_CODES.filter((code) => !manual.includes(`\`${code}\``))).to.deep.equal([])
  })

  it('prints its version', async () => {
    const ran = await place.run(['--version'])
    expect([ran.exit, ran.stdout]).to.deep.equal([0, `${programVersion()}\n`])
  })

  it('2: without a command, with half of one, or with an unknown one', async () => {
    for (const argv of [[], ['request'], ['repo', 'explode'], ['token', 'create'], ['--frobnicate']]) {
      const ran = await place.run(argv)
      expect([ran.exit, ran.stdout, ran.codes()]).to.deep.equal([2, '', ['USAGE_INVALID']])
    }
  })

  it('answers Docker as a plugin does, and runs as one', async () => {
    const metadata = await place.run(['docker-cli-plugin-metadata'])
    expect(metadata.json()).to.deep.include({ SchemaVersion: '0.1.0', Version: programVersion() })
    expect((await place.run(['countersign', '--version'])).exit).to.equal(0)
    const help = await place.run(['--config', '/nonexistent', 'help', 'countersign', 'sign'])
    expect(help.stdout).to.match(/^Usage: docker countersign sign /)
  })

  it('1: config check names every fault with its path, and no value', async () => {
    const config = place.file('countersign.yaml', 'http: { listen: cs_secret }\nlog: { level: loud }\nnonsense: 1\n')
    const ran = await place.run(['config', 'check', '--config', config, '--json'])
    expect(ran.exit).to.equal(1)
    const { code, errors } = ran.json() as { code: string; errors: { path: string }[] }
    expect(code).to.equal('CONFIG_INVALID')
    expect([...new Set(errors.map(({ path }) => path))]).to.have.members(['http.listen', 'log.level', 'nonsense'])
    expect(ran.stdout + ran.stderr).not.to.include('cs_secret')
  })

  it('1: config check names the faults of the key holder and of its limits', async () => {
    const faulty = place.file('holder.yaml', 'folder: 7\nnonsense: cs_secret\n')
    const ran = await place.run(['config', 'check', '--key-holder', faulty, '--json'])
    expect(ran.exit).to.equal(1)
    const { errors } = ran.json() as { errors: { path: string }[] }
    expect(errors.map(({ path }) => path)).to.include.members(['folder', 'unlock'])
    const limits = place.file('bad-limits.yaml', 'repositories: 7\n')
    const good = place.file('good-holder.yaml', `unlock: { keyFile: /x }\nlimitsFile: ${limits}\n`)
    expect((await place.run(['config', 'check', '--key-holder', good])).codes()).to.deep.equal(['LIMITS_FILE_INVALID'])
  })

  it('takes the variables of the client for no settings of the daemon', async () => {
    const env = Object.fromEntries(CLIENT_VARIABLES.map((name) => [name, '/nonexistent']))
    expect((await place.run(['config', 'check'], { env })).exit).to.equal(0)
    const named = { ...env, COUNTERSIGN_CONFIG: place.path('nowhere.yaml') }
    expect((await place.run(['config', 'check'], { env: named })).codes()).to.deep.equal(['CONFIG_UNREADABLE'])
  })

  it('1: config check names the faults of the policy folder', async () => {
    mkdirSync(place.path('policies'))
    place.file('policies/team.yaml', 'project: team\nrepositories: [registry.example.com/*]\n')
    const config = place.file('policed.yaml', `policies: { folder: ${place.path('policies')} }\n`)
    expect((await place.run(['config', 'check', '--config', config])).codes()).to.deep.equal(['POLICY_INVALID'])
    place.file('policies/team.yaml', TEAM)
    const ran = await place.run(['config', 'check', '--config', config, '--json'])
    expect(ran.json())
      .to.have.nested.property('policies.digest')
      .that.matches(/^[0-9a-f]{64}$/)
  })

  it('0: config check of a good configuration', async () => {
    const ran = await place.run([
      'config',
      'check',
      '--config',
      place.file('good.yaml', 'log: { level: info }\n'),
      '--json',
    ])
    expect(ran.exit).to.equal(0)
    expect(ran.json()).to.deep.include({ valid: true, file: place.path('good.yaml') })
  })
})

describe('cli process', () => {
  interface Ended {
    readonly exit: number | null
    readonly stdout: string
    readonly stderr: string
  }

  function start(argv: readonly string[], env: Record<string, string> = {}) {
    const child = spawn(
      process.execPath,
      ['--import=tsx', '--conditions=source', resolve(top, 'src/main.ts'), ...argv],
      {
        env: { PATH: process.env['PATH'] ?? '', HOME: place.folder, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const ended = new Promise<Ended>((done) => {
      child.on('close', (exit) => {
        done({ exit, stdout, stderr })
      })
    })
    return { child, ended }
  }

  it('ends with the exit status of the command', async () => {
    const { exit, stdout } = await start(['sign', '--json']).ended
    expect(exit).to.equal(2)
    expect(JSON.parse(stdout)).to.deep.include({ code: 'IMAGE_LIST_EMPTY' })
  })

  it('leaves a request on Ctrl-C, with its ID and exit 4', async () => {
    let api: FakeApi | undefined
    const waiting = new Promise<void>((asked) => {
      api = new FakeApi((_request, count) => {
        if (count === 1) return { status: 201, body: request('submitted') }
        asked()
        return { before: () => new Promise(() => undefined) }
      })
    })
    await api!.start()
    const env = { COUNTERSIGN_SERVER: api!.url, COUNTERSIGN_TOKEN: TOKEN }
    const { child, ended } = start(['sign', `${GUN}:1.4`], env)
    await waiting
    child.kill('SIGINT')
    const { exit, stdout, stderr } = await ended
    await api!.stop()
    expect([exit, stdout]).to.deep.equal([4, 'req-01j9\n'])
    expect(stderr).not.to.include(TOKEN)
  })

  it('runs the key holder until SIGTERM, and ends with 0', async () => {
    place.file('unlock.key', 'u'.repeat(32))
    place.file('limits.yaml', 'repositories: []\n')
    const config = place.file(
      'key-holder.yaml',
      [
        'folder: F/keys',
        'serviceSocket: F/s.sock',
        'operatorSocket: F/o.sock',
        'unlock: { keyFile: F/unlock.key }',
        'limitsFile: F/limits.yaml',
        '',
      ]
        .join('\n')
        .replaceAll('F/', `${place.folder}/`),
    )
    const { child, ended } = start(['key-holder', '--config', config])
    const said = new Promise<void>((started) => {
      child.stdout.on('data', (chunk: Buffer) => {
        if (chunk.toString().includes('key holder started')) started()
      })
    })
    await Promise.race([said, ended])
    child.kill('SIGTERM')
    const { exit, stderr } = await ended
    expect([exit, stderr]).to.deep.equal([0, ''])
  })

  it('prints no colour into a pipe', async () => {
    const api = await new FakeApi(() => ({ status: 201, body: request('published', [published()]) })).start()
    const env = { COUNTERSIGN_SERVER: api.url, COUNTERSIGN_TOKEN: TOKEN, FORCE_COLOR: '1' }
    const { exit, stdout } = await start(['sign', `${GUN}:1.4`], env).ended
    await api.stop()
    expect(exit).to.equal(0)
    expect(stdout).not.to.include('\u001b')
  })
})
