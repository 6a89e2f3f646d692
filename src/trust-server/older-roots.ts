// The roots that a repository had before it came here. Clients that slept through the move walk from the one that they know to the newest,
// so each has to be here under its version. They are brought before the first publication, and are served with it.
import type { IncomingMessage } from 'node:http'
import {
  parseRoot,
  ROOT,
  TufError,
  verifySelfSigned,
  verifySuccession,
  type Gun,
  type Received,
  type RootMetadata,
} from '@countersign/tuf'
import * as z from 'zod'
import { invalidUpdate, ProtocolError } from './answers.ts'
import { chunksOf } from './body.ts'
import type { Lease } from './memory-budget.ts'
import type { NewFile } from './metadata-store.ts'
import { tooLarge, type UploadLimits } from './upload.ts'

/** As many as clients walk in one go (tuf/root-chain.ts). */
const MAX_ROOTS = 1024
/** Of a body: roots are a few kilobytes. */
const MAX_BODY_BYTES = 8 * 1024 * 1024

const bodyShape = z.strictObject({ roots: z.array(z.base64()).min(1).max(MAX_ROOTS) })

/**
 * The files of `{ "roots": [base64, ...] }`, oldest first.
 * @throws ProtocolError MALFORMED_UPLOAD, MALFORMED_JSON, INVALID_UPDATE (too large), UNAVAILABLE
 */
export async function readOlderRoots(
  request: IncomingMessage,
  { bodyBytes, fileBytes }: Pick<UploadLimits, 'bodyBytes' | 'fileBytes'>,
  lease: Lease,
): Promise<readonly Uint8Array[]> {
  const chunks: Buffer[] = []
  for await (const chunk of chunksOf(request, Math.min(bodyBytes, MAX_BODY_BYTES), tooLarge)) {
    lease.grow(chunk.byteLength)
    chunks.push(chunk)
  }
  const roots = decoded(Buffer.concat(chunks).toString('utf8'))
  if (roots.some(({ byteLength }) => byteLength > fileBytes)) throw tooLarge(fileBytes)
  return roots
}

/** @throws ProtocolError MALFORMED_JSON */
function decoded(text: string): readonly Uint8Array[] {
  try {
    return bodyShape.parse(JSON.parse(text)).roots.map((root) => Buffer.from(root, 'base64'))
  } catch (cause) {
    throw new ProtocolError('MALFORMED_JSON', { detail: {}, cause })
  }
}

/**
 * That each root is signed by its own keys and follows the one before. Their certificates and they themselves may have expired, as clients
 * take them on the way to a later one.
 * @throws ProtocolError INVALID_UPDATE
 */
export function verifyOlderRoots(gun: Gun, files: readonly Uint8Array[]): readonly NewFile[] {
  let before: Received<RootMetadata> | undefined
  return files.map((bytes) => {
    const root = refusing(() => {
      const parsed = parseRoot(bytes)
      verifySelfSigned(parsed, gun)
      if (before !== undefined) verifyLink(before, parsed, gun)
      return parsed
    })
    before = root
    return { role: ROOT, version: root.metadata.version, sha256: root.sha256, bytes }
  })
}

/** Whether the root of a first publication goes on where the older ones end. */
export function isNextOf(gun: Gun, newest: Uint8Array, next: Uint8Array): boolean {
  try {
    verifyLink(parseRoot(newest), parseRoot(next), gun)
    return true
  } catch (error) {
    if (error instanceof TufError) return false
    throw error
  }
}

/** @throws TufError ROOT_VERSION, SIGNATURE_*, CERTIFICATE_* */
function verifyLink(before: Received<RootMetadata>, after: Received<RootMetadata>, gun: Gun): void {
  const [version, expected] = [after.metadata.version, before.metadata.version + 1]
  if (version !== expected) {
    throw new TufError('ROOT_VERSION', 'A root does not have the version after the last one', { version, expected })
  }
  verifySuccession(before, after, gun)
}

function refusing<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof TufError)) throw cause
    const facts = { ...cause.facts, reason: cause.code }
    throw invalidUpdate('ErrBadRoot', `the roots are no chain: ${cause.message}`, { cause, facts })
  }
}
