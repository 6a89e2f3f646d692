// A client that does nothing but send: prepared updates over one connection that stays open. What it measures is the server, and the
// way there and back.
import { readFileSync } from 'node:fs'
import { METADATA_LIMITS, parseJson, parsePublicKey, type PublicKey, type RoleName } from '@countersign/tuf'
import { Client } from 'undici'
import { encodeMultipart } from '../src/notary/multipart.ts'
import type { Credentials } from '../test/support/peers/docker-registry.ts'

const BOUNDARY = 'f'.repeat(32)

export interface TrustServerAddress {
  readonly url: string
  readonly caFile: string
  readonly login?: Credentials
}

export class TrustServerClient {
  readonly #client: Client
  readonly #headers: Readonly<Record<string, string>>

  constructor({ url, caFile, login }: TrustServerAddress) {
    this.#client = new Client(url, {
      connect: { ca: readFileSync(caFile) },
      headersTimeout: 120_000,
      keepAliveTimeout: 60_000,
    })
    this.#headers = authorization(login)
  }

  /** The key that the server wants a root to list. */
  async serverKey(gun: string, role: 'snapshot' | 'timestamp'): Promise<PublicKey> {
    const { body } = await this.#send('GET', `/v2/${gun}/_trust/tuf/${role}.key`)
    return parsePublicKey(parseJson(body, METADATA_LIMITS))
  }

  /** @returns milliseconds until the answer, which is a success */
  async publish(gun: string, files: ReadonlyMap<RoleName, Uint8Array>): Promise<number> {
    const body = encodeMultipart(files, BOUNDARY)
    const start = performance.now()
    await this.#send('POST', `/v2/${gun}/_trust/tuf/`, body)
    return performance.now() - start
  }

  async close(): Promise<void> {
    await this.#client.close()
  }

  async #send(method: 'GET' | 'POST', path: string, body?: Buffer): Promise<{ readonly body: Buffer }> {
    const headers = { ...this.#headers, 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }
    const answer = await this.#client.request({ method, path, headers, body: body ?? null })
    const bytes = Buffer.from(await answer.body.arrayBuffer())
    if (answer.statusCode !== 200) throw new Error(`${method} ${path}: ${answer.statusCode} ${bytes.toString('utf8')}`)
    return { body: bytes }
  }
}

export function authorization(login: Credentials | undefined): Readonly<Record<string, string>> {
  if (login === undefined) return {}
  return { authorization: `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}` }
}
