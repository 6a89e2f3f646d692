// `serve` inside the test, with its children as processes of their own: where its files are, what it logged and told, who lives.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/log.ts'
import { type RunningServer, startServe } from '../../src/supervisor.ts'
import { waitFor } from './polling.ts'
import type { Scope } from './scope.ts'

export const PROGRAM = [
  process.execPath,
  '--import=tsx',
  '--conditions=source',
  resolve(import.meta.dirname, '../../src/main.ts'),
] as const

/** Settings, to be put between braces. */
export const HTTP = 'http: { listen: "127.0.0.1:0" }'
export const ELSEWHERE = 'trustServers: [{ url: "https://notary.example.com", guns: ["*"] }]'

/** Long enough for a child on a busy machine to start, in milliseconds. */
const PATIENCE_MS = 30_000

export class Serving {
  readonly folder: string
  /** The data folder. */
  readonly data: string
  readonly told: string[] = []
  /** Of the daemon and the supervision, not of the children. */
  lines: string[] = []
  /** Where the trust server listens, HOST:PORT; by default as its file says. */
  trustServerAddress: string | undefined
  #running: RunningServer | undefined

  constructor(scope: Scope) {
    this.folder = scope.folder('serve')
    this.data = join(this.folder, 'data')
    scope.add(() => this.stop())
  }

  /** With a trust server elsewhere, unless said otherwise. */
  async start(settings = `${HTTP}, ${ELSEWHERE}`): Promise<RunningServer> {
    const file = join(this.folder, 'countersign.yaml')
    writeFileSync(file, `{ ${settings} }`)
    this.#running = await startServe(loadConfig(file, { COUNTERSIGN_DATA_FOLDER: this.data }), {
      program: PROGRAM,
      log: createLog('debug', { write: (line) => this.lines.push(line) }),
      tell: (line) => this.told.push(line),
      environment: { ...process.env, TRUST_SERVER_HTTP__LISTEN: this.trustServerAddress },
    })
    return this.#running
  }

  async ready(settings?: string): Promise<RunningServer> {
    const server = await this.start(settings)
    await this.until('it is ready', () => this.isReady())
    return server
  }

  async stop(): Promise<void> {
    await this.#running?.stop()
    this.#running = undefined
  }

  async isReady(): Promise<boolean> {
    return (await fetch(`${this.#running?.url ?? ''}/readyz`)).status === 200
  }

  async until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    await waitFor(what, async () => ((await check()) ? true : undefined), PATIENCE_MS)
  }

  /** Of every child of that kind that was started, in order. */
  pidsOf(name: 'key-holder' | 'trust-server'): number[] {
    const started = new RegExp(`"process":"${name}","pid":(\\d+)`, 'g')
    return [...this.lines.join('').matchAll(started)].map((match) => Number(match[1]))
  }

  pidOf(name: 'key-holder' | 'trust-server'): number {
    return this.pidsOf(name).at(-1) ?? 0
  }

  /** In octal digits. */
  modeOf(name: string): string {
    return (statSync(join(this.data, name)).mode & 0o777).toString(8)
  }

  read(name: string): string {
    return readFileSync(join(this.data, name), 'utf8')
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** A port that somebody has. */
export async function occupy(scope: Scope): Promise<number> {
  // It hangs up at once: what waits for an answer must not wait long.
  const server = createServer((socket) => {
    socket.destroy()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  scope.add(() => {
    server.close()
  })
  return (server.address() as AddressInfo).port
}
