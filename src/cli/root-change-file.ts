// The file of a change of root, as it travels between the server and the machine of the root key. It holds everything that its reader
// needs: both roots in bytes, what changes in words, and the signatures so far. Nothing of it is taken on trust: the words are made anew
// from the bytes, and each signature is checked.
import {
  attachSignatures,
  baseRoleChanges,
  CodedError,
  decodeBase64,
  encodeBase64,
  encodeUtf8,
  parseGun,
  parseRoot,
  parseTufKeyId,
  ROOT,
  verifyNextRootContent,
  verifySelfSigned,
  verifySignature,
  type BaseRoleChange,
  type Gun,
  type Received,
  type RootMetadata,
  type SignatureEntry,
} from '@countersign/tuf'
import * as z from 'zod'
import { CliError } from './errors.ts'
import { readPublicFile, writeNewFile } from './files.ts'
import { describeRootChange } from './root-change-review.ts'

const FORMAT = 'countersign-root-change/1'
const MAX_FILE_BYTES = 1024 * 1024
const MAX_SIGNATURES = 16

/** A change of root that was read and reviewed: the next root follows the current one, and each signature is one of a root key. */
export interface RootChangeFile {
  readonly gun: Gun
  /** As it was published when the change was made; signed by its own root keys. */
  readonly current: Received<RootMetadata>
  /** Without signatures. */
  readonly next: Received<RootMetadata>
  readonly changes: readonly BaseRoleChange[]
  readonly signatures: readonly SignatureEntry[]
}

const fileShape = z.strictObject({
  format: z.literal(FORMAT),
  gun: z.string().max(255),
  summary: z.array(z.string().max(1000)).max(200),
  current: z.base64(),
  next: z.base64(),
  signatures: z
    .array(z.strictObject({ keyId: z.string(), method: z.string().max(32), signature: z.base64().max(4096) }))
    .max(MAX_SIGNATURES),
})

/** @throws CliError FILE_UNREADABLE, ROOT_CHANGE_FILE_INVALID */
export async function readRootChange(path: string, now: Date): Promise<RootChangeFile> {
  const bytes = await readPublicFile(path, MAX_FILE_BYTES)
  return refusing(path, () => {
    const { gun, summary, current, next, signatures } = fileShape.parse(JSON.parse(bytes.toString('utf8')))
    const change = reviewRootChange(gun, decodeBase64(current), decodeBase64(next), now)
    const described = describeRootChange(change)
    if (described.join('\n') !== summary.join('\n')) throw new Error('its words are not those of its bytes')
    return signatures
      .map(({ keyId, method, signature }) => ({
        keyId: parseTufKeyId(keyId),
        method,
        signature: decodeBase64(signature),
      }))
      .reduce(withSignature, change)
  })
}

/**
 * A change as the server sent it, with no signature yet.
 * @throws CliError ROOT_CHANGE_FILE_INVALID
 */
export function newRootChange(gun: string, current: Uint8Array, next: Uint8Array, now: Date): RootChangeFile {
  return refusing("The server's answer", () => reviewRootChange(gun, current, next, now))
}

/** Writes a new file. @throws CliError FILE_EXISTS, FILE_UNWRITABLE */
export async function writeRootChange(path: string, change: RootChangeFile): Promise<void> {
  const { gun, current, next, signatures } = change
  const content = {
    format: FORMAT,
    gun,
    summary: describeRootChange(change),
    current: encodeBase64(current.bytes),
    next: encodeBase64(next.message),
    signatures: signatures.map(({ keyId, method, signature }) => ({
      keyId,
      method,
      signature: encodeBase64(signature),
    })),
  }
  await writeNewFile(path, `${JSON.stringify(content, undefined, 2)}\n`, 0o644)
}

/** Puts a signature in; one of the same key gives its place. @throws Error where no root key made it over the next root */
export function withSignature(change: RootChangeFile, entry: SignatureEntry): RootChangeFile {
  const { current, next, signatures } = change
  const lists = [current, next].map(({ metadata }) => metadata)
  const key = lists.flatMap(({ roles, keys }) =>
    roles.get(ROOT)?.keyIds.includes(entry.keyId) === true ? (keys.get(entry.keyId) ?? []) : [],
  )[0]
  if (key === undefined || !verifySignature(key, entry.method, next.message, entry.signature)) {
    throw new Error(`it has a signature that no root key made over these bytes (${entry.keyId})`)
  }
  return { ...change, signatures: [...signatures.filter(({ keyId }) => keyId !== entry.keyId), entry] }
}

function reviewRootChange(name: string, currentBytes: Uint8Array, message: Uint8Array, now: Date): RootChangeFile {
  const gun = parseGun(name)
  const current = parseRoot(currentBytes)
  verifySelfSigned(current, gun)
  const next = parseRoot(Buffer.concat([encodeUtf8('{"signed":'), message, encodeUtf8(',"signatures":[]}')]))
  if (Buffer.compare(next.message, message) !== 0) throw new Error('the next root is not in canonical form')
  const changes = baseRoleChanges(current.metadata, next.metadata)
  verifyNextRootContent(current, next, changes, now)
  return { gun, current, next: { ...next, bytes: attachSignatures(next, []) }, changes, signatures: [] }
}

function refusing<T>(what: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    const why = reasonOf(cause)
    throw new CliError('ROOT_CHANGE_FILE_INVALID', `${what} is no change of root that can be signed: ${why}.`, {
      facts: { why },
      next: 'Nothing was signed. Begin again with: countersign root export.',
      cause,
    })
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof CodedError) return `${cause.message} (${String(cause.code)})`
  if (cause instanceof z.ZodError || cause instanceof SyntaxError) return 'it has not the shape of one'
  return cause instanceof Error ? cause.message : 'unknown reason'
}
