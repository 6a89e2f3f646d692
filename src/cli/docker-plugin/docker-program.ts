// Docker's own client, called in its turn: with the user's engine and credentials, and with content trust off, since the signature comes
// from elsewhere. On a terminal it shows its progress itself; otherwise its lines go to standard error as ours do.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { CliError } from '../errors.ts'
import type { Session } from '../session.ts'

/** Set by Docker for its plugins: the program with which it was called itself. docker/cli v28.2.2 cli-plugins/manager ReexecEnvvar */
const ORIGINAL_COMMAND = 'DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND'
/** Standard error of this process. */
const STDERR = 2

export interface DockerRun {
  readonly status: number
  /** What it wrote to standard output, unless it wrote to the terminal itself. */
  readonly lines: readonly string[]
}

export class DockerProgram {
  readonly #session: Session
  readonly #program: string
  readonly #env: NodeJS.ProcessEnv

  constructor(session: Session) {
    this.#session = session
    const original = session.docker === undefined ? undefined : session.terminal.env[ORIGINAL_COMMAND]
    this.#program = original === undefined || original === '' ? 'docker' : original
    this.#env = environmentOf(session.terminal.env)
  }

  /** Whether docker's own progress can be shown. */
  get hasTerminal(): boolean {
    const { stderr, env } = this.#session.terminal
    return stderr.isTTY === true && env['TERM'] !== 'dumb'
  }

  /** Runs with its progress on the terminal, where there is one. @throws CliError DOCKER_NOT_FOUND, INTERRUPTED */
  show(args: readonly string[]): Promise<DockerRun> {
    return this.hasTerminal ? this.#run(args, 'terminal') : this.#run(args, 'lines')
  }

  /**
   * Runs without the terminal; its lines are shown where `shows` says so.
   * @param limitMs after which it is killed, and taken for absent
   * @throws CliError DOCKER_NOT_FOUND, INTERRUPTED
   */
  read(args: readonly string[], shows: 'lines' | 'nothing', limitMs?: number): Promise<DockerRun> {
    return this.#run(args, shows, limitMs)
  }

  async #run(args: readonly string[], shows: 'terminal' | 'lines' | 'nothing', limitMs?: number): Promise<DockerRun> {
    const { terminal, output, docker } = this.#session
    const isOnTerminal = shows === 'terminal'
    const child = spawn(this.#program, [...(docker?.dockerOptions ?? []), ...args], {
      stdio: isOnTerminal ? ['inherit', STDERR, STDERR] : ['ignore', 'pipe', 'pipe'],
      env: this.#env,
    })
    // On a terminal the kernel has told it already; a second time would be taken for impatience.
    const stop = (): void => {
      if (!isOnTerminal) child.kill('SIGINT')
    }
    terminal.interrupted.addEventListener('abort', stop, { once: true })
    const lines: string[] = []
    const tell = (line: string): void => {
      if (shows === 'lines') output.progress(line)
    }
    const told = [
      eachLine(child.stdout, (line) => {
        lines.push(line)
        tell(line)
      }),
      eachLine(child.stderr, (line) => {
        // Faults are always told.
        output.progress(line)
      }),
    ]
    // Streams that are closed early end in an error, which says nothing.
    if (limitMs !== undefined) for (const each of told) each.catch(() => undefined)
    let timer: NodeJS.Timeout | undefined
    try {
      const status = await new Promise<number>((resolve, reject) => {
        child.once('error', reject)
        if (limitMs !== undefined) {
          timer = setTimeout(() => {
            child.once('exit', () => {
              reject(new Error(`It has not answered within ${limitMs} ms`))
            })
            child.kill('SIGKILL')
            // What it has started itself may hold its pipes open.
            child.stdout?.destroy()
            child.stderr?.destroy()
          }, limitMs)
        }
        child.once('close', (code) => {
          resolve(code ?? 1)
        })
      })
      await Promise.all(told)
      if (terminal.interrupted.aborted && status !== 0) throw interrupted(args)
      return { status, lines }
    } catch (cause) {
      throw cause instanceof CliError ? cause : notFound(this.#program, cause)
    } finally {
      clearTimeout(timer)
      terminal.interrupted.removeEventListener('abort', stop)
    }
  }
}

async function eachLine(stream: Readable | null, take: (line: string) => void): Promise<void> {
  if (stream === null) return
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) take(line)
}

/** Our own settings, tokens among them, are no business of docker and of what it starts. */
function environmentOf(env: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  const passed = Object.entries(env).filter(
    ([name]) => !name.startsWith('COUNTERSIGN_') && name !== 'DOCKER_CLI_PLUGIN_SOCKET',
  )
  return { ...Object.fromEntries(passed), DOCKER_CONTENT_TRUST: '0' }
}

function interrupted(args: readonly string[]): CliError {
  return new CliError('INTERRUPTED', `Interrupted during docker ${args[0] ?? ''}.`)
}

function notFound(program: string, cause: unknown): CliError {
  return new CliError('DOCKER_NOT_FOUND', `${program} cannot be started.`, {
    facts: { program },
    next: 'Install the Docker client, and have its folder in PATH.',
    cause,
  })
}
