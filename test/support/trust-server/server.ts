// A trust server on this machine, with the fake of the key holder behind it, and a client that says exactly what it is told.
import { createHash } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { parseGun, parseRoleName, SNAPSHOT, TIMESTAMP, type Gun } from '@countersign/tuf'
import { encodeMultipart } from '../../../src/notary/multipart.ts'
import { createDatabase, type SqliteDatabase } from '../../../src/sqlite/database.ts'
import { parseTrustServerConfig } from '../../../src/trust-server/config.ts'
import { startTrustServer, type RunningTrustServer, type TrustServerOptions } from '../../../src/trust-server/main.ts'
import { SCHEMA } from '../../../src/trust-server/schema.ts'
import { silentLog } from '../../../src/log.ts'
import { FakeServerSigner } from '../fakes/server-signer.ts'
import { NOW, RepositoryBuilder } from '../repository-builder.ts'
import type { Scope } from '../scope.ts'
import { testKey } from '../test-keys.ts'

/** A token that may do everything. */
export const TOKEN = `cs_${'t'.repeat(43)}`

export interface TestTrustServer {
  readonly running: RunningTrustServer
  readonly signer: FakeServerSigner
  readonly database: SqliteDatabase
  readonly clock: { now: Date }
  readonly http: HttpCaller
}

export interface TestTrustServerOptions {
  /** YAML, besides address and token. */
  readonly config?: string
  readonly database?: SqliteDatabase
  readonly signer?: FakeServerSigner
  readonly clock?: { now: Date }
  readonly step?: TrustServerOptions['step']
}

export async function startTestTrustServer(scope: Scope, o: TestTrustServerOptions = {}): Promise<TestTrustServer> {
  const clock = o.clock ?? { now: NOW }
  const signer = o.signer ?? new FakeServerSigner(() => clock.now)
  const database = o.database ?? createDatabase(':memory:', SCHEMA)
  const config = parseTrustServerConfig(o.config ?? testConfig())
  const running = await startTrustServer(config, {
    now: () => clock.now,
    signer,
    database,
    log: silentLog,
    ...(o.step !== undefined && { step: o.step }),
  })
  scope.add(() => running.stop())
  return { running, signer, database, clock, http: new HttpCaller(running.url) }
}

/** A configuration with one token; `more` are further settings of `access`. */
export function testConfig(more = '', rest = ''): string {
  const sha256 = createHash('sha256').update(TOKEN).digest('hex')
  return `
http: { listen: '127.0.0.1:0' }
access:
  tokens: [{ name: test, sha256: ${sha256}, repositories: ['*'], actions: ['*'] }]
${more}
${rest}`
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  /** Of an error. */
  readonly code: string | undefined
  readonly name: string | undefined
  readonly words: string | undefined
}

export interface Call {
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** False: without the token. */
  readonly isAuthorized?: boolean
}

export class HttpCaller {
  readonly #url: URL
  readonly #tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }

  /** @param tls the authority of a server over TLS, and a client certificate (PEM) */
  constructor(url: string, tls: { readonly ca?: string; readonly cert?: string; readonly key?: string } = {}) {
    this.#url = new URL(url)
    this.#tls = tls
  }

  /** Sends the path as it is. */
  call({ method = 'GET', path, headers = {}, body, isAuthorized = true }: Call): Promise<Answer> {
    const authorization = `Basic ${Buffer.from(`any:${TOKEN}`).toString('base64')}`
    return new Promise((resolve, reject) => {
      const start = this.#url.protocol === 'https:' ? httpsRequest : httpRequest
      const request = start(
        {
          host: this.#url.hostname,
          port: this.#url.port,
          method,
          path,
          agent: false,
          ...this.#tls,
          headers: { ...(isAuthorized && { authorization }), ...headers },
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('end', () => {
            const bytes = Buffer.concat(chunks)
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes, ...errorIn(bytes) })
          })
          response.on('error', reject)
        },
      )
      request.on('error', reject)
      request.end(body)
    })
  }

  get(gun: string, file: string): Promise<Answer> {
    return this.call({ path: `/v2/${gun}/_trust/tuf/${file}` })
  }

  /** One part for each entry, with the name as it is. */
  async post(gun: string, files: ReadonlyMap<string, Uint8Array>): Promise<Answer> {
    return this.upload(gun, encodeMultipart(files as Parameters<typeof encodeMultipart>[0], BOUNDARY))
  }

  async upload(gun: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.call({
      method: 'POST',
      path: `/v2/${gun}/_trust/tuf/`,
      headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}`, ...headers },
      body,
    })
  }
}

export const BOUNDARY = 'a-boundary-that-occurs-in-no-file'

function errorIn(body: Buffer): Pick<Answer, 'code' | 'name' | 'words'> {
  interface Body {
    readonly errors?: readonly {
      readonly code: string
      readonly detail?: { Name?: string; Error?: { Msg?: string } }
    }[]
  }
  let error: NonNullable<Body['errors']>[number] | undefined
  try {
    error = (JSON.parse(body.toString('utf8')) as Body).errors?.[0]
  } catch {
    // Not every answer is JSON.
  }
  return { code: error?.code, name: error?.detail?.Name, words: error?.detail?.Error?.Msg }
}

/** A repository whose root lists the keys that the server gives out. */
export async function newRepository(
  { signer }: Pick<TestTrustServer, 'signer'>,
  name: string,
  build: (gun: string) => RepositoryBuilder = (gun) => RepositoryBuilder.withSigner('countersign', gun),
): Promise<RepositoryBuilder> {
  const builder = build(name)
  await useServerKey({ signer }, builder, 'snapshot')
  await useServerKey({ signer }, builder, 'timestamp')
  return builder
}

/** Lists the server's key in the next root; what the builder signs with it itself is worth nothing. */
export async function useServerKey(
  { signer }: Pick<TestTrustServer, 'signer'>,
  builder: RepositoryBuilder,
  role: 'snapshot' | 'timestamp',
  rotate = false,
): Promise<void> {
  const evidence = { request: 'test', principal: 'test' }
  const publicKey = await signer.serverKey({ gun: builder.gun, role, rotate, evidence })
  builder.role(role === 'snapshot' ? SNAPSHOT : TIMESTAMP).keys = [{ privateKey: testKey(role).privateKey, publicKey }]
}

/** The files of these roles, as they are now. */
export function filesOf(builder: RepositoryBuilder, ...roles: readonly string[]): Map<string, Uint8Array> {
  const files = builder.files()
  return new Map(roles.map((role) => [role, files.get(`${parseRoleName(role)}.json`) ?? new Uint8Array()]))
}

export function gunOf(text: string): Gun {
  return parseGun(text)
}
