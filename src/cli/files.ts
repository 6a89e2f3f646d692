// Files that the command line reads and writes for its user: limited in size, and never replacing what is there.
// Secrets are read by config/secret-file.ts, which also checks who else could read them.
import { constants } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { CliError } from './errors.ts'

/** The bytes of a regular file that is not a secret. @throws CliError FILE_UNREADABLE */
export async function readPublicFile(path: string, maxBytes: number): Promise<Buffer> {
  const file = await openForReading(path)
  try {
    if (!(await file.stat()).isFile()) throw unreadable(path, 'it is not a regular file')
    const bytes = Buffer.alloc(maxBytes + 1)
    let filled = 0
    for (;;) {
      const { bytesRead } = await file.read(bytes, filled, bytes.byteLength - filled, null)
      if (bytesRead === 0) return bytes.subarray(0, filled)
      filled += bytesRead
      if (filled > maxBytes) throw unreadable(path, `it is larger than ${maxBytes} bytes`)
    }
  } finally {
    await file.close()
  }
}

/** The same, or undefined where there is no such file. @throws CliError FILE_UNREADABLE */
export async function readFileIfPresent(path: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    return await readPublicFile(path, maxBytes)
  } catch (error) {
    if (error instanceof CliError && ['ENOENT', 'ENOTDIR'].includes(reasonOf(error.cause))) return undefined
    throw error
  }
}

/** Writes a new file durably; an existing one is never touched. @throws CliError FILE_EXISTS, FILE_UNWRITABLE */
export async function writeNewFile(path: string, content: string | Uint8Array, mode: FileMode): Promise<void> {
  const file = await reserveNewFile(path, mode)
  await file.write(content)
}

/** Modes of new files: for the owner only, or readable by everybody. */
export type FileMode = 0o600 | 0o644

export interface ReservedFile {
  /** Writes the content durably and closes the file. @throws CliError FILE_UNWRITABLE */
  write(content: string | Uint8Array): Promise<void>
  /** Removes the file again, where there will be no content. */
  discard(): Promise<void>
}

/**
 * Creates an empty file now, to be written once its content exists. A crash before that leaves the empty file.
 * @throws CliError FILE_EXISTS, FILE_UNWRITABLE
 */
export async function reserveNewFile(path: string, mode: FileMode): Promise<ReservedFile> {
  await (await openNew(path, mode)).close()
  return {
    discard: () => rm(path, { force: true }),
    write: async (content) => {
      try {
        const file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW)
        try {
          await file.writeFile(content)
          await file.sync()
        } finally {
          await file.close()
        }
      } catch (cause) {
        throw unwritable(path, cause)
      }
    },
  }
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    // Non-blocking, so that a named pipe cannot hang the command; it is refused as not regular.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw unreadable(path, reasonOf(cause), cause)
  }
}

async function openNew(path: string, mode: number): Promise<FileHandle> {
  try {
    return await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode)
  } catch (cause) {
    if (reasonOf(cause) !== 'EEXIST') throw unwritable(path, cause)
    throw new CliError('FILE_EXISTS', `${path} exists already and is left alone.`, {
      facts: { file: path },
      next: 'Name another file, or move this one away first.',
    })
  }
}

function unreadable(path: string, why: string, cause?: unknown): CliError {
  return new CliError('FILE_UNREADABLE', `${path} cannot be read: ${why}.`, { facts: { file: path }, cause })
}

function unwritable(path: string, cause: unknown): CliError {
  return new CliError('FILE_UNWRITABLE', `${path} cannot be written: ${reasonOf(cause)}.`, {
    facts: { file: path },
    cause,
  })
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : 'unknown reason'
}
