// Files that the command line reads and writes for its user: limited in size, and never replacing what is there.
// Secrets are read by config/secret-file.ts, which also checks who else could read them.
import { constants, existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { CodedError } from '@countersign/tuf'
import { readSecretFile } from '../config/secret-file.ts'
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

/**
 * Prepares to write a token file: a new one, or in the place of one that holds a token already and nothing else. Until it is written the old
 * one stands.
 * @throws CliError FILE_EXISTS, FILE_UNWRITABLE; ConfigError SECRET_FILE_*
 */
export async function replaceTokenFile(path: string): Promise<(content: string) => Promise<void>> {
  if (existsSync(path) && !/^cs_[\w-]{1,512}$/.test(readSecretFile(path).reveal())) throw exists(path)
  const temporary = `${path}.new`
  await rm(temporary, { force: true })
  return async (content) => {
    await writeNewFile(temporary, content, 0o600)
    await rename(temporary, path).catch((cause: unknown) => {
      throw unwritable(path, cause)
    })
  }
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

/** Before the work begins. @throws CliError FILE_EXISTS */
export function refuseExisting(path: string): void {
  if (existsSync(path)) throw exists(path)
}

/** Files of a new folder whose contents are flushed at the same time: the file system does that about as fast as for one. */
const FLUSHED_TOGETHER = 16

export interface NewFolder {
  /** By path below the folder, with `/` between folders; taken one after the other. */
  readonly files: FileSource
  /** A further file that says what is there: it gets its name only after all others are on the disk. */
  readonly seal?: NamedBytes
  /** For the owner only, or readable by everybody, as without it. */
  readonly mode?: FileMode
  /** Looks at what was written, before it gets its name; what it throws ends the matter. */
  readonly check?: (folder: string) => Promise<void>
}

type FileSource =
  Iterable<readonly [path: string, bytes: Uint8Array]> | AsyncIterable<readonly [path: string, bytes: Uint8Array]>

interface NamedBytes {
  readonly name: string
  readonly bytes: Uint8Array
}

/**
 * A new folder with these files, whole or not at all: it is written beside its place under another name, and then renamed.
 * @throws CliError FILE_EXISTS, FILE_UNWRITABLE; what `files` and `check` throw
 */
export async function writeNewFolder(path: string, o: NewFolder): Promise<void> {
  const { files, seal, mode = 0o644, check } = o
  const folderMode = mode === 0o644 ? 0o755 : 0o700
  refuseExisting(path)
  const target = resolve(path)
  const temporary = await mkdtemp(`${target}.`).catch((cause: unknown) => {
    throw unwritable(path, cause)
  })
  try {
    await chmod(temporary, folderMode)
    const folders = new Set([temporary])
    let waiting: NamedBytes[] = []
    for await (const [name, bytes] of files) {
      await mkdir(dirname(join(temporary, name)), { recursive: true, mode: folderMode })
      for (let parent = dirname(name); parent !== '.'; parent = dirname(parent)) folders.add(join(temporary, parent))
      waiting.push({ name, bytes })
      if (waiting.length < FLUSHED_TOGETHER) continue
      await writeNewFiles(temporary, waiting, mode)
      waiting = []
    }
    await writeNewFiles(temporary, waiting, mode)
    if (seal !== undefined) await writeSeal(temporary, folders, seal, mode)
    await check?.(temporary)
    await rename(temporary, target)
    await syncFolder(dirname(target))
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true })
    if (cause instanceof CodedError) throw cause
    throw ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(reasonOf(cause)) ? exists(path) : unwritable(path, cause)
  }
}

async function writeNewFiles(folder: string, files: readonly NamedBytes[], mode: FileMode): Promise<void> {
  const results = await Promise.allSettled(
    files.map(({ name, bytes }) => writeNewFile(join(folder, name), bytes, mode)),
  )
  // Only when none is under way any more: after a failure the folder is removed.
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

async function writeSeal(
  folder: string,
  folders: Iterable<string>,
  { name, bytes }: NamedBytes,
  mode: FileMode,
): Promise<void> {
  for (const each of folders) await syncFolder(each)
  const unnamed = join(folder, `.${name}.part`)
  await writeNewFile(unnamed, bytes, mode)
  await rename(unnamed, join(folder, name))
  await syncFolder(folder)
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
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
    throw exists(path)
  }
}

function exists(path: string): CliError {
  return new CliError('FILE_EXISTS', `${path} exists already and is left alone.`, {
    facts: { file: path },
    next: 'Name another one, or move this one away first.',
  })
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
