// Reads the files of a policy folder. What is in them is judged elsewhere.
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../config/errors.ts'
import { MAX_POLICY_FILE_BYTES, MAX_POLICY_FILES, type PolicyFault, type PolicyFile } from './policy-folder.ts'

/**
 * The files of a folder, and a print that changes with any of them. The folder may be a link that is switched: it is followed once.
 * @throws ConfigError POLICY_INVALID
 */
export function readFolderFiles(folder: string): { readonly files: readonly PolicyFile[]; readonly print: string } {
  const files: PolicyFile[] = []
  const prints: string[] = []
  try {
    const real = realpathSync(folder)
    prints.push(real)
    // Hidden entries are those of version control, editors and Kubernetes.
    const names = readdirSync(real).filter((name) => !name.startsWith('.'))
    if (names.length > MAX_POLICY_FILES)
      throw faultyFolder(folder, [fault('', `holds more than ${MAX_POLICY_FILES} files`)])
    for (const name of names.sort()) {
      if (/\.(md|txt)$/.test(name)) continue
      if (!name.endsWith('.yaml'))
        throw faultyFolder(folder, [fault(name, 'must end in .yaml, or in .md or .txt for people')])
      const { bytes, print } = readOne(join(real, name), name, folder)
      files.push({ name, bytes })
      prints.push(`${name} ${print}`)
    }
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    throw new ConfigError('POLICY_INVALID', `The policy folder ${folder} cannot be read.`, [], { cause })
  }
  return { files, print: prints.join('\n') }
}

function readOne(path: string, name: string, folder: string): { readonly bytes: Buffer; readonly print: string } {
  const file = openSync(path, 'r')
  try {
    const stat = fstatSync(file, { bigint: true })
    if (!stat.isFile()) throw faultyFolder(folder, [fault(name, 'is no regular file')])
    if ((stat.mode & 0o002n) !== 0n)
      throw faultyFolder(folder, [fault(name, 'can be written by every user of this machine')])
    if (stat.size > BigInt(MAX_POLICY_FILE_BYTES)) {
      throw faultyFolder(folder, [fault(name, `is larger than ${MAX_POLICY_FILE_BYTES} bytes`)])
    }
    return { bytes: readFileSync(file), print: `${stat.ino} ${stat.size} ${stat.mtimeNs}` }
  } finally {
    closeSync(file)
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
