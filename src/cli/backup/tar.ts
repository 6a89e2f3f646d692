// A backup's inside is a tar archive (POSIX.1-2001 ustar) of plain files, so that `age -d FILE | tar x` opens it without us.
import { damagedBackup } from './errors.ts'

const BLOCK_BYTES = 512
/** Above that the size does not fit into eleven octal digits. */
export const MAX_MEMBER_BYTES = 0o77777777777
/** Where the fields of a header stand (POSIX, pax "ustar interchange format"). */
const NAME = [0, 100] as const
const MODE = [100, 108] as const
const UID = [108, 116] as const
const GID = [116, 124] as const
const SIZE = [124, 136] as const
const TIME = [136, 148] as const
const CHECKSUM = [148, 156] as const
const KIND = 156
const MAGIC = [257, 265] as const

export interface Member {
  readonly name: string
  readonly size: number
}

/** The header of a plain file, mode 0600. @param at when it was made */
export function tarHeader({ name, size }: Member, at: Date): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES)
  header.write(name, NAME[0], NAME[1] - NAME[0] - 1, 'ascii')
  const number = (value: number, [from, to]: readonly [number, number]): void => {
    header.write(`${value.toString(8).padStart(to - from - 1, '0')}\0`, from, 'ascii')
  }
  number(0o600, MODE)
  number(0, UID)
  number(0, GID)
  number(size, SIZE)
  number(Math.floor(at.getTime() / 1000), TIME)
  header.write('0', KIND, 'ascii')
  header.write('ustar\x0000', MAGIC[0], 'ascii')
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, CHECKSUM[0], 'ascii')
  return header
}

/** What fills a file up to whole blocks. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)
}

/** Two empty blocks. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK_BYTES)

/**
 * Reads an archive of plain files. Each member's bytes have to be taken before the next one is asked for.
 * @throws CliError BACKUP_DAMAGED
 */
export class TarReader {
  readonly #path: string
  readonly #source: AsyncIterator<Buffer>
  #waiting: Buffer = Buffer.alloc(0)
  #left = 0
  #padding = 0

  /** @param path of the backup, for what is said of it */
  constructor(path: string, source: AsyncIterable<Buffer>) {
    this.#path = path
    this.#source = source[Symbol.asyncIterator]()
  }

  /** The next file; undefined at the end, when the source was read to its own end. */
  async next(): Promise<Member | undefined> {
    if (this.#left > 0) throw this.#malformed()
    await this.#take(this.#padding)
    const header = await this.#take(BLOCK_BYTES)
    if (header.every((byte) => byte === 0)) {
      await this.#readToEnd()
      return undefined
    }
    const member = this.#parse(header)
    this.#left = member.size
    this.#padding = tarPadding(member.size).byteLength
    return member
  }

  /** The bytes of the present file. */
  async *content(): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      if (this.#waiting.byteLength === 0) await this.#more()
      const part = this.#waiting.subarray(0, this.#left)
      this.#waiting = this.#waiting.subarray(part.byteLength)
      this.#left -= part.byteLength
      yield part
    }
  }

  /** The present file as a whole. */
  async bytes(maxBytes: number): Promise<Buffer> {
    if (this.#left > maxBytes) throw this.#malformed()
    const parts: Buffer[] = []
    for await (const part of this.content()) parts.push(part)
    return Buffer.concat(parts)
  }

  #parse(header: Buffer): Member {
    const textOf = ([from, to]: readonly [number, number]): string =>
      header
        .subarray(from, to)
        .toString('ascii')
        .replace(/[\0 ].*$/s, '')
    const name = textOf(NAME)
    const size = textOf(SIZE)
    const isPlain = header[KIND] === 0x30 && header.toString('ascii', MAGIC[0], MAGIC[0] + 5) === 'ustar'
    const isWhole = Number.parseInt(textOf(CHECKSUM), 8) === checksumOf(header)
    if (!isPlain || !isWhole || name === '' || !/^[0-7]{1,11}$/.test(size)) throw this.#malformed()
    return { name, size: Number.parseInt(size, 8) }
  }

  async #take(bytes: number): Promise<Buffer> {
    while (this.#waiting.byteLength < bytes) await this.#more()
    const taken = this.#waiting.subarray(0, bytes)
    this.#waiting = this.#waiting.subarray(bytes)
    return taken
  }

  async #more(): Promise<void> {
    const step = await this.#source.next()
    if (step.done === true) throw this.#malformed()
    this.#waiting = Buffer.concat([this.#waiting, step.value])
  }

  async #readToEnd(): Promise<void> {
    for (let rest = this.#waiting; ;) {
      if (rest.some((byte) => byte !== 0)) throw this.#malformed()
      const step = await this.#source.next()
      if (step.done === true) return
      rest = step.value
    }
  }

  #malformed(): Error {
    return damagedBackup(this.#path, 'what is in it is not what a backup holds')
  }
}

/** Over the header with spaces in the place of the checksum. */
function checksumOf(header: Buffer): number {
  return header.reduce((sum, byte, at) => sum + (at >= CHECKSUM[0] && at < CHECKSUM[1] ? 0x20 : byte), 0)
}
