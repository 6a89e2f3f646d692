// The embedded trust server and its key holder as two real processes that a test can kill at any step of an update, and start again on
// what they left; and clients that read and publish over HTTP.
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  METADATA_LIMITS,
  parseGun,
  parseJson,
  parsePublicKey,
  parseSnapshot,
  parseTimestamp,
  ROOT,
  SNAPSHOT,
  TIMESTAMP,
  hexOfBase64Digest,
  verifyFiles,
  type TrustedRepository,
} from '@countersign/tuf'
import { createUnlockKeyFile } from '../../src/key-holder/main.ts'
import { freePort } from './free-port.ts'
import { compileKillable, KillableProcess, type Program } from './killable.ts'
import type { RepositoryBuilder } from './repository-builder.ts'
import type { Scope } from './scope.ts'
import { testKey } from './test-keys.ts'
import { HttpCaller, TOKEN, type Answer } from './trust-server/server.ts'

type Server = Exclude<Program, 'daemon'>

const LIMITS = `repositories: [{ gun: '*', serve: true }]`

export interface ReadState {
  readonly timestamp: Uint8Array
  readonly trusted: TrustedRepository
}

export class KillableServing {
  readonly http: HttpCaller
  readonly #scope: Scope
  readonly #folder: string
  readonly #script: string
  readonly #running = new Map<Server, KillableProcess>()
  readonly #spares = new Map<Server, KillableProcess>()

  private constructor(scope: Scope, port: number, script: string) {
    this.#scope = scope
    this.#folder = scope.folder('serving')
    this.#script = script
    this.http = new HttpCaller(`http://127.0.0.1:${port}`)
    this.#writeFiles(port)
  }

  /** Both running, until the scope closes. */
  static async start(scope: Scope): Promise<KillableServing> {
    const serving = new KillableServing(scope, await freePort(), await compileKillable())
    await serving.startAgain('key-holder')
    await serving.startAgain('trust-server')
    return serving
  }

  process(server: Server): KillableProcess {
    const running = this.#running.get(server)
    if (running === undefined) throw new Error(`No ${server} was started.`)
    return running
  }

  /** On what the last one left. The next one is loaded meanwhile. */
  async startAgain(server: Server): Promise<void> {
    const process = this.#spares.get(server) ?? this.#load(server)
    this.#running.set(server, process)
    this.#spares.set(server, this.#load(server))
    await process.start()
  }

  /** Puts the server's keys into the next root. */
  async takeKeys(builder: RepositoryBuilder): Promise<void> {
    for (const [name, role] of [
      ['snapshot', SNAPSHOT],
      ['timestamp', TIMESTAMP],
    ] as const) {
      const { body } = await this.http.get(builder.gun, `${name}.key`)
      const publicKey = parsePublicKey(parseJson(body, METADATA_LIMITS))
      builder.role(role).keys = [{ publicKey, privateKey: testKey('nobody').privateKey }]
    }
  }

  /** Undefined where the connection ended without an answer. */
  async publish(gun: string, files: ReadonlyMap<string, Uint8Array>): Promise<Answer | undefined> {
    return this.http.post(gun, files).catch(() => undefined)
  }

  /**
   * Everything below the newest timestamp, or one that was read before, verified. undefined where nobody listens, or no longer.
   * @throws Error where a file is missing; TufError where the files do not belong together
   */
  async read(gun: string, timestamp?: Uint8Array): Promise<ReadState | undefined> {
    try {
      return await this.#read(gun, timestamp)
    } catch (error) {
      if (error instanceof Error && 'code' in error && /^E(CONN|PIPE)/.test(String(error.code))) return undefined
      throw error
    }
  }

  async #read(gun: string, timestamp: Uint8Array | undefined): Promise<ReadState> {
    const files = new Map<string, Uint8Array>()
    const add = async (name: string, as = name): Promise<Uint8Array> => {
      const { status, body } = await this.http.get(gun, name)
      if (status !== 200) throw new Error(`${name}: ${status}`)
      files.set(as, body)
      return body
    }
    const newest = timestamp ?? (await add('timestamp.json'))
    files.set('timestamp.json', newest)
    const hex = (listed: { readonly hashes: ReadonlyMap<string, string> } | undefined): string =>
      hexOfBase64Digest(listed?.hashes.get('sha256') ?? '')
    const snapshot = await add(`snapshot.${hex(parseTimestamp(newest).metadata.snapshot)}.json`)
    for (const [role, listed] of parseSnapshot(snapshot).metadata.meta) {
      await add(`${role}.${hex(listed)}.json`, role === ROOT ? 'root.json' : undefined)
    }
    const bytes = files.get('root.json') ?? Buffer.alloc(0)
    const trusted = verifyFiles(files, { gun: parseGun(gun), now: new Date(), pin: { kind: 'root', bytes } })
    return { timestamp: newest, trusted }
  }

  #load(server: Server): KillableProcess {
    return new KillableProcess(this.#scope, this.#script, server, join(this.#folder, `${server}.json`))
  }

  #writeFiles(port: number): void {
    const at = (name: string): string => join(this.#folder, name)
    const write = (name: string, content: unknown): void => {
      writeFileSync(at(name), typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 })
    }
    for (const name of ['keys', 'run']) mkdirSync(at(name), { mode: 0o700 })
    createUnlockKeyFile(at('unlock.key'))
    write('limits.yaml', LIMITS)
    write('key-holder.json', {
      folder: at('keys'),
      serviceSocket: at('run/s.sock'),
      operatorSocket: at('run/o.sock'),
      trustServerSocket: at('run/t.sock'),
      unlock: { keyFile: at('unlock.key') },
      limitsFile: at('limits.yaml'),
      logOrigin: 'countersign.test/served',
      log: { level: 'error' },
    })
    const sha256 = createHash('sha256').update(TOKEN).digest('hex')
    write('trust-server.json', {
      dataFolder: at('data'),
      keyHolderSocket: at('run/t.sock'),
      http: { listen: `127.0.0.1:${port}` },
      access: { tokens: [{ name: 'test', sha256, repositories: ['*'], actions: ['*'] }] },
      renewal: { every: '1s' },
      log: { level: 'error' },
    })
  }
}
