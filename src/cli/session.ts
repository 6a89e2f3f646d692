// What one command has at hand: its terminal, its output, its options, and the API client once it is asked for.
import type { Command } from 'commander'
import { ApiClient } from './api-client.ts'
import { resolveServerAccess, type GlobalOptions } from './client-config.ts'
import type { ExitStatus } from './errors.ts'
import { Output } from './output.ts'
import type { Terminal } from './terminal.ts'

export class Session {
  readonly terminal: Terminal
  readonly output: Output
  readonly options: GlobalOptions
  #api: Promise<ApiClient> | undefined

  constructor(terminal: Terminal, options: GlobalOptions) {
    this.terminal = terminal
    this.options = options
    this.output = new Output(terminal, options.json === true)
  }

  /** The client of the configured server. Commands check their arguments before they ask for it. @throws CliError */
  api(): Promise<ApiClient> {
    this.#api ??= resolveServerAccess(this.options, this.terminal).then(
      (access) => new ApiClient(access, this.terminal.interrupted),
    )
    return this.#api
  }

  /** Whether Ctrl-C was pressed. A method, because the answer changes while one looks. */
  isInterrupted(): boolean {
    return this.terminal.interrupted.aborted
  }

  async close(): Promise<void> {
    const api = await this.#api?.catch(() => undefined)
    await api?.close()
  }
}

/** How the action of a command runs: with a session of its own, ending in an exit status. */
export type Perform = (command: Command, work: (session: Session) => Promise<ExitStatus>) => Promise<void>
