// What one command has at hand: its terminal, its output, its options, and the API client once it is asked for.
import type { Command } from 'commander'
import { type ApiAccess, ApiClient } from './api-client.ts'
import { resolveServer, resolveServerAccess, type GlobalOptions, type ServerAccess } from './client-config.ts'
import { Secret } from '../config/secret.ts'
import type { DockerCall } from './docker-plugin/protocol.ts'
import type { ExitStatus } from './errors.ts'
import { Output } from './output.ts'
import type { Terminal } from './terminal.ts'
import { WorkloadToken } from './workload-login.ts'

export class Session {
  readonly terminal: Terminal
  readonly output: Output
  readonly options: GlobalOptions
  /** Set where Docker started us as its plugin. */
  readonly docker: DockerCall | undefined
  readonly #clients: ApiClient[] = []
  #api: Promise<ApiClient> | undefined

  constructor(terminal: Terminal, options: GlobalOptions, docker?: DockerCall) {
    this.terminal = terminal
    this.options = options
    this.docker = docker
    this.output = new Output(terminal, options.json === true)
  }

  /** The client of the configured server. Commands check their arguments before they ask for it. @throws CliError */
  api(): Promise<ApiClient> {
    this.#api ??= resolveServerAccess(this.options, this.terminal).then((access) => this.#connect(access))
    return this.#api
  }

  /** Likewise for calls that need no token. @throws CliError */
  async anonymousApi(): Promise<ApiClient> {
    return this.#client(await resolveServer(this.options, this.terminal))
  }

  #client(access: ApiAccess): ApiClient {
    const client = new ApiClient(access, this.terminal.interrupted)
    this.#clients.push(client)
    return client
  }

  #connect({ server, ca, login, certificate }: ServerAccess): ApiClient {
    const client = (token?: () => Promise<Secret>) =>
      this.#client({
        server,
        ca,
        ...(certificate !== undefined && { certificate }),
        ...(token !== undefined && { token }),
      })
    if (login === undefined) return client()
    if (login instanceof Secret) return client(() => Promise.resolve(login))
    const workload = new WorkloadToken(client(), login, this.terminal, (identity) => {
      this.output.progress(`Signed in to ${server.origin} as ${identity}`)
    })
    return client(() => workload.current())
  }

  /** Whether Ctrl-C was pressed. A method, because the answer changes while one looks. */
  isInterrupted(): boolean {
    return this.terminal.interrupted.aborted
  }

  async close(): Promise<void> {
    await this.#api?.catch(() => undefined)
    await Promise.all(this.#clients.map((client) => client.close()))
  }
}

/** How the action of a command runs: with a session of its own, ending in an exit status. */
export type Perform = (command: Command, work: (session: Session) => Promise<ExitStatus>) => Promise<void>
