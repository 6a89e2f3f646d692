// Reads the files of a policy folder. What is in them is judged elsewhere.
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../config/errors.ts'
import { MAX_POLICY_FILE_BYTES, MAX_POLICY_FILES, type PolicyFault, type PolicyFile } from './policy-folder.ts'

interface Listed {
  readonly name: string
  readonly path: string
  /** Changes with the file. */
  readonly print: string
}

/**
 * What changes with any file of the folder, without reading one. The folder may be a link that is switched: it is followed once.
 * @throws ConfigError POLICY_INVALID
 */
export function printOfFolder(folder: string): string {
  return printOf(list(folder))
}

/**
 * The files of a folder, and the print of the folder that they are of.
 * @throws ConfigError POLICY_INVALID, also where it was changed meanwhile
 */
export function readFolderFiles(folder: string): { readonly files: readonly PolicyFile[]; readonly print: string } {
  const listed = list(folder)
  const files = orRefuse(folder, () => listed.map(({ name, path }) => ({ name, bytes: readFileSync(path) })))
  const print = printOf(listed)
  if (printOfFolder(folder) === print) return { files, print }
  throw faultyFolder(folder, [fault('', 'was changed while it was read: try again')])
}

function list(folder: string): readonly Listed[] {
  return orRefuse(folder, () => {
    const real = realpathSync(folder)
    // Hidden entries are those of version control, editors and Kubernetes.
    const names = readdirSync(real).filter((name) => !name.startsWith('.') && !/\.(md|txt)$/.test(name))
    if (names.length > MAX_POLICY_FILES) {
      throw faultyFolder(folder, [fault('', `holds more than ${MAX_POLICY_FILES} files`)])
    }
    return names.sort().map((name) => ({ name, path: join(real, name), print: printOfFile(folder, real, name) }))
  })
}

function printOfFile(folder: string, real: string, name: string): string {
  const path = join(real, name)
  const stat = statSync(path, { bigint: true })
  const wrong = [
    ...(name.endsWith('.yaml') ? [] : ['must end in .yaml, or in .md or .txt for people']),
    ...(stat.isFile() ? [] : ['is no regular file']),
    ...((stat.mode & 0o002n) === 0n ? [] : ['can be written by every user of this machine']),
    ...(stat.size <= BigInt(MAX_POLICY_FILE_BYTES) ? [] : [`is larger than ${MAX_POLICY_FILE_BYTES} bytes`]),
  ]
  if (wrong.length > 0) {
    throw faultyFolder(
      folder,
      wrong.map((message) => fault(name, message)),
    )
  }
  // The time of the last change of the inode cannot be set by a program, as the time of the contents can.
  return `${path} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`
}

function printOf(listed: readonly Listed[]): string {
  return listed.map(({ print }) => print).join('\n')
}

function orRefuse<T>(folder: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    throw new ConfigError('POLICY_INVALID', `The policy folder ${folder} cannot be read.`, [], { cause })
  }
}

function fault(file: string, message: string): PolicyFault {
  return { file, path: '', message }
}

/** The refusal of a folder with faults, each with its file and setting. */
export function faultyFolder(folder: string, faults: readonly PolicyFault[]): ConfigError {
  return new ConfigError(
    'POLICY_INVALID',
    `The policy folder ${folder} holds faults.`,
    faults.map(({ file, path, message }) => ({ path: [file, path].filter((part) => part !== '').join(': '), message })),
  )
}
