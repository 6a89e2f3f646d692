// One daemon and one key holder under test, over a simulated trust server and registry on loopback: asks as a client does, kills,
// starts again, and looks at what is on disk.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { request as httpRequest } from 'undici'
import { verifyAuditLog } from '../../src/key-holder/audit-verification.ts'
import { createUnlockKeyFile } from '../../src/key-holder/main.ts'
import { Connection } from '../../src/sqlite/connection.ts'
import type { SigningRequestJson } from './countersign.ts'
import { FakeRegistry } from './fakes/registry.ts'
import { FakeTrustServer } from './fakes/trust-server.ts'
import { freePort } from './free-port.ts'
import type { LogEntry } from './key-holder.ts'
import { compileKillable, KillableProcess, type Kind } from './killable.ts'
import { serveNotary } from './notary-server-over-http.ts'
import { waitFor } from './polling.ts'
import { serveRegistry } from './registry-over-http.ts'
import type { Scope } from './scope.ts'

const HOST = 'registry.example.com'
const LIMITS = `repositories: [{ gun: '*', initialize: true, versionsPerHour: 100000 }]`

/** As the configuration names it. */
export interface TrustServerSettings {
  readonly url: string
  readonly caFile?: string
}

export interface Answer {
  readonly status: number
  readonly body: unknown
}

export class KillablePair {
  readonly server = new FakeTrustServer({ now: () => new Date() })
  readonly registry = new FakeRegistry()
  /** Holds `data` of the daemon and `keys` of the key holder. */
  readonly folder: string
  readonly #scope: Scope
  readonly #script: string
  readonly #port: number
  readonly #running = new Map<Kind, KillableProcess>()
  readonly #spares = new Map<Kind, KillableProcess>()
  /** What the daemons of the past wrote. */
  #pastLines: Readonly<Record<string, unknown>>[] = []

  private constructor(scope: Scope, port: number, script: string) {
    this.#scope = scope
    this.#port = port
    this.folder = scope.folder('pair')
    this.#script = script
  }

