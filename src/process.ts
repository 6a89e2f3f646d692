// The process around a program: arguments, signals, exit status. Everything else is in cli/.
import { homedir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { earlyAnswer } from './cli/early-answers.ts'
import type { ExitStatus } from './cli/errors.ts'
import type { Terminal } from './cli/terminal.ts'

/** Runs one command line. */
type Run = (argv: readonly string[], terminal: Terminal) => Promise<ExitStatus>

/** What every command line of ours does first. @param load brings the program, where it is needed */
export function startProcess(load: () => Promise<Run>): void {
  const interruption = new AbortController()
  /** The first signal asks the command to end in order; a second one, of either kind, ends the process at once. */
  const onSignal = (signal: NodeJS.Signals): void => {
    if (interruption.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143)
    interruption.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  // A reader that went away (`| head`) is no reason for a stack trace; nobody can be told, so the status says it.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(1)
  })

  const argv = process.argv.slice(2)
  const answer = earlyAnswer(argv)
  if (answer === undefined) void start(load, argv, interruption)
  else process.stdout.write(`${answer}\n`)
}

async function start(load: () => Promise<Run>, argv: readonly string[], interruption: AbortController): Promise<void> {
  const dockerSocket = process.env['DOCKER_CLI_PLUGIN_SOCKET']
  if (dockerSocket !== undefined) {
    const { whenDockerEnds } = await import('./cli/docker-plugin/socket.ts')
    whenDockerEnds(dockerSocket, () => {
      interruption.abort()
    })
  }
  const run = await load()
  process.exitCode = await run(argv, {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    askSecret: async (question) => (await import('./cli/secret-input.ts')).askSecret(question),
    env: process.env,
    homeFolder: homedir(),
    interrupted: interruption.signal,
    now: () => new Date(),
    pause: async (milliseconds, signal) => {
      await sleep(milliseconds, undefined, { signal }).catch(() => undefined)
    },
  })
}
