// A child process of `serve`: started, waited for, started again with growing pauses when it ends, and stopped.
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError, type ConfigErrorCode } from '../config/errors.ts'
import type { Log } from '../log.ts'
import type { Owner } from './private-files.ts'

/** What one kind of child is, and how it is told from outside. */
export interface ProcessKind {
  /** Its command: `key-holder`. Names it in the log, too. */
  readonly command: string
  /** As it stands in sentences: `key holder`. */
  readonly title: string
  /** The variables of its own settings begin with this: `KEY_HOLDER_`. */
  readonly prefix: string
  readonly notStarted: ConfigErrorCode
  /** What an operator may try where it does not start. */
  readonly advice: string
}

export interface SupervisedProcessOptions {
  readonly kind: ProcessKind
  /** Program and arguments, without the command: usually this very program. */
  readonly program: readonly [string, ...string[]]
  readonly configFile: string
  /** Whether it answers now, be it with a refusal. Must not throw. */
  readonly isAnswering: () => Promise<boolean>
  readonly owner: Owner | undefined
  readonly log: Log
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** How long the first start may take, in milliseconds: stretching a passphrase and checking the log take seconds. */
const START_TIMEOUT_MS = 60_000
const POLL_MS = 50
/** How often a process that is not our child is asked whether it still lives, in milliseconds. */
const OTHER_POLL_MS = 2_000
/** Pauses before a restart, in milliseconds; the last one repeats. */
const RESTART_PAUSES_MS = [500, 1_000, 2_000, 5_000, 10_000, 30_000] as const
/** Who ran for so long starts again with the first pause, in milliseconds. */
const STABLE_MS = 60_000
/** Time to finish the step at hand, in milliseconds, before the process is killed. */
const STOP_TIMEOUT_MS = 30_000

export class SupervisedProcess {
  readonly #options: SupervisedProcessOptions
  readonly #log: Log
  #child: ChildProcess | undefined
  #isStopping = false
  /** Set while a child is ended on purpose, to be started again at once. */
  #isReplacing = false
  /** The daemon's own death, other than by SIGKILL, takes the child along. */
  readonly #onExit = () => this.#child?.kill('SIGTERM')
  #wake: () => void = () => undefined
  #supervision: Promise<void> = Promise.resolve()

  constructor(options: SupervisedProcessOptions) {
    this.#options = options
    this.#log = options.log.with({ process: options.kind.command })
  }

  /**
   * Starts the process and resolves when it answers. One that answers already (its daemon was killed) is used until it ends.
   * @throws ConfigError with the kind's code where it ends before it answers, or does not answer in time
   */
  async start(): Promise<void> {
    process.on('exit', this.#onExit)
    if (await this.#options.isAnswering()) {
      this.#log.warn({}, `a ${this.#options.kind.title} answers already: it is used, and replaced only when it ends`)
      this.#supervision = this.#supervise(this.#endOfOther())
      return
    }
    const ended = exitOf(this.#spawn())
    await this.#untilAnswering(ended)
    this.#supervision = this.#supervise(ended)
  }

  /** Ends the child in order; a new one is started at once. One that is not ours goes on as it is. */
  replace(): void {
    if (this.#child === undefined || hasEnded(this.#child)) return
    this.#isReplacing = true
    this.#child.kill('SIGTERM')
  }

  /** Stops the process after everything that used it. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#wake()
    const child = this.#child
    if (child !== undefined && !hasEnded(child)) {
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
      child.kill('SIGTERM')
      await exitOf(child)
      clearTimeout(timer)
      this.#log.info({}, `stopped the ${this.#options.kind.title}`)
    }
    await this.#supervision
    process.off('exit', this.#onExit)
  }

  /** In a process group of its own: Ctrl-C at the terminal must reach it through us, after the step at hand. */
  #spawn(): ChildProcess {
    const { kind, program, configFile, owner, environment } = this.#options
    const [command, ...args] = program
    const child = spawn(command, [...args, kind.command, '--config', configFile], {
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
      env: environmentOf(kind, environment),
      ...(owner !== undefined && { uid: owner.uid, gid: owner.gid }),
    })
    child.on('error', (error) => {
      this.#log.error({ error }, `the ${kind.title} could not be started`)
    })
    this.#child = child
    this.#log.info({ pid: child.pid }, `started the ${kind.title}`)
    return child
  }

  /** Resolves with how the process ended, or with undefined once it answers. */
  async #answerOf(ended: Promise<string>, deadline: number): Promise<string | undefined> {
    let end: string | undefined
    void ended.then((how) => {
      end = how
    })
    while (end === undefined && Date.now() < deadline) {
      if (await this.#options.isAnswering()) {
        this.#log.info({}, `the ${this.#options.kind.title} answers`)
        return undefined
      }
      await sleep(POLL_MS)
    }
    return end ?? 'it does not answer'
  }

  async #untilAnswering(ended: Promise<string>): Promise<void> {
    const end = await this.#answerOf(ended, Date.now() + START_TIMEOUT_MS)
    if (end === undefined) return
    await this.stop()
    const { title, notStarted, advice } = this.#options.kind
    throw new ConfigError(notStarted, `The ${title} did not come up: ${end}. ${advice}`)
  }

  /** Resolves when a process that is not our child no longer answers, or when we stop. */
  async #endOfOther(): Promise<string> {
    while (!this.#isStopping && (await this.#options.isAnswering())) await this.#pause(OTHER_POLL_MS)
    return 'it no longer answers'
  }

  async #supervise(first: Promise<string>): Promise<void> {
    let ended = first
    let startedAt = Date.now()
    let failures = 0
    for (;;) {
      const how = await ended
      if (this.#isStopping) return
      if (this.#isReplacing) this.#isReplacing = false
      else {
        if (Date.now() - startedAt > STABLE_MS) failures = 0
        const pauseMs = RESTART_PAUSES_MS[Math.min(failures, RESTART_PAUSES_MS.length - 1)] ?? STABLE_MS
        this.#log.error({ how, pauseMs }, `the ${this.#options.kind.title} ended; it is started again`)
        failures += 1
        await this.#pause(pauseMs)
        // `stop` may have been called in the pause.
        if (this.#hasStopped()) return
      }
      startedAt = Date.now()
      ended = exitOf(this.#spawn())
      void this.#answerOf(ended, startedAt + START_TIMEOUT_MS)
    }
  }

  #hasStopped(): boolean {
    return this.#isStopping
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** Its own settings and what Node needs; nothing of the daemon's. */
function environmentOf(
  { prefix }: ProcessKind,
  environment: SupervisedProcessOptions['environment'],
): Record<string, string> {
  const kept = Object.entries(environment).filter(
    ([name]) => name.startsWith(prefix) || /^(PATH|HOME|TMPDIR|TZ|LANG|NODE_.*)$/.test(name),
  )
  return Object.fromEntries(kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
}

/** Resolves with the way in which the process ended. */
function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    if (hasEnded(child)) resolve(describeExit(child.exitCode, child.signalCode))
    child.once('exit', (code, signal) => {
      resolve(describeExit(code, signal))
    })
    child.once('error', (error) => {
      resolve(error.message)
    })
  })
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `exit status ${code ?? 'unknown'}` : `signal ${signal}`
}