  /**
   * Both running, with an administrator's token; until the scope closes. `prepare` may mount something on their folders; a real trust server may take the
   * place of the simulated one.
   */
  static async start(
    scope: Scope,
    o: { readonly prepare?: (folder: string) => void; readonly trustServer?: TrustServerSettings } = {},
  ): Promise<KillablePair> {
    const pair = new KillablePair(scope, await freePort(), await compileKillable())
    const trustServer = o.trustServer ?? (await serveNotary(scope, pair.server))
    const registry = await serveRegistry(scope, pair.registry, HOST)
    pair.#writeFiles(trustServer, registry.url)
    o.prepare?.(pair.folder)
    await pair.startAgain('key-holder')
    await pair.startAgain('daemon')
    await waitFor('the first token', () => (pair.#token() === '' ? undefined : true))
    return pair
  }

  process(kind: Kind): KillableProcess {
    const running = this.#running.get(kind)
    if (running === undefined) throw new Error(`No ${kind} was started.`)
    return running
  }

  /** On what the last one left. The next one is loaded meanwhile, so that it is there when it is needed. */
  async startAgain(kind: Kind): Promise<void> {
    const process = this.#spares.get(kind) ?? this.#load(kind)
    if (kind === 'daemon') this.#pastLines = this.daemonLines()
    this.#running.set(kind, process)
    this.#spares.set(kind, this.#load(kind))
    await process.start()
  }

  async call(method: 'GET' | 'POST', path: string, body?: unknown, idempotencyKey?: string): Promise<Answer> {
    const answer = await httpRequest(`${this.url}/v1/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token()}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      reset: true,
    })
    return { status: answer.statusCode, body: await answer.body.json() }
  }

  /** Asks again until it is taken, as the command line does: the key makes one request of all submissions. */
  async submit(gun: string, tag: string): Promise<SigningRequestJson> {
    const { status, body } = await waitFor(`the submission of ${tag}`, async () => {
      const answer = await this.call('POST', 'signing-requests', { images: [`${gun}:${tag}`] }, `key-of-${tag}`)
      return answer.status < 500 ? answer : undefined
    })
    if (status !== 200 && status !== 201) throw new Error(`${tag}: ${status} ${JSON.stringify(body)}`)
    return body as SigningRequestJson
  }

  async initialize(gun: string): Promise<void> {
    const { status, body } = await this.call('POST', 'repositories', {
      gun,
      root: { kind: 'online' },
      delegations: true,
    })
    if (status !== 201) throw new Error(`${gun}: ${status} ${JSON.stringify(body)}`)
  }

  /** Pushes an image and signs it: `published`, or `failed CODE`. */
  async sign(gun: string, tag: string): Promise<string> {
    this.registry.pushManifest(gun, tag, tag)
    return outcomeOf(await this.finished((await this.submit(gun, tag)).id))
  }

  /** `published`, or `failed CODE`. */
  async unsign(gun: string, tag: string): Promise<string> {
    const { body } = await this.call('POST', 'signing-requests', { kind: 'unsign', images: [`${gun}:${tag}`] })
    return outcomeOf(await this.finished((body as SigningRequestJson).id))
  }

  /** The code with which one submission is refused; undefined where it is taken. */
  async refusal(gun: string, tag: string): Promise<string | undefined> {
    this.registry.pushManifest(gun, tag, tag)
    const { status, body } = await this.call('POST', 'signing-requests', { images: [`${gun}:${tag}`] }, `key-of-${tag}`)
    return status < 300 ? undefined : (body as { code: string }).code
  }

  /** Where the API listens. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get operatorSocket(): string {
    return join(this.folder, 'run/o.sock')
  }

  /** The request once nothing can change any more. */
  async finished(id: string): Promise<SigningRequestJson> {
    return waitFor(`the end of ${id}`, async () => {
      const { body } = await this.call('GET', `signing-requests/${id}`)
      const request = body as SigningRequestJson & { readonly isFinal: boolean }
      return request.isFinal ? request : undefined
    })
  }

  /** Status of the tag's image in the daemon's database, read beside whoever runs. */
  storedStatus(tag: string): string | undefined {
    const database = new Connection(join(this.folder, 'data/countersign.db'), { readonly: true })
    try {
      return database.prepare<[string], { status: string }>('SELECT status FROM images WHERE tag = ?').get(tag)?.status
    } finally {
      database.close()
    }
  }

  /** Every version that the key holder's database holds signed or about to be signed. The key holder must not run. */
  signedPayloads(gun: string): { role: string; version: number; payloadSha256: string }[] {
    const database = new Connection(join(this.folder, 'keys/key-holder.db'))
    try {
      return database
        .prepare<[string], { role: string; version: number; payloadSha256: string }>(
          'SELECT role, version, message_sha256 AS payloadSha256 FROM signed_payloads WHERE gun = ? ORDER BY role, version',
        )
        .all(gun)
    } finally {
      database.close()
    }
  }

  /** The audit log on disk, verified. */
  auditLog(): LogEntry[] {
    const entries: LogEntry[] = []
    verifyAuditLog(join(this.folder, 'keys/log'), {
      onEntry: (entry) => entries.push(JSON.parse(entry.toString('utf8')) as LogEntry),
    })
    return entries
  }

  /** The log of all daemons so far. */
  daemonLines(): Readonly<Record<string, unknown>>[] {
    return [...this.#pastLines, ...(this.#running.get('daemon')?.lines() ?? [])]
  }

  #load(kind: Kind): KillableProcess {
    return new KillableProcess(this.#scope, this.#script, kind, join(this.folder, `${kind}.json`))
  }

  #token(): string {
    try {
      return readFileSync(join(this.folder, 'data/admin.token'), 'utf8').trim()
    } catch {
      return ''
    }
  }

  #writeFiles({ url, caFile }: TrustServerSettings, registryUrl: string): void {
    const at = (name: string): string => join(this.folder, name)
    const write = (name: string, content: unknown): void => {
      const text = typeof content === 'string' ? content : JSON.stringify(content)
      writeFileSync(at(name), text, { mode: 0o600 })
    }
    for (const name of ['data', 'keys', 'run']) mkdirSync(at(name), { mode: 0o700 })
    createUnlockKeyFile(at('unlock.key'))
    write('limits.yaml', LIMITS)
    write('key-holder.json', {
      folder: at('keys'),
      serviceSocket: at('run/s.sock'),
      operatorSocket: at('run/o.sock'),
      unlock: { keyFile: at('unlock.key') },
      limitsFile: at('limits.yaml'),
      logOrigin: 'countersign.test/killed',
      log: { level: 'error' },
    })
    write('daemon.json', {
      dataFolder: at('data'),
      http: { listen: `127.0.0.1:${this.#port}` },
      keyHolder: { serviceSocket: at('run/s.sock') },
      trustServers: [{ url, guns: [`${HOST}/*`], ...(caFile === undefined ? {} : { caFile }) }],
      registries: [{ host: HOST, url: registryUrl }],
    })
  }
}

function outcomeOf({ images: [image] }: SigningRequestJson): string {
  return image?.error === undefined ? String(image?.status) : `failed ${image.error.code}`
}
