// The README is true: its way to a first signed image runs as it stands, in order, in an empty folder and without a configuration. The image
// is pushed by the test, which needs no Docker engine for that; pulling would take one (test/peer/signing.test.ts does it).
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { DemoRegistry } from '../../demo/registry.ts'
import { builtProgram } from '../support/countersign-program.ts'
import { freePort } from '../support/free-port.ts'
import { commandsOf } from '../support/page-commands.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { statusOf, waitForServer } from '../support/peers/readiness.ts'
import { programOnPath, requirePeers } from '../support/peers/require-peers.ts'
import { runCommand, startProcess, type CommandResult, type RunningProcess } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'

describe('the way to a first signed image in README.md', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const commands = commandsOf('README.md', 'Sign an image of your own')
  let serve: RunningProcess
  let image: PushedImage
  let ran: CommandResult

  before(async function () {
    requirePeers(this, 'docker', 'curl')
    const registry = await DemoRegistry.start(scope)
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    image = await images.pushIndex('team/app', '1.4')

    const folder = scope.folder('readme')
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    const wrapper = `#!/bin/sh\nexec '${process.execPath}' '${builtProgram()}' "$@"\n`
    writeFileSync(join(bin, 'countersign'), wrapper, { mode: 0o755 })
    const ports = { '8750': String(await freePort()), '4443': String(await freePort()) }
    const env = { HOME: folder, PATH: `${bin}:${process.env['PATH'] ?? ''}` }
    serve = startProcess(scope, join(bin, 'countersign'), ['serve'], {
      cwd: folder,
      env: {
        ...env,
        COUNTERSIGN_HTTP__LISTEN: `127.0.0.1:${ports['8750']}`,
        TRUST_SERVER_HTTP__LISTEN: `127.0.0.1:${ports['4443']}`,
      },
    })
    const ready = `http://127.0.0.1:${ports['8750']}/readyz`
    await waitForServer('countersign serve', serve, async () => (await statusOf(ready)) === 200)

    const here = commands
      .filter((command) => !/^npm |docker (push|pull) |^countersign serve$/.test(command))
      .map((command) => command.replaceAll('localhost:5000', registry.host))
      // Whole ports: the registry's may begin with the same digits.
      .map((command) =>
        command.replaceAll(/127\.0\.0\.1:(8750|4443)\b/g, (_, port: keyof typeof ports) => `127.0.0.1:${ports[port]}`),
      )
    ran = await runCommand(programOnPath('bash'), ['-euc', here.join('\n')], { cwd: folder, env })
  })
  after(() => scope.close())

  it('begins without a configuration, and ends with what Docker says', () => {
    expect(commands).to.include('countersign serve')
    expect(commands.filter((command) => /^countersign (repo|sign|token)/.test(command))).to.have.length(3)
    expect(ran.status, `${ran.text}\n${serve.output()}`).to.equal(0)
    expect(ran.stdout).to.match(new RegExp(`^1\\.4 +${image.sha256} +countersign$`, 'm'))
  })

  it('tells at the start what it then uses', () => {
    const told = serve.output()
    for (const name of ['admin.token', '~/.docker/tls/', 'authority/ca.crt', 'DOCKER_CONTENT_TRUST_SERVER=https://']) {
      expect(told).to.include(name)
    }
  })
})
