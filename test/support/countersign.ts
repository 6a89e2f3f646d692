// The real program for peer tests: key holder and daemon as two processes, as two users where the tests run as root, and the command
// line against them. Everything it knows of Countersign is what an operator would write: configuration files, commands, sockets.
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { sharedProgram } from './countersign-program.ts'
import { freePort } from './free-port.ts'
import type { Credentials } from './peers/docker-registry.ts'
import type { NotaryServer } from './peers/notary-server.ts'
import { statusOf, waitForServer } from './peers/readiness.ts'
import { runCommand, startProcess, type CommandResult, type RunningProcess } from './processes.ts'
import type { Scope } from './scope.ts'
import type { TestCa } from './tls.ts'

/** Users without a name on this machine. They share a group, and through it the folder of the service socket. */
export const KEY_HOLDER_UID = 61001
export const DAEMON_UID = 61002
export const SHARED_GID = 61000

/** What Countersign has to know of a registry; a DockerRegistry is one. */
export interface RegistryAddress {
  readonly host: string
  readonly url: string
  /** With TLS only. */
  readonly ca?: TestCa
}

export interface CountersignOptions {
  readonly notary: Omit<NotaryServer, 'process'>
  readonly registry: RegistryAddress
  readonly otherRegistries?: readonly RegistryAddress[]
  /** Credentials for both servers. */
  readonly login?: Credentials
  readonly tokenRealms?: readonly string[]
  /** Merged over the generated configuration of the daemon, one level deep. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Merged over the generated configuration of the key holder, one level deep. */
  readonly keyHolderConfig?: Readonly<Record<string, unknown>>
  /** The limits file; everything is allowed where absent. */
  readonly limits?: unknown
  /** Files in `etc`, for the daemon alone: its configuration names them as `etc/NAME`. */
  readonly secrets?: Readonly<Record<string, string>>
  /** Where the daemon listens. Default: a free port. */
  readonly port?: number
  /** Options of Node itself for both processes. */
  readonly nodeOptions?: readonly string[]
  /** Whether the key holder has a socket for a trust server, too. */
  readonly hasTrustServerSocket?: boolean
}

export interface SigningRequestJson {
  readonly id: string
  readonly status: string
  readonly images: readonly {
    readonly reference: string
    readonly digest?: string
    readonly length?: number
    readonly status: string
    readonly roles?: readonly { readonly role: string; readonly version: number }[]
    readonly error?: { readonly code: string }
  }[]
}

const EVERYTHING_ALLOWED = { repositories: [{ gun: '*', initialize: true }] }

export class Countersign {
  /** Path of the entry point. */
  readonly program: string
  readonly folder: string
  readonly url: string
  readonly serviceSocket: string
  readonly operatorSocket: string
  readonly trustServerSocket: string
  readonly keyHolderFolder: string
  readonly dataFolder: string
  readonly unlockKeyFile: string
  readonly #scope: Scope
  readonly #port: number
  readonly #nodeOptions: readonly string[]
  #keyHolder: RunningProcess | undefined
  #daemon: RunningProcess | undefined

  private constructor(scope: Scope, port: number, nodeOptions: readonly string[]) {
    this.#scope = scope
    this.#nodeOptions = nodeOptions
    this.program = sharedProgram(scope)
    this.#port = port
    this.folder = scope.folder('sign')
    chmodSync(this.folder, 0o711)
    this.url = `http://127.0.0.1:${port}`
    this.serviceSocket = join(this.folder, 'run/service.sock')
    this.trustServerSocket = join(this.folder, 'run/trust-server.sock')
    this.keyHolderFolder = join(this.folder, 'keys')
    this.operatorSocket = join(this.keyHolderFolder, 'operator.sock')
    this.dataFolder = join(this.folder, 'data')
    this.unlockKeyFile = join(this.folder, 'etc/unlock.key')
  }

  /** Both processes, ready to work, until the scope closes. */
  static async start(scope: Scope, options: CountersignOptions): Promise<Countersign> {
    const countersign = new Countersign(scope, options.port ?? (await freePort()), options.nodeOptions ?? [])
    countersign.#writeFiles(options)
    await countersign.startKeyHolder()
    await countersign.startDaemon()
    return countersign
  }

