// docs/api.md is true: its examples run as they stand, in order, against the real program, and the answers have the members it shows.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Countersign } from '../support/countersign.ts'
import { checkout } from '../support/countersign-program.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/peers/docker-registry.ts'
import { ImageMaker, type PushedImage } from '../support/peers/images.ts'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { programOnPath, requirePeers } from '../support/peers/require-peers.ts'
import { runCommand } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const PAGE = readFileSync(join(checkout, 'docs/api.md'), 'utf8')

interface Example {
  readonly command: string
  /** The document that the page shows next, before the next command. */
  readonly shown?: unknown
}

/** Each block of shell, with the block of JSON that follows it. */
function readExamples(): Example[] {
  const blocks = [...PAGE.matchAll(/^```(sh|json)\n([\s\S]*?)^```/gm)].map(([, kind, text = '']) => ({ kind, text }))
  return blocks.flatMap(({ kind, text }, index) => {
    if (kind !== 'sh') return []
    const next = blocks[index + 1]
    return [{ command: text, ...(next?.kind === 'json' && { shown: JSON.parse(next.text) as unknown }) }]
  })
}

/** The members that `shown` has and `answer` lacks, or has in another kind, as paths; values differ. */
function missing(shown: unknown, answer: unknown, path = ''): string[] {
  if (typeof shown !== 'object' || shown === null) {
    return typeof shown === typeof answer ? [] : [path]
  }
  if (typeof answer !== 'object' || answer === null || Array.isArray(shown) !== Array.isArray(answer)) return [path]
  const real = answer as Record<string, unknown>
  return Object.entries(shown).flatMap(([name, value]) =>
    name in real ? missing(value, real[name], `${path}/${name}`) : [`${path}/${name}`],
  )
}

describe('the examples of docs/api.md', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const answers: unknown[] = []
  const examples = readExamples()
  let registry: DockerRegistry
  let image: PushedImage
  let output: string

  before(async function () {
    requirePeers(this, 'notary-server', 'registry', 'curl')
    registry = await startDockerRegistry(scope)
    const notary = await startNotaryServer(scope, { ca: createTestCa() })
    const countersign = await Countersign.start(scope, { notary, registry })
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    image = await images.pushIndex('team/app', '1.4')
    for (const tag of ['1.5', '1.5-debug']) await images.pushManifest('team/app', tag)
    await countersign.must(['repo', 'init', image.gun])
    const folder = scope.folder('examples')
    const token = join(countersign.folder, 'cli/release-bot.token')
    await countersign.must(['token', 'create', 'release-bot', '--grant', `submit:${image.gun}`, '--out', token])
    copyFileSync(token, join(folder, 'release-bot.token'))

    const script = join(folder, 'examples.sh')
    const marked = examples.map(({ command }) => `printf '\\n@example@\\n'\n${here(command, countersign)}`)
    writeFileSync(script, `set -euo pipefail\n${marked.join('\n')}`)
    const ran = await runCommand(programOnPath('bash'), [script], { cwd: folder })
    output = `${ran.text}\n${countersign.logs()}`
    expect(ran.status, output).to.equal(0)
    for (const text of ran.stdout.split('@example@').slice(1)) {
      answers.push(text.trim() === '' ? undefined : JSON.parse(text))
    }
  })
  after(() => scope.close())

  /** With the names of this test in place of those of the page. */
  function here(command: string, countersign: Countersign): string {
    return command
      .replaceAll('https://countersign.example.com', countersign.url)
      .replaceAll('registry.example.com%2F', `${encodeURIComponent(registry.host)}%2F`)
      .replaceAll('registry.example.com', registry.host)
      .replaceAll('sha256:2c1f...', `sha256:${image.sha256}`)
  }

  it('are many, and all run', () => {
    expect(examples.length).to.be.greaterThan(9)
    expect(answers.length, output).to.equal(examples.length)
  })

  it('answer with what the page shows', () => {
    let compared = 0
    for (const [index, { command, shown }] of examples.entries()) {
      if (shown === undefined) continue
      compared++
      expect(missing(shown, answers[index]), `${command}\n${JSON.stringify(answers[index])}`).to.deep.equal([])
    }
    expect(compared).to.be.greaterThan(4)
  })

  it('sign what they say they sign', () => {
    const [first, second] = answers.filter(
      (answer): answer is { images: unknown[]; status: string } =>
        typeof answer === 'object' && answer !== null && 'submitter' in answer,
    )
    expect(first).to.include({ status: 'published', description: 'release 1.4' })
    expect(first?.images[0]).to.include({ digest: `sha256:${image.sha256}`, length: image.length })
    expect(second).to.include({ status: 'published' })
    expect(second?.images).to.have.length(2)
  })
})
