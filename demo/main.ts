// `npm run demo`: the main job, visibly, against a real registry and a real Notary server that it starts itself on loopback.
// Leaves nothing behind; with --keep everything stays up until Ctrl-C.
import { once } from 'node:events'
import { Countersign } from '../test/support/countersign.ts'
import { startDockerRegistry } from '../test/support/peers/docker-registry.ts'
import { ImageMaker } from '../test/support/peers/images.ts'
import { startNotaryServer } from '../test/support/peers/notary-server.ts'
import { missingPeers } from '../test/support/peers/require-peers.ts'
import { Scope } from '../test/support/scope.ts'
import { createTestCa } from '../test/support/tls.ts'
import { Narration } from './narration.ts'
import { tellStory, type Stage } from './story.ts'
import { chooseVerifier } from './verifier.ts'

const USAGE = 'Usage: npm run demo [-- --keep]\n'

async function setStage(narration: Narration, scope: Scope): Promise<Stage> {
  return narration.step('A registry, a Notary server, the key holder and the daemon start', async () => {
    const ca = createTestCa('Countersign demo authority')
    const registry = await startDockerRegistry(scope)
    const notary = await startNotaryServer(scope, { ca, keys: 'signer' })
    const countersign = await Countersign.start(scope, { notary, registry })
    const images = new ImageMaker(registry)
    scope.add(() => images.close())
    narration.output(
      [
        `registry      ${registry.url} (docker-registry)`,
        `Notary server ${notary.url} (notary-server, notary-signer)`,
        `key holder    process ${countersign.keyHolder.pid}${countersign.hasTwoUsers ? ', a user of its own' : ''}, no network`,
        `daemon        process ${countersign.daemon.pid}, ${countersign.url}`,
      ].join('\n'),
    )
    if (!countersign.hasTwoUsers) narration.output('Both run as your user here; as root the demo gives each its own.')
    return { countersign, images, verifier: chooseVerifier(scope, notary) }
  })
}

async function keepUntilInterrupted(narration: Narration, { countersign }: Stage): Promise<void> {
  narration.say('\nEverything stays up until Ctrl-C. In another terminal:')
  for (const [name, value] of Object.entries(countersign.clientEnvironment)) narration.say(`  export ${name}=${value}`)
  narration.say(`  node ${countersign.program} repo status`)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
}

/** @returns the exit status */
async function main(args: readonly string[]): Promise<number> {
  if (args.some((argument) => argument !== '--keep')) {
    process.stderr.write(USAGE)
    return 2
  }
  const missing = missingPeers(['notary-server', 'notary', 'registry'])
  if (missing !== undefined) {
    process.stderr.write(`The demo needs ${missing.names.join(', ')}. To install: ${missing.remedy}\n`)
    return 1
  }
  const isColoured = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
  const narration = new Narration({ write: (text) => process.stdout.write(text), isColoured })
  const scope = new Scope()
  const start = performance.now()
  try {
    const stage = await setStage(narration, scope)
    await tellStory(narration, stage)
    narration.say(`\nThe whole story took ${((performance.now() - start) / 1000).toFixed(1)} s.`)
    if (args.includes('--keep')) await keepUntilInterrupted(narration, stage)
    return 0
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  } finally {
    await scope.close()
    narration.say('Cleaned up: processes stopped, folders removed.')
  }
}

// Without --keep an interruption must still stop what was started: it ends the process, and with it (see processes.ts) the others.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    if (!process.argv.includes('--keep')) process.exit(130)
  })
}

process.exitCode = await main(process.argv.slice(2))
