// Whether the embedded trust server answers, and whether it can take updates. Only ours counts: its certificate is by our authority.
import { NetError } from '../net/errors.ts'
import { HttpClient, type TlsOptions } from '../net/http-client.ts'

export type TrustServerHealth = 'ok' | 'not-signing' | 'unreachable'

const TIMEOUTS = { connectMs: 5_000, headersMs: 5_000, totalMs: 5_000 }
const MAX_BYTES = 64 * 1024

export class TrustServerProbe {
  readonly #client: HttpClient

  constructor(url: string, tls: TlsOptions) {
    this.#client = new HttpClient(url, tls, TIMEOUTS)
  }

  /** `not-signing`: it answers, but the key holder does not sign for it now. */
  async ask(): Promise<TrustServerHealth> {
    try {
      const { status } = await this.#client.request({
        method: 'GET',
        path: '/_notary_server/health',
        maxBytes: MAX_BYTES,
      })
      return status === 200 ? 'ok' : 'not-signing'
    } catch (error) {
      if (error instanceof NetError) return 'unreachable'
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
}