  get keyHolder(): RunningProcess {
    if (this.#keyHolder === undefined) throw new Error('The key holder was not started.')
    return this.#keyHolder
  }

  get daemon(): RunningProcess {
    if (this.#daemon === undefined) throw new Error('The daemon was not started.')
    return this.#daemon
  }

  /** Whether the two processes run as two users. */
  get hasTwoUsers(): boolean {
    return isRoot()
  }

  /** What the command line of an administrator needs. */
  get clientEnvironment(): Readonly<Record<string, string>> {
    return { COUNTERSIGN_SERVER: this.url, COUNTERSIGN_TOKEN_FILE: join(this.folder, 'cli/admin.token') }
  }

  async startKeyHolder(): Promise<void> {
    const holder = this.#start('key-holder', 'key-holder.yaml', KEY_HOLDER_UID)
    this.#keyHolder = holder
    await waitForServer('the key holder', holder, () => existsSync(this.serviceSocket))
  }

  async startDaemon(): Promise<void> {
    const daemon = this.#start('serve', 'countersign.yaml', DAEMON_UID)
    this.#daemon = daemon
    await waitForServer('the daemon', daemon, async () => (await statusOf(`${this.url}/readyz`)) === 200)
    this.#takeAdminToken()
  }

  /** Runs `countersign ARGS` as an administrator, or with the token of a file. */
  run(
    args: readonly string[],
    o: { tokenFile?: string; timeoutMs?: number; env?: Readonly<Record<string, string | undefined>> } = {},
  ): Promise<CommandResult> {
    return runCommand(process.execPath, [this.program, ...args], {
      env: { ...this.#commandEnvironment(o.tokenFile), ...o.env },
      ...(o.timeoutMs === undefined ? {} : { timeoutMs: o.timeoutMs }),
    })
  }

  /** Begins `countersign ARGS` as an administrator, for tests that read along. */
  begin(args: readonly string[]): RunningProcess {
    const env = this.#commandEnvironment()
    return startProcess(this.#scope, process.execPath, [this.program, ...args], { env })
  }

  /** Like `run`, for steps that must succeed. @throws Error with what was printed and both logs */
  async must(args: readonly string[], o: Parameters<Countersign['run']>[1] = {}): Promise<CommandResult> {
    const result = await this.run(args, o)
    if (result.status === 0) return result
    throw new Error(`countersign ${args.join(' ')}: status ${result.status}\n${result.text}\n${this.logs()}`)
  }

  /** Runs a command that is expected to end with the signing request as its document. */
  async request(args: readonly string[]): Promise<CommandResult & { request: SigningRequestJson }> {
    const result = await this.run([...args, '--json'])
    const request = JSON.parse(result.stdout === '' ? '{}' : result.stdout) as SigningRequestJson
    return { ...result, request }
  }

  /** The code of the refusal that ended a command: its own, or that of the first image. */
  async refusal(args: readonly string[]): Promise<{ status: number; code: string; text: string }> {
    const { status, stdout, text } = await this.run([...args, '--json'])
    const document = JSON.parse(stdout === '' ? '{}' : stdout) as { code?: string } & Partial<SigningRequestJson>
    const code = document.code ?? document.images?.find(({ error }) => error !== undefined)?.error?.code ?? ''
    return { status, code, text }
  }

  /** What both processes wrote so far; shown where a test fails. */
  logs(): string {
    return `--- key holder\n${this.keyHolder.output()}\n--- daemon\n${this.#daemon?.output() ?? ''}`
  }

  #commandEnvironment(tokenFile?: string): Readonly<Record<string, string>> {
    return {
      ...this.clientEnvironment,
      COUNTERSIGN_CLIENT_CONFIG: join(this.folder, 'cli/config.yaml'),
      ...(tokenFile === undefined ? {} : { COUNTERSIGN_TOKEN_FILE: tokenFile }),
    }
  }

  #start(command: string, config: string, uid: number): RunningProcess {
    const args = [...this.#nodeOptions, this.program, command, '--config', join(this.folder, 'etc', config)]
    return startProcess(this.#scope, process.execPath, args, {
      cwd: this.folder,
      // Nothing of this process's environment: a setting from outside must not steer the test.
      env: {
        ...Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined])),
        PATH: process.env['PATH'],
        HOME: this.folder,
      },
      ...(isRoot() ? { uid, gid: SHARED_GID } : {}),
    })
  }

  #writeFiles(options: CountersignOptions): void {
    this.#makeFolder('etc', 0o755, 0)
    this.#makeFolder('cli', 0o700, 0)
    this.#makeFolder('run', 0o750, KEY_HOLDER_UID)
    this.#makeFolder('keys', 0o700, KEY_HOLDER_UID)
    this.#makeFolder('data', 0o700, DAEMON_UID)
    this.#writeFile('cli/config.yaml', '{}', 0o600, 0)
    this.#writeFile('etc/unlock.key', randomBytes(32), 0o600, KEY_HOLDER_UID)
    this.#writeFile('etc/backup.passphrase', 'correct horse battery staple', 0o600, KEY_HOLDER_UID)
    this.#writeFile('etc/limits.yaml', stringify(options.limits ?? EVERYTHING_ALLOWED), 0o644, 0)
    this.#writeFile(
      'etc/key-holder.yaml',
      stringify({
        folder: this.keyHolderFolder,
        serviceSocket: this.serviceSocket,
        operatorSocket: this.operatorSocket,
        ...(options.hasTrustServerSocket === true && { trustServerSocket: this.trustServerSocket }),
        socketMode: '0660',
        unlock: { keyFile: this.unlockKeyFile },
        backup: { passphraseFile: join(this.folder, 'etc/backup.passphrase') },
        limitsFile: join(this.folder, 'etc/limits.yaml'),
        logOrigin: 'countersign.test/peer',
        ...options.keyHolderConfig,
      }),
      0o644,
      0,
    )
    for (const [name, text] of Object.entries(options.secrets ?? {})) {
      this.#writeFile(`etc/${name}`, text, 0o600, DAEMON_UID)
    }
    this.#writeFile('etc/countersign.yaml', stringify(this.#daemonConfig(options)), 0o644, 0)
  }

  #daemonConfig(options: CountersignOptions): Record<string, unknown> {
    const { notary, registry, otherRegistries = [], login, tokenRealms, config } = options
    const registries = [registry, ...otherRegistries]
    const etc = join(this.folder, 'etc')
    copyFileSync(notary.caFile, join(etc, 'ca.crt'))
    chmodSync(join(etc, 'ca.crt'), 0o644)
    if (login !== undefined) this.#writeFile('etc/password', login.password, 0o600, DAEMON_UID)
    const access = {
      ...(login === undefined
        ? {}
        : { credentials: { kind: 'file', username: login.username, passwordFile: join(etc, 'password') } }),
      ...(tokenRealms === undefined ? {} : { tokenRealms }),
    }
    const ca = { caFile: join(etc, 'ca.crt') }
    return {
      dataFolder: this.dataFolder,
      http: { listen: `127.0.0.1:${this.#port}` },
      keyHolder: { serviceSocket: this.serviceSocket },
      trustServers: [{ url: notary.url, guns: registries.map(({ host }) => `${host}/*`), ...ca, ...access }],
      registries: registries.map(({ host, url, ca: own }) => ({
        host,
        url,
        ...(own === undefined ? {} : ca),
        ...access,
      })),
      log: { level: 'debug' },
      ...config,
    }
  }

  #makeFolder(name: string, mode: number, uid: number): void {
    mkdirSync(join(this.folder, name))
    this.#own(name, mode, uid)
  }

  #writeFile(name: string, content: string | Uint8Array, mode: number, uid: number): void {
    writeFileSync(join(this.folder, name), content, { mode: 0o600 })
    this.#own(name, mode, uid)
  }

  #own(name: string, mode: number, uid: number): void {
    const path = join(this.folder, name)
    if (isRoot()) chownSync(path, uid, uid === 0 ? 0 : SHARED_GID)
    chmodSync(path, mode)
  }

  /** The token belongs to the daemon's user; the command line refuses secret files of others. */
  #takeAdminToken(): void {
    this.#writeFile('cli/admin.token', readFileSync(join(this.dataFolder, 'admin.token')), 0o600, 0)
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}
