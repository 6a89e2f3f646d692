// Files in the age format, version 1, under a passphrase (https://c2sp.org/age): scrypt, then ChaCha20-Poly1305 over chunks of 64 KiB, of
// which the last one is marked, so that a file that was cut shows. Whoever has the passphrase opens them with `age -d`, too.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  randomBytes,
  scrypt,
  timingSafeEqual,
} from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { promisify } from 'node:util'
import { CliError } from '../errors.ts'
import { damagedBackup } from './errors.ts'

const VERSION_LINE = 'age-encryption.org/v1'
const SALT_LABEL = 'age-encryption.org/v1/scrypt'
const CHUNK_BYTES = 64 * 1024
const TAG_BYTES = 16
const FILE_KEY_BYTES = 16
const SALT_BYTES = 16
const PAYLOAD_NONCE_BYTES = 16
/** scrypt N = 2^17, r = 8, as for the unlock key: 128 MiB, about half a second. */
const WORK_FACTOR = 17
/** Of files that come in: 1 GiB. */
const MAX_WORK_FACTOR = 20
/** Ours has some 180 bytes; age's with one passphrase is as long. */
const MAX_HEADER_BYTES = 1024

const HEADER =
  /^age-encryption\.org\/v1\n-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n--- ([A-Za-z0-9+/]{43})\n/

const stretch = promisify<Buffer, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt)

/** Writes one file, front to back. `end` marks the last chunk; without it the file does not open. */
export class AgeWriter {
  readonly #file: FileHandle
  readonly #key: Buffer
  #chunk: Buffer = Buffer.alloc(0)
  #count = 0

  private constructor(file: FileHandle, key: Buffer) {
    this.#file = file
    this.#key = key
  }

  static async begin(file: FileHandle, passphrase: Buffer, workFactor = WORK_FACTOR): Promise<AgeWriter> {
    const fileKey = randomBytes(FILE_KEY_BYTES)
    const salt = randomBytes(SALT_BYTES)
    const wrapped = sealed(await wrappingKey(passphrase, salt, workFactor), Buffer.alloc(12), fileKey)
    const head = `${VERSION_LINE}\n-> scrypt ${unpadded(salt)} ${workFactor}\n${unpadded(wrapped)}\n---`
    const nonce = randomBytes(PAYLOAD_NONCE_BYTES)
    await file.writeFile(Buffer.concat([Buffer.from(`${head} ${unpadded(headerMac(fileKey, head))}\n`), nonce]))
    return new AgeWriter(file, payloadKey(fileKey, nonce))
  }

  async write(bytes: Uint8Array): Promise<void> {
    const waiting = Buffer.concat([this.#chunk, bytes])
    let at = 0
    // The last chunk has to be marked, so a full one waits for what comes after it.
    for (; waiting.byteLength - at > CHUNK_BYTES; at += CHUNK_BYTES) {
      await this.#seal(waiting.subarray(at, at + CHUNK_BYTES), false)
    }
    this.#chunk = Buffer.from(waiting.subarray(at))
  }

  async end(): Promise<void> {
    await this.#seal(this.#chunk, true)
    this.#key.fill(0)
  }

  async #seal(chunk: Buffer, isLast: boolean): Promise<void> {
    await this.#file.writeFile(sealed(this.#key, chunkNonce(this.#count++, isLast), chunk))
  }
}

/**
 * What is in the file, chunk by chunk. Each is authentic; that nothing is missing behind it is known when this ends without throwing.
 * @throws CliError BACKUP_DAMAGED, PASSPHRASE_WRONG
 */
export async function* readAgeFile(path: string, file: FileHandle, passphrase: Buffer): AsyncGenerator<Buffer> {
  const { size } = await file.stat()
  const start = await readAt(file, 0, Math.min(size, MAX_HEADER_BYTES))
  const header = HEADER.exec(start.toString('latin1'))
  if (header === null) throw damagedBackup(path, 'it is no backup that was made under a passphrase')
  const fileKey = await openHeader(path, header, passphrase)
  let at = header[0].length
  const key = payloadKey(fileKey, await readAt(file, at, PAYLOAD_NONCE_BYTES))
  at += PAYLOAD_NONCE_BYTES
  for (let count = 0, isLast = false; !isLast; count++) {
    const bytes = await readAt(file, at, Math.min(CHUNK_BYTES + TAG_BYTES, Math.max(0, size - at)))
    at += bytes.byteLength
    isLast = at >= size
    const chunk = opened(key, chunkNonce(count, isLast), bytes)
    if (chunk === undefined) throw damagedBackup(path, 'it was changed, or its end is missing')
    yield chunk
  }
}

async function openHeader(path: string, header: RegExpExecArray, passphrase: Buffer): Promise<Buffer> {
  const [text, salt = '', factor = '', body = '', mac = ''] = header
  if (Number(factor) > MAX_WORK_FACTOR) throw damagedBackup(path, 'it asks for too much work to be opened')
  const key = await wrappingKey(passphrase, Buffer.from(salt, 'base64'), Number(factor))
  const fileKey = opened(key, Buffer.alloc(12), Buffer.from(body, 'base64'))
  if (fileKey?.byteLength !== FILE_KEY_BYTES) {
    throw new CliError('PASSPHRASE_WRONG', `${path} does not open with this passphrase.`, { facts: { file: path } })
  }
  // As text: base64 has several spellings of the same bytes.
  const expected = Buffer.from(unpadded(headerMac(fileKey, text.slice(0, text.lastIndexOf(' ')))))
  if (!timingSafeEqual(expected, Buffer.from(mac))) throw damagedBackup(path, 'its head was changed')
  return fileKey
}

function wrappingKey(passphrase: Buffer, salt: Buffer, workFactor: number): Promise<Buffer> {
  const N = 2 ** workFactor
  return stretch(passphrase, Buffer.concat([Buffer.from(SALT_LABEL), salt]), 32, { N, r: 8, p: 1, maxmem: 2048 * N })
}

function headerMac(fileKey: Buffer, head: string): Buffer {
  const key = Buffer.from(hkdfSync('sha256', fileKey, Buffer.alloc(0), 'header', 32))
  return createHmac('sha256', key).update(head, 'latin1').digest()
}

function payloadKey(fileKey: Buffer, nonce: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32))
}

/** Eleven bytes of counter, one that marks the last chunk. */
function chunkNonce(count: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(count, 5, 6)
  nonce[11] = isLast ? 1 : 0
  return nonce
}

function sealed(key: Buffer, nonce: Buffer, plain: Uint8Array): Buffer {
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG_BYTES })
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** Undefined where it was changed, or belongs elsewhere. */
function opened(key: Buffer, nonce: Buffer, bytes: Buffer): Buffer | undefined {
  if (bytes.byteLength < TAG_BYTES) return undefined
  const end = bytes.byteLength - TAG_BYTES
  const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAuthTag(bytes.subarray(end))
  const plain = decipher.update(bytes.subarray(0, end))
  try {
    decipher.final()
    return plain
  } catch {
    return undefined
  }
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

/** Fewer bytes where the file ends before. */
async function readAt(file: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  let filled = 0
  while (filled < bytes) {
    const { bytesRead } = await file.read(buffer, filled, bytes - filled, at + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}
