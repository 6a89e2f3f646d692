// Our trust server over TLS on a real key holder, where a test would otherwise start notary-server: in this process, with a clock that can be
// put ahead, or as the program itself.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog } from '../../../src/log.ts'
import { parseTrustServerConfig } from '../../../src/trust-server/config.ts'
import { startTrustServer, type RunningTrustServer } from '../../../src/trust-server/main.ts'
import { builtProgram } from '../countersign-program.ts'
import { freePort } from '../free-port.ts'
import { TestKeyHolder } from '../key-holder.ts'
import { LOOPBACK, type PeerHost } from '../peers/host-names.ts'
import { statusOf, waitForServer } from '../peers/readiness.ts'
import { startProcess, type RunningProcess } from '../processes.ts'
import type { Scope } from '../scope.ts'
import type { TestCa } from '../tls.ts'
import { testConfig } from './server.ts'

const LIMITS = `
repositories: [{ gun: "*", serve: true }]
recordsPerHour: 100000
keysPerHour: 1000
`

export interface ServedTrustOptions {
  readonly ca: TestCa
  readonly at?: PeerHost
  /** YAML: further settings of `access`. */
  readonly access?: string
  /** YAML: further settings. */
  readonly settings?: string
  /** The authority of client certificates. */
  readonly clientCa?: TestCa
  /** YAML: the limits file of its key holder. */
  readonly limits?: string
  /** Its clock and its key holder's, in place of the machine's; not for the program. */
  readonly now?: () => Date
  /** True: the built program, in a process of its own; what it writes is in `output`. */
  readonly isProgram?: boolean
}

export class ServedTrust {
  readonly url: string
  /** host:port */
  readonly host: string
  readonly ca: TestCa
  readonly caFile: string
  readonly holder: TestKeyHolder
  readonly dataFolder: string
  /** Milliseconds that its clock and its key holder's are ahead. */
  ahead = 0
  readonly #scope: Scope
  readonly #config: string
  readonly #configFile: string
  readonly #isProgram: boolean
  readonly #clock: () => Date
  #running: RunningTrustServer | undefined
  #program: RunningProcess | undefined

  private constructor(scope: Scope, port: number, o: ServedTrustOptions) {
    const folder = scope.folder('ts')
    const { name, address } = o.at ?? LOOPBACK
    this.host = `${name}:${port}`
    this.url = `https://${this.host}`
    this.ca = o.ca
    this.dataFolder = join(folder, 'data')
    mkdirSync(this.dataFolder, { mode: 0o700 })
    this.holder = new TestKeyHolder(scope, o.limits ?? LIMITS)
    this.#scope = scope
    this.#isProgram = o.isProgram ?? false
    this.#clock = o.now ?? (() => new Date())
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 })
      return join(folder, name)
    }
    const { certificatePem, privateKeyPem } = o.ca.issue([...new Set([name, address, 'localhost', '127.0.0.1'])])
    this.caFile = write('ca.crt', o.ca.certificatePem)
    const tls = [`certFile: '${write('tls.crt', certificatePem)}'`, `keyFile: '${write('tls.key', privateKeyPem)}'`]
    if (o.clientCa !== undefined) tls.push(`clientCaFile: '${write('clients.crt', o.clientCa.certificatePem)}'`)
    const files = `keyHolderSocket: '${this.holder.config.trustServerSocket ?? ''}'\ndataFolder: '${this.dataFolder}'`
    this.#config = testConfig(o.access, `${files}\n${o.settings ?? ''}`).replace(
      "listen: '127.0.0.1:0'",
      `listen: '${address}:${port}', tls: { ${tls.join(', ')} }`,
    )
    this.#configFile = write('trust-server.yaml', this.#config)
  }

  /** Key holder and trust server, until the scope closes. */
  static async start(scope: Scope, options: ServedTrustOptions): Promise<ServedTrust> {
    const served = new ServedTrust(scope, await freePort(options.at?.address), options)
    await served.startHolder()
    await served.start()
    scope.add(() => served.stop())
    return served
  }

  /** What the program has written so far. */
  get output(): string {
    return this.#program?.output() ?? ''
  }

  /** Of the program. */
  get pid(): number {
    if (this.#program === undefined) throw new Error('The program was not started.')
    return this.#program.pid
  }

  async startHolder(): Promise<void> {
    await this.holder.start({ now: () => this.#now() })
  }

  async start(): Promise<void> {
    if (this.#isProgram) {
      const args = [builtProgram(), 'trust-server', '--config', this.#configFile]
      const program = startProcess(this.#scope, process.execPath, args)
      this.#program = program
      const health = `${this.url}/_notary_server/health`
      await waitForServer(
        'the trust server',
        program,
        async () => (await statusOf(health, this.ca.certificatePem)) === 200,
      )
      return
    }
    const options = { log: silentLog, now: () => this.#now() }
    this.#running = await startTrustServer(parseTrustServerConfig(this.#config), options)
  }

  async stop(): Promise<void> {
    await this.#program?.stop()
    await this.#running?.stop()
    this.#running = undefined
  }

  #now(): Date {
    return new Date(this.#clock().getTime() + this.ahead)
  }
}
