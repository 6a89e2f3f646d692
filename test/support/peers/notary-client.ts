// The stock notary client, with keys and cache of its own.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand, runToSuccess, type CommandResult } from '../processes.ts'
import type { Scope } from '../scope.ts'
import type { Credentials } from './docker-registry.ts'
import type { NotaryServer } from './notary-server.ts'
import { programOnPath } from './require-peers.ts'

export interface NotaryTarget {
  readonly name: string
  readonly sha256: string
  readonly length: number
  readonly role: string
}

export interface NotaryDelegation {
  readonly role: string
  readonly paths: string
  readonly keyIds: readonly string[]
  readonly threshold: number
}

export interface NotaryClientOptions {
  readonly notary: Pick<NotaryServer, 'url' | 'caFile'>
  readonly login?: Credentials
  /** A client certificate, and its key (PEM files). */
  readonly certificate?: { readonly certFile: string; readonly keyFile: string }
  /** Starts it with another clock, or otherwise: the program and what it is given, to what is started instead. */
  readonly wrapped?: (program: string, args: readonly string[]) => Wrapped
}

export interface Wrapped {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export class NotaryClient {
  /** Keys, cache and pending changes of this client. */
  readonly folder: string
  readonly #config: string
  readonly #env: Readonly<Record<string, string>>
  readonly #wrapped: NonNullable<NotaryClientOptions['wrapped']>

  constructor(scope: Scope, options: NotaryClientOptions) {
    this.folder = scope.folder('notary-client')
    this.#config = join(this.folder, 'config.json')
    const { notary, login, certificate } = options
    this.#wrapped = options.wrapped ?? ((command, args) => ({ command, args, env: {} }))
    const tls = certificate && { tls_client_cert: certificate.certFile, tls_client_key: certificate.keyFile }
    const server = { url: notary.url, root_ca: notary.caFile, ...tls }
    writeFileSync(this.#config, JSON.stringify({ trust_dir: this.folder, remote_server: server }))
    const passphrases = ['ROOT', 'TARGETS', 'SNAPSHOT', 'DELEGATION'].map((role) => [
      `NOTARY_${role}_PASSPHRASE`,
      'test passphrase',
    ])
    this.#env = {
      ...(Object.fromEntries(passphrases) as Record<string, string>),
      ...(login === undefined
        ? {}
        : { NOTARY_AUTH: Buffer.from(`${login.username}:${login.password}`).toString('base64') }),
    }
  }

  /** @param input what is typed, where the client asks */
  run(args: readonly string[], input = ''): Promise<CommandResult> {
    const { command, args: all, env } = this.#started(args)
    return runCommand(command, all, { env: { ...this.#env, ...env }, input })
  }

  /** @throws Error on any other status than 0 */
  must(args: readonly string[]): Promise<CommandResult> {
    const { command, args: all, env } = this.#started(args)
    return runToSuccess(command, all, { env: { ...this.#env, ...env } })
  }

  #started(args: readonly string[]): Wrapped {
    return this.#wrapped(programOnPath('notary'), ['-c', this.#config, '-d', this.folder, ...args])
  }

  /** `notary list GUN`: one row for each name, from whichever role is found first. With a role: the entries of that role itself. */
  async list(gun: string, role?: string): Promise<NotaryTarget[]> {
    const { stdout } = await this.must(['list', gun, ...(role === undefined ? [] : ['--roles', role])])
    // The client also lists what the role's own delegations hold.
    return targetsIn(stdout).filter((target) => role === undefined || target.role === role)
  }

  /** `notary delegation list GUN`, in its order. */
  async delegations(gun: string): Promise<NotaryDelegation[]> {
    const { stdout } = await this.must(['delegation', 'list', gun])
    const found: { role: string; paths: string; keyIds: string[]; threshold: number }[] = []
    for (const line of stdout.split('\n')) {
      const [first = '', ...rest] = line.trim().split(/\s{2,}/)
      const previous = found.at(-1)
      if (first.startsWith('targets/')) {
        found.push({ role: first, paths: rest[0] ?? '', keyIds: [rest[1] ?? ''], threshold: Number(rest[2]) })
      } else if (/^[0-9a-f]{64}$/.test(first) && previous !== undefined) {
        // Further keys of the same role stand on lines of their own.
        previous.keyIds.push(first)
      }
    }
    return found
  }
}

/** What `notary list` printed. */
export function targetsIn(stdout: string): NotaryTarget[] {
  return rows(stdout)
    .map(([name = '', sha256 = '', length = '', role = '']) => ({ name, sha256, length: Number(length), role }))
    .filter(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256))
}

function rows(text: string): string[][] {
  return text.split('\n').map((line) => line.trim().split(/\s+/))
}
