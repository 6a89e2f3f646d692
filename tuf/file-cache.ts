// Remembers parsed files by role and content, so that the same bytes are parsed and their signatures checked once. It remembers what
// bytes say, never that a state may be trusted: pins, versions, expiry, hashes and who may sign are compared each time anew.
import { Buffer } from 'node:buffer'
import { sha256Hex } from './digest.ts'
import type { RoleName } from './role.ts'
import type { Received } from './signed.ts'
import { rememberSignaturesOf } from './verified-signatures.ts'

/** Memory that a parsed file takes for each of its bytes, those bytes included; measured with a targets file of ten thousand tags. */
const MEMORY_PER_BYTE = 11

/** Bounded by the memory that it takes; the files that were used least recently go first. */
export class FileCache {
  readonly #maxBytes: number
  /** In the order of their last use. */
  readonly #files = new Map<string, Received<unknown>>()
  #bytes = 0

  /** @param maxBytes about how much memory it may take */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The parsed file, from memory where the same bytes were parsed for this role before. @throws what `parse` throws */
  read<T>(role: RoleName, bytes: Uint8Array, parse: (bytes: Uint8Array) => Received<T>): Received<T> {
    const key = keyOf(role, sha256Hex(bytes))
    const known = this.#files.get(key)
    if (known !== undefined) {
      this.#files.delete(key)
      this.#files.set(key, known)
      // What stands under a role was made by that role's parser.
      return known as Received<T>
    }
    const file = parse(detached(bytes))
    this.add(role, file)
    return file
  }

  /** Takes in a file that was parsed elsewhere. */
  add(role: RoleName, file: Received<unknown>): void {
    const key = keyOf(role, file.sha256)
    if (this.#files.has(key) || costOf(file) > this.#maxBytes) return
    this.#files.set(key, file)
    this.#bytes += costOf(file)
    rememberSignaturesOf(file.message)
    for (const [oldest, dropped] of this.#files) {
      if (this.#bytes <= this.#maxBytes) break
      this.#files.delete(oldest)
      this.#bytes -= costOf(dropped)
    }
  }
}

/** Reads with a cache where there is one. @throws what `parse` throws */
export function readFile<T>(
  cache: FileCache | undefined,
  role: RoleName,
  bytes: Uint8Array,
  parse: (bytes: Uint8Array) => Received<T>,
): Received<T> {
  return cache === undefined ? parse(bytes) : cache.read(role, bytes, parse)
}

function keyOf(role: RoleName, sha256: string): string {
  return `${role} ${sha256}`
}

function costOf({ bytes }: Received<unknown>): number {
  return bytes.byteLength * MEMORY_PER_BYTE
}

/** Bytes of their own: a view would keep the whole message alive in which they came. */
function detached(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Buffer.from(bytes)
}
