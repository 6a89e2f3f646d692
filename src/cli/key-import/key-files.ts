// The private key files of stock clients: found in their folders, or named, and read without being changed. Nothing is decrypted here.
import { readdir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { CodedError, privateKeyBlocks, type PrivateKeyBlock, type PrivateKeyHeaders } from '@countersign/tuf'
import { readSecretBytes } from '../../config/secret-file.ts'
import { CliError } from '../errors.ts'

/** One key of a file; what the file does not say of itself, its place may say. */
export interface FoundKey {
  readonly file: string
  readonly headers: PrivateKeyHeaders
  readonly block: PrivateKeyBlock
}

export interface UnreadableFile {
  readonly file: string
  readonly error: CodedError<string>
}

export interface FoundKeys {
  readonly keys: readonly FoundKey[]
  readonly unreadable: readonly UnreadableFile[]
}

/** A trust folder of docker (`~/.docker/trust`) or notary (`~/.notary`). */
export interface TrustFolder {
  readonly path: string
  readonly keyFiles: readonly string[]
  /** Repositories whose metadata lies in it, with the folder of each. */
  readonly copies: ReadonlyMap<string, string>
}

const MAX_ENTRIES = 100_000

/** notary v0.7.0 storage/filestore.go: keys in `private`, metadata in `tuf/GUN/metadata`. @throws CliError FILE_UNREADABLE */
export async function scanTrustFolder(path: string): Promise<TrustFolder> {
  const files = await filesBelow(path)
  const keyFiles = files.filter((file) => /^private\/(?:.*\/)?[^/]+\.(?:key|pem)$/.test(file))
  const copies = files.flatMap((file) => {
    const [, gun] = /^tuf\/(.+)\/metadata\/root\.json$/.exec(file) ?? []
    return gun === undefined ? [] : [[gun, join(path, 'tuf', gun, 'metadata')] as const]
  })
  return { path, keyFiles: keyFiles.map((file) => join(path, file)).sort(), copies: new Map(copies) }
}

/** The keys of these files, those that cannot be read for themselves. @param folder for what the places of old files say */
export function readKeyFiles(files: readonly string[], folder?: string): FoundKeys {
  const keys: FoundKey[] = []
  const unreadable: UnreadableFile[] = []
  for (const file of files) {
    const placed = folder === undefined ? {} : headersOfPlace(relative(folder, file).split(sep).join('/'))
    try {
      for (const block of privateKeyBlocks(readSecretBytes(file))) {
        keys.push({ file, block, headers: { ...placed, ...block.headers } })
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      unreadable.push({ file, error: error as CodedError<string> })
    }
  }
  return { keys, unreadable }
}

/**
 * What the place of a file says in folders of before version 0.4: `private/root_keys/ID_root.key`, `private/tuf_keys/GUN/ID_ROLE.key`
 * (notary v0.7.0 storage/filestore.go migrateTo0Dot4).
 */
function headersOfPlace(place: string): PrivateKeyHeaders {
  if (/^private\/root_keys\/[^/]+$/.test(place)) return { role: 'root' }
  const [, gun, role] = /^private\/tuf_keys\/(?:(.+)\/)?[0-9a-f]{64}_([a-z0-9_-]+)\.key$/.exec(place) ?? []
  return { ...(role !== undefined && { role }), ...(gun !== undefined && { gun }) }
}

/** Regular files, by path below the folder; links lead nowhere. */
async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    if (entries.length > MAX_ENTRIES) throw unreadable(folder, `it has more than ${MAX_ENTRIES} entries`)
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
  } catch (cause) {
    if (cause instanceof CliError) throw cause
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown reason'
    throw unreadable(folder, why, cause)
  }
}

function unreadable(folder: string, why: string, cause?: unknown): CliError {
  return new CliError('FILE_UNREADABLE', `${folder} cannot be read: ${why}.`, { facts: { folder }, cause })
}
