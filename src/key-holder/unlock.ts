// Reads the unlock key: 32 bytes in a file, or a passphrase in a file stretched with scrypt. Never a string, never an argument.
import { randomBytes, scryptSync } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { writeDurably } from './durable-file.ts'

/** Where the unlock key comes from. */
export type UnlockSource =
  { readonly kind: 'key-file'; readonly path: string } | { readonly kind: 'passphrase-file'; readonly path: string }

/** How a passphrase was stretched; stored beside the keys, so that it can grow later. */
export interface Stretching {
  readonly salt: Buffer
  readonly cost: number
}

const KEY_BYTES = 32
const MIN_PASSPHRASE_BYTES = 12
const MAX_FILE_BYTES = 4096
/** scrypt N = 2^17, r = 8, p = 1: 128 MiB, about half a second (OWASP password storage, 2024). */
const DEFAULT_COST = 131_072
const BLOCK_SIZE = 8

export function newStretching(): Stretching {
  return { salt: randomBytes(32), cost: DEFAULT_COST }
}

/**
 * The 32 bytes of the unlock key; the caller zeroes them.
 * @throws KeyHolderError UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED
 */
export function readUnlockKey(source: UnlockSource, stretching: Stretching): Buffer {
  const bytes = readExclusive(source.path)
  if (source.kind === 'key-file') {
    if (bytes.byteLength === KEY_BYTES) return bytes
    bytes.fill(0)
    throw unreadable(source.path, 'an unlock key file holds exactly 32 bytes')
  }
  try {
    let end = bytes.byteLength
    while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--
    if (end < MIN_PASSPHRASE_BYTES) throw unreadable(source.path, 'the passphrase has fewer than 12 bytes')
    const { salt, cost } = stretching
    const maxmem = 2 * 128 * cost * BLOCK_SIZE
    return scryptSync(bytes.subarray(0, end), salt, KEY_BYTES, { N: cost, r: BLOCK_SIZE, p: 1, maxmem })
  } finally {
    bytes.fill(0)
  }
}

/** Writes a new unlock key file, readable by its owner alone. */
export function createUnlockKeyFile(path: string): void {
  const key = randomBytes(KEY_BYTES)
  try {
    writeDurably(path, key, 0o600)
  } finally {
    key.fill(0)
  }
}

/** Checks and reads one open file, so nothing can be swapped between. */
function readExclusive(path: string): Buffer {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw unreadable(path, 'it cannot be opened', cause)
  }
  try {
    const stat = fstatSync(file)
    if (!stat.isFile() || stat.size > MAX_FILE_BYTES) throw unreadable(path, 'it is not a small regular file')
    const uid = process.getuid?.() ?? stat.uid
    // Mounted credentials (systemd LoadCredential=, Kubernetes with fsGroup) belong to root and are readable by our group alone.
    const forbidden = stat.uid !== uid && stat.uid === 0 ? 0o037 : 0o077
    if ((stat.mode & forbidden) !== 0 || (stat.uid !== uid && stat.uid !== 0)) {
      throw new KeyHolderError('UNLOCK_KEY_EXPOSED', 'The unlock key file must belong to this user, with mode 0600.', {
        path,
        mode: (stat.mode & 0o777).toString(8),
      })
    }
    const buffer = Buffer.alloc(stat.size)
    if (readSync(file, buffer, 0, stat.size, 0) !== stat.size) throw unreadable(path, 'it changed while it was read')
    return buffer
  } finally {
    closeSync(file)
  }
}

function unreadable(path: string, why: string, cause?: unknown): KeyHolderError {
  return new KeyHolderError('UNLOCK_KEY_UNREADABLE', `The unlock key cannot be read: ${why}.`, { path, why }, { cause })
}
