// The pipelines of config/integrations are what their systems read, hold no secret, and sign: their scripts run here as they stand, with
// the environment that GitHub and GitLab give, against the API over real providers.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { NoOperationTraceWriter, parseWorkflow } from '@actions/workflow-parser'
import { expect } from 'chai'
import { parse } from 'yaml'
import { app } from '../support/fakes/world.ts'
import { AUDIENCE, githubClaims, gitlabClaims } from '../support/workload-claims.ts'
import { type CommandResult, runCommand } from '../support/processes.ts'
import { programOnPath } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import { PROGRAM } from '../support/serving.ts'
import { serveOverHttp, startWorkloads, type Workloads } from '../support/workloads.ts'

const GITLAB_CI_LOCAL = resolve(import.meta.dirname, '../../node_modules/gitlab-ci-local/src/index.js')
const folder = resolve(import.meta.dirname, '../../config/integrations')
const read = (name: string) => readFileSync(join(folder, name), 'utf8')
const GITHUB = read('github/sign.yml')
const GITLAB = read('gitlab/sign.yml')

interface GithubJob {
  readonly permissions: unknown
  readonly steps: readonly { readonly env: Record<string, string>; readonly run: string; readonly uses?: string }[]
}
interface GitlabJob {
  readonly id_tokens: Record<string, { readonly aud: string }>
  readonly variables: Record<string, string>
  readonly script: readonly string[]
}

const workflow = parse(GITHUB) as { readonly permissions: unknown; readonly jobs: { readonly sign: GithubJob } }
const job = (parse(GITLAB) as { readonly sign: GitlabJob }).sign

