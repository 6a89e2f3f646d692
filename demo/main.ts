// `npm run demo`: the main job, visibly, with nothing but Node: the service as it starts without a configuration, and a registry in memory.
// A stock docker or notary client judges too, where there is one. Leaves nothing behind; with --keep everything stays up until Ctrl-C.
import { once } from 'node:events'
import { ImageMaker, type PushedImage } from '../test/support/peers/images.ts'
import { Scope } from '../test/support/scope.ts'
import { OwnClient, stockJudge } from './judges.ts'
import { Narration } from './narration.ts'
import { DemoRegistry } from './registry.ts'
import { Service } from './service.ts'
import { tellStory, type Stage } from './story.ts'

const USAGE = 'Usage: npm run demo [-- --keep]\n'

async function setStage(narration: Narration, scope: Scope): Promise<Stage> {
  return narration.step('countersign serve, in an empty folder and without a configuration', async () => {
    const registry = await DemoRegistry.start(scope)
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    narration.command('countersign serve')
    const service = await Service.start(scope)
    narration.output(service.told())
    narration.output(
      service
        .pids()
        .map(({ name, pid }) => `${name.padEnd(13)}process ${pid}`)
        .join('\n'),
    )
    narration.output(`registry     ${registry.url}, a fixture of the demo, in memory`)
    const stock = stockJudge(scope, service)
    narration.output(`stock client ${stock?.name ?? 'none on the PATH: the demo’s own client judges alone'}`)
    return { service, images, client: new OwnClient(service), stock }
  })
}

async function keepUntilInterrupted(narration: Narration, { service }: Stage, signed: PushedImage): Promise<void> {
  const { trustServerUrl: url, caFile } = service
  const folder = `~/.docker/tls/${new URL(url).host}`
  narration.say('\nEverything stays up until Ctrl-C. In another terminal, a Docker client up to version 28:')
  narration.say(`  mkdir -p ${folder} && cp ${caFile} ${folder}/ca.crt`)
  narration.say(`  export DOCKER_CONTENT_TRUST=1 DOCKER_CONTENT_TRUST_SERVER=${url}`)
  narration.say(`  docker trust inspect --pretty ${signed.gun}`)
  narration.say(`  docker pull ${signed.reference}`)
  narration.say('or notary:')
  narration.say(`  notary --server ${url} --tlscacert ${caFile} list ${signed.gun}`)
  narration.say('Countersign itself:')
  for (const [name, value] of Object.entries(service.clientEnvironment)) narration.say(`  export ${name}=${value}`)
  narration.say(`  node ${service.program} repo status`)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
}

/** @returns the exit status */
async function main(args: readonly string[], scope: Scope): Promise<number> {
  if (args.some((argument) => argument !== '--keep')) {
    process.stderr.write(USAGE)
    return 2
  }
  const isColoured = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
  const narration = new Narration({ write: (text) => process.stdout.write(text), isColoured })
  const start = performance.now()
  try {
    const stage = await setStage(narration, scope)
    const signed = await tellStory(narration, stage)
    narration.say(`\nThe whole story took ${((performance.now() - start) / 1000).toFixed(1)} s.`)
    if (args.includes('--keep')) await keepUntilInterrupted(narration, stage, signed)
    return 0
  } catch (error) {
    if (isInterrupted) return 130
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  } finally {
    await scope.close()
    narration.say('Cleaned up: processes stopped, folders removed.')
  }
}

const scope = new Scope()
let isInterrupted = false
// An interruption ends the service in order, which makes the story fail; a second one ends the demo at once.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (isInterrupted) process.exit(130)
    isInterrupted = true
    void scope.close()
  })
}

process.exitCode = await main(process.argv.slice(2), scope)
