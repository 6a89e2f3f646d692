// Reads the unlock key: 32 bytes in a file, or a passphrase in a file stretched with scrypt. Never a string, never an argument.
import { randomBytes, scrypt, type ScryptOptions } from 'node:crypto'
import { closeSync, constants, fstatSync, fsyncSync, openSync, readSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import { syncFolder, writeDurably } from './durable-file.ts'

/** Where the unlock key comes from. */
export type UnlockSource =
  { readonly kind: 'key-file'; readonly path: string } | { readonly kind: 'passphrase-file'; readonly path: string }

/** The key that is in use, and the one that an operator may put in its place. */
export interface UnlockSources {
  /** Absent: an operator gives it, after each start. */
  readonly current?: UnlockSource
  /** Need not be there: it is read for a rewrap, and at a start where `current` does not open the keys. */
  readonly next?: UnlockSource
}

/** The same where the configuration names the present one. */
export interface ConfiguredUnlock extends UnlockSources {
  readonly current: UnlockSource
}

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

/** Beside the event loop: signing goes on meanwhile. */
const stretch: (passphrase: Buffer, salt: Buffer, bytes: number, options: ScryptOptions) => Promise<Buffer> =
  promisify(scrypt)

export function newStretching(): Stretching {
  return { salt: randomBytes(32), cost: DEFAULT_COST }
}

/**
 * The 32 bytes of the unlock key; the caller zeroes them.
 * @throws KeyHolderError UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED
 */
export async function readUnlockKey(source: UnlockSource, stretching: Stretching): Promise<Buffer> {
  const bytes = readExclusive(source.path, false)
  try {
    return await unlockKeyIn(bytes, source, stretching)
  } finally {
    bytes.fill(0)
  }
}

/**
 * The unlock key that is to replace another one, and what the same file would have been as that other one, to tell whether it is. The file
 * is on the disk when this returns, not only in a cache: keys are about to depend on it. The caller zeroes both.
 * @throws KeyHolderError UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED
 */
export async function readNextUnlockKey(
  source: UnlockSource,
  stretching: { readonly current: Stretching; readonly next: Stretching },
): Promise<{ readonly asCurrent: Buffer; readonly next: Buffer }> {
  const bytes = readExclusive(source.path, true)
  try {
    const asCurrent = await unlockKeyIn(bytes, source, stretching.current)
    return { asCurrent, next: await unlockKeyIn(bytes, source, stretching.next) }
  } finally {
    bytes.fill(0)
  }
}

/**
 * The 32 bytes that the passphrase in a file stretches to; the caller zeroes them.
 * @throws KeyHolderError UNLOCK_KEY_UNREADABLE, UNLOCK_KEY_EXPOSED, as for the unlock key
 */
export function readPassphraseKey(path: string, stretching: Stretching): Promise<Buffer> {
  return readUnlockKey({ kind: 'passphrase-file', path }, stretching)
}

/** The PIN of a token, one line; the caller zeroes it. @throws KeyHolderError CUSTODY_PIN_UNREADABLE */
export function readPin(path: string): Buffer {
  try {
    const bytes = readExclusive(path, false)
    const end = bytes.findIndex((byte) => byte === 0x0a || byte === 0x0d)
    const pin = Buffer.from(end < 0 ? bytes : bytes.subarray(0, end))
    bytes.fill(0)
    if (pin.byteLength > 0) return pin
    throw unreadable(path, 'it is empty')
  } catch (cause) {
    if (!(cause instanceof KeyHolderError)) throw cause
    const why = cause.code === 'UNLOCK_KEY_EXPOSED' ? 'others can read the file' : String(cause.facts['why'])
    const message = `The PIN of the token cannot be read: ${why}.`
    throw new KeyHolderError('CUSTODY_PIN_UNREADABLE', message, { path, why }, { cause })
  }
}

/** What `readPassphraseKey` makes of the same passphrase; the caller zeroes it. */
export function passphraseKey(passphrase: Buffer, { salt, cost }: Stretching): Promise<Buffer> {
  const maxmem = 2 * 128 * cost * BLOCK_SIZE
  return stretch(passphrase, salt, KEY_BYTES, { N: cost, r: BLOCK_SIZE, p: 1, maxmem })
}

/**
 * The unlock key that an operator gives: its 32 bytes, or a passphrase. The caller zeroes it.
 * @throws KeyHolderError UNLOCK_KEY_UNREADABLE
 */
export async function unlockKeyOfCaller(
  secret: Uint8Array,
  kind: 'passphrase' | 'key',
  stretching: Stretching,
): Promise<Buffer> {
  const bytes = Buffer.from(secret)
  const source = { kind: kind === 'key' ? 'key-file' : 'passphrase-file', path: 'operator' } as const
  try {
    return await unlockKeyIn(bytes, source, stretching)
  } finally {
    bytes.fill(0)
  }
}

/** @throws KeyHolderError UNLOCK_KEY_UNREADABLE */
async function unlockKeyIn(bytes: Buffer, source: UnlockSource, stretching: Stretching): Promise<Buffer> {
  if (source.kind === 'key-file') {
    if (bytes.byteLength === KEY_BYTES) return Buffer.from(bytes)
    throw unreadable(source.path, 'an unlock key file holds exactly 32 bytes')
  }
  let end = bytes.byteLength
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--
  if (end < MIN_PASSPHRASE_BYTES) throw unreadable(source.path, 'the passphrase has fewer than 12 bytes')
  return passphraseKey(bytes.subarray(0, end), stretching)
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

/** Checks and reads one open file, so nothing can be swapped between. `flush`: and sees to it that it is on the disk. */
function readExclusive(path: string, flush: boolean): Buffer {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
    throw unreadable(path, isMissing ? 'there is no such file' : 'it cannot be opened', cause)
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
    if (flush) flushFile(file, path)
    return buffer
  } finally {
    closeSync(file)
  }
}

function flushFile(file: number, path: string): void {
  try {
    fsyncSync(file)
    syncFolder(dirname(path))
  } catch (cause) {
    throw unreadable(path, 'the file, or its name in the folder, cannot be flushed to the disk', cause)
  }
}

function unreadable(path: string, why: string, cause?: unknown): KeyHolderError {
  return new KeyHolderError('UNLOCK_KEY_UNREADABLE', `The unlock key cannot be read: ${why}.`, { path, why }, { cause })
}
