// Docker's plugin protocol: which arguments come from Docker, what is answered without loading anything, and how Docker ends a plugin.
import { createServer } from 'node:net'
import { expect } from 'chai'
import { readDockerCall } from '../../src/cli/docker-plugin/protocol.ts'
import { whenDockerEnds } from '../../src/cli/docker-plugin/socket.ts'
import { earlyAnswer } from '../../src/cli/early-answers.ts'
import { familiesFor } from '../../src/cli/families.ts'
import { FAMILIES } from '../../src/cli/program.ts'
import { programVersion } from '../../src/version.ts'
import { Scope } from '../support/scope.ts'

describe("cli: the arguments of Docker's plugin", () => {
  const calls: readonly (readonly [argv: string[], args: string[], dockerOptions: string[], configFolder?: string])[] =
    [
      [['countersign', 'sign', 'a:1'], ['sign', 'a:1'], []],
      [['countersign'], [], []],
      [['--config', '/d', 'countersign', 'push', 'a:1'], ['push', 'a:1'], ['--config', '/d'], '/d'],
      [['--config=/d=e', '-D', 'countersign', 'push'], ['push'], ['--config=/d=e', '-D'], '/d=e'],
      [['-c', 'build', '-Htcp://h:1', 'countersign', 'push'], ['push'], ['-c', 'build', '-Htcp://h:1']],
      [['-Dc', 'build', '-l=debug', 'countersign', 'push'], ['push'], ['-Dc', 'build', '-l=debug']],
      [
        ['--tls', '--tlsverify=false', '--tlscacert', 'f', '--context', 'countersign', 'countersign', '--json', 'sign'],
        ['--json', 'sign'],
        ['--tls', '--tlsverify=false', '--tlscacert', 'f', '--context', 'countersign'],
      ],
      [['-D', 'help', 'countersign', 'push'], ['help', 'push'], ['-D']],
      // A later option of the same name wins, as in Docker.
      [['--config', '/a', '--config', '/b', 'countersign'], [], ['--config', '/a', '--config', '/b'], '/b'],
    ]
  for (const [argv, args, dockerOptions, configFolder] of calls) {
    it(argv.join(' '), () => {
      const call = { args, dockerOptions, ...(configFolder !== undefined && { configFolder }) }
      expect(readDockerCall(argv)).to.deep.equal(call)
    })
  }

  it('come from nobody else', () => {
    for (const argv of [
      [],
      ['sign', 'countersign'],
      ['--json', 'countersign'],
      ['--config'],
      ['-c'],
      ['help', 'sign'],
    ]) {
      expect(readDockerCall(argv), argv.join(' ')).to.equal(undefined)
    }
  })

  it('lead to the same commands as without Docker', () => {
    const of = (...argv: string[]) => familiesFor(argv, FAMILIES)
    expect(of('--config', '/d', 'countersign', 'sign', 'a:1')).to.deep.equal(of('sign', 'a:1'))
    expect(of('countersign', 'repo', 'list')).to.deep.equal(of('repo', 'list'))
    expect(of('countersign', 'help')).to.equal(FAMILIES)
  })

  it('are answered at once where the version or the metadata are asked for', () => {
    for (const argv of [['--version'], ['countersign', '--version']]) {
      expect(earlyAnswer(argv)).to.equal(programVersion())
    }
    expect(JSON.parse(earlyAnswer(['docker-cli-plugin-metadata']) ?? '')).to.deep.include({ Vendor: 'Countersign' })
    for (const argv of [[], ['sign', '--version'], ['--version', 'sign'], ['countersign', 'sign', 'a:1']]) {
      expect(earlyAnswer(argv)).to.equal(undefined)
    }
  })
})

describe("cli: the socket of Docker's plugin", () => {
  const scope = new Scope()
  after(() => scope.close())

  const addresses = {
    file: () => `${scope.folder('docker')}/plugin.sock`,
    // Only Linux has addresses without a file.
    ...(process.platform === 'linux' && { abstract: () => `@countersign-test-${process.pid}` }),
  }
  for (const [kind, address] of Object.entries(addresses)) {
    it(`ends the command when Docker closes it (${kind})`, async () => {
      const path = address()
      const server = createServer()
      const connected = new Promise<() => void>((resolve) => {
        server.once('connection', (connection) => {
          resolve(() => connection.end())
        })
      })
      await new Promise<void>((resolve) => server.listen(path.replace(/^@/, '\0'), resolve))
      scope.add(
        () =>
          new Promise<void>((resolve) =>
            server.close(() => {
              resolve()
            }),
          ),
      )
      let ended = false
      const end = new Promise<void>((resolve) => {
        whenDockerEnds(path, () => {
          ended = true
          resolve()
        })
      })
      const close = await connected
      expect(ended).to.equal(false)
      close()
      await end
    })
  }
})