describe('config/integrations', function () {
  this.timeout(60_000)

  function faultsOf(content: string): string[] {
    const { context } = parseWorkflow({ name: 'sign.yml', content }, new NoOperationTraceWriter())
    return context.errors.getErrors().map(({ message }) => message)
  }

  it('github/sign.yml is a workflow as GitHub reads it', () => {
    expect(faultsOf(GITHUB)).to.deep.equal([])
    expect(faultsOf(GITHUB.replace('runs-on:', 'run-on:'))).not.to.deep.equal([])
  })

  it('github/sign.yml may ask for an ID token and nothing else, runs nobody else’s code, and puts no input into a script', () => {
    expect([workflow.permissions, workflow.jobs.sign.permissions]).to.deep.equal([{}, { 'id-token': 'write' }])
    expect(workflow.jobs.sign.steps.filter(({ uses }) => uses !== undefined)).to.deep.equal([])
    expect(workflow.jobs.sign.steps.filter(({ run }) => run.includes('${{'))).to.deep.equal([])
  })

  it('neither names a stored secret', () => {
    for (const text of [GITHUB, GITLAB]) expect(text).not.to.match(/secrets\.|COUNTERSIGN_TOKEN\b|password/i)
  })

  it('gitlab/sign.yml is a pipeline as gitlab-ci-local reads it, by the schema of GitLab', async () => {
    const scope = new Scope()
    const git = programOnPath('git')
    const preview = async (content: string): Promise<CommandResult> => {
      const cwd = scope.folder('gitlab')
      writeFileSync(join(cwd, '.gitlab-ci.yml'), content)
      // It asks git where the pipeline belongs to; nothing is fetched.
      for (const args of [
        ['init', '-q'],
        ['remote', 'add', 'origin', 'git@gitlab.example.com:team/app.git'],
      ]) {
        expect((await runCommand(git, args, { cwd })).status).to.equal(0)
      }
      return runCommand(process.execPath, [GITLAB_CI_LOCAL, '--preview'], { cwd, env: { HOME: cwd } })
    }
    try {
      const read = await preview(GITLAB)
      expect(read.status, read.text).to.equal(0)
      expect((parse(read.stdout.slice(read.stdout.indexOf('---'))) as { sign: GitlabJob }).sign.script).to.deep.equal(
        job.script,
      )
      expect((await preview(GITLAB.replace('id_tokens:', 'id_token:'))).status).to.not.equal(0)
    } finally {
      await scope.close()
    }
  })

  it('gitlab/sign.yml asks for the audience of its server', () => {
    expect(job.id_tokens).to.deep.equal({ COUNTERSIGN_ID_TOKEN: { aud: job.variables['COUNTERSIGN_SERVER'] } })
    expect(job.id_tokens['COUNTERSIGN_ID_TOKEN']?.aud).to.equal(AUDIENCE)
  })

  describe('sign with nothing but the ID token', () => {
    const scope = new Scope()
    let o: Workloads
    let bin: string
    let image: string

    before(async () => {
      o = await startWorkloads(scope)
      await o.world.initialize(app)
      const { url } = await serveOverHttp(scope, o.world)
      bin = join(scope.folder(), 'bin')
      mkdirSync(bin)
      // In the place of the address in the file, which nobody serves; the audience stays.
      const countersign = `COUNTERSIGN_SERVER=${url} COUNTERSIGN_OIDC_AUDIENCE=${AUDIENCE} ${PROGRAM.join(' ')}`
      // A container: only the variables that it is given, and the program of the image before the arguments.
      program('docker', [
        '[ "$1 $2" = "run --rm" ] || exit 90',
        'shift 2; given=()',
        'while [ "$1" = --env ]; do given+=("$2=${!2}"); shift 2; done',
        '[ "$1" = registry.example.com/tools/countersign:0.1.0 ] || exit 91',
        `shift; exec env -i PATH="$PATH" HOME="$HOME" "\${given[@]}" ${countersign} "$@"`,
      ])
      program('node', ['[ "$1" = /opt/countersign/dist/main.js ] || exit 92', `shift; exec env ${countersign} "$@"`])
      image = `${app}:1.4@sha256:${o.world.registry.push(app, '1.4', 'a')}`
    })
    after(() => scope.close())

    function program(name: string, lines: readonly string[]): void {
      const path = join(bin, name)
      writeFileSync(path, ['#!/bin/bash', ...lines, ''].join('\n'))
      chmodSync(path, 0o755)
    }

    function shell(script: string, env: Readonly<Record<string, string>>): Promise<CommandResult> {
      return runCommand('bash', ['-e', '-c', script], {
        env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: bin, ...env },
        timeoutMs: 45_000,
      })
    }

    it('in GitHub', async () => {
      const { steps } = workflow.jobs.sign
      const runtime = await startScriptedServer(scope, (heard, response) => {
        const aud = new URL(heard.url, 'http://localhost').searchParams.get('audience')
        const isAllowed = heard.headers.authorization === 'Bearer of-the-run'
        if (!isAllowed) response.writeHead(401).end()
        else
          void o.github
            .sign(githubClaims(o.github.url, o.world.time.now(), { aud }))
            .then((value) => response.end(JSON.stringify({ value })))
      })
      const result = await shell(steps[0]?.run ?? '', {
        ...steps[0]?.env,
        IMAGE: image,
        GITHUB_RUN_ID: '9000000001',
        GITHUB_RUN_ATTEMPT: '1',
        ACTIONS_ID_TOKEN_REQUEST_URL: `${runtime.url}/token?api-version=2.0`,
        ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-run',
      })
      expect(result.text).to.include('github:repository:1296269')
      expect(result.status, result.text).to.equal(0)
      expect(await o.world.found('1.4')).to.deep.equal({ role: 'targets/releases', sha256: 'a'.repeat(64) })
    })

    it('in GitLab', async () => {
      const digest = o.world.registry.push(app, '1.5', 'b')
      const aud = job.id_tokens['COUNTERSIGN_ID_TOKEN']?.aud
      const result = await shell(job.script.join('\n'), {
        ...job.variables,
        IMAGE: `${app}:1.5@sha256:${digest}`,
        CI_JOB_ID: '302',
        COUNTERSIGN_ID_TOKEN: await o.gitlab.sign(gitlabClaims(o.gitlab.url, o.world.time.now(), { aud })),
      })
      expect(result.text).to.include('gitlab:project:20')
      expect(result.status, result.text).to.equal(0)
      expect(await o.world.found('1.5')).to.deep.equal({ role: 'targets/releases', sha256: digest })
    })
  })
})
