// `npm run bench`: Countersign beside the stock notary client, in one run on one machine. Progress goes to standard error, the result
// to standard output. What is measured stands in scenarios.ts, what came out in docs/performance.md.
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { missingPeers } from '../test/support/peers/require-peers.ts'
import { Scope } from '../test/support/scope.ts'
import { describeMachine } from './machine.ts'
import { report, type MemoryRow, type Run } from './report.ts'
import type { Scenario } from './scenario.ts'
import { SCENARIOS } from './scenarios.ts'
import { Stage } from './stage.ts'

const USAGE = `Usage: npm run bench [-- OPTIONS]

  --only NAME        one scenario; may be repeated
  --json             the result as one JSON document
  --profile FOLDER   CPU profiles of daemon and key holder; slower, so not for figures

Scenarios:
${SCENARIOS.map(({ name, about, isOnDemand }) => `  ${name.padEnd(17)}  ${about}${isOnDemand === true ? ' *' : ''}`).join('\n')}

* only where it is named
`

/** After which the processes count as idle. */
const IDLE_MS = 3000
const IDLE_TARGET_MIB = 200

interface Options {
  readonly scenarios: readonly Scenario[]
  readonly isJson: boolean
  readonly profileFolder: string | undefined
}

/** @throws Error where an option or scenario is unknown */
function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true },
      json: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  })
  const { only = [] } = values
  const unknown = only.find((name) => !SCENARIOS.some((scenario) => scenario.name === name))
  if (unknown !== undefined) throw new Error(`There is no scenario ${unknown}.`)
  return {
    scenarios: SCENARIOS.filter(({ name, isOnDemand }) =>
      only.length === 0 ? isOnDemand !== true : only.includes(name),
    ),
    isJson: values.json,
    profileFolder: values.profile,
  }
}

async function run({ scenarios, profileFolder }: Options, scope: Scope): Promise<Run> {
  const start = performance.now()
  const machine = describeMachine()
  const stage = await Stage.start(scope, profileFolder)
  const memory: MemoryRow[] = []
  await delay(IDLE_MS)
  memory.push({ when: 'idle after the start', ...stage.memory(), targetMiB: IDLE_TARGET_MIB })
  const comparisons = []
  for (const scenario of scenarios) {
    tell(`${scenario.name}: ${scenario.about}`)
    comparisons.push(...[await scenario.run(stage, tell)].flat())
    memory.push({ when: `after ${scenario.name}`, ...stage.memory() })
  }
  await delay(IDLE_MS)
  memory.push({ when: 'idle at the end', ...stage.memory() })
  return { machine, comparisons, memory, seconds: (performance.now() - start) / 1000 }
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** @returns the exit status */
async function main(args: readonly string[]): Promise<number> {
  let options: Options
  try {
    options = readOptions(args)
  } catch (error) {
    tell(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
    return 2
  }
  const missing = missingPeers(['notary-server', 'notary', 'registry'])
  if (missing !== undefined) {
    tell(`The bench needs ${missing.names.join(', ')}. To install: ${missing.remedy}`)
    return 1
  }
  const scope = new Scope()
  try {
    const result = await run(options, scope)
    process.stdout.write(`${options.isJson ? JSON.stringify(result, undefined, 2) : report(result)}\n`)
    return 0
  } finally {
    await scope.close()
  }
}

// An interruption must still stop what was started: it ends the process, and with it (see processes.ts) the others.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

process.exitCode = await main(process.argv.slice(2))
