// docs/pipelines.md is true: its files and commands lead from an empty folder to two pipelines that sign with nothing but their tokens. The
// issuers are real providers on loopback in the place of github.com and gitlab.com; the images are pushed by the test.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { DemoRegistry } from '../../demo/registry.ts'
import { builtProgram } from '../support/countersign-program.ts'
import { freePort } from '../support/free-port.ts'
import { OidcIssuer } from '../support/oidc-issuer.ts'
import { commandsOf, filesOf } from '../support/page-commands.ts'
import { ImageMaker } from '../support/peers/images.ts'
import { statusOf, waitForServer } from '../support/peers/readiness.ts'
import { programOnPath, requirePeers } from '../support/peers/require-peers.ts'
import { waitFor } from '../support/polling.ts'
import { type CommandResult, runCommand, startProcess } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { githubClaims, gitlabClaims } from '../support/workload-claims.ts'

const PAGE = 'docs/pipelines.md'
const SECTIONS = [
  '1. Say who may sign what',
  '2. Start it, and take the repository under management',
  '3. Let the pipeline sign',
  '4. Approve',
  '5. See it signed',
] as const

describe('the way to a pipeline in docs/pipelines.md', function () {
  this.timeout(120_000)
  const scope = new Scope()

  before(function () {
    requirePeers(this, 'curl')
  })
  after(() => scope.close())

  it('leads from an empty folder to signed images, one asked for by each provider', async () => {
    const [github, gitlab] = [await OidcIssuer.start(scope), await OidcIssuer.start(scope)]
    const registry = await DemoRegistry.start(scope)
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    const [forGithub, forGitlab] = [
      await images.pushIndex('team/app', 'v1.4'),
      await images.pushIndex('team/app', 'v1.5'),
    ]
    const folder = scope.folder('pipelines')
    const ports = { http: await freePort(), trust: await freePort() }
    /** What the page says, on this machine. */
    const here = (text: string): string =>
      text
        .replaceAll('localhost:5000', registry.host)
        .replaceAll('127.0.0.1:8750', `127.0.0.1:${ports.http}`)
        .replaceAll('https://token.actions.githubusercontent.com', github.url)
        .replaceAll('https://gitlab.com', gitlab.url)

    for (const [path, text] of filesOf(PAGE, SECTIONS[0])) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), here(text), { mode: 0o644 })
    }
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'countersign'), `#!/bin/sh\nexec '${process.execPath}' '${builtProgram()}' "$@"\n`, {
      mode: 0o755,
    })
    const env = {
      HOME: folder,
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      ACTIONS_ID_TOKEN_REQUEST_URL: await startRun(github),
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'token-of-the-run',
      COUNTERSIGN_ID_TOKEN: await gitlab.sign(gitlabClaims(gitlab.url, new Date(), { ref: 'v1.5' })),
    }
    const type = async (
      section: (typeof SECTIONS)[number],
      more: Record<string, string> = {},
    ): Promise<CommandResult> => {
      const lines = commandsOf(PAGE, section).filter((line) => !line.startsWith('countersign serve'))
      const ran = await runCommand(programOnPath('bash'), ['-euc', here(lines.join('\n'))], {
        cwd: folder,
        env: { ...env, ...more },
      })
      expect(ran.status, `${section}\n${ran.text}\n${serve.output()}`).to.equal(0)
      return ran
    }
    const serveCommand = commandsOf(PAGE, SECTIONS[1]).find((line) => line.startsWith('countersign serve')) ?? ''
    const serve = startProcess(scope, programOnPath('bash'), ['-euc', `exec ${serveCommand}`], {
      cwd: folder,
      env: {
        HOME: folder,
        PATH: env.PATH,
        COUNTERSIGN_HTTP__LISTEN: `127.0.0.1:${ports.http}`,
        TRUST_SERVER_HTTP__LISTEN: `127.0.0.1:${ports.trust}`,
      },
    })

    await waitForServer(
      'countersign serve',
      serve,
      async () => (await statusOf(`http://127.0.0.1:${ports.http}/readyz`)) === 200,
    )
    await type(SECTIONS[0])
    const managed = await type(SECTIONS[1])
    const server = {
      COUNTERSIGN_SERVER: `http://127.0.0.1:${ports.http}`,
      COUNTERSIGN_TOKEN_FILE: join(folder, 'countersign-data/admin.token'),
    }
    const [ann = ''] = /\btoken[-_][0-9a-z]+/.exec(managed.text) ?? []
    const people = join(folder, 'policies/people.yaml')
    const before = serve.output().split('policies are in force').length
    writeFileSync(people, readFileSync(people, 'utf8').replace('TOKEN-OF-ANN', ann))
    await waitFor('the people are known', () =>
      serve.output().split('policies are in force').length > before ? true : undefined,
    )

    // Each pipeline is a machine of its own, with an image of its own.
    const [onGithub = [], onGitlab = []] = byProvider(commandsOf(PAGE, SECTIONS[2]))
    const asked: string[] = []
    for (const [commands, { sha256 }] of [
      [onGithub, forGithub],
      [onGitlab, forGitlab],
    ] as const) {
      const script = here(commands.join('\n'))
      const pipeline = { ...env, COUNTERSIGN_SERVER: server.COUNTERSIGN_SERVER, DIGEST: `sha256:${sha256}` }
      const ran = await runCommand(programOnPath('bash'), ['-euc', script], { cwd: folder, env: pipeline })
      expect(ran.status, `${ran.text}\n${serve.output()}`).to.equal(0)
      asked.push(ran.stdout.trim())
    }
    for (const request of asked) await type(SECTIONS[3], { ...server, REQUEST: request })
    const seen = await type(SECTIONS[4], server)
    expect(seen.text).to.include(forGithub.sha256).and.to.include(forGitlab.sha256)
  })

  /** The endpoint of a run that gives out its ID token. */
  async function startRun(issuer: OidcIssuer): Promise<string> {
    const server = createServer((_request, response) => {
      void issuer.sign(githubClaims(issuer.url, new Date())).then((value) => response.end(JSON.stringify({ value })))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    scope.add(() => {
      server.close()
      server.closeAllConnections()
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/token?run=1`
  }
})

/** The commands after each `export COUNTERSIGN_OIDC=...`, that line included. */
function byProvider(commands: readonly string[]): string[][] {
  const groups: string[][] = []
  for (const command of commands) {
    if (command.startsWith('export COUNTERSIGN_OIDC=')) groups.push([])
    groups.at(-1)?.push(command)
  }
  return groups
}
