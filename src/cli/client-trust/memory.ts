// What this user's machine has verified of a repository: its root, by which trust goes on, and the highest versions, below which nothing is
// believed any more. One file for each repository. Notary's clients keep the files themselves; nothing else of them is needed.
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import {
  decodeBase64,
  encodeBase64,
  parseRoleName,
  parseTufKeyId,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  type Gun,
  type KnownVersion,
  type RoleName,
  type TrustedRepository,
  type TufKeyId,
} from '@countersign/tuf'
import { CliError } from '../errors.ts'
import { readFileIfPresent, writeNewFile } from '../files.ts'
import type { Terminal } from '../terminal.ts'

/** Bytes: a root of a megabyte in base64, and some hundred roles. */
const MAX_BYTES = 4 * 1024 * 1024

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const memoryFile = z.strictObject({
  gun: z.string(),
  /** Base64. */
  root: z.base64(),
  pins: z.array(sha256),
  roles: z.record(z.string(), z.strictObject({ version: z.int().positive(), sha256 })),
})

export interface TrustMemory {
  readonly root: Uint8Array
  /** The pins by which the root was believed, or an earlier one that led to it; none: it was the first that came. */
  readonly pins: readonly TufKeyId[]
  readonly roles: ReadonlyMap<RoleName, KnownVersion & { readonly sha256: string }>
}

/** What is remembered of a repository; undefined: nothing. @throws CliError TRUST_MEMORY_DAMAGED, FILE_UNREADABLE */
export async function recall(terminal: Terminal, gun: Gun): Promise<TrustMemory | undefined> {
  const path = pathOf(terminal, gun)
  const bytes = await readFileIfPresent(path, MAX_BYTES)
  if (bytes === undefined) return undefined
  try {
    const read = memoryFile.parse(JSON.parse(bytes.toString('utf8')))
    if (read.gun !== gun) throw new Error('it speaks of another repository')
    return {
      root: decodeBase64(read.root),
      pins: read.pins.map(parseTufKeyId),
      roles: new Map(Object.entries(read.roles).map(([role, known]) => [parseRoleName(role), known])),
    }
  } catch (cause) {
    throw new CliError('TRUST_MEMORY_DAMAGED', `What was remembered of ${gun} cannot be read: ${path}.`, {
      facts: { file: path, gun },
      next: 'Without it an old state could pass for the present one. Remove the file to begin anew, with --pin.',
      cause,
    })
  }
}

/**
 * What is to be remembered after a verification. Of roles that clients pass over now, what was remembered stays; those that are gone are forgotten,
 * since a repository may drop a signer.
 */
export function memoryOf(
  trusted: TrustedRepository,
  pins: readonly TufKeyId[],
  earlier: TrustMemory | undefined,
): TrustMemory {
  const { root, timestamp, snapshot, targets, delegations, unusable } = trusted
  const files = [
    [ROOT, root] as const,
    [TIMESTAMP, timestamp] as const,
    [SNAPSHOT, snapshot] as const,
    [TARGETS, targets] as const,
    ...delegations,
  ]
  const kept = [...(earlier?.roles ?? [])].filter(([role]) => unusable.has(role))
  const seen = files.map(([role, { metadata, sha256 }]) => [role, { version: metadata.version, sha256 }] as const)
  return { root: root.bytes, pins, roles: new Map([...kept, ...seen]) }
}

/** Whole or not at all. @throws CliError FILE_UNWRITABLE */
export async function remember(terminal: Terminal, gun: Gun, { root, pins, roles }: TrustMemory): Promise<void> {
  const path = pathOf(terminal, gun)
  const content = { gun, root: encodeBase64(root), pins, roles: Object.fromEntries(roles) }
  const temporary = `${path}.${process.pid}`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await rm(temporary, { force: true })
    await writeNewFile(temporary, `${JSON.stringify(content)}\n`, 0o600)
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw new CliError('FILE_UNWRITABLE', `What was verified of ${gun} cannot be remembered: ${path}.`, {
      facts: { file: path, gun },
      next: 'Name a folder that can be written: XDG_STATE_HOME.',
      cause,
    })
  }
}

function pathOf({ env, homeFolder }: Terminal, gun: Gun): string {
  const configured = env['XDG_STATE_HOME'] ?? ''
  const base = configured === '' ? join(homeFolder, '.local', 'state') : configured
  return join(base, 'countersign', 'trust', `${encodeURIComponent(gun)}.json`)
}
