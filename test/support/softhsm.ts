// Tokens of SoftHSM in a folder of the test, as the key holder finds them: by a configuration file that an environment variable names.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Scope } from './scope.ts'

export const SOFTHSM_MODULE = '/usr/lib/softhsm/libsofthsm2.so'
/** Debian's path holds the name of the machine's architecture. */
const TRIPLET = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
export const P11_KIT_CLIENT = `/usr/lib/${TRIPLET}/pkcs11/p11-kit-client.so`

/** Of the tests alone. */
export const PIN = '1234'
const SO_PIN = '5678'

export const TOKEN_LABEL = 'countersign test'
export const TOKEN_URI = 'pkcs11:token=countersign%20test'

/** What `tokens` in the key holder's configuration has for it. */
export interface TokenSetting {
  readonly uri: string
  readonly module: string
  readonly pinFile: string
  readonly environment: Readonly<Record<string, string>>
  readonly timeLimitSeconds: number
}

export class SoftHsm {
  readonly folder: string
  readonly pinFile: string
  readonly #tokens: string
  readonly #socket: string
  readonly #owner: { readonly uid?: number; readonly gid?: number }
  #server: ChildProcess | undefined

  /** @param owner of everything, where that is not the user of the test */
  constructor(scope: Scope, owner: { readonly uid?: number; readonly gid?: number } = {}) {
    this.#owner = owner
    this.folder = scope.folder('hsm')
    this.#tokens = join(this.folder, 'tokens')
    this.#socket = join(this.folder, 'p11')
    this.pinFile = join(this.folder, 'pin')
    mkdirSync(this.#tokens)
    writeFileSync(
      join(this.folder, 'softhsm2.conf'),
      `directories.tokendir = ${this.#tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
    )
    this.writePin(PIN)
    for (const path of ['', 'tokens', 'pin', 'softhsm2.conf']) this.#own(join(this.folder, path))
    scope.add(() => {
      this.stopServer()
    })
  }

  /** With one token in it. */
  static make(
    scope: Scope,
    label = TOKEN_LABEL,
    owner: { readonly uid?: number; readonly gid?: number } = {},
  ): SoftHsm {
    const hsm = new SoftHsm(scope, owner)
    hsm.addToken(label)
    return hsm
  }

  addToken(label: string): void {
    this.#run('softhsm2-util', ['--init-token', '--free', '--label', label, '--pin', PIN, '--so-pin', SO_PIN])
  }

  writePin(pin: string): void {
    writeFileSync(this.pinFile, `${pin}\n`, { mode: 0o600 })
  }

  get environment(): Readonly<Record<string, string>> {
    return { SOFTHSM2_CONF: join(this.folder, 'softhsm2.conf') }
  }

  /** The module in the key holder's own child process. */
  get setting(): TokenSetting {
    return {
      uri: TOKEN_URI,
      module: SOFTHSM_MODULE,
      pinFile: this.pinFile,
      environment: this.environment,
      timeLimitSeconds: 10,
    }
  }

  /** The module behind p11-kit's server. */
  get remoteSetting(): TokenSetting {
    const environment = { P11_KIT_SERVER_ADDRESS: `unix:path=${this.#socket}` }
    return { ...this.setting, module: P11_KIT_CLIENT, environment }
  }

  /** Takes all tokens away, as a cable that is pulled. */
  remove(): void {
    renameSync(this.#tokens, `${this.#tokens}-away`)
    mkdirSync(this.#tokens)
  }

  bringBack(): void {
    rmSync(this.#tokens, { recursive: true })
    renameSync(`${this.#tokens}-away`, this.#tokens)
  }

  /** p11-kit's server; resolves when it listens. */
  async startServer(): Promise<void> {
    rmSync(this.#socket, { force: true })
    const provider = ['--provider', SOFTHSM_MODULE, '-n', this.#socket, '-f']
    this.#server = spawn('p11-kit', ['server', ...provider, 'pkcs11:'], {
      env: { ...process.env, ...this.environment },
      stdio: ['ignore', 'ignore', 'ignore'],
      detached: true,
      ...this.#owner,
    })
    for (let tries = 0; !existsSync(this.#socket); tries++) {
      if (tries > 500) throw new Error('p11-kit server does not listen')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** SIGKILL, to the server and to what it has forked for each connection. */
  stopServer(): void {
    const pid = this.#server?.pid
    this.#server = undefined
    if (pid === undefined) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch (error) {
      // It has ended already.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }

  /** `pkcs11-tool`: somebody else's look at the token. */
  look(args: readonly string[]): string {
    return this.#run('pkcs11-tool', ['--module', SOFTHSM_MODULE, '--token-label', TOKEN_LABEL, ...args])
  }

  /** Labels of the private keys in it. */
  privateKeys(): string[] {
    const text = this.look(['--login', '--pin', PIN, '--list-objects', '--type', 'privkey'])
    return [...text.matchAll(/^ *label: +(.*)$/gm)].map(([, label = '']) => label)
  }

  #own(path: string): void {
    const { uid, gid } = this.#owner
    if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid)
  }

  #run(program: string, args: readonly string[]): string {
    return execFileSync(program, args, {
      env: { ...process.env, ...this.environment },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      ...this.#owner,
    })
  }
}
