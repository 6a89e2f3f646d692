// The key holder as a child process of `serve`: started, waited for, started again with growing pauses when it ends, and stopped.
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { CodedError } from '@countersign/tuf'
import { ConfigError } from '../config/errors.ts'
import { KeyHolderClient } from '../holder/client.ts'
import type { Log } from '../log.ts'
import type { Owner } from './key-holder-files.ts'

export interface KeyHolderProcessOptions {
  /** Program and arguments, without those of the key holder: usually this very program. */
  readonly program: readonly [string, ...string[]]
  readonly configFile: string
  readonly serviceSocket: string
  readonly owner?: Owner | undefined
  readonly log: Log
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** How long the first start may take, in milliseconds: stretching a passphrase and checking the log take seconds. */
const START_TIMEOUT_MS = 60_000
const POLL_MS = 50
/** How often a key holder that is not our child is asked whether it still lives, in milliseconds. */
const OTHER_POLL_MS = 2_000
/** Pauses before a restart, in milliseconds; the last one repeats. */
const RESTART_PAUSES_MS = [500, 1_000, 2_000, 5_000, 10_000, 30_000] as const
/** Who ran for so long starts again with the first pause, in milliseconds. */
const STABLE_MS = 60_000
/** Time to finish the step at hand, in milliseconds, before the process is killed. */
const STOP_TIMEOUT_MS = 30_000

export class KeyHolderProcess {
  readonly #options: KeyHolderProcessOptions
  #child: ChildProcess | undefined
  #isStopping = false
  /** The daemon's own death, other than by SIGKILL, takes the child along. */
  readonly #onExit = () => this.#child?.kill('SIGTERM')
  #wake: () => void = () => undefined
  #supervision: Promise<void> = Promise.resolve()

  constructor(options: KeyHolderProcessOptions) {
    this.#options = options
  }

  /**
   * Starts the process and resolves when it answers. A key holder that answers already (its daemon was killed) is used
   * until it ends.
   * @throws ConfigError KEY_HOLDER_NOT_STARTED where it ends before it answers, or does not answer in time
   */
  async start(): Promise<void> {
    process.on('exit', this.#onExit)
    if (await isAnswering(this.#options.serviceSocket)) {
      this.#options.log.warn({}, 'a key holder answers already: it is used, and replaced only when it ends')
      this.#supervision = this.#supervise(this.#endOfOther())
      return
    }
    const ended = exitOf(this.#spawn())
    await this.#untilAnswering(ended)
    this.#supervision = this.#supervise(ended)
  }

  /** Stops the process after everything that used it. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#wake()
    const child = this.#child
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
      child.kill('SIGTERM')
      await exitOf(child)
      clearTimeout(timer)
    }
    await this.#supervision
    process.off('exit', this.#onExit)
  }

  /** In a process group of its own: Ctrl-C at the terminal must reach it through us, after the step at hand. */
  #spawn(): ChildProcess {
    const { program, configFile, owner, environment } = this.#options
    const [command, ...args] = program
    const child = spawn(command, [...args, 'key-holder', '--config', configFile], {
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
      env: keyHolderEnvironment(environment),
      ...(owner !== undefined && { uid: owner.uid, gid: owner.gid }),
    })
    child.on('error', (error) => {
      this.#options.log.error({ error }, 'the key holder could not be started')
    })
    this.#child = child
    this.#options.log.info({ keyHolderPid: child.pid }, 'started the key holder')
    return child
  }

  async #untilAnswering(ended: Promise<string>): Promise<void> {
    let end: string | undefined
    void ended.then((how) => {
      end = how
    })
    const deadline = Date.now() + START_TIMEOUT_MS
    while (end === undefined && Date.now() < deadline) {
      if (await isAnswering(this.#options.serviceSocket)) return
      await sleep(POLL_MS)
    }
    await this.stop()
    throw new ConfigError('KEY_HOLDER_NOT_STARTED', `The key holder did not come up: ${end ?? 'it does not answer'}.`)
  }

  /** Resolves when a key holder that is not our child no longer answers, or when we stop. */
  async #endOfOther(): Promise<string> {
    while (!this.#isStopping && (await isAnswering(this.#options.serviceSocket))) await this.#pause(OTHER_POLL_MS)
    return 'it no longer answers'
  }

  async #supervise(first: Promise<string>): Promise<void> {
    let ended = first
    let startedAt = Date.now()
    let failures = 0
    for (;;) {
      const how = await ended
      if (this.#isStopping) return
      if (Date.now() - startedAt > STABLE_MS) failures = 0
      const pauseMs = RESTART_PAUSES_MS[Math.min(failures, RESTART_PAUSES_MS.length - 1)] ?? STABLE_MS
      this.#options.log.error({ how, pauseMs }, 'the key holder ended; it is started again')
      failures += 1
      await this.#pause(pauseMs)
      // `stop` may have been called in the pause.
      if (this.#hasStopped()) return
      startedAt = Date.now()
      ended = exitOf(this.#spawn())
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

/** Its own settings and what Node needs; nothing of the daemon's. */
function keyHolderEnvironment(environment: KeyHolderProcessOptions['environment']): Record<string, string> {
  const kept = Object.entries(environment).filter(([name]) =>
    /^(PATH|HOME|TMPDIR|TZ|LANG|NODE_.*|KEY_HOLDER_.*)$/.test(name),
  )
  return Object.fromEntries(kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
}

/** Resolves with the way in which the process ended. */
function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(describeExit(child.exitCode, child.signalCode))
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

/** A sealed key holder answers, too. */
async function isAnswering(socket: string): Promise<boolean> {
  const client = new KeyHolderClient(socket, { timeoutMs: 5_000 })
  try {
    await client.status()
    return true
  } catch (error) {
    return error instanceof CodedError && error.code !== 'KEY_HOLDER_UNREACHABLE'
  } finally {
    client.close()
  }
}
