// `countersign serve` as a newcomer starts it: the built program, an empty folder, no configuration. Ports are chosen by the demo, so that
// it gets along with whatever runs on this machine.
import { copyFileSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Connection } from '../src/sqlite/connection.ts'
import { builtProgram } from '../test/support/countersign-program.ts'
import { freePort } from '../test/support/free-port.ts'
import { statusOf, waitForServer } from '../test/support/peers/readiness.ts'
import { runCommand, startProcess, type CommandResult, type RunningProcess } from '../test/support/processes.ts'
import type { Scope } from '../test/support/scope.ts'

export class Service {
  readonly program = builtProgram()
  readonly url: string
  readonly trustServerUrl: string
  readonly #scope: Scope
  readonly #folder: string
  #process: RunningProcess | undefined

  private constructor(scope: Scope, port: number, trustServerPort: number) {
    this.#scope = scope
    this.#folder = scope.folder('demo')
    this.url = `http://127.0.0.1:${port}`
    this.trustServerUrl = `https://127.0.0.1:${trustServerPort}`
  }

  static async start(scope: Scope): Promise<Service> {
    const service = new Service(scope, await freePort(), await freePort())
    await service.start()
    return service
  }

  get dataFolder(): string {
    return join(this.#folder, 'countersign-data')
  }

  /** The certificate that clients of the trust server need. */
  get caFile(): string {
    return join(this.dataFolder, 'authority/ca.crt')
  }

  /** What the command line needs. */
  get clientEnvironment(): Readonly<Record<string, string>> {
    return { COUNTERSIGN_SERVER: this.url, COUNTERSIGN_TOKEN_FILE: join(this.dataFolder, 'admin.token') }
  }

  async start(): Promise<void> {
    const serve = startProcess(this.#scope, process.execPath, [this.program, 'serve'], {
      cwd: this.#folder,
      env: {
        ...withoutSettings(),
        COUNTERSIGN_HTTP__LISTEN: this.url.slice('http://'.length),
        TRUST_SERVER_HTTP__LISTEN: this.trustServerUrl.slice('https://'.length),
      },
    })
    this.#process = serve
    await waitForServer('countersign serve', serve, async () => (await statusOf(`${this.url}/readyz`)) === 200)
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
  }

  /** The processes, by name. */
  pids(): { readonly name: string; readonly pid: number }[] {
    const started = [...(this.#process?.output() ?? '').matchAll(/"process":"([a-z-]+)","pid":(\d+),"msg":"started/g)]
    const children = started.map(([, name = '', pid]) => ({ name: name.replace('-', ' '), pid: Number(pid) }))
    return [{ name: 'daemon', pid: this.#process?.pid ?? 0 }, ...children]
  }

  /** What it told its terminal, without the log. */
  told(): string {
    const lines = (this.#process?.output() ?? '').split('\n')
    return lines.filter((line) => !line.startsWith('{')).join('\n')
  }

  /** Runs `countersign ARGS`. */
  run(args: readonly string[]): Promise<CommandResult> {
    return runCommand(process.execPath, [this.program, ...args], {
      env: { ...withoutSettings(), ...this.clientEnvironment, COUNTERSIGN_CLIENT_CONFIG: undefined },
    })
  }

  /** Copies the trust server's database while it runs, as a backup does. */
  backUpTrustServer(): void {
    const database = new Connection(this.#database, { readonly: true })
    database.exec(`VACUUM INTO '${this.#backup.replaceAll("'", "''")}'`)
    database.close()
  }

  /** Puts that copy in the place of the database; only while nothing runs. */
  rollTrustServerBack(): void {
    renameSync(this.#database, `${this.#database}.newer`)
    copyFileSync(this.#backup, this.#database)
  }

  /** Undoes that. */
  restoreTrustServer(): void {
    for (const end of ['', '-wal', '-shm']) rmSync(this.#database + end, { force: true })
    renameSync(`${this.#database}.newer`, this.#database)
  }

  get caPem(): string {
    return readFileSync(this.caFile, 'utf8')
  }

  get #database(): string {
    return join(this.dataFolder, 'trust-server/state/trust-server.db')
  }

  get #backup(): string {
    return join(this.#folder, 'yesterday.db')
  }
}

/** Settings of whoever runs the demo must not steer it. */
function withoutSettings(): Record<string, undefined> {
  const names = Object.keys(process.env).filter((name) => /^(COUNTERSIGN|KEY_HOLDER|TRUST_SERVER)_/.test(name))
  return Object.fromEntries(names.map((name) => [name, undefined]))
}
