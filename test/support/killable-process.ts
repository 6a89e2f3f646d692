// Runs as a process of its own: the daemon or the key holder as they are, which kills itself with SIGKILL when it passes a step, as
// power loss would: nothing is flushed by us. Started by killable.ts, which tells it when to start and when to die.
// Arguments: `daemon`, `key-holder` or `trust-server`, configuration file.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Program } from './killable.ts'

/** What the parent says; every message is answered with `done`. */
type Order = { readonly order: 'start' } | { readonly order: 'die'; readonly step: string; readonly passing: number }

const [program, configFile = ''] = process.argv.slice(2)
let deadline: { readonly step: string; left: number } | undefined

function onStep(passed: string): void {
  if (deadline?.step === passed && --deadline.left === 0) process.kill(process.pid, 'SIGKILL')
}

/** Each loads only its own code, now, and starts when it is told. */
const start = await { daemon, 'key-holder': keyHolder, 'trust-server': trustServer }[program as Program]()

async function keyHolder(): Promise<() => Promise<unknown>> {
  const { parseKeyHolderConfig, startKeyHolder } = await import('../../src/key-holder/main.ts')
  return () => startKeyHolder(parseKeyHolderConfig(readFileSync(configFile, 'utf8')), { onStep })
}

async function trustServer(): Promise<() => Promise<unknown>> {
  const { parseTrustServerConfig, startTrustServer } = await import('../../src/trust-server/main.ts')
  return () => startTrustServer(parseTrustServerConfig(readFileSync(configFile, 'utf8')), { step: onStep })
}

async function daemon(): Promise<() => Promise<unknown>> {
  const { startApp } = await import('../../src/app.ts')
  const { loadConfig } = await import('../../src/config/load.ts')
  const { createLog } = await import('../../src/log.ts')
  const { FIRST_TOKEN_FILE, openDataFolder } = await import('../../src/supervisor/data-folder.ts')
  return () => {
    const { config } = loadConfig(configFile, {})
    const { dataFolder } = config
    const database = openDataFolder(dataFolder)
    const log = createLog(config.log.level)
    const firstTokenFile = join(dataFolder, FIRST_TOKEN_FILE)
    return startApp({ config, log, database, firstTokenFile, tell: () => undefined, onStep })
  }
}

process.on('message', (message) => {
  const order = message as Order
  if (order.order === 'die') {
    deadline = { step: order.step, left: order.passing }
    process.send?.('done')
    return
  }
  start().then(
    () => process.send?.('done'),
    (error: unknown) => {
      process.stderr.write(`${String((error as { code?: unknown }).code)} ${String(error)}\n`)
      process.exit(1)
    },
  )
})
// Whoever started it is gone.
process.on('disconnect', () => process.exit(0))
