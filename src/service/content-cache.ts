// Keeps files that the trust server served under the hash of their content. Such a name never means anything else, so the file need
// not be asked for again; whether it is still part of the current state is said by the timestamp, which is asked for each time.
import { type Gun, sha256Hex } from '@countersign/tuf'
import type { TrustSource } from '../domain/ports.ts'

/** `snapshot.<hex>.json`, `targets/releases.<hex>.json` */
const HASHED_NAME = /\.([0-9a-f]{64})\.json$/

export class ContentCache implements TrustSource {
  readonly #source: TrustSource
  readonly #maxBytes: number
  /** By GUN and name, in the order of their last use. */
  readonly #files = new Map<string, Uint8Array>()
  #bytes = 0

  constructor(source: TrustSource, maxBytes: number) {
    this.#source = source
    this.#maxBytes = maxBytes
  }

  async read(gun: Gun, fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const sha256 = HASHED_NAME.exec(fileName)?.[1]
    if (sha256 === undefined) return this.#source.read(gun, fileName, maxBytes)
    const key = `${gun} ${fileName}`
    const known = this.#files.get(key)
    if (known !== undefined && known.byteLength <= maxBytes) {
      this.#files.delete(key)
      this.#files.set(key, known)
      return known
    }
    const bytes = await this.#source.read(gun, fileName, maxBytes)
    // What has another content than its name says is for the verifier to refuse, each time.
    if (bytes !== undefined && sha256Hex(bytes) === sha256) this.#keep(key, bytes)
    return bytes
  }

  #keep(key: string, bytes: Uint8Array): void {
    this.#drop(key)
    if (bytes.byteLength > this.#maxBytes) return
    this.#files.set(key, bytes)
    this.#bytes += bytes.byteLength
    for (const oldest of this.#files.keys()) {
      if (this.#bytes <= this.#maxBytes) break
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#files.get(key)?.byteLength ?? 0
    this.#files.delete(key)
  }
}
