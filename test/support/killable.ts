// Daemon and key holder as two real processes that a test can kill at any step, and start again on what they left behind.
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { bundledScript } from './bundled-script.ts'
import type { Scope } from './scope.ts'

export type Kind = 'daemon' | 'key-holder'
export type Program = Kind | 'trust-server'

const SCRIPT = join(import.meta.dirname, 'killable-process.ts')

/** What runs as the process to be killed. */
export function compileKillable(): Promise<string> {
  return bundledScript(SCRIPT)
}

export class KillableProcess {
  readonly #child: ChildProcess
  readonly #ended: Promise<string>
  #output = ''
  #end: string | undefined

  /** Loads its code, and waits for `start`. */
  constructor(scope: Scope, script: string, program: Program, configFile: string) {
    this.#child = spawn(process.execPath, [script, program, configFile], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString('utf8')
      })
    }
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', (status, signal) => {
        this.#end = signal ?? `status ${status ?? 'unknown'}`
        resolve(this.#end)
      })
    })
    scope.add(() => this.kill())
  }

  get isAlive(): boolean {
    return this.#end === undefined
  }

  /** Resolves when it answers its callers. */
  async start(): Promise<void> {
    await this.#order({ order: 'start' })
  }

  /** It dies when it passes that step for the nth time from now on. */
  async dieAt(step: string, passing = 1): Promise<void> {
    await this.#order({ order: 'die', step, passing })
  }

  /** Resolves when it is gone, with the signal or status. */
  ended(): Promise<string> {
    return this.#ended
  }

  async kill(): Promise<void> {
    if (this.isAlive) this.#child.kill('SIGKILL')
    await this.#ended
  }

  output(): string {
    return this.#output
  }

  /** The lines of its log. */
  lines(): Readonly<Record<string, unknown>>[] {
    return this.#output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  async #order(order: object): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#child.once('message', () => {
        resolve()
      })
    })
    this.#child.send(order)
    const end = await Promise.race([done, this.#ended])
    if (end !== undefined) throw new Error(`The process ended (${end}):\n${this.#output}`)
  }
}
