// Countersign as its users see it: HTTP with a token, one connection for each caller, kept open.
import { readFileSync } from 'node:fs'
import { Agent } from 'undici'
import type { Countersign } from '../test/support/countersign.ts'
import type { PushedImage } from '../test/support/peers/images.ts'

/** Longer than any measurement takes. */
const WAIT = '1m'

export class Api {
  readonly #url: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #agent = new Agent({ keepAliveTimeout: 60_000, bodyTimeout: 120_000, headersTimeout: 120_000 })

  constructor(countersign: Countersign) {
    this.#url = countersign.url
    const token = readFileSync(countersign.clientEnvironment['COUNTERSIGN_TOKEN_FILE'] ?? '', 'utf8').trim()
    this.#headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  }

  async close(): Promise<void> {
    await this.#agent.close()
  }

  /** Takes a new repository under management. */
  async init(gun: string, delegations: boolean): Promise<void> {
    const { status, text } = await this.#post('/v1/repositories', { gun, root: { kind: 'online' }, delegations })
    if (status >= 300) throw new Error(`${gun} was not initialised: ${status} ${text}`)
  }

  /** Opens as many connections as callers will use, so that a measurement begins with its request. */
  async connect(callers: number): Promise<void> {
    await Promise.all(
      Array.from({ length: callers }, async () => {
        const answer = await this.#agent.request({ origin: this.#url, path: '/livez', method: 'GET' })
        await answer.body.dump()
      }),
    )
  }

  /**
   * Asks for one tag at its digest and waits until it is published: read back from the Notary server and verified.
   * @returns milliseconds from the request to that answer
   * @throws Error on any other end
   */
  async sign({ reference, sha256 }: PushedImage): Promise<number> {
    const start = performance.now()
    const body = { images: [`${reference}@sha256:${sha256}`] }
    const { text } = await this.#post(`/v1/signing-requests?wait=${WAIT}`, body)
    const elapsed = performance.now() - start
    const { status } = JSON.parse(text) as { readonly status?: string }
    if (status !== 'published') throw new Error(`${reference} was not published: ${text}`)
    return elapsed
  }

  async #post(path: string, body: object): Promise<{ status: number; text: string }> {
    const answer = await this.#agent.request({
      origin: this.#url,
      path,
      method: 'POST',
      headers: this.#headers,
      body: JSON.stringify(body),
    })
    return { status: answer.statusCode, text: await answer.body.text() }
  }
}
